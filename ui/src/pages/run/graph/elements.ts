/** The folded, laid out graph as the graph library's nodes and edges; each keeps its identity while nothing about it changes. */
import { type Edge, type Node, Position } from '@xyflow/react';
import type { FoldedNode, Folding } from './folding';
import type { Direction, Layout } from './layout';
import type { Summary } from './summary';

export type TaskNodeData = {
  node: FoldedNode;
  summary: Summary;
  /** What it depends on, for its accessible name. */
  after: string;
  isSelected: boolean;
  /** Whether Tab leads to it: one of all does, arrow keys lead to the others. */
  isStop: boolean;
};
export type TaskNode = Node<TaskNodeData, 'task'>;
export type ExitNode = Node<Record<string, never>, 'exit'>;
export type PathEdge = Edge<{ path: string; count: number; isActive: boolean }, 'path'>;

const NAMED = 5;

/** For each node a sentence about its upstreams. */
export function upstreamTexts(folding: Folding): string[] {
  const upstreams = folding.nodes.map((): string[] => []);
  for (const { source, target } of folding.edges) upstreams[target]?.push(folding.nodes[source]?.title ?? '');
  return upstreams.map((names) => {
    if (names.length === 0) return 'no upstream tasks';
    const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : '';
    return `after ${names.slice(0, NAMED).join(', ')}${more}`;
  });
}

/** A node of the library, without what changes while the run goes on. */
export function placedNodes(folding: Folding, layout: Layout, direction: Direction): Omit<TaskNode, 'data'>[] {
  return folding.nodes.map((node, number) => {
    const { x, y, width, height } = layout.boxes[number] ?? { x: 0, y: 0, width: 1, height: 1 };
    const isRight = direction === 'right';
    // With its handles given, edges to what is out of sight are drawn without rendering and measuring it first.
    return {
      id: node.id,
      type: 'task',
      position: { x, y },
      sourcePosition: isRight ? Position.Right : Position.Bottom,
      targetPosition: isRight ? Position.Left : Position.Top,
      width,
      height,
      measured: { width, height },
      handles: [
        {
          type: 'target',
          position: isRight ? Position.Left : Position.Top,
          x: isRight ? 0 : width / 2,
          y: isRight ? height / 2 : 0,
          width: 1,
          height: 1,
        },
        {
          type: 'source',
          position: isRight ? Position.Right : Position.Bottom,
          x: isRight ? width : width / 2,
          y: isRight ? height / 2 : height,
          width: 1,
          height: 1,
        },
      ],
    };
  });
}

export function exitNode(layout: Layout): ExitNode[] {
  if (layout.exitBox === null) return [];
  const { x, y, width, height } = layout.exitBox;
  const size = { width, height };
  return [{ id: 'on_exit', type: 'exit', position: { x, y }, ...size, measured: size, zIndex: -1, data: {} }];
}

/** With data, reusing the nodes of `before` that would be the same. */
export function withData(
  placed: readonly Omit<TaskNode, 'data'>[],
  data: (number: number) => TaskNodeData,
  before: ReadonlyMap<string, TaskNode>,
): TaskNode[] {
  return placed.map((node, number) => {
    const made = data(number);
    const old = before.get(node.id);
    return old !== undefined && old.handles === node.handles && isSame(old.data, made) ? old : { ...node, data: made };
  });
}

function isSame(a: TaskNodeData, b: TaskNodeData): boolean {
  return (
    a.node === b.node &&
    a.summary === b.summary &&
    a.after === b.after &&
    a.isSelected === b.isSelected &&
    a.isStop === b.isStop
  );
}

/** `active`: the node whose edges stand out. */
export function pathEdges(folding: Folding, layout: Layout, active: number | null): PathEdge[] {
  return folding.edges.map(({ source, target, count }, number) => {
    const isActive = source === active || target === active;
    return {
      id: `${folding.nodes[source]?.id} ${folding.nodes[target]?.id}`,
      type: 'path',
      source: folding.nodes[source]?.id ?? '',
      target: folding.nodes[target]?.id ?? '',
      zIndex: isActive ? 1 : 0,
      // Nodes say in words what they come after.
      domAttributes: { 'aria-hidden': true },
      data: { path: layout.paths[number] ?? '', count, isActive },
    };
  });
}
