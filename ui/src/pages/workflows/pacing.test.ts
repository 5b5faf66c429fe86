import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { lanes, Pacer } from './pacing';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('Pacer: the first change is read at once, later ones together', async () => {
  const reads: string[][] = [];
  const pacer = new Pacer<string>(async (changed) => reads.push([...changed]));
  pacer.mark('a');
  await vi.advanceTimersByTimeAsync(0);
  pacer.mark('b');
  pacer.mark('c');
  pacer.mark('b');
  expect(reads).toEqual([['a']]);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(reads).toEqual([['a'], ['b', 'c']]);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(reads).toHaveLength(2);
});

test('Pacer: after a slow read it waits ten times as long, with never two at once', async () => {
  let reads = 0;
  const pacer = new Pacer<string>(async () => {
    reads += 1;
    await new Promise((resolve) => setTimeout(resolve, 500));
  });
  pacer.mark('a');
  await vi.advanceTimersByTimeAsync(100);
  pacer.mark('a');
  await vi.advanceTimersByTimeAsync(5_000);
  expect(reads).toBe(1);
  await vi.advanceTimersByTimeAsync(500);
  expect(reads).toBe(2);
});

test('Pacer: closed, it reads no more', async () => {
  let reads = 0;
  const pacer = new Pacer<string>(async () => (reads += 1));
  pacer.mark('a');
  await vi.advanceTimersByTimeAsync(0);
  pacer.mark('a');
  pacer.close();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(reads).toBe(1);
});

test('lanes: no more than so many at once, in turn, failed ones too', async () => {
  const lane = lanes(2);
  let running = 0;
  let most = 0;
  const done: number[] = [];
  const calls = [0, 1, 2, 3, 4].map((index) =>
    lane(async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setTimeout(resolve, 10));
      running -= 1;
      done.push(index);
      if (index === 1) throw new Error('refused');
    }).catch(() => undefined),
  );
  await vi.advanceTimersByTimeAsync(100);
  await Promise.all(calls);
  expect(most).toBe(2);
  expect(done).toEqual([0, 1, 2, 3, 4]);
});
