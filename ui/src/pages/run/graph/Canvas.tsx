import { type NodeProps, ReactFlow, useReactFlow } from '@xyflow/react';
import '@xyflow/react/dist/base.css';
import { type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from 'react';
import type { TaskRun } from '@/api/schema';
import { isFailure } from '@/model/phases';
import { exitNode, pathEdges, placedNodes, type TaskNode, upstreamTexts, withData } from './elements';
import { GraphEdge } from './GraphEdge';
import { ActionsContext, type GraphActions, GraphNode } from './GraphNode';
import styles from './RunGraph.module.css';
import { isKey, stepFrom } from './steps';
import { nodeOfRow, type Summary, summarize } from './summary';
import { Toolbar } from './Toolbar';
import type { Graph } from './useGraph';
import { useView } from './useView';

type Props = {
  graph: Graph;
  tasks: readonly TaskRun[];
  selected: string | null;
  onSelect: (task: string | null) => void;
  onList: (id: string) => void;
  onUnfold: (id: string) => void;
  onFold: (id: string | null) => void;
};

const NODE_TYPES = { task: GraphNode, exit: ExitFrame };
const EDGE_TYPES = { path: GraphEdge };
const NOTHING: Summary = { total: 0, counts: [], failed: [], failures: 0, task: null };

/** The drawing, its controls and keys. */
export function Canvas({ graph, tasks, selected, onSelect, onList, onUnfold, onFold }: Props) {
  const { folding, layout } = graph;
  const flow = useReactFlow();
  const hintId = useId();
  const canvas = useRef<HTMLElement>(null);
  const summaries = useSummaries(graph, tasks);
  const selectedNode = useMemo(() => nodeOfTask(graph, tasks, selected), [graph, tasks, selected]);
  const failedRows = useMemo(() => tasks.flatMap((task, row) => (isFailure(task.phase) ? [row] : [])), [tasks]);
  const [focused, setFocused] = useState<string | null>(null);
  const focusedNode = folding.nodes.findIndex(({ id }) => id === focused);
  const firstFailed = failedRows[0] === undefined ? 0 : nodeOfRow(folding, graph.ownerOf, tasks, failedRows[0]);
  const stop = focusedNode >= 0 ? focusedNode : (selectedNode ?? firstFailed);
  const nodes = useNodes(graph, summaries, selectedNode, stop);
  const active = focusedNode >= 0 ? focusedNode : selectedNode;
  const edges = useMemo(() => pathEdges(folding, layout, active), [folding, layout, active]);
  const { goTo, moved, showAll } = useView(graph, canvas);
  const actions = useMemo(
    (): GraphActions => ({
      select: onSelect,
      list: (node) => onList(node.id),
      unfold: (node) => onUnfold(node.id),
      focused: setFocused,
    }),
    [onSelect, onList, onUnfold],
  );
  const press = (event: KeyboardEvent) => {
    if (!isKey(event.key) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const isInNode = event.target !== canvas.current;
    goTo(isInNode ? stepFrom(stop, event.key, layout.boxes, folding.edges, graph.direction) : stop);
  };
  return (
    <div className={styles.graph}>
      <Toolbar
        failures={failedRows.length}
        unfolded={folding.unfolded}
        onFailed={(number) => {
          const row = failedRows[number] ?? 0;
          goTo(nodeOfRow(folding, graph.ownerOf, tasks, row));
          onSelect(tasks[row]?.name ?? null);
        }}
        onZoomIn={() => {
          moved();
          void flow.zoomIn();
        }}
        onZoomOut={() => {
          moved();
          void flow.zoomOut();
        }}
        onFit={showAll}
        onFold={onFold}
      />
      <p id={hintId} className={styles.text}>
        {textOf(graph, tasks)}
      </p>
      <section
        ref={canvas}
        className={styles.canvas}
        aria-label="Graph of tasks"
        aria-describedby={hintId}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the way in by keyboard, also when no node is in sight
        tabIndex={0}
        onKeyDown={press}
      >
        <ActionsContext value={actions}>
          <ReactFlow
            nodes={nodes}
            edges={edges}
            nodeTypes={NODE_TYPES}
            edgeTypes={EDGE_TYPES}
            onlyRenderVisibleElements
            nodesDraggable={false}
            nodesConnectable={false}
            nodesFocusable={false}
            edgesFocusable={false}
            elementsSelectable={false}
            disableKeyboardA11y
            onMoveStart={(event) => event !== null && moved()}
            zoomOnDoubleClick={false}
            minZoom={0.02}
            maxZoom={2}
          />
        </ActionsContext>
      </section>
    </div>
  );
}

function ExitFrame(_: NodeProps) {
  return <div className={styles.exit}>on_exit</div>;
}

function useSummaries({ folding, ownerOf, shape }: Graph, tasks: readonly TaskRun[]): readonly Summary[] {
  const before = useRef<{ of: object; summaries: readonly Summary[] }>({ of: folding, summaries: [] });
  const summaries = useMemo(() => {
    // While a fan-out's items have just come and their graph has not, the rows would not fit.
    const rows = tasks.length === shape.length ? tasks : shape;
    return summarize(folding, ownerOf, rows, before.current.of === folding ? before.current.summaries : []);
  }, [folding, ownerOf, shape, tasks]);
  useEffect(() => {
    before.current = { of: folding, summaries };
  }, [folding, summaries]);
  return summaries;
}

function useNodes(graph: Graph, summaries: readonly Summary[], selected: number | null, stop: number) {
  const { folding, layout, direction } = graph;
  const placed = useMemo(() => placedNodes(folding, layout, direction), [folding, layout, direction]);
  const after = useMemo(() => upstreamTexts(folding), [folding]);
  const frame = useMemo(() => exitNode(layout), [layout]);
  const known = useRef<ReadonlyMap<string, TaskNode>>(new Map());
  const nodes = useMemo(() => {
    const data = (number: number) => ({
      node: folding.nodes[number] ?? { id: '', kind: 'task' as const, title: '', level: 0, isExit: false },
      summary: summaries[number] ?? NOTHING,
      after: after[number] ?? '',
      isSelected: number === selected,
      isStop: number === stop,
    });
    return withData(placed, data, known.current);
  }, [placed, folding, summaries, after, selected, stop]);
  useEffect(() => {
    known.current = new Map(nodes.map((node) => [node.id, node]));
  }, [nodes]);
  return useMemo(() => [...frame, ...nodes], [frame, nodes]);
}

function nodeOfTask(graph: Graph, tasks: readonly TaskRun[], name: string | null): number | null {
  const row = name === null ? -1 : tasks.findIndex((task) => task.name === name);
  return row < 0 ? null : nodeOfRow(graph.folding, graph.ownerOf, tasks, row);
}

function textOf({ folding }: Graph, tasks: readonly TaskRun[]): string {
  const many = (count: number, word: string) => `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`;
  const folded = folding.nodes.some(({ kind }) => kind === 'group' || kind === 'fanOut');
  return `Graph of ${many(tasks.length, 'task')} in ${many(folding.levels, 'level')}${
    folded ? `, drawn as ${many(folding.nodes.length, 'node')}` : ''
  }. Arrow keys lead along its edges; the table of tasks has all of it.`;
}
