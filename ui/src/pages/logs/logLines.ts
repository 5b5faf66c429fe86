/** Lines of a log as they come over the wire, and as they are kept. */
import type { LogGap, LogLine } from '@/api/stream';

/** What is kept of one line, in characters: longer ones are for the download. */
export const KEPT_CHARACTERS = 1_000_000;

/** A line, or what has come of it so far. */
export type LogEntry = Readonly<{
  /** From 0. */
  line: number;
  /** RFC 3339, with nanoseconds. */
  time: string;
  /** At most KEPT_CHARACTERS of it. */
  text: string;
  /** The whole length, in characters. */
  length: number;
  /** More of it will come. */
  isPartial: boolean;
}>;

export type LogItem = LogLine | LogGap;

/** A place where lines may be missing: before the line of this number. */
export type GapPlace = Readonly<{ before: number; reason: string; from: string | null; to: string | null }>;

export function isGap(item: LogItem): item is LogGap {
  return 'type' in item && item.type === 'gap';
}

/**
 * Joins the pieces of long lines, and gives gaps their place between lines. One for each source (a response, a stream):
 * a source's pieces come in order, and one that comes again, by its cursor, is left out.
 */
export class LineJoiner {
  private current: LogEntry | null = null;
  private cursors = new Set<string>();
  private waiting: LogGap[] = [];

  /** `next`: the line that comes first, if any does; null: not known. */
  constructor(
    private next: number | null,
    private readonly onEntry: (entry: LogEntry) => void,
    private readonly onGap: (gap: GapPlace) => void,
  ) {}

  add(item: LogItem): void {
    if (isGap(item)) {
      this.waiting.push(item);
      // Within a line: its place is told by the line's end.
      if (this.current === null && this.next !== null) this.place(this.next);
      return;
    }
    const before = this.current?.line === item.line ? this.current : null;
    if (before === null) this.begin(item.line);
    else if (this.cursors.has(item.cursor)) return;
    this.cursors.add(item.cursor);
    const isPartial = item.partial === true;
    const entry: LogEntry = {
      line: item.line,
      time: before?.time ?? item.time,
      text: joined(before?.text ?? '', item.text),
      length: (before?.length ?? 0) + item.text.length,
      isPartial,
    };
    this.current = isPartial ? entry : null;
    this.next = item.line + 1;
    this.onEntry(entry);
    if (!isPartial) this.place(this.next);
  }

  /** Nothing more comes from this source. */
  end(): void {
    this.place(this.next ?? 0);
  }

  private begin(line: number): void {
    this.cursors.clear();
    this.current = null;
    this.place(line);
  }

  private place(before: number): void {
    for (const { reason, from, to } of this.waiting) this.onGap({ before, reason, from, to });
    this.waiting = [];
  }
}

function joined(text: string, piece: string): string {
  return text.length >= KEPT_CHARACTERS ? text : (text + piece).slice(0, KEPT_CHARACTERS);
}

/** Reads a body of NDJSON, object by object, as it comes. A body that is cut off raises what `fetch` raises. */
export async function readNdjson(response: Response, onItem: (item: unknown) => void): Promise<void> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    rest += value === undefined ? decoder.decode() : decoder.decode(value, { stream: true });
    const end = rest.lastIndexOf('\n');
    if (end >= 0) {
      for (const text of rest.slice(0, end).split('\n')) if (text !== '') onItem(JSON.parse(text));
      rest = rest.slice(end + 1);
    }
    if (done) return;
  }
}
