/** Which lines two texts have in common: the longest common subsequence, bounded in size. */

export type DiffLine = { sign: ' ' | '-' | '+'; text: string };
/** Lines that stand together: changed ones with some unchanged ones around them. Line numbers from 1. */
export type Hunk = { before: number; after: number; lines: DiffLine[] };

const CONTEXT = 3;
/** Cells of the table, 2 bytes each: what is larger takes too long. */
const MOST_CELLS = 4_000_000;
const MOST_LINES = 65_535;

/** The changes from `before` to `after`, none if they are the same. Null: they differ by too much to compare them here. */
export function diffLines(before: string, after: string): Hunk[] | null {
  const lines = allLines(before.split('\n'), after.split('\n'));
  return lines && hunksOf(lines);
}

function allLines(before: readonly string[], after: readonly string[]): DiffLine[] | null {
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) head += 1;
  let tail = 0;
  const most = Math.min(before.length, after.length) - head;
  while (tail < most && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail += 1;
  const middle = changed(before.slice(head, before.length - tail), after.slice(head, after.length - tail));
  if (middle === null) return null;
  const same = (text: string): DiffLine => ({ sign: ' ', text });
  return [...before.slice(0, head).map(same), ...middle, ...before.slice(before.length - tail).map(same)];
}

function changed(before: readonly string[], after: readonly string[]): DiffLine[] | null {
  const width = after.length + 1;
  if ((before.length + 1) * width > MOST_CELLS || Math.min(before.length, after.length) > MOST_LINES) return null;
  // common[i * width + j]: how many lines before[i...] and after[j...] have in common.
  const common = new Uint16Array((before.length + 1) * width);
  const at = (i: number, j: number) => common[i * width + j] ?? 0;
  for (let i = before.length - 1; i >= 0; i -= 1)
    for (let j = after.length - 1; j >= 0; j -= 1)
      common[i * width + j] = before[i] === after[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
  const lines: DiffLine[] = [];
  let i = 0;
  let j = 0;
  while (i < before.length || j < after.length) {
    const old = before[i];
    const young = after[j];
    if (old !== undefined && old === young) {
      lines.push({ sign: ' ', text: old });
      i += 1;
      j += 1;
    } else if (old !== undefined && (young === undefined || at(i + 1, j) >= at(i, j + 1))) {
      lines.push({ sign: '-', text: old });
      i += 1;
    } else {
      lines.push({ sign: '+', text: young ?? '' });
      j += 1;
    }
  }
  return lines;
}

function hunksOf(lines: readonly DiffLine[]): Hunk[] {
  const hunks: Hunk[] = [];
  let hunk: Hunk | null = null;
  let lastChange = Number.NEGATIVE_INFINITY;
  let before = 1;
  let after = 1;
  lines.forEach((line, index) => {
    if (line.sign !== ' ') lastChange = index;
    const isNear = index - lastChange <= CONTEXT || isChangeAhead(lines, index);
    if (!isNear) hunk = null;
    else if (hunk === null) {
      hunk = { before, after, lines: [line] };
      hunks.push(hunk);
    } else hunk.lines.push(line);
    if (line.sign !== '+') before += 1;
    if (line.sign !== '-') after += 1;
  });
  return hunks;
}

function isChangeAhead(lines: readonly DiffLine[], index: number): boolean {
  for (let ahead = 1; ahead <= CONTEXT; ahead += 1) if ((lines[index + ahead]?.sign ?? ' ') !== ' ') return true;
  return false;
}
