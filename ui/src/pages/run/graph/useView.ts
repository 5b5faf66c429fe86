/** What of the graph is in sight: all of it at first, then where the user goes. */
import { useReactFlow } from '@xyflow/react';
import { type RefObject, useCallback, useEffect, useRef } from 'react';
import type { Box } from './layout';
import type { Graph } from './useGraph';

const READABLE = 0.8;
const PADDING = 0.06;
const MAX_ZOOM = 1.25;

export function useView(graph: Graph, canvas: RefObject<HTMLElement | null>) {
  const flow = useReactFlow();
  const shown = useRef<Graph | null>(null);
  const isMoved = useRef(false);
  const showAll = useCallback(() => {
    void flow.fitBounds(readable(boundsOf(graph), canvas.current), { padding: PADDING });
  }, [flow, graph, canvas]);
  // What is mounted anew has nothing in sight yet.
  useEffect(
    () => () => {
      shown.current = null;
    },
    [],
  );
  useEffect(() => {
    const before = shown.current;
    shown.current = graph;
    if (before === null || before.shape !== graph.shape) {
      if (before === null || !isMoved.current) showAll();
      return;
    }
    if (graph.folding.unfolded.length <= before.folding.unfolded.length) return;
    const known = new Set(before.folding.nodes.map(({ id }) => id));
    const added = graph.folding.nodes.flatMap(({ id }, number) => (known.has(id) ? [] : [number]));
    if (added.length === 0) return;
    isMoved.current = true;
    void flow.fitBounds(readable(boundsOf(graph, added), canvas.current), { padding: PADDING, duration: duration() });
  }, [graph, flow, canvas, showAll]);
  // Until the user moves it, all of it stays in sight when a panel opens beside it.
  useEffect(() => {
    if (canvas.current === null) return;
    // The library hears of the new size in the same round, so it is asked in the next one.
    const observer = new ResizeObserver(() => requestAnimationFrame(() => isMoved.current || showAll()));
    observer.observe(canvas.current);
    return () => observer.disconnect();
  }, [canvas, showAll]);
  const moved = useCallback(() => {
    isMoved.current = true;
  }, []);
  const showAllAgain = useCallback(() => {
    isMoved.current = false;
    showAll();
  }, [showAll]);
  /** Moves the node into the middle and the focus onto it. */
  const goTo = (number: number) => {
    const box = graph.layout.boxes[number];
    const id = graph.folding.nodes[number]?.id;
    if (box === undefined || id === undefined) return;
    isMoved.current = true;
    const zoom = Math.max(flow.getZoom(), READABLE);
    void flow.setCenter(box.x + box.width / 2, box.y + box.height / 2, { zoom }).then(() => focus(canvas, id));
  };
  return { goTo, moved, showAll: showAllAgain };
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

/** Around the bounds so much that a few nodes are not drawn larger than their text needs. */
function readable({ x, y, width, height }: Box, canvas: HTMLElement | null): Box {
  const wide = Math.max(width, (canvas?.clientWidth ?? 0) / MAX_ZOOM);
  const high = Math.max(height, (canvas?.clientHeight ?? 0) / MAX_ZOOM);
  return { x: x - (wide - width) / 2, y: y - (high - height) / 2, width: wide, height: high };
}

/** Of these nodes; without them of all. */
function boundsOf({ layout }: Graph, numbers?: readonly number[]): Box {
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
