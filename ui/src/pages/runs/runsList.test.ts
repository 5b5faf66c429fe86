import { expect, test } from 'vitest';
import {
  covers,
  createdAt,
  isInReach,
  NOTHING_READ,
  ofFirstPage,
  type RunsList,
  withNextPage,
  withoutRun,
  withPageAgain,
  withRun,
} from './runsList';
import { idAt, pageOf, runAt } from './testRuns';

const seconds = (list: RunsList) => list.runs.map(({ id }) => (createdAt(id) - createdAt(idAt(0))) / 1_000);

test('withNextPage: older runs follow, and the end moves', () => {
  const list = withNextPage(ofFirstPage(pageOf([9, 8], 'c')), pageOf([7, 6]));
  expect(seconds(list)).toEqual([9, 8, 7, 6]);
  expect([list.next, list.end]).toEqual([null, idAt(6)]);
});

test('withNextPage: an empty page only moves the cursor', () => {
  const list = withNextPage(ofFirstPage(pageOf([9], 'c')), pageOf([], 'd'));
  expect([seconds(list), list.next, list.end]).toEqual([[9], 'd', idAt(9)]);
});

test('withPageAgain: at the top, what is new comes in and what is gone goes', () => {
  const before = ofFirstPage(pageOf([9, 8, 7, 6], 'c'));
  const list = withPageAgain(before, pageOf([10, 9, 7], 'b'), true);
  expect(seconds(list)).toEqual([10, 9, 7, 6]);
  expect(list.next).toBe('c');
});

test('withPageAgain: further down, newer and older runs are left alone', () => {
  const before = ofFirstPage(pageOf([9, 8, 7, 6, 5], 'c'));
  expect(seconds(withPageAgain(before, pageOf([8, 6], 'b'), false))).toEqual([9, 8, 6, 5]);
  expect(seconds(withPageAgain(before, pageOf([8, 6]), false))).toEqual([9, 8, 6]);
});

test('withPageAgain: unchanged runs are the same objects, and an older answer changes nothing', () => {
  const before = ofFirstPage(pageOf([9, 8], null, { version: 2 }));
  const list = withPageAgain(before, { items: [runAt(9, { version: 3 }), runAt(8, { version: 1 })], next_cursor: null }, true);
  expect(list.runs[0]?.version).toBe(3);
  expect(list.runs[1]).toBe(before.runs[1]);
});

test('withRun: takes its place, replaces what was known, leaves when it is not wanted', () => {
  const before = ofFirstPage(pageOf([9, 7], 'c'));
  expect(seconds(withRun(before, runAt(8), true))).toEqual([9, 8, 7]);
  expect(withRun(before, runAt(7, { version: 2, phase: 'Failed' }), true).runs[1]?.phase).toBe('Failed');
  expect(withRun(before, runAt(7, { version: 1, phase: 'Failed' }), true)).toBe(before);
  expect(seconds(withRun(before, runAt(7, { version: 2 }), false))).toEqual([9]);
  expect(withoutRun(before, idAt(3))).toBe(before);
});

test('withRun: a run below the end waits for its page', () => {
  const before = ofFirstPage(pageOf([9, 7], 'c'));
  expect(withRun(before, runAt(5), true)).toBe(before);
  expect(isInReach(before, idAt(5))).toBe(false);
  expect(isInReach(ofFirstPage(pageOf([9, 7])), idAt(5))).toBe(true);
  expect(isInReach(NOTHING_READ, idAt(5))).toBe(false);
});

test('covers: from the first run of the page to its last, to the bottom on the last page', () => {
  expect(covers(pageOf([9, 7], 'c'), false, idAt(8))).toBe(true);
  expect(covers(pageOf([9, 7], 'c'), false, idAt(10))).toBe(false);
  expect(covers(pageOf([9, 7], 'c'), true, idAt(10))).toBe(true);
  expect(covers(pageOf([9, 7], 'c'), false, idAt(6))).toBe(false);
  expect(covers(pageOf([9, 7]), false, idAt(6))).toBe(true);
  expect(covers(pageOf([], 'c'), true, idAt(6))).toBe(false);
});
