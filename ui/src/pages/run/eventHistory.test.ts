import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ApiProblem, Unreachable } from '@/api/problems';
import type { Event } from '@/api/schema';
import type { StreamOptions } from '@/api/stream';
import type { History } from './eventHistory';

type Page = { items: Event[]; next_cursor: string | null };

/** What the service answers, one after the other, and what it was asked. */
const answers: (Page | Error)[] = [];
const asked: (string | undefined)[] = [];
const streams: (StreamOptions<Event> & { isClosed: boolean })[] = [];

vi.mock('@/api/client', () => ({
  api: {
    GET: async (_path: string, { params }: { params: { query: { cursor?: string } } }) => {
      asked.push(params.query.cursor);
      const answer = answers.shift();
      if (answer === undefined || answer instanceof Error) throw answer ?? new Unreachable('nothing left to answer');
      return { data: answer };
    },
  },
  dataOf: async (call: Promise<{ data: unknown }>) => (await call).data,
}));
vi.mock('@/api/stream', () => ({
  openStream: (options: StreamOptions<Event>) => {
    const stream = { ...options, isClosed: false };
    streams.push(stream);
    return {
      close: () => {
        stream.isClosed = true;
      },
    };
  },
}));
vi.stubGlobal('window', globalThis);
const { HistoryReader } = await import('./eventHistory');

const event = (cursor: string) => ({ cursor }) as Event;
const page = (cursors: string, next_cursor: string | null = null): Page => ({ items: [...cursors].map(event), next_cursor });

let told: History[];

function begin() {
  const reader = new HistoryReader('r', (history) => told.push(history));
  reader.start();
  return reader;
}

const read = () =>
  told
    .at(-1)
    ?.events.map(({ cursor }) => cursor)
    .join('');
const settle = () => vi.advanceTimersByTimeAsync(10_000);

beforeEach(() => {
  vi.useFakeTimers();
  answers.length = 0;
  asked.length = 0;
  streams.length = 0;
  told = [];
});

afterEach(() => vi.useRealTimers());

test('HistoryReader: page by page, then followed from where they end; what comes twice is there once', async () => {
  answers.push(page('ab', 'b'), page('c'));
  begin();
  await settle();
  expect(asked).toEqual([undefined, 'b']);
  expect(streams.map(({ query }) => query)).toEqual([{ cursor: 'c' }]);
  for (const cursor of 'cd') streams[0]?.onFrame({ type: 'event', cursor, event: event(cursor) });
  await settle();
  expect([read(), told.at(-1)?.isComplete]).toEqual(['abcd', true]);
});

test('HistoryReader: while the service is away it is asked again, for the same page', async () => {
  answers.push(page('ab', 'b'), new Unreachable('away'), new Unreachable('away'), page('c'));
  begin();
  await settle();
  expect(asked).toEqual([undefined, 'b', 'b', 'b']);
  expect([read(), told.at(-1)?.error]).toEqual(['abc', null]);
});

test('HistoryReader: a refusal ends the reading and is told until it is tried again', async () => {
  const problem = new ApiProblem(500, null);
  answers.push(page('ab', 'b'), problem, page('c'));
  const reader = begin();
  await settle();
  expect([read(), told.at(-1)?.error, asked.length]).toEqual(['ab', problem, 2]);
  reader.retry();
  await settle();
  expect([read(), told.at(-1)?.error]).toEqual(['abc', null]);
});

test('HistoryReader: a refused stream is told and can be opened again', async () => {
  answers.push(page('a'));
  const reader = begin();
  await settle();
  const problem = new ApiProblem(404, null);
  streams[0]?.onRefused?.(problem);
  expect([read(), told.at(-1)?.error]).toEqual(['a', problem]);
  reader.retry();
  await settle();
  expect(streams).toHaveLength(2);
});

test('HistoryReader: an ended stream is followed anew when the run goes on', async () => {
  answers.push(page('a'));
  const reader = begin();
  await settle();
  reader.follow();
  expect(streams).toHaveLength(1);
  streams[0]?.onStatus?.('ended');
  reader.follow();
  expect(streams).toHaveLength(2);
});

test('HistoryReader: after it was stopped nothing is asked or told', async () => {
  answers.push(page('a', 'a'), new Unreachable('away'), page('b'));
  const reader = begin();
  await vi.advanceTimersByTimeAsync(500);
  const before = told.length;
  reader.stop();
  await settle();
  expect([asked.length, told.length, streams.length]).toEqual([2, before, 0]);
});
