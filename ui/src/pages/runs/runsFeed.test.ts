import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ApiProblem } from '@/api/problems';
import type { Event, Run, RunCounts, RunList } from '@/api/schema';
import type { StreamStatus } from '@/api/stream';
import { NO_FILTER, type RunFilter, wantsPhase } from './filter';
import { RunsFeed } from './runsFeed';
import { createdAt, ofFirstPage, type RunsList } from './runsList';
import type { RunsSource } from './source';
import { idAt, pageOf, runAt } from './testRuns';

/** A service in memory, that writes down what it is asked for. */
class FakeSource implements RunsSource {
  readonly runs = new Map<string, Run>();
  readonly asked: string[] = [];
  pageSize = 100;
  refusal: ApiProblem | null = null;
  onEvent: (event: Event) => void = () => undefined;
  onStatus: (status: StreamStatus) => void = () => undefined;
  followed: RunFilter | null = null;

  put(...runs: Run[]): void {
    for (const run of runs) this.runs.set(run.id, run);
  }

  tell(run: Run, type: Event['type'] = 'RunPhase'): void {
    this.put(run);
    const { id: run_id, workflow, phase, created_at: time } = run;
    const none = { task: null, attempt: null, reason: null, message: null, details: null };
    this.onEvent({ cursor: 'x', time, type, run_id, workflow, phase, ...none });
  }

  async page(filter: RunFilter, cursor: string | null): Promise<RunList> {
    this.asked.push(`page ${cursor ?? 'first'}`);
    if (this.refusal !== null) throw this.refusal;
    const before = filter.created_before === '' ? Number.POSITIVE_INFINITY : Date.parse(filter.created_before);
    const all = [...this.runs.values()]
      .filter((run) => wantsPhase(filter, run.phase) && createdAt(run.id) < before && (cursor === null || run.id < cursor))
      .sort((a, b) => (a.id < b.id ? 1 : -1));
    const items = all.slice(0, this.pageSize);
    return { items, next_cursor: all.length > items.length ? (items.at(-1)?.id ?? null) : null };
  }

  async run(id: string): Promise<Run> {
    this.asked.push('run');
    const run = this.runs.get(id);
    if (run === undefined) throw new ApiProblem(404, null);
    return run;
  }

  async counts(): Promise<RunCounts> {
    return { phases: { Running: this.runs.size }, looked_at: this.runs.size, is_complete: true };
  }

  follow(filter: RunFilter, onEvent: (event: Event) => void, onStatus: (status: StreamStatus) => void): () => void {
    Object.assign(this, { followed: filter, onEvent, onStatus });
    return () => undefined;
  }
}

let source: FakeSource;
let stop: () => void;

function begin(filter: Partial<RunFilter> = {}, known?: RunsList): RunsFeed {
  const feed = new RunsFeed(source, { ...NO_FILTER, ...filter }, known);
  stop = feed.start();
  return feed;
}

async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(5_000);
}

const seconds = (feed: RunsFeed) => feed.snapshot().list.runs.map(({ id }) => (createdAt(id) - createdAt(idAt(0))) / 1_000);

beforeEach(() => {
  vi.useFakeTimers();
  source = new FakeSource();
  stop = () => undefined;
});

afterEach(() => {
  stop();
  vi.useRealTimers();
});

test('RunsFeed: reads the first page, then more by cursor until there are no more', async () => {
  source.pageSize = 2;
  source.put(runAt(1), runAt(2), runAt(3));
  const feed = begin();
  await settle();
  expect(seconds(feed)).toEqual([3, 2]);
  await feed.loadMore();
  expect(seconds(feed)).toEqual([3, 2, 1]);
  source.asked.length = 0;
  await feed.loadMore();
  expect(source.asked).toEqual([]);
});

test('RunsFeed: a changed run is read once however many events tell of it', async () => {
  source.put(runAt(1), runAt(2));
  const feed = begin();
  await settle();
  source.asked.length = 0;
  for (let version = 2; version < 50; version += 1) source.tell(runAt(1, { version, phase: 'Failed' }), 'TaskPhase');
  await settle();
  expect(source.asked).toEqual(['run']);
  expect(feed.snapshot().list.runs[1]).toMatchObject({ phase: 'Failed', version: 49 });
});

test('RunsFeed: a new run comes in at the top', async () => {
  source.put(runAt(1));
  const feed = begin();
  await settle();
  source.tell(runAt(2));
  await settle();
  expect(seconds(feed)).toEqual([2, 1]);
});

test('RunsFeed: more new runs than a page leave no hole', async () => {
  source.pageSize = 2;
  source.put(runAt(1));
  const feed = begin();
  await settle();
  for (const second of [2, 3, 4, 5, 6]) source.tell(runAt(second));
  await settle();
  expect(seconds(feed)).toEqual([6, 5, 4, 3, 2, 1]);
  expect(feed.snapshot().list.next).toBeNull();
});

