/**
 * Where the nodes of a folded graph stand: layers, `on_exit` in a box of its own behind all others.
 *
 * dagre draws small graphs best, but takes minutes for the largest; those and long ones are drawn by `layers`.
 */
import { Graph, layout as place } from '@dagrejs/dagre';
import type { FoldedEdge, FoldedNode, Folding } from './folding';
import { MAX_IN_ROW, placeLayers } from './layers';

export type Direction = 'right' | 'down';
export type Box = { readonly x: number; readonly y: number; readonly width: number; readonly height: number };

export type Layout = {
  readonly boxes: readonly Box[];
  /** SVG paths, as many as the folding has edges. */
  readonly paths: readonly string[];
  readonly exitBox: Box | null;
};

export const TASK_SIZE = { width: 208, height: 58 };
/** Folded nodes have room for their counts from the start: phases change, places do not. */
export const FOLDED_SIZE = { width: 232, height: 96 };
/** Above the boxes of `on_exit`, for its title. */
const TITLE = 28;
const PADDING = 16;
const GAP = 56;
/** How far an edge swings out where it turns back. */
const TURN = 44;
/** What dagre lays out within some hundred milliseconds: nodes, edges, and a dummy node wherever an edge crosses a layer. */
const DAGRE_MOST = { nodes: 80, edges: 200 };
/** Longer graphs by layers are wrapped, which dagre does not do. */
const DAGRE_LAYERS = 12;

type Point = { x: number; y: number };

/** For a worker: it may take some hundreds of milliseconds. */
export function layOut(folding: Folding, direction: Direction): Layout {
  const boxes: Box[] = new Array(folding.nodes.length);
  const routes = new Map<FoldedEdge, Route>();
  const part = (isExit: boolean): Part => {
    const isIn = (number: number) => folding.nodes[number]?.isExit === isExit;
    const numbers = folding.nodes.map((_, number) => number).filter(isIn);
    return { folding, direction, numbers, edges: folding.edges.filter(({ source, target }) => isIn(source) && isIn(target)) };
  };
  const main = placePart(part(false), boxes, routes, { x: 0, y: 0 });
  let exitBox: Box | null = null;
  if (folding.nodes.some((node) => node.isExit)) {
    const corner = direction === 'right' ? { x: main.width + GAP, y: 0 } : { x: 0, y: main.height + GAP };
    const inner = { x: corner.x + PADDING, y: corner.y + TITLE + PADDING / 2 };
    const exit = placePart(part(true), boxes, routes, inner);
    exitBox = { ...corner, width: exit.width + 2 * PADDING, height: exit.height + TITLE + PADDING * 1.5 };
  }
  const paths = folding.edges.map((edge) => {
    const { way, lane } = routes.get(edge) ?? STRAIGHT;
    return curve([leaves(boxes[edge.source], direction), ...way, enters(boxes[edge.target], direction)], lane, direction);
  });
  return { boxes, paths, exitBox };
}

export function sizeOf(node: FoldedNode | undefined): { width: number; height: number } {
  return node?.kind === 'task' || node?.kind === 'item' ? TASK_SIZE : FOLDED_SIZE;
}

type Part = {
  readonly folding: Folding;
  readonly direction: Direction;
  readonly numbers: readonly number[];
  readonly edges: readonly FoldedEdge[];
};
/** Where an edge passes, and across it the free place before its target's band, for one that comes from the band before. */
type Route = { readonly way: readonly Point[]; readonly lane: number };
type Placed = { readonly middles: ReadonlyMap<number, Point>; readonly routes: ReadonlyMap<FoldedEdge, Route> };

const STRAIGHT: Route = { way: [], lane: 0 };

function placePart(part: Part, boxes: Box[], routes: Map<FoldedEdge, Route>, corner: Point): { width: number; height: number } {
  const placed = isForDagre(part) ? byDagre(part) : byLayers(part);
  let width = 0;
  let height = 0;
  for (const [number, { x, y }] of placed.middles) {
    const size = sizeOf(part.folding.nodes[number]);
    boxes[number] = { x: corner.x + x - size.width / 2, y: corner.y + y - size.height / 2, ...size };
    width = Math.max(width, x + size.width / 2);
    height = Math.max(height, y + size.height / 2);
  }
  for (const [edge, { way, lane }] of placed.routes) {
    const moved = way.map(({ x, y }) => ({ x: x + corner.x, y: y + corner.y }));
    routes.set(edge, { way: moved, lane: lane + (part.direction === 'right' ? corner.y : corner.x) });
  }
  return { width, height };
}

