import { expect, test } from 'vitest';
import { fold, MAX_EDGES, MAX_NODES } from './folding';
import { layOut } from './layout';
import type { Topology } from './topology';

/** By number: upstreams of each task; items of each; those of `on_exit`. */
function graph(
  upstreams: readonly (readonly number[])[],
  items: Record<number, number> = {},
  exit: readonly number[] = [],
): Topology {
  const starts = new Int32Array(upstreams.length + 1);
  for (const [task, of] of upstreams.entries()) starts[task + 1] = (starts[task] ?? 0) + of.length;
  return {
    names: upstreams.map((_, task) => `t${task}`),
    items: Int32Array.from(upstreams, (_, task) => items[task] ?? 0),
    isExit: Uint8Array.from(upstreams, (_, task) => (exit.includes(task) ? 1 : 0)),
    starts,
    upstreams: Int32Array.from(upstreams.flat()),
  };
}

const range = (count: number) => Array.from({ length: count }, (_, number) => number);
const chain = (count: number) => graph(range(count).map((task) => (task === 0 ? [] : [task - 1])));
const layers = (count: number, width: number, degree: number) =>
  graph(
    range(count * width).map((task) =>
      task < width ? [] : range(degree).map((at) => (Math.floor(task / width) - 1) * width + ((task + at * 7) % width)),
    ),
  );
const ids = (topology: Topology, unfolded: readonly string[] = []) => fold(topology, unfolded).nodes.map(({ id }) => id);

test('fold: a small graph is shown as it is', () => {
  const folding = fold(graph([[], [0], [0], [1, 2]]), []);
  expect(folding.nodes.map(({ title, level }) => [title, level])).toEqual([
    ['t0', 0],
    ['t1', 1],
    ['t2', 1],
    ['t3', 2],
  ]);
  expect(folding.edges).toHaveLength(4);
  expect(folding.levels).toBe(3);
});

test('fold: a fan-out is one node, unfolded its items', () => {
  const topology = graph([[], [0], [1]], { 1: 3 });
  expect(ids(topology)).toEqual(['t:t0', 't:t1', 't:t2']);
  const folding = fold(topology, ['t:t1']);
  expect(folding.nodes.map(({ id }) => id)).toEqual(['t:t0', 'i:t1.0', 'i:t1.1', 'i:t1.2', 't:t2']);
  expect(folding.edges).toHaveLength(6);
  expect([...folding.nodeOf]).toEqual([0, 1, 4]);
});

test('fold: a fan-out with more items than there is room for stays folded', () => {
  const folding = fold(graph([[], [0]], { 1: 10_000 }), ['t:t1']);
  expect(folding.nodes).toHaveLength(2);
  expect(folding.refused).toEqual(['t:t1']);
});

test('fold: the widest levels are folded first', () => {
  const topology = graph([...range(5).map(() => []), ...range(400).map((task) => [task % 5]), [5]]);
  expect(ids(topology)).toEqual(['t:t0', 't:t1', 't:t2', 't:t3', 't:t4', 'l:2', 't:t405']);
  expect(fold(topology, []).edges.map(({ count }) => count)).toEqual([80, 80, 80, 80, 80, 1]);
});

test('fold: levels of one width are folded together, since edges count too', () => {
  const folding = fold(layers(100, 100, 20), []);
  expect(folding.nodes).toHaveLength(100);
  expect(folding.edges.map(({ count }) => count)).toEqual(range(99).map(() => 2_000));
});

test('fold: what is unfolded takes the room of the others', () => {
  const two = graph([...range(140).map(() => []), ...range(150).map((task) => [task % 140]), ...range(20).map(() => [140])]);
  expect(ids(two)).toContain('l:2');
  const folding = fold(two, ['l:2']);
  expect(folding.unfolded).toEqual(['l:2']);
  expect(folding.nodes.map(({ id }) => id)).toContain('l:1');
  expect(folding.nodes.filter(({ level }) => level === 1)).toHaveLength(150);
  expect(folding.nodes.filter(({ level }) => level === 2)).toHaveLength(20);
});

test('fold: a long chain is folded into ranges of levels, which can be unfolded', () => {
  const folding = fold(chain(10_000), []);
  expect(folding.nodes).toHaveLength(100);
  expect(folding.nodes[1]?.title).toBe('Levels 101–200');
  const open = fold(chain(10_000), ['r:101-200']);
  expect(open.nodes).toHaveLength(199);
  expect(open.nodes[1]?.id).toBe('t:t100');
  expect(open.nodeOf[150]).toBe(51);
});

test('fold: on_exit comes after all others, in levels of its own', () => {
  const folding = fold(graph([[], [0], [1], [], [3]], {}, [3, 4]), []);
  expect(folding.nodes.map(({ title, level, isExit }) => [title, level, isExit])).toEqual([
    ['t0', 0, false],
    ['t1', 1, false],
    ['t2', 2, false],
    ['t3', 3, true],
    ['t4', 4, true],
  ]);
});

test('fold: an id that names nothing here is passed over', () => {
  const folding = fold(graph([[], [0]]), ['l:9', 't:gone', 'x', 'r:1-2', 't:t0']);
  expect([folding.unfolded, folding.refused]).toEqual([[], []]);
});

test.each([
  ['10,000 roots', graph(range(10_000).map(() => []))],
  ['a chain of 10,000', chain(10_000)],
  ['100 layers of 100', layers(100, 100, 20)],
  ['100,000 edges', layers(10, 200, 50)],
  ['all upstreams of all, 400 levels', graph(range(400).map((task) => range(task)))],
  [
    'many fan-outs',
    graph(
      range(400).map((task) => (task === 0 ? [] : [0])),
      Object.fromEntries(range(400).map((task) => [task, 25])),
    ),
  ],
])('fold: %s keep within the limits, whatever is unfolded', (_, topology) => {
  let unfolded: string[] = [];
  for (let step = 0; step < 4; step++) {
    const folding = fold(topology, unfolded);
    expect(folding.nodes.length).toBeLessThanOrEqual(MAX_NODES);
    expect(folding.edges.length).toBeLessThanOrEqual(MAX_EDGES);
    expect(folding.edges.every(({ source, target }) => source < target)).toBe(true);
    const next = folding.nodes.find(({ kind, id }) => kind !== 'task' && kind !== 'item' && !unfolded.includes(id));
    if (next === undefined) break;
    unfolded = [...unfolded, next.id];
  }
  const folding = fold(topology, unfolded);
  expect(fold(topology, unfolded)).toEqual(folding);
  const layout = layOut(folding, 'right');
  expect(layout.boxes).toHaveLength(folding.nodes.length);
  expect(layout.paths).toHaveLength(folding.edges.length);
});
