/**
 * A log of any length, of which only what is looked at, and what came last, is in memory.
 *
 * Every line has its number, so it has one place, whoever brings it: the stream that follows the log, or a request for lines
 * that are in sight and not there. What comes twice is the same line; what a stream left out is asked for when it is seen.
 *
 *     chunks of 1,000 lines, the least recently used ones forgotten
 *     0 ······ [12,000 █████] ······ [734,000 ███░░ asked for] ······ [999,000 █████ live] total
 */
import type { GapPlace, LogEntry, LogItem } from './logLines';
import { LineJoiner } from './logLines';

export const CHUNK_LINES = 1_000;
const MOST_CHUNKS = 60;
/** Long lines fill the memory sooner: of all chunks together. */
const MOST_CHARACTERS = 64_000_000;
/** A request that has brought so many characters is cut off, and goes on from there if that is still in sight. */
const MOST_CHARACTERS_ASKED = 8_000_000;
/** Lines around those in sight that are asked for with them. */
const MARGIN = 200;
/** While it scrolls on, nothing is asked for. */
const SETTLE_MS = 60;
const RETRY_MS = 1_500;

/** Asks for `limit` lines, calls `onItem` as they come. Rejects when it fails or is aborted. */
export type FetchLines = (from: number, limit: number, onItem: (item: LogItem) => void, signal: AbortSignal) => Promise<void>;

type Chunk = { entries: (LogEntry | undefined)[]; characters: number };

export class LogBuffer {
  /** So many lines are known to be there. */
  total = 0;
  /** Characters of the longest line that was seen. */
  longest = 0;
  readonly gaps: GapPlace[] = [];

  private readonly chunks = new Map<number, Chunk>();
  private readonly requests = new Map<number, AbortController>();
  private readonly notBefore = new Map<number, number>();
  private first = 0;
  private last = -1;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isClosed = false;

  constructor(
    private readonly fetchLines: FetchLines,
    private readonly onChange: () => void,
    private readonly onError: (error: unknown) => void = () => undefined,
  ) {}

  /** The line, undefined where it is not in memory. */
  get(line: number): LogEntry | undefined {
    return this.chunks.get(Math.floor(line / CHUNK_LINES))?.entries[line % CHUNK_LINES];
  }

  /** A line has come. Of two that say different lengths the longer is the later one. */
  put(entry: LogEntry): void {
    const number = Math.floor(entry.line / CHUNK_LINES);
    const chunk = this.chunks.get(number) ?? { entries: [], characters: 0 };
    this.touch(number, chunk);
    const known = chunk.entries[entry.line % CHUNK_LINES];
    if (known === undefined || known.length < entry.length || (known.isPartial && !entry.isPartial)) {
      chunk.entries[entry.line % CHUNK_LINES] = entry;
      chunk.characters += entry.text.length - (known?.text.length ?? 0);
    }
    this.longest = Math.max(this.longest, entry.length);
    this.total = Math.max(this.total, entry.line + 1);
    this.forget();
    this.onChange();
  }

  /** A gap has been told of: by the stream, by a request, or by both. */
  putGap(gap: GapPlace): void {
    const same = (other: GapPlace) => other.before === gap.before && other.from === gap.from && other.reason === gap.reason;
    if (this.gaps.some(same)) return;
    const at = this.gaps.findIndex((other) => other.before > gap.before);
    this.gaps.splice(at < 0 ? this.gaps.length : at, 0, gap);
    this.onChange();
  }

  /** There are at least so many lines. */
  raiseTotal(total: number): void {
    if (total <= this.total) return;
    this.total = total;
    this.onChange();
    this.ask();
  }

  /** These lines are in sight: what is missing of them is asked for, requests for others are aborted. */
  view(first: number, last: number): void {
    this.first = Math.max(0, first - MARGIN);
    this.last = last + MARGIN;
    for (const [number, controller] of this.requests) if (!this.isWanted(number)) controller.abort();
    this.ask();
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    for (const controller of this.requests.values()) controller.abort();
  }

  private isWanted(number: number): boolean {
    return number * CHUNK_LINES <= this.last && (number + 1) * CHUNK_LINES > this.first;
  }

  private ask(delay = SETTLE_MS): void {
    if (this.isClosed) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.askNow(), delay);
  }

  private askNow(): void {
    const last = Math.min(this.last, this.total - 1);
    let earliest = Number.POSITIVE_INFINITY;
    for (let number = Math.floor(this.first / CHUNK_LINES); number * CHUNK_LINES <= last; number += 1) {
      const chunk = this.chunks.get(number);
      if (chunk !== undefined) this.touch(number, chunk);
      const missing = this.firstMissing(number, last);
      if (missing === null || this.requests.has(number)) continue;
      const wait = (this.notBefore.get(number) ?? 0) - Date.now();
      if (wait > 0) earliest = Math.min(earliest, wait);
      else void this.request(number, missing);
    }
    if (earliest < Number.POSITIVE_INFINITY) this.ask(earliest);
  }

  private firstMissing(number: number, last: number): number | null {
    const end = Math.min(last, (number + 1) * CHUNK_LINES - 1);
    for (let line = Math.max(this.first, number * CHUNK_LINES); line <= end; line += 1) {
      const entry = this.get(line);
      // The last line may be one that is still being written: the stream brings its rest.
      if (entry === undefined || (entry.isPartial && line < this.total - 1)) return line;
    }
    return null;
  }

  private async request(number: number, from: number): Promise<void> {
    const controller = new AbortController();
    this.requests.set(number, controller);
    let characters = 0;
    let isCut = false;
    const joiner = new LineJoiner(
      from,
      (entry) => this.put(entry),
      (gap) => this.putGap(gap),
    );
    try {
      const limit = (number + 1) * CHUNK_LINES - from;
      await this.fetchLines(
        from,
        limit,
        (item) => {
          if (controller.signal.aborted) return;
          joiner.add(item);
          characters += 'text' in item ? item.text.length : 0;
          isCut = characters > MOST_CHARACTERS_ASKED && !('partial' in item);
          if (isCut) controller.abort();
        },
        controller.signal,
      );
      joiner.end();
      // What was not brought is not there yet.
      this.notBefore.set(number, Date.now() + RETRY_MS);
    } catch (error) {
      if (!controller.signal.aborted) {
        this.notBefore.set(number, Date.now() + RETRY_MS);
        if (!this.isClosed) this.onError(error);
      }
    } finally {
      this.requests.delete(number);
      if (!this.isClosed) this.ask(isCut ? 0 : SETTLE_MS);
    }
  }

  private touch(number: number, chunk: Chunk): void {
    this.chunks.delete(number);
    this.chunks.set(number, chunk);
  }

  private forget(): void {
    if (this.chunks.size <= MOST_CHUNKS && this.longest < 1_000) return;
    let characters = 0;
    for (const chunk of this.chunks.values()) characters += chunk.characters;
    const newest = Math.floor((this.total - 1) / CHUNK_LINES);
    for (const [number, chunk] of this.chunks) {
      if (this.chunks.size <= MOST_CHUNKS && characters <= MOST_CHARACTERS) return;
      if (this.isWanted(number) || number === newest) continue;
      this.chunks.delete(number);
      characters -= chunk.characters;
    }
  }
}
