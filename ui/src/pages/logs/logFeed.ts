/** One log, live: what the stream brings, what is asked for, and what is searched for, as one thing that a view watches. */
import { fetchApi } from '@/api/client';
import { ApiProblem, PartUnavailable } from '@/api/problems';
import { openStream, type Stream, type StreamStatus } from '@/api/stream';
import { type FetchLines, LogBuffer } from './LogBuffer';
import { isGap, LineJoiner, type LogEntry, type LogItem, readNdjson } from './logLines';
import { LogSearch } from './logSearch';

const TAIL = '500';
const NDJSON = 'application/x-ndjson';

export type FeedState = Readonly<{
  /** Grows with each change. */
  version: number;
  status: StreamStatus;
  /** The stream has told how long the log is, or that there is nothing yet. */
  isKnown: boolean;
  /** What the service refused: the stream for good, or lines, until some are answered. */
  refused: ApiProblem | null;
  /** Why lines can't be read just now; null: they can. It is tried again. */
  trouble: string | null;
}>;

export class LogFeed {
  readonly buffer: LogBuffer;
  search: LogSearch | null = null;

  private state: FeedState = { version: 0, status: 'connecting', isKnown: false, refused: null, trouble: null };
  private readonly listeners = new Set<() => void>();
  private stream: Stream | null = null;
  private frame: number | undefined;

  /** `path`: of the task's logs. */
  constructor(
    readonly path: string,
    readonly attempt: number,
    readonly container: string,
  ) {
    const failed = (error: unknown) => {
      if (error instanceof ApiProblem) this.set({ refused: error });
      // That the service is away the page says; this is told here alone.
      else if (error instanceof PartUnavailable) this.set({ trouble: error.message });
    };
    const fetched: FetchLines = async (...asked) => {
      await this.fetchLines(...asked);
      this.read();
    };
    this.buffer = new LogBuffer(fetched, this.changed, failed);
  }

  open(): void {
    const joiner = new LineJoiner(null, this.came, (gap) => this.buffer.putGap(gap));
    this.stream = openStream({
      path: this.path,
      query: { attempt: String(this.attempt), container: this.container, tail: TAIL },
      onStatus: (status) => this.set({ status }),
      onRefused: (refused) => this.set({ refused }),
      onFrame: (frame) => {
        if (frame.type === 'lines') for (const line of frame.lines) joiner.add(line);
        else if (frame.type === 'gap') joiner.add(frame);
        else if (frame.type === 'end') joiner.end();
        if (!this.state.isKnown) this.set({ isKnown: true });
      },
    });
  }

  close(): void {
    this.stream?.close();
    this.buffer.close();
    this.search?.stop();
    if (this.frame !== undefined) cancelAnimationFrame(this.frame);
    this.listeners.clear();
  }

  /** Search for another text; empty: for none. */
  searchFor(text: string): void {
    if (text === (this.search?.text ?? '')) return;
    this.search?.stop();
    this.search = text === '' ? null : new LogSearch(text, (...asked) => this.fetchHits(...asked), this.changed);
    void this.search?.start();
    this.changed();
  }

  /** The visible lines of a range, from memory or the service. */
  async readRange(first: number, last: number): Promise<LogEntry[]> {
    const found: LogEntry[] = [];
    for (let line = first; line <= last; line += 1) {
      const entry = this.buffer.get(line);
      if (entry === undefined) return this.readStored(first, last);
      found.push(entry);
    }
    return found;
  }

  subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  };

  snapshot = () => this.state;

  /** Lines came: what kept them back is over. What the stream was refused stays, that is for good. */
  private read(): void {
    const { trouble, refused, status } = this.state;
    if (trouble !== null) this.set({ trouble: null });
    if (refused !== null && status !== 'refused') this.set({ refused: null });
  }

  private came = (entry: LogEntry): void => {
    this.buffer.put(entry);
    this.search?.look(entry);
  };

  /** Views hear of changes once for each frame that the browser draws. */
  private changed = (): void => {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.set({});
    });
  };

  private set(change: Partial<FeedState>): void {
    this.state = { ...this.state, ...change, version: this.state.version + 1 };
    for (const listener of this.listeners) listener();
  }

  private async readStored(first: number, last: number): Promise<LogEntry[]> {
    const found = new Map<number, LogEntry>();
    const joiner = new LineJoiner(
      first,
      (entry) => found.set(entry.line, entry),
      () => undefined,
    );
    await this.fetchLines(first, last - first + 1, (item) => joiner.add(item), new AbortController().signal);
    return [...found.values()];
  }

  private fetchLines(from: number, limit: number, onItem: (item: LogItem) => void, signal: AbortSignal): Promise<void> {
    return this.fetchItems({ from_line: String(from), limit: String(limit) }, onItem, signal);
  }

  private fetchHits(text: string, from: number, limit: number, onItem: (item: LogItem) => void, signal: AbortSignal) {
    return this.fetchItems({ grep: text, from_line: String(from), limit: String(limit) }, onItem, signal);
  }

  private async fetchItems(query: Record<string, string>, onItem: (item: LogItem) => void, signal: AbortSignal) {
    const url = new URL(this.path, window.location.href);
    const whole = { attempt: String(this.attempt), container: this.container, ...query };
    for (const [name, value] of Object.entries(whole)) url.searchParams.set(name, value);
    const response = await fetchApi(url.href, { headers: { Accept: NDJSON }, signal });
    await readNdjson(response, (item) => {
      if (isItem(item)) onItem(item);
    });
  }
}

/** Lines and gaps; what else there may be one day is left out. */
function isItem(item: unknown): item is LogItem {
  if (typeof item !== 'object' || item === null) return false;
  return 'line' in item || isGap(item as LogItem);
}
