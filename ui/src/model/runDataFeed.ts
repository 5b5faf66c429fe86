/** Keeps what is known of a run up to date: reads, the stream of events, and a poll where the stream is not there. */
import { api, dataOf, fetchApi } from '@/api/client';
import { ApiProblem } from '@/api/problems';
import type { Event, Run, TaskRun } from '@/api/schema';
import { openStream, type Stream, type StreamStatus } from '@/api/stream';
import { apiRunPath } from './paths';
import { addStale, isStale, nothingStale, type RunState, withAnswer, withEvents, withParts } from './runDataState';

export type RunData = RunState & {
  /** The stream of events is open, or the run is over. */
  readonly isLive: boolean;
};
export type Snapshot = { readonly data: RunData | null; readonly error: unknown };

const POLL_MS = 5_000;
/** So long the first read waits for the stream; after it, it goes ahead and is repeated when the stream opens. */
const OPENING_MS = 1_500;
/** A read that takes longer than this is not repeated for a few tasks. */
const CHEAP_MS = 80;
const FEW_TASKS = 8;
/** The next read comes not sooner than so many times what the last one took. */
const PAUSE_FACTOR = 10;
const LONGEST_PAUSE_MS = 15_000;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 10_000;
const MANY_TASKS = 1_000;
const MANY_TASKS_FRAME_MS = 200;

/** One run. Its owner starts it, and calls what `start` gave to stop it; it may be started again. */
export class RunFeed {
  private state: RunState | null = null;
  private error: unknown = null;
  private current: Snapshot = { data: null, error: null };
  private readonly listeners = new Set<() => void>();

  private stream: Stream | null = null;
  private status: StreamStatus = 'connecting';
  private readonly pending: Event[] = [];
  private frame: number | undefined;

  /** What has changed since the read under way began, or else since the last one. */
  private stale = nothingStale();
  private isReading = false;
  private notBefore = 0;
  private retryMs = FIRST_RETRY_MS;
  private lastWholeMs = 0;
  private readTimer: number | undefined;
  private pollTimer: number | undefined;
  private etag: string | null = null;
  private isStopped = true;
  /** The poll was refused: asked again only after a person or the stream says so. */
  private isRefused = false;