test('RunsFeed: very many new runs begin the list anew', async () => {
  source.pageSize = 2;
  source.put(runAt(1));
  const feed = begin();
  await settle();
  for (let second = 2; second < 32; second += 1) source.tell(runAt(second));
  await settle();
  expect(seconds(feed)).toEqual([31, 30, 29, 28, 27, 26, 25, 24, 23, 22]);
  await feed.loadMore();
  expect(seconds(feed).slice(-2)).toEqual([21, 20]);
});

test('RunsFeed: a run that leaves the phase leaves the list, one that enters takes its place', async () => {
  source.put(runAt(1), runAt(2, { phase: 'Succeeded' }), runAt(3));
  const feed = begin({ phase: ['Running'] });
  await settle();
  expect(source.followed?.phase).toEqual([]);
  expect(seconds(feed)).toEqual([3, 1]);
  source.tell(runAt(3, { version: 2, phase: 'Failed' }));
  source.tell(runAt(2, { version: 2, phase: 'Running' }));
  await settle();
  expect(seconds(feed)).toEqual([2, 1]);
});

test('RunsFeed: what happens to runs that are not shown is not read', async () => {
  source.put(runAt(1, { phase: 'Failed' }), runAt(2));
  begin({ phase: ['Failed'] });
  await settle();
  source.asked.length = 0;
  source.tell(runAt(2, { version: 2 }), 'TaskPhase');
  source.tell(runAt(2, { version: 3, phase: 'Succeeded' }));
  await settle();
  expect(source.asked).toEqual([]);
});

test('RunsFeed: many changed runs are read by pages', async () => {
  for (let second = 0; second < 300; second += 1) source.put(runAt(second));
  const feed = begin();
  await settle();
  await feed.loadMore();
  await feed.loadMore();
  source.asked.length = 0;
  for (let second = 0; second < 300; second += 1) source.tell(runAt(second, { version: 2, phase: 'Failed' }));
  await settle();
  expect(source.asked.length).toBeLessThan(30);
  expect(feed.snapshot().list.runs.every(({ phase }) => phase === 'Failed')).toBe(true);
  expect(seconds(feed)).toHaveLength(300);
});

test('RunsFeed: after the connection was lost, what was not over is read again', async () => {
  source.put(runAt(1), runAt(2));
  const feed = begin();
  source.onStatus('open');
  await settle();
  source.onStatus('reconnecting');
  expect(feed.snapshot().isLive).toBe(false);
  source.put(runAt(1, { version: 2, phase: 'Failed' }), runAt(3));
  source.onStatus('open');
  await settle();
  expect(feed.snapshot().isLive).toBe(true);
  expect(feed.snapshot().list.runs.map(({ phase }) => phase)).toEqual(['Running', 'Running', 'Failed']);
});

test('RunsFeed: a deleted run goes', async () => {
  source.put(runAt(1), runAt(2));
  const feed = begin();
  await settle();
  source.runs.delete(idAt(1));
  source.onEvent({ ...eventOf(runAt(1)) });
  await settle();
  expect(seconds(feed)).toEqual([2]);
});

test('RunsFeed: a refusal is shown, and forgotten when it is answered', async () => {
  source.refusal = new ApiProblem(422, { detail: 'no' });
  const feed = begin();
  await settle();
  expect(feed.snapshot().error).toBe(source.refusal);
  source.refusal = null;
  source.put(runAt(1));
  feed.refresh();
  await settle();
  expect(feed.snapshot().error).toBeNull();
  expect(seconds(feed)).toEqual([1]);
});

test('RunsFeed: runs known from before are read again, also those that were over', async () => {
  source.pageSize = 2;
  const known = ofFirstPage(pageOf([5, 4, 3, 2, 1], null, { phase: 'Failed', is_finished: true }));
  source.put(...known.runs, runAt(1, { version: 2, phase: 'Succeeded', is_finished: true }));
  const feed = begin({}, known);
  await settle();
  expect(feed.snapshot().list.runs.map(({ phase }) => phase)).toEqual(['Failed', 'Failed', 'Failed', 'Failed', 'Succeeded']);
});

test('RunsFeed: a list in which thousands came in begins anew, when nobody minds', async () => {
  for (let second = 0; second < 100; second += 1) source.put(runAt(second));
  const feed = begin();
  await settle();
  let mayBegin = false;
  feed.askBeforeBeginningAnew(() => mayBegin);
  for (let second = 100; second < 3_300; second += 400) {
    for (let more = 0; more < 399; more += 1) source.put(runAt(second + more));
    source.tell(runAt(second + 399));
    await settle();
  }
  expect(feed.snapshot().list.runs).toHaveLength(3_300);
  mayBegin = true;
  source.tell(runAt(3_300));
  await settle();
  expect(seconds(feed)).toHaveLength(100);
  expect(seconds(feed)[0]).toBe(3_300);
  await feed.loadMore();
  expect(seconds(feed)).toHaveLength(200);
});

function eventOf(run: Run): Event {
  const none = { task: null, attempt: null, reason: null, message: null, details: null };
  return {
    cursor: 'x',
    time: run.created_at,
    type: 'RunPhase',
    run_id: run.id,
    workflow: run.workflow,
    phase: run.phase,
    ...none,
  };
}
