import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ApiProblem, Unreachable } from '@/api/problems';
import type { Event, Run } from '@/api/schema';
import type { StreamOptions } from '@/api/stream';

/** When the run was read and when it was polled, in milliseconds since the start; and what is answered. */
const reads: number[] = [];
const polls: number[] = [];
let began = 0;
let answer: () => Promise<Partial<Run>>;
let polled: () => Promise<{ status: number }>;
let streams: StreamOptions<Event>[] = [];

vi.mock('@/api/client', () => ({
  api: {
    GET: async () => {
      reads.push(Date.now() - began);
      return { data: await answer(), response: new Response() };
    },
  },
  dataOf: async (call: Promise<{ data: unknown }>) => (await call).data,
  fetchApi: () => {
    polls.push(Date.now() - began);
    return polled();
  },
}));
vi.mock('@/api/stream', () => ({
  openStream: (options: StreamOptions<Event>) => {
    streams.push(options);
    return { close: () => undefined };
  },
}));
vi.stubGlobal('window', Object.assign(globalThis, { location: { origin: 'https://podrun.example' } }));
vi.stubGlobal('document', { visibilityState: 'visible', addEventListener: () => {}, removeEventListener: () => {} });
const { RunFeed } = await import('./runDataFeed');

const runIs = (phase: string, given: object = {}) =>
  ({ phase, is_finished: false, task_phases: {}, tasks: [{ name: 'a', phase, attempts: [] }], ...given }) as unknown as Run;
const taskPhase = (phase: string) => ({ type: 'TaskPhase', task: 'a', phase, time: 't' }) as unknown as Event;

let stop: () => void;

function begin() {
  const feed = new RunFeed('r');
  stop = feed.start();
  return feed;
}

function stream(): StreamOptions<Event> {
  const last = streams.at(-1);
  if (last === undefined) throw new Error('there is no stream');
  return last;
}

beforeEach(() => {
  vi.useFakeTimers();
  began = Date.now();
  reads.length = 0;
  polls.length = 0;
  streams = [];
  answer = async () => runIs('Running');
  polled = async () => ({ status: 304 });
});

afterEach(() => {
  stop();
  vi.useRealTimers();
});

test('RunFeed: events that come during the first read are kept, and read after', async () => {
  let give: (run: Partial<Run>) => void = () => undefined;
  answer = () => new Promise((resolve) => (give = resolve));
  const feed = begin();
  stream().onStatus?.('open');
  await vi.advanceTimersByTimeAsync(0);
  stream().onFrame({ type: 'event', cursor: '1', event: taskPhase('Succeeded') });
  await vi.advanceTimersByTimeAsync(500);
  expect([reads.length, feed.snapshot().data]).toEqual([1, null]);
  give(runIs('Pending'));
  await vi.advanceTimersByTimeAsync(0);
  expect(feed.snapshot().data?.byName.get('a')?.phase).toBe('Succeeded');
  expect(feed.snapshot().data?.isLive).toBe(true);
  await vi.advanceTimersByTimeAsync(15_000);
  expect(reads.length).toBe(2);
});

test('RunFeed: while the service is away it is asked ever more seldom, until it answers', async () => {
  answer = () => Promise.reject(new Unreachable('away'));
  const feed = begin();
  await vi.advanceTimersByTimeAsync(27_000);
  expect(reads.slice(1).map((at, index) => at - (reads[index] ?? 0))).toEqual([1_000, 2_000, 4_000, 8_000, 10_000]);
  expect(feed.snapshot()).toEqual({ data: null, error: null });
  answer = async () => runIs('Running');
  await vi.advanceTimersByTimeAsync(10_000);
  expect([feed.snapshot().data?.run.phase, reads.length]).toEqual(['Running', 7]);
});

test('RunFeed: what is refused is told and not asked again', async () => {
  const problem = new ApiProblem(404, null);
  answer = () => Promise.reject(problem);
  const feed = begin();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([reads.length, polls.length, feed.snapshot().error]).toEqual([1, 0, problem]);
});

test('RunFeed: a run that is over is polled for a retry, but not for ever once it was deleted', async () => {
  answer = async () => runIs('Succeeded', { is_finished: true });
  const feed = begin();
  stream().onStatus?.('open');
  await vi.advanceTimersByTimeAsync(0);
  stream().onStatus?.('ended');
  await vi.advanceTimersByTimeAsync(21_000);
  expect([reads.length, polls.length, feed.snapshot().data?.isLive]).toEqual([1, 4, true]);
  const problem = new ApiProblem(404, null);
  polled = () => Promise.reject(problem);
  await vi.advanceTimersByTimeAsync(60_000);
  expect([polls.length, feed.snapshot().error]).toEqual([5, problem]);
  feed.refresh();
  await vi.advanceTimersByTimeAsync(6_000);
  expect([reads.length, polls.length]).toEqual([2, 6]);
});
