/** What of the graph is in sight: all of it at first, then where the user goes. */
import { useReactFlow } from '@xyflow/react';
import { type RefObject, useCallback, useEffect, useRef } from 'react';
import type { Graph } from './useGraph';

const READABLE = 0.8;
const PADDING = 0.06;

export function useView(graph: Graph, canvas: RefObject<HTMLElement | null>) {
  const flow = useReactFlow();
  const shown = useRef<Graph | null>(null);
  const showAll = useCallback(() => {
    void flow.fitBounds(boundsOf(graph), { padding: PADDING });
  }, [flow, graph]);
  useEffect(() => {
    const before = shown.current;
    shown.current = graph;
    if (before === null || before.shape !== graph.shape) {
      showAll();
      return;
    }
    const known = new Set(before.folding.nodes.map(({ id }) => id));
    const added = graph.folding.nodes.flatMap(({ id }, number) => (known.has(id) ? [] : [number]));
    if (added.length > 0) void flow.fitBounds(boundsOf(graph, added), { padding: PADDING, duration: duration() });
  }, [graph, flow, showAll]);
  /** Moves the node into the middle and the focus onto it. */
  const goTo = (number: number) => {
    const box = graph.layout.boxes[number];
    const id = graph.folding.nodes[number]?.id;
    if (box === undefined || id === undefined) return;
    const zoom = Math.max(flow.getZoom(), READABLE);
    void flow.setCenter(box.x + box.width / 2, box.y + box.height / 2, { zoom }).then(() => focus(canvas, id));
  };
  return { goTo, showAll };
}

/** It may have been out of sight, and so not rendered, until now. */
function focus(canvas: RefObject<HTMLElement | null>, id: string, tries = 10): void {
  const node = [...(canvas.current?.querySelectorAll<HTMLElement>('[data-node]') ?? [])].find(
    (each) => each.dataset.node === id,
  );
  if (node !== undefined) node.focus({ preventScroll: true });
  else if (tries > 0) requestAnimationFrame(() => focus(canvas, id, tries - 1));
}

function duration(): number {
  return window.matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : 300;
}

/** Of these nodes; without them of all. */
function boundsOf({ layout }: Graph, numbers?: readonly number[]) {
  const boxes = numbers?.flatMap((number) => layout.boxes[number] ?? []) ?? [
    ...layout.boxes,
    ...(layout.exitBox ? [layout.exitBox] : []),
  ];
  const x = Math.min(...boxes.map((box) => box.x));
  const y = Math.min(...boxes.map((box) => box.y));
  return {
    x,
    y,
    width: Math.max(...boxes.map((box) => box.x + box.width)) - x,
    height: Math.max(...boxes.map((box) => box.y + box.height)) - y,
  };
}
