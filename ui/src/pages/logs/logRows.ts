/** Rows of the view: the lines of one segment of the log, with gaps between them. */
import type { GapPlace } from './logLines';

/** As the style sheet has it. */
export const ROW_PX = 16;
/** Firefox's limit for the height of an element, and Chromium's, which counts the screen's own pixels. */
const MOST_CSS_PX = 17_800_000;
const MOST_DEVICE_PX = 33_500_000;
const SEGMENTS = [1_000_000, 500_000, 200_000, 100_000, 50_000] as const;
/** A wrapped line takes several rows. */
const WRAPPED_ROWS = 5;

/** How many lines are shown at once. */
export function segmentLines(isWrapped: boolean, devicePixelRatio: number): number {
  const most = Math.min(MOST_CSS_PX, MOST_DEVICE_PX / devicePixelRatio) / ROW_PX / (isWrapped ? WRAPPED_ROWS : 1);
  return SEGMENTS.find((lines) => lines <= most) ?? 50_000;
}

export type Row = { line: number; gap: null } | { line: null; gap: GapPlace };

export class Rows {
  private readonly gaps: readonly GapPlace[];

  /** Lines from `first` (inclusive) to `end`; `isLast`: nothing comes behind it. */
  constructor(
    readonly first: number,
    readonly end: number,
    gaps: readonly GapPlace[],
    isLast: boolean,
  ) {
    this.gaps = gaps.filter(({ before }) => before >= first && (before < end || (isLast && before <= end)));
  }

  get count(): number {
    return this.end - this.first + this.gaps.length;
  }

  at(row: number): Row {
    // The gap number n stands in row `before - first + n`.
    const index = this.gapsUntil((gap, number) => gap.before - this.first + number < row);
    const gap = this.gaps[index];
    if (gap !== undefined && gap.before - this.first + index === row) return { line: null, gap };
    return { line: this.first + row - index, gap: null };
  }

  /** The row of a line of this segment. */
  rowOf(line: number): number {
    return line - this.first + this.gapsUntil((gap) => gap.before <= line);
  }

  /** The line in a row; of a gap the line behind it. */
  lineAt(row: number): number {
    const { line, gap } = this.at(row);
    return line ?? gap.before;
  }

  private gapsUntil(isBefore: (gap: GapPlace, number: number) => boolean): number {
    let low = 0;
    let high = this.gaps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const gap = this.gaps[middle];
      if (gap !== undefined && isBefore(gap, middle)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
