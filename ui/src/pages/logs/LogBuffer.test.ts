import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { LogGap, LogLine } from '@/api/stream';
import { CHUNK_LINES, type FetchLines, LogBuffer } from './LogBuffer';
import { LineJoiner, type LogEntry, type LogItem } from './logLines';

function lineOf(line: number, text = `text ${line}`, part = 0, partial = false): LogLine {
  const cursor = `l1.${line}.${part}`;
  const time = '2026-01-31T12:00:00.123456789Z';
  return { cursor, line, time, task: 'a', attempt: 1, container: 'main', text, ...(partial ? { partial } : {}) };
}

function gapOf(reason: string): LogGap {
  return { type: 'gap', cursor: reason, from: null, to: null, reason };
}

/** A log that answers requests as the service does; each can be held open. */
class Service {
  asked: { from: number; limit: number; signal: AbortSignal; answer: () => void; fail: () => void }[] = [];
  isHeld = false;

  constructor(readonly total: number) {}

  fetch: FetchLines = (from, limit, onItem, signal) =>
    new Promise((resolve, reject) => {
      const answer = () => {
        for (let line = from; line < Math.min(this.total, from + limit); line += 1) onItem(lineOf(line));
        resolve();
      };
      const fail = () => reject(new Error('cut off'));
      signal.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')));
      this.asked.push({ from, limit, signal, answer, fail });
      if (!this.isHeld) answer();
    });
}

function bufferOf(service: Service, total = service.total): LogBuffer {
  const buffer = new LogBuffer(service.fetch, () => undefined);
  buffer.raiseTotal(total);
  return buffer;
}

const settle = () => vi.advanceTimersByTimeAsync(100);

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('lines that are in sight', () => {
  it('are asked for by the chunk, with those around them, once it has settled', async () => {
    const service = new Service(1_000_000);
    const buffer = bufferOf(service);
    buffer.view(500_500, 500_540);
    expect(service.asked).toEqual([]);
    await settle();
    expect(service.asked.map(({ from, limit }) => [from, limit])).toEqual([[500_300, 700]]);
    expect(buffer.get(500_520)?.text).toBe('text 500520');
    expect(buffer.get(400_000)).toBeUndefined();
  });

  it('are not asked for again once they are there', async () => {
    const service = new Service(10_000);
    const buffer = bufferOf(service);
    buffer.view(0, 40);
    await settle();
    buffer.view(10, 50);
    await settle();
    expect(service.asked).toHaveLength(1);
  });

  it('are not asked for while it scrolls on', async () => {
    const service = new Service(1_000_000);
    const buffer = bufferOf(service);
    for (let line = 0; line < 900_000; line += 10_000) {
      buffer.view(line, line + 40);
      await vi.advanceTimersByTimeAsync(16);
    }
    await settle();
    expect(service.asked).toHaveLength(2);
    expect(buffer.get(890_000)).toBeDefined();
  });

  it('no longer: their request is aborted', async () => {
    const service = new Service(1_000_000);
    service.isHeld = true;
    const buffer = bufferOf(service);
    buffer.view(500_500, 500_540);
    await settle();
    buffer.view(100, 140);
    await settle();
    expect(service.asked.map(({ signal }) => signal.aborted)).toEqual([true, false]);
  });

  it('are asked for again after a failure, for as long as they are in sight', async () => {
    const service = new Service(1_000);
    service.isHeld = true;
    const buffer = bufferOf(service);
    buffer.view(0, 40);
    await settle();
    service.asked[0]?.fail();
    await settle();
    expect(service.asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2_000);
    service.asked[1]?.answer();
    await settle();
    expect(buffer.get(5)?.text).toBe('text 5');
  });

  it('that the service does not have yet are asked for again, but not at once', async () => {
    const service = new Service(10);
    const buffer = bufferOf(service, 12);
    buffer.view(0, 40);
    await settle();
    expect(service.asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(3_100);
    expect(service.asked.map(({ from }) => from)).toEqual([0, 10, 10]);
  });
});

it('forgets what was not looked at for longest, and keeps the end and what is in sight', async () => {
  const service = new Service(200 * CHUNK_LINES);
  const buffer = bufferOf(service);
  buffer.put({ ...entryOf(199_999), line: 199_999 });
  for (let chunk = 0; chunk < 100; chunk += 1) {
    buffer.view(chunk * CHUNK_LINES + 500, chunk * CHUNK_LINES + 540);
    await settle();
  }
  expect(buffer.get(520)).toBeUndefined();
  expect(buffer.get(99_520)).toBeDefined();
  expect(buffer.get(199_999)).toBeDefined();
});

describe('a stream that comes back', () => {
  /** What is in the buffer after the stream brought these lines, and the rest was asked for. */
  async function linesAfter(...batches: LogItem[][]): Promise<string[]> {
    const service = new Service(10);
    const buffer = bufferOf(service, 0);
    const joiner = joinerInto(buffer);
    for (const batch of batches) for (const item of batch) joiner.add(item);
    buffer.view(0, 20);
    await settle();
    return Array.from({ length: buffer.total }, (_, line) => buffer.get(line)?.text ?? 'missing');
  }
  const range = (first: number, end: number) => Array.from({ length: end - first }, (_, at) => lineOf(first + at));
  const whole = range(0, 10).map(({ text }) => text);

  it('and overlaps doubles nothing', async () => expect(await linesAfter(range(0, 6), range(3, 10))).toEqual(whole));
  it('and has skipped lines loses nothing', async () => expect(await linesAfter(range(0, 3), range(7, 10))).toEqual(whole));
  it('and began with the last lines has the others too', async () => expect(await linesAfter(range(6, 10))).toEqual(whole));
  it('and repeats pieces of a long line joins each once', async () => {
    const pieces = [lineOf(9, 'a', 1, true), lineOf(9, 'b', 2, true), lineOf(9, 'c', 3)];
    expect((await linesAfter(range(0, 9), pieces.slice(0, 2), pieces)).at(-1)).toBe('abc');
  });
});

it('takes the longer of two that say a growing line differently', () => {
  const buffer = new LogBuffer(new Service(0).fetch, () => undefined);
  buffer.put({ ...entryOf(3), text: 'abc', length: 3 });
  buffer.put({ ...entryOf(3), text: 'ab', length: 2, isPartial: true });
  expect(buffer.get(3)?.text).toBe('abc');
});

it('gives each gap its place between lines, once', () => {
  const buffer = new LogBuffer(new Service(0).fetch, () => undefined);
  const stream = joinerInto(buffer);
  for (const item of [gapOf('first'), lineOf(7), gapOf('middle'), lineOf(8, 'x', 1, true), gapOf('within'), lineOf(8, 'y', 2)])
    stream.add(item);
  stream.add(gapOf('last'));
  const request = joinerInto(buffer, 8);
  for (const item of [gapOf('middle'), lineOf(8, 'x', 1, true), gapOf('within'), lineOf(8, 'y', 2), gapOf('last')])
    request.add(item);
  request.end();
  expect(buffer.gaps.map(({ before, reason }) => [before, reason])).toEqual([
    [7, 'first'],
    [8, 'middle'],
    [9, 'within'],
    [9, 'last'],
  ]);
  expect(buffer.get(8)?.text).toBe('xy');
});

function entryOf(line: number): LogEntry {
  return { line, time: '', text: 'text', length: 4, isPartial: false };
}

function joinerInto(buffer: LogBuffer, next: number | null = null): LineJoiner {
  return new LineJoiner(
    next,
    (entry) => buffer.put(entry),
    (gap) => buffer.putGap(gap),
  );
}
