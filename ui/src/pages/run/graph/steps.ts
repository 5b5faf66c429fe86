/** Where an arrow key leads: along the edges, or to the neighbour in the same layer. */
import type { FoldedEdge } from './folding';
import type { Box, Direction } from './layout';

export type Key = 'ArrowRight' | 'ArrowLeft' | 'ArrowUp' | 'ArrowDown' | 'Home' | 'End';

const KEYS: readonly string[] = ['ArrowRight', 'ArrowLeft', 'ArrowUp', 'ArrowDown', 'Home', 'End'];

export function isKey(key: string): key is Key {
  return KEYS.includes(key);
}

/** The node that the key leads to from `current`; `current` where there is none. */
export function stepFrom(
  current: number,
  key: Key,
  boxes: readonly Box[],
  edges: readonly FoldedEdge[],
  direction: Direction,
): number {
  if (key === 'Home') return 0;
  if (key === 'End') return boxes.length - 1;
  const forward = direction === 'right' ? 'ArrowRight' : 'ArrowDown';
  const back = direction === 'right' ? 'ArrowLeft' : 'ArrowUp';
  if (key === forward) return nearest(current, targets(edges, current), boxes, direction) ?? current;
  if (key === back) return nearest(current, sources(edges, current), boxes, direction) ?? current;
  return beside(current, key === 'ArrowDown' || key === 'ArrowRight' ? 1 : -1, boxes, direction) ?? current;
}

function targets(edges: readonly FoldedEdge[], node: number): number[] {
  return edges.filter(({ source }) => source === node).map(({ target }) => target);
}

function sources(edges: readonly FoldedEdge[], node: number): number[] {
  return edges.filter(({ target }) => target === node).map(({ source }) => source);
}

/** The closest one, first of all in the direction of the edges: the next layer before those behind it. */
function nearest(from: number, nodes: readonly number[], boxes: readonly Box[], direction: Direction): number | null {
  const distance = (node: number) => {
    const along = Math.abs(main(boxes[node], direction) - main(boxes[from], direction));
    return along * 1_000 + Math.abs(cross(boxes[node], direction) - cross(boxes[from], direction));
  };
  return nodes.reduce<number | null>((best, node) => (best === null || distance(node) < distance(best) ? node : best), null);
}

function beside(from: number, sign: number, boxes: readonly Box[], direction: Direction): number | null {
  const here = main(boxes[from], direction);
  let best: number | null = null;
  let shortest = Number.POSITIVE_INFINITY;
  for (const [node, box] of boxes.entries()) {
    const distance = sign * (cross(box, direction) - cross(boxes[from], direction));
    if (node === from || distance <= 0 || Math.abs(main(box, direction) - here) > 1 || distance >= shortest) continue;
    shortest = distance;
    best = node;
  }
  return best;
}

function main(box: Box | undefined, direction: Direction): number {
  if (box === undefined) return 0;
  return direction === 'right' ? box.x + box.width / 2 : box.y + box.height / 2;
}

function cross(box: Box | undefined, direction: Direction): number {
  return main(box, direction === 'right' ? 'down' : 'right');
}
