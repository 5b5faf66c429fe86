/** Where a text is in a log: the service looks through what is stored, the page through what comes meanwhile. */
import { ApiProblem } from '@/api/problems';
import type { LogEntry, LogItem } from './logLines';
import { isGap } from './logLines';

export const MOST_HITS = 10_000;
const RETRY_MS = 1_500;

/** Asks for the lines that hold the text, from a line on. */
export type FetchHits = (
  text: string,
  from: number,
  limit: number,
  onItem: (item: LogItem) => void,
  signal: AbortSignal,
) => Promise<void>;

export class LogSearch {
  /** Numbers of lines, in order. */
  readonly hits: number[] = [];
  isDone = false;
  /** The first hit is known: before that, only lines that came live may have been looked at. */
  hasFirst = false;
  /** There are more than MOST_HITS. */
  isCut = false;
  /** The service refuses to search. */
  problem: unknown = null;

  private readonly controller = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private next = 0;

  constructor(
    readonly text: string,
    private readonly fetchHits: FetchHits,
    private readonly onChange: () => void,
  ) {}

  async start(): Promise<void> {
    try {
      const limit = MOST_HITS + 1 - this.hits.length;
      await this.fetchHits(this.text, this.next, limit, (item) => this.found(item), this.controller.signal);
      this.isDone = true;
      this.hasFirst = true;
    } catch (error) {
      if (this.controller.signal.aborted) return;
      if (error instanceof ApiProblem) this.problem = error;
      else this.timer = setTimeout(() => void this.start(), RETRY_MS);
    }
    this.onChange();
  }

  stop(): void {
    this.controller.abort();
    clearTimeout(this.timer);
  }

  /** A line has come since the search began. */
  look(entry: LogEntry): void {
    if (entry.text.includes(this.text)) this.insert(entry.line);
  }

  isHit(line: number): boolean {
    return this.hits[indexFrom(this.hits, line)] === line;
  }

  private found(item: LogItem): void {
    if (isGap(item)) return;
    this.next = item.line;
    this.hasFirst = true;
    this.insert(item.line);
  }

  private insert(line: number): void {
    const at = indexFrom(this.hits, line);
    if (this.hits[at] === line) return;
    if (this.hits.length >= MOST_HITS) {
      this.isCut = true;
      // The first ones are what is promised: a line that came live makes room.
      if (at >= MOST_HITS) return;
      this.hits.pop();
    }
    this.hits.splice(at, 0, line);
    this.onChange();
  }
}

/** The first place in sorted numbers whose number is not less. */
export function indexFrom(numbers: readonly number[], least: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] ?? 0) < least) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The hit after (or before) a line, around the end; null without hits. */
export function neighbour(hits: readonly number[], line: number, direction: 1 | -1): number | null {
  if (hits.length === 0) return null;
  const at = indexFrom(hits, direction === 1 ? line + 1 : line) + (direction === 1 ? 0 : -1);
  return hits[(at + hits.length) % hits.length] ?? null;
}

/** Where the text is in what is visible of a line. */
export function marksIn(text: string, wanted: string, isCurrent: boolean) {
  const marks: { start: number; end: number; isCurrent: boolean }[] = [];
  for (let at = text.indexOf(wanted); at >= 0 && marks.length < 1_000; at = text.indexOf(wanted, at + wanted.length))
    marks.push({ start: at, end: at + wanted.length, isCurrent });
  return marks;
}
