/**
 * A layered layout for graphs that are too large for dagre: linear but for sorting, a few milliseconds for 300 nodes.
 *
 * Layers are the levels, ordered by the mean place of their neighbours (a few sweeps of Sugiyama's barycenters), placed as near to
 * it as their sizes allow. Wide layers stand in several rows, long graphs are wrapped like text.
 * Source: K. Sugiyama, S. Tagawa, M. Toda, Methods for Visual Understanding of Hierarchical System Structures, 1981.
 */
import type { FoldedEdge } from './folding';

/** Along the edges is `main`, across them `cross`; sizes are alike. */
export type Item = { readonly layer: number; readonly main: number; readonly cross: number };
/** `lane`: before its band, where edges from the band before can pass. */
export type Place = { readonly main: number; readonly cross: number; readonly lane: number };

const SWEEPS = 4;
const MAIN_GAP = 72;
const CROSS_GAP = 22;
/** A layer with more nodes than this stands in several rows. */
export const MAX_IN_ROW = 24;
/** From this length (by breadth) on it is wrapped, to be about so long by breadth again. */
const WRAPPED_FROM = 8;
const ASPECT = 2;

/** The middle of each item, from 0 on. */
export function placeLayers(items: readonly Item[], edges: readonly FoldedEdge[]): Place[] {
  const layers = layersOf(items);
  const neighbours = items.map((): { before: number[]; after: number[] } => ({ before: [], after: [] }));
  for (const { source, target } of edges) {
    neighbours[source]?.after.push(target);
    neighbours[target]?.before.push(source);
  }
  const cross = new Float64Array(items.length);
  for (const layer of layers) spread(layer, items, cross, null);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const isForward = sweep % 2 === 0;
    for (const layer of isForward ? layers : layers.toReversed()) {
      const wanted = layer.map((item) =>
        mean(neighbours[item]?.[isForward ? 'before' : 'after'] ?? [], cross, cross[item] ?? 0),
      );
      const order = layer.map((_, at) => at).sort((a, b) => (wanted[a] ?? 0) - (wanted[b] ?? 0) || a - b);
      const sorted = order.map((at) => layer[at] ?? 0);
      layer.splice(0, layer.length, ...sorted);
      spread(
        layer,
        items,
        cross,
        order.map((at) => wanted[at] ?? 0),
      );
    }
  }
  return wrapped(items, layers, cross);
}

/** Numbers of the items of each layer that has some, in the order of the items. */
function layersOf(items: readonly Item[]): number[][] {
  const byLayer = new Map<number, number[]>();
  for (const [number, { layer }] of items.entries()) {
    const layerItems = byLayer.get(layer);
    if (layerItems === undefined) byLayer.set(layer, [number]);
    else layerItems.push(number);
  }
  return [...byLayer].sort(([a], [b]) => a - b).map(([, numbers]) => numbers);
}

function mean(numbers: readonly number[], cross: Float64Array, otherwise: number): number {
  if (numbers.length === 0) return otherwise;
  return numbers.reduce((sum, number) => sum + (cross[number] ?? 0), 0) / numbers.length;
}

function rowsOf(layer: readonly number[]): number {
  return Math.ceil(layer.length / MAX_IN_ROW);
}

/** Puts a layer's items in their order, without overlaps: as near as can be to what is wanted, else around 0. */
function spread(layer: readonly number[], items: readonly Item[], cross: Float64Array, wanted: readonly number[] | null): void {
  const rows = rowsOf(layer);
  const size = Math.max(...layer.map((item) => items[item]?.cross ?? 0)) + CROSS_GAP;
  if (wanted === null || rows > 1) {
    const length = Math.ceil(layer.length / rows);
    for (const [at, item] of layer.entries()) cross[item] = (Math.floor(at / rows) - (length - 1) / 2) * size;
    return;
  }
  // Least squares under a least distance: blocks of items that touch move as one (pool adjacent violators).
  const blocks: { sum: number; count: number }[] = [];
  for (const [at, place] of wanted.entries()) {
    let block = { sum: place - at * size, count: 1 };
    for (
      let last = blocks.at(-1);
      last !== undefined && last.sum / last.count >= block.sum / block.count;
      last = blocks.at(-1)
    ) {
      blocks.pop();
      block = { sum: last.sum + block.sum, count: last.count + block.count };
    }
    blocks.push(block);
  }
  let at = 0;
  for (const { sum, count } of blocks)
    for (let end = at + count; at < end; at++) cross[layer[at] ?? 0] = sum / count + at * size;
}

/** Along the edges: layer after layer, in several bands below each other when that would be too long. */
function wrapped(items: readonly Item[], layers: readonly (readonly number[])[], cross: Float64Array): Place[] {
  const step = (layer: readonly number[]) => Math.max(...layer.map((item) => items[item]?.main ?? 0)) + MAIN_GAP;
  const length = layers.reduce((sum, layer) => sum + step(layer) * rowsOf(layer), 0);
  const breadth = breadthOf(layers.flat(), items, cross).size + MAIN_GAP;
  const bands = length / breadth > WRAPPED_FROM ? Math.max(1, Math.round(Math.sqrt(length / (ASPECT * breadth)))) : 1;
  const perBand = Math.ceil(layers.length / bands);
  const places: Place[] = new Array(items.length);
  let top = 0;
  for (let from = 0; from < layers.length; from += perBand) {
    const band = layers.slice(from, from + perBand);
    const { low, size } = breadthOf(band.flat(), items, cross);
    let main = 0;
    for (const layer of band) {
      const rows = rowsOf(layer);
      const width = step(layer);
      for (const [at, item] of layer.entries())
        places[item] = {
          lane: top - MAIN_GAP / 2,
          main: main + (at % rows) * width + (width - MAIN_GAP) / 2,
          cross: top + (cross[item] ?? 0) - low,
        };
      main += rows * width;
    }
    top += size + MAIN_GAP;
  }
  return places;
}

function breadthOf(numbers: readonly number[], items: readonly Item[], cross: Float64Array): { low: number; size: number } {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const number of numbers) {
    const half = (items[number]?.cross ?? 0) / 2;
    low = Math.min(low, (cross[number] ?? 0) - half);
    high = Math.max(high, (cross[number] ?? 0) + half);
  }
  return { low, size: Math.max(0, high - low) };
}
