import { expect, test } from 'vitest';
import { ticksOf, tickText } from './ticks';

const labels = (from: number, to: number, most: number) => {
  const { step, ticks } = ticksOf(from, to, most);
  return ticks.map((tick) => tickText(tick, step));
};

test.each([
  [0, 400, 4, ['+0.0 s', '+0.1 s', '+0.2 s', '+0.3 s', '+0.4 s']],
  [-3_000, 9_000, 6, ['−2 s', '+0 s', '+2 s', '+4 s', '+6 s', '+8 s']],
  [0, 150_000, 3, ['+0 s', '+1:00', '+2:00']],
  [3_540_000, 3_720_000, 3, ['+59:00', '+1:00 h', '+1:01 h', '+1:02 h']],
  [86_400_000, 97_200_000, 3, ['+1 d 00:00', '+1 d 01:00', '+1 d 02:00', '+1 d 03:00']],
])('ticksOf: %d to %d ms, about %d', (from, to, most, texts) => {
  expect(labels(from, to, most)).toEqual(texts);
});
