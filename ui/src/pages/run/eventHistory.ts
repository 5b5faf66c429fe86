/** A run's whole history: read page by page, then followed. */
import { useEffect, useState } from 'react';
import { api, dataOf } from '@/api/client';
import { ApiProblem } from '@/api/problems';
import type { Event } from '@/api/schema';
import { openStream, type Stream } from '@/api/stream';
import { apiRunPath } from '@/model/paths';

const PAGE = 1_000;
const FRAME_MS = 100;
const RETRY_MS = 2_000;

/** `events` oldest first; a new array each time it has grown. `isComplete`: all that there was is read. */
export type History = {
  readonly events: readonly Event[];
  readonly isComplete: boolean;
  /** What was refused: reading has ended there, until it is tried again. */
  readonly error: unknown;
};

const NOTHING: History = { events: [], isComplete: false, error: null };

/** The history while the component is shown. `isFinished` false again (a retry): it is followed anew. */
export function useHistory(runId: string, isFinished: boolean): History & { retry: () => void } {
  const [reader, setReader] = useState<HistoryReader | null>(null);
  const [history, setHistory] = useState<History>(NOTHING);
  useEffect(() => {
    const next = new HistoryReader(runId, setHistory);
    setReader(next);
    next.start();
    return () => next.stop();
  }, [runId]);
  useEffect(() => {
    if (!isFinished) reader?.follow();
  }, [reader, isFinished]);
  return { ...history, retry: () => reader?.retry() };
}

/** Reads one run's history. Its owner starts and stops it. */
export class HistoryReader {
  private readonly events: Event[] = [];
  private readonly seen = new Set<string>();
  private cursor: string | null = null;
  private isComplete = false;
  private isStopped = false;
  private isReading = false;
  private error: unknown = null;
  private stream: Stream | null = null;
  private timer: number | undefined;

  constructor(
    private readonly runId: string,
    private readonly tell: (history: History) => void,
  ) {}

  start(): void {
    void this.readOn();
  }

  stop(): void {
    this.isStopped = true;
    this.stream?.close();
    window.clearTimeout(this.timer);
  }

  /** Go on where it was refused. */
  retry(): void {
    if (this.isStopped) return;
    this.error = null;
    this.publish();
    void this.readOn();
  }

  /** Go on behind what is known, if what there was is read and nothing is open. */
  follow(): void {
    if (this.isStopped || !this.isComplete || this.stream !== null || this.cursor === null) return;
    this.stream = openStream<Event>({
      path: `${apiRunPath(this.runId)}/events`,
      query: { cursor: this.cursor },
      onFrame: (frame) => {
        if (frame.type === 'event') this.add([frame.event]);
      },
      onStatus: (status) => {
        if (status === 'ended') this.stream = null;
      },
      onRefused: (problem) => {
        this.stream = null;
        this.fail(problem);
      },
    });
  }

  private async readOn(): Promise<void> {
    if (this.isReading) return;
    this.isReading = true;
    await this.readPages();
    this.isReading = false;
    this.follow();
  }

  private async readPages(): Promise<void> {
    while (!this.isComplete && !this.isStopped) {
      try {
        const query = this.cursor === null ? { limit: PAGE } : { limit: PAGE, cursor: this.cursor };
        const path = { run_id: this.runId };
        const page = await dataOf(api.GET('/api/v1/runs/{run_id}/events', { params: { path, query } }));
        if (typeof page === 'string') return;
        this.cursor = page.next_cursor ?? page.items.at(-1)?.cursor ?? this.cursor;
        this.isComplete = page.next_cursor === null;
        this.add(page.items);
      } catch (error) {
        if (error instanceof ApiProblem) return this.fail(error);
        await new Promise((resolve) => window.setTimeout(resolve, RETRY_MS));
      }
    }
  }

  private add(events: readonly Event[]): void {
    for (const event of events) {
      if (this.seen.has(event.cursor)) continue;
      this.seen.add(event.cursor);
      this.events.push(event);
      this.cursor = this.isComplete ? event.cursor : this.cursor;
    }
    this.timer ??= window.setTimeout(() => this.publish(), FRAME_MS);
  }

  private fail(error: unknown): void {
    this.error = error;
    this.publish();
  }

  private publish(): void {
    window.clearTimeout(this.timer);
    this.timer = undefined;
    if (!this.isStopped) this.tell({ events: [...this.events], isComplete: this.isComplete, error: this.error });
  }
}
