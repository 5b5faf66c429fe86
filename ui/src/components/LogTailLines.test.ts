import { expect, test } from 'vitest';
import type { LogLine } from '@/api/stream';
import { MOST_CHARACTERS, parseLines, withLines } from './LogTailLines';

const line = (number: number, text: string, partial?: true): LogLine => ({
  cursor: `${number}`,
  line: number,
  time: '2026-01-31T12:00:00Z',
  task: 'a',
  attempt: 1,
  container: 'main',
  text,
  ...(partial && { partial }),
});

test('withLines: the last ones stay', () => {
  expect(withLines([], [line(0, 'a'), line(1, 'b'), line(2, 'c')], 2).map(({ text }) => text)).toEqual(['b', 'c']);
});

test('withLines: pieces of a line are one, over two calls too', () => {
  const first = withLines([], [line(4, 'ab', true)], 5);
  expect(withLines(first, [line(4, 'cd'), line(5, 'e')], 5).map(({ text }) => text)).toEqual(['abcd', 'e']);
});

test('withLines: a very long line is cut', () => {
  const [shown] = withLines([], [line(0, 'x'.repeat(MOST_CHARACTERS + 1))], 5);
  expect(shown?.text).toHaveLength(MOST_CHARACTERS + 1);
  expect(shown?.text.endsWith('…')).toBe(true);
});

test('parseLines: gaps are left out', () => {
  const body = `${JSON.stringify(line(0, 'a'))}\n${JSON.stringify({ type: 'gap', cursor: 'x', from: null, to: null, reason: 'NodeLost' })}\n`;
  expect(parseLines(body).map(({ text }) => text)).toEqual(['a']);
});
