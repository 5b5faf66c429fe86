import { expect, test } from 'vitest';
import { type DiffLine, diffLines } from './lineDiff';

const text = (...lines: string[]) => lines.join('\n');
const shown = (lines: readonly DiffLine[] | undefined) => lines?.map(({ sign, text }) => sign + text);

test('diffLines: the same text has no hunks', () => {
  expect(diffLines('a\nb', 'a\nb')).toEqual([]);
});

test('diffLines: changed lines with three around them, and where they stand', () => {
  const before = text('1', '2', '3', '4', '5', '6', '7', '8', '9');
  const hunks = diffLines(before, before.replace('5', 'five'));
  expect(hunks).toHaveLength(1);
  expect(hunks?.[0]).toMatchObject({ before: 2, after: 2 });
  expect(shown(hunks?.[0]?.lines)).toEqual([' 2', ' 3', ' 4', '-5', '+five', ' 6', ' 7', ' 8']);
});

test('diffLines: changes far from each other are two hunks', () => {
  const lines = Array.from({ length: 40 }, (_, index) => `line ${index}`);
  const after = [...lines.slice(0, 2), 'new', ...lines.slice(2, 30), ...lines.slice(31)];
  const hunks = diffLines(text(...lines), text(...after));
  expect(hunks?.map(({ before, after }) => [before, after])).toEqual([
    [1, 1],
    [28, 29],
  ]);
});

test('diffLines: a repeated line is not taken for a changed one', () => {
  expect(shown(diffLines('a\nx\nb', 'a\nx\nx\nb')?.[0]?.lines)).toEqual([' a', ' x', '+x', ' b']);
});

test('diffLines: both texts can be read off again', () => {
  const words = ['a', 'b', 'c'];
  let seed = 7;
  const random = () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed;
  };
  for (let round = 0; round < 200; round += 1) {
    const [before, after] = [random() % 12, random() % 12].map((size) =>
      Array.from({ length: size + 1 }, () => words[random() % 3] ?? '').join('\n'),
    ) as [string, string];
    // Texts this short are covered by their hunks, but for what is unchanged and far from any change.
    const hunks = diffLines(before, after) ?? [];
    for (const hunk of hunks) {
      const old = hunk.lines.filter(({ sign }) => sign !== '+').map(({ text }) => text);
      const young = hunk.lines.filter(({ sign }) => sign !== '-').map(({ text }) => text);
      expect(before.split('\n').slice(hunk.before - 1, hunk.before - 1 + old.length)).toEqual(old);
      expect(after.split('\n').slice(hunk.after - 1, hunk.after - 1 + young.length)).toEqual(young);
    }
    expect(hunks.length === 0).toBe(before === after);
  }
});

test('diffLines: texts that differ by too much are not compared', () => {
  const many = (name: string) => Array.from({ length: 3_000 }, (_, index) => `${name} ${index}`).join('\n');
  expect(diffLines(many('a'), many('b'))).toBeNull();
});
