import { expect, test } from 'vitest';
import { fold } from './folding';
import { type Box, layOut } from './layout';
import { taskRun } from './testTasks';
import { encode } from './topology';

const range = (count: number) => Array.from({ length: count }, (_, number) => number);
const foldingOf = (upstreams: readonly (readonly number[])[], exit: readonly string[] = []) =>
  fold(
    encode(
      upstreams.map((of, task) => taskRun(`t${task}`, { depends_on: of.map((each) => `t${each}`) })),
      new Set(exit),
    ).topology,
    [],
  );
const overlaps = (a: Box, b: Box) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

test.each([
  ['a diamond', [[], [0], [0], [1, 2]]],
  ['280 beside each other', range(280).map((task) => (task === 0 ? [] : [0]))],
  ['a chain of 120', range(120).map((task) => (task === 0 ? [] : [task - 1]))],
  [
    '12 layers of 20',
    range(240).map((task) =>
      task < 20 ? [] : range(4).map((at) => (Math.floor(task / 20) - 1) * 20 + ((task + at * 3) % 20)),
    ),
  ],
])('layOut: %s do not overlap, in both directions', (_, upstreams) => {
  const folding = foldingOf(upstreams);
  for (const direction of ['right', 'down'] as const) {
    const { boxes } = layOut(folding, direction);
    expect(boxes.every((box, at) => boxes.slice(at + 1).every((other) => !overlaps(box, other)))).toBe(true);
    expect(boxes.every(({ x, y }) => x >= -0.01 && y >= -0.01)).toBe(true);
  }
});

test('layOut: on_exit stands in a box behind all others', () => {
  const { boxes, exitBox } = layOut(foldingOf([[], [0], [], [2]], ['t2', 't3']), 'right');
  const ends = boxes.slice(0, 2).map(({ x, width }) => x + width);
  expect(exitBox?.x).toBeGreaterThan(Math.max(...ends));
  for (const box of boxes.slice(2)) expect(exitBox !== null && overlaps(box, exitBox)).toBe(true);
});

test('layOut: a long chain is wrapped', () => {
  const { boxes } = layOut(foldingOf(range(120).map((task) => (task === 0 ? [] : [task - 1]))), 'right');
  const width = Math.max(...boxes.map((box) => box.x + box.width));
  const height = Math.max(...boxes.map((box) => box.y + box.height));
  expect(width / height).toBeLessThan(4);
});