  constructor(private readonly runId: string) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): Snapshot => this.current;

  /** Read everything anew, as soon as nothing else is being read: after an action, or when a person asks. */
  readonly refresh = (): void => {
    this.stale.everything = true;
    this.isRefused = false;
    this.notBefore = 0;
    this.plan();
  };

  readonly start = (): (() => void) => {
    this.isStopped = false;
    this.open();
    this.readTimer = window.setTimeout(this.refresh, OPENING_MS);
    this.pollTimer = window.setInterval(() => void this.poll(), POLL_MS);
    document.addEventListener('visibilitychange', this.onVisible);
    return this.stop;
  };

  private readonly stop = (): void => {
    this.isStopped = true;
    this.stream?.close();
    this.stream = null;
    window.clearTimeout(this.readTimer);
    window.clearTimeout(this.frame);
    this.frame = undefined;
    window.clearInterval(this.pollTimer);
    document.removeEventListener('visibilitychange', this.onVisible);
  };

  private readonly onVisible = (): void => {
    if (document.visibilityState === 'visible') void this.poll();
  };

  private open(): void {
    this.stream?.close();
    this.stream = openStream<Event>({
      path: `${apiRunPath(this.runId)}/events`,
      query: { tail: '0' },
      onFrame: (frame) => {
        if (frame.type === 'event') this.take(frame.event);
      },
      onStatus: (status) => this.onStatus(status),
      onRefused: (problem) => this.publish(this.state, problem),
    });
  }

  private onStatus(status: StreamStatus): void {
    this.status = status;
    // What happened while it was not open is not in the stream.
    if (status === 'open') this.refresh();
    if (status === 'ended' && this.state?.run.is_finished === false) {
      this.stale.run = true;
      this.plan();
    }
    this.publish(this.state, this.error);
  }

  private take(event: Event): void {
    this.pending.push(event);
    if (this.frame !== undefined) return;
    const isMany = (this.state?.tasks.length ?? 0) > MANY_TASKS;
    this.frame = window.setTimeout(this.applyPending, isMany ? MANY_TASKS_FRAME_MS : 16);
  }

  private readonly applyPending = (): void => {
    this.frame = undefined;
    // Before the first answer there is nothing to apply them to; it may be older than they are.
    if (this.state === null) return;
    const { state, stale } = withEvents(this.state, this.pending.splice(0));
    addStale(this.stale, stale);
    this.publish(state, this.error);
    this.plan();
  };

  private plan(): void {
    if (this.isStopped || this.isReading || !isStale(this.stale)) return;
    window.clearTimeout(this.readTimer);
    this.readTimer = window.setTimeout(() => void this.read(), Math.max(0, this.notBefore - performance.now()));
  }

  private async read(): Promise<void> {
    if (this.isReading || this.isStopped) return;
    this.isReading = true;
    const asked = this.stale;
    this.stale = nothingStale();
    const began = performance.now();
    const isWhole = this.state === null || asked.everything || this.lastWholeMs < CHEAP_MS || asked.tasks.size > FEW_TASKS;
    try {
      await (isWhole ? this.readWhole() : this.readParts([...asked.tasks]));
      if (isWhole) this.lastWholeMs = performance.now() - began;
      this.retryMs = FIRST_RETRY_MS;
      this.notBefore = performance.now() + Math.min(LONGEST_PAUSE_MS, (performance.now() - began) * PAUSE_FACTOR);
    } catch (error) {
      // When the service is back, the stream opens, and does not wait for this.
      this.notBefore = performance.now() + this.retryMs;
      this.retryMs = Math.min(2 * this.retryMs, LONGEST_RETRY_MS);
      // One of the tasks is gone, or the whole run: the read of the whole tells.
      if (isForGood(error)) this.stale.everything ||= !isWhole;
      else addStale(this.stale, asked);
      if (isWhole) this.failed(error);
    } finally {
      this.isReading = false;
    }
    if (this.isStopped) return;
    if (this.status === 'ended' && this.state?.run.is_finished === false) this.open();
    this.plan();
  }

  private async readWhole(): Promise<void> {
    const { data, response } = await api.GET('/api/v1/runs/{run_id}', {
      params: { path: { run_id: this.runId }, query: { include: ['tasks'] } },
    });
    if (data === undefined) return;
    this.etag = response.headers.get('ETag');
    this.publish(withAnswer(this.state, data, this.stale), null);
    if (this.pending.length > 0 && this.frame === undefined) this.applyPending();
  }

  private async readParts(names: readonly string[]): Promise<void> {
    const path = { run_id: this.runId };
    const read = (task: string): Promise<TaskRun> =>
      dataOf(api.GET('/api/v1/runs/{run_id}/tasks/{task}', { params: { path: { ...path, task } } })).then(withoutContainers);
    const run: Run = await dataOf(api.GET('/api/v1/runs/{run_id}', { params: { path } }));
    const tasks = await Promise.all(names.map(read));
    if (this.state !== null) this.publish(withParts(this.state, run, tasks, this.stale), null);
  }

  /** While no stream tells: has anything changed? A retry brings a run that was over to life again. */
  private async poll(): Promise<void> {
    if (this.isStopped || document.visibilityState !== 'visible') return;
    if (this.status === 'open' || this.status === 'refused' || this.isRefused) return;
    if (this.isReading || this.state === null) return;
    const headers: HeadersInit = this.etag === null ? {} : { 'If-None-Match': this.etag };
    try {
      const response = await fetchApi(`${window.location.origin}${apiRunPath(this.runId)}`, { headers });
      if (response.status !== 304) this.refresh();
      else this.publish(this.state, null);
    } catch (error) {
      this.isRefused = isForGood(error);
      this.failed(error);
    }
  }

  /** What the service refuses is shown; while it is away, what was read stays, and the page's banner says so. */
  private failed(error: unknown): void {
    if (error instanceof ApiProblem) this.publish(this.state, error);
  }

  private publish(state: RunState | null, error: unknown): void {
    if (this.isStopped) return;
    this.state = state;
    this.error = error;
    const isLive = this.status === 'open' || state?.run.is_finished === true;
    const { data } = this.current;
    if (data !== null && state !== null && data.run === state.run && data.tasks === state.tasks && data.isLive === isLive) {
      if (this.current.error === error) return;
      this.current = { data, error };
    } else {
      this.current = { data: state === null ? null : { ...state, isLive }, error };
    }
    for (const listener of this.listeners) listener();
  }
}

/** The same request would be refused again. */
function isForGood(error: unknown): boolean {
  return error instanceof ApiProblem && error.status < 500 && ![401, 408, 429].includes(error.status);
}

function withoutContainers(task: TaskRun & { containers?: readonly string[] }): TaskRun {
  const { containers: _, ...rest } = task;
  return rest;
}
