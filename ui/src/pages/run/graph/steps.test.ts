import { expect, test } from 'vitest';
import { stepFrom } from './steps';

//  0 ─ 1 ─ 3
//    └ 2
const boxes = [
  { x: 0, y: 0 },
  { x: 100, y: 0 },
  { x: 100, y: 50 },
  { x: 200, y: 0 },
].map((corner) => ({ ...corner, width: 50, height: 20 }));
const edges = [
  { source: 0, target: 2, count: 1 },
  { source: 0, target: 1, count: 1 },
  { source: 1, target: 3, count: 1 },
];

test.each([
  [0, 'ArrowRight', 1],
  [1, 'ArrowDown', 2],
  [2, 'ArrowUp', 1],
  [2, 'ArrowLeft', 0],
  [2, 'ArrowRight', 2],
  [3, 'Home', 0],
  [0, 'End', 3],
] as const)('stepFrom: from %d by %s to %d', (from, key, to) => {
  expect(stepFrom(from, key, boxes, edges, 'right')).toBe(to);
});

test('stepFrom: downwards on narrow screens', () => {
  const turned = boxes.map(({ x, y, ...size }) => ({ x: y, y: x, ...size }));
  expect(stepFrom(0, 'ArrowDown', turned, edges, 'down')).toBe(1);
  expect(stepFrom(1, 'ArrowRight', turned, edges, 'down')).toBe(2);
});