function isForDagre({ folding, numbers, edges }: Part): boolean {
  const levels = [...new Set(numbers.map((number) => folding.nodes[number]?.level ?? 0))].sort((a, b) => a - b);
  const layerOf = new Map(levels.map((level, layer) => [level, layer]));
  const layer = (number: number) => layerOf.get(folding.nodes[number]?.level ?? 0) ?? 0;
  const steps = edges.reduce((sum, { source, target }) => sum + layer(target) - layer(source), 0);
  const widths = new Map<number, number>();
  for (const number of numbers) widths.set(layer(number), (widths.get(layer(number)) ?? 0) + 1);
  if (Math.max(...widths.values()) > MAX_IN_ROW) return false;
  return numbers.length <= DAGRE_MOST.nodes && steps <= DAGRE_MOST.edges && levels.length <= DAGRE_LAYERS;
}

function byDagre({ folding, direction, numbers, edges }: Part): Placed {
  const graph = new Graph();
  graph.setGraph({ rankdir: direction === 'right' ? 'LR' : 'TB', nodesep: 20, ranksep: 64, edgesep: 8 });
  for (const number of numbers) graph.setNode(String(number), { ...sizeOf(folding.nodes[number]) });
  for (const { source, target } of edges) graph.setEdge(String(source), String(target), { weight: 1, minlen: 1 });
  place(graph);
  const middles = new Map(numbers.map((number) => [number, graph.node(String(number)) as Point]));
  const routes = edges.map((edge): [FoldedEdge, Route] => {
    const { points } = graph.edge(String(edge.source), String(edge.target)) as { points: Point[] };
    return [edge, { way: points.slice(1, -1), lane: 0 }];
  });
  return { middles, routes: new Map(routes) };
}

function byLayers({ folding, direction, numbers, edges }: Part): Placed {
  const at = new Map(numbers.map((number, index) => [number, index]));
  const items = numbers.map((number) => {
    const { width, height } = sizeOf(folding.nodes[number]);
    const layer = folding.nodes[number]?.level ?? 0;
    return direction === 'right' ? { layer, main: width, cross: height } : { layer, main: height, cross: width };
  });
  const inner = edges.map(({ source, target, count }) => ({ source: at.get(source) ?? 0, target: at.get(target) ?? 0, count }));
  const places = placeLayers(items, inner);
  const middles = numbers.map((number, index): [number, Point] => {
    const { main, cross } = places[index] ?? { main: 0, cross: 0 };
    return [number, direction === 'right' ? { x: main, y: cross } : { x: cross, y: main }];
  });
  const lane = ({ target }: FoldedEdge) => places[at.get(target) ?? 0]?.lane ?? 0;
  const routes = edges.map((edge): [FoldedEdge, Route] => [edge, { way: [], lane: lane(edge) }]);
  return { middles: new Map(middles), routes: new Map(routes) };
}

function leaves(box: Box | undefined, direction: Direction): Point {
  const { x, y, width, height } = box ?? { x: 0, y: 0, width: 0, height: 0 };
  return direction === 'right' ? { x: x + width, y: y + height / 2 } : { x: x + width / 2, y: y + height };
}

function enters(box: Box | undefined, direction: Direction): Point {
  const { x, y, width, height } = box ?? { x: 0, y: 0, width: 0, height: 0 };
  return direction === 'right' ? { x, y: y + height / 2 } : { x: x + width / 2, y };
}

/** Through all points, level at each of them. */
function curve(points: readonly Point[], lane: number, direction: Direction): string {
  const isRight = direction === 'right';
  const at = (main: number, cross: number) => (isRight ? `${main},${cross}` : `${cross},${main}`);
  const [first, ...rest] = points.map(({ x, y }) => {
    const [main, cross] = isRight ? [x, y] : [y, x];
    return { main: Math.round(main), cross: Math.round(cross) };
  });
  if (first === undefined) return '';
  let path = `M${at(first.main, first.cross)}`;
  let before = first;
  for (const point of rest) {
    path += point.main >= before.main ? forward(before, point, at) : back(before, point, Math.round(lane), at);
    before = point;
  }
  return path;
}

type Turned = { main: number; cross: number };
type Write = (main: number, cross: number) => string;

function forward(from: Turned, to: Turned, at: Write): string {
  const middle = Math.round((from.main + to.main) / 2);
  return `C${at(middle, from.cross)} ${at(middle, to.cross)} ${at(to.main, to.cross)}`;
}

/** To the beginning of the next band, through the space before it. */
function back(from: Turned, to: Turned, lane: number, at: Write): string {
  const out = from.main + TURN;
  const into = to.main - TURN;
  return (
    `C${at(out, from.cross)} ${at(out, lane)} ${at(from.main, lane)}L${at(to.main, lane)}` +
    `C${at(into, lane)} ${at(into, to.cross)} ${at(to.main, to.cross)}`
  );
}
