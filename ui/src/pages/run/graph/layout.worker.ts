/** Folds and lays out beside the page, so that neither stalls it. It keeps the last topology: unfolding sends only ids. */
import { type Folding, fold } from './folding';
import { type Direction, type Layout, layOut } from './layout';
import type { Topology } from './topology';

export type LayoutRequest = {
  readonly number: number;
  /** Null: the one of the request before. */
  readonly topology: Topology | null;
  readonly unfolded: readonly string[];
  readonly direction: Direction;
};

export type LayoutAnswer = { readonly number: number; readonly folding: Folding; readonly layout: Layout };

let topology: Topology | null = null;

self.addEventListener('message', ({ data }: MessageEvent<LayoutRequest>) => {
  topology = data.topology ?? topology;
  if (topology === null) return;
  const folding = fold(topology, data.unfolded);
  const answer: LayoutAnswer = { number: data.number, folding, layout: layOut(folding, data.direction) };
  self.postMessage(answer);
});
