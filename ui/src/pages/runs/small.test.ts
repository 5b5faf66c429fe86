import { expect, test, vi } from 'vitest';
import { ApiProblem } from '@/api/problems';
import { fieldError, isAboutFields } from './fieldErrors';
import { splitAt } from './heldBack';
import { progressOf, progressText } from './progress';
import { idAt, pageOf } from './testRuns';
import { Throttle } from './throttle';

test('progress: in words, with what failed', () => {
  const progress = progressOf({ Succeeded: 30, Failed: 2, Error: 1, Skipped: 4, Running: 3, Pending: 60 });
  expect(progress).toEqual({ total: 100, over: 37, failed: 3 });
  expect(progressText(progress, true)).toBe('37 of 100 tasks, 3 failed');
  expect(progressText(progressOf({ Succeeded: 1 }), false)).toBe('1 task');
});

test('splitAt: newer runs than the one at the top are held back', () => {
  const { items } = pageOf([9, 8, 7]);
  expect(splitAt(items, null).held).toBe(0);
  expect(splitAt(items, idAt(7))).toEqual({ shown: items.slice(2), held: 2 });
  expect(splitAt(items, idAt(9)).held).toBe(0);
  // The one at the top is gone, an older one stands there.
  expect(splitAt(items, '019').shown).toHaveLength(3);
});

test('fieldError: the sentence stands beside its field', () => {
  const errors = [{ parameter: 'created_after', detail: 'Value error, must be a time', pointer: null }];
  const problem = new ApiProblem(422, { detail: 'all', errors: errors as never });
  expect(fieldError(problem, 'created_after')).toBe('must be a time');
  expect(fieldError(problem, 'workflow')).toBeNull();
  expect(isAboutFields(problem)).toBe(true);
  expect(isAboutFields(new ApiProblem(500, null))).toBe(false);
  expect(isAboutFields(new Error('x'))).toBe(false);
});

test('Throttle: one at a time, with a pause as long as the work deserves', async () => {
  vi.useFakeTimers();
  let done = 0;
  const throttle = new Throttle(async () => {
    await new Promise((resolve) => setTimeout(resolve, 200));
    done += 1;
  }, 500);
  for (let time = 0; time < 5_000; time += 10) {
    throttle.ask();
    await vi.advanceTimersByTimeAsync(10);
  }
  // 200 ms of work, then 800 of pause.
  expect(done).toBe(5);
  throttle.stop();
  vi.useRealTimers();
});
