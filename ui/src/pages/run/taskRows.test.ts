import { expect, test } from 'vitest';
import type { TaskRun } from '@/api/schema';
import { failedTasks, phaseCounts, rowsOf, waitsForApproval } from './taskRows';

const NOW = Date.parse('2026-01-31T12:01:00Z');
const task = (name: string, given: Partial<TaskRun> = {}): TaskRun => ({
  name,
  phase: 'Pending',
  reason: null,
  message: null,
  depends_on: [],
  foreach: null,
  outputs: null,
  started_at: null,
  finished_at: null,
  attempts: [],
  ...given,
});
const namesOf = (tasks: readonly TaskRun[]) => tasks.map(({ name }) => name);

test('failedTasks: those that fail the run come first, items count as their task', () => {
  const foreach = { task: 'work', index: 0, item: 1 };
  const tasks = [
    task('work.0', { phase: 'Failed', foreach }),
    task('a', { phase: 'Succeeded' }),
    task('b', { phase: 'Error' }),
  ];
  expect(namesOf(failedTasks(tasks, new Set(['work'])))).toEqual(['b', 'work.0']);
  expect(namesOf(failedTasks(tasks, new Set()))).toEqual(['work.0', 'b']);
});

test('rowsOf: filters and orders', () => {
  const tasks = [
    task('a'),
    task('build', { phase: 'Running', started_at: '2026-01-31T12:00:50Z' }),
    task('b', { phase: 'Succeeded', started_at: '2026-01-31T12:00:00Z', finished_at: '2026-01-31T12:00:30Z' }),
  ];
  const all = { phases: new Set<string>(), text: '', order: 'document' as const };
  expect(namesOf(rowsOf(tasks, { ...all, text: ' BU ' }, NOW))).toEqual(['build']);
  expect(namesOf(rowsOf(tasks, { ...all, phases: new Set(['Pending', 'Succeeded']) }, NOW))).toEqual(['a', 'b']);
  expect(namesOf(rowsOf(tasks, { ...all, order: 'longest' }, NOW))).toEqual(['b', 'build', 'a']);
  expect(namesOf(rowsOf(tasks, { ...all, order: 'started' }, NOW))).toEqual(['build', 'b', 'a']);
});

test('phaseCounts: failures first, phases without tasks left out', () => {
  const tasks = [task('a'), task('b', { phase: 'Failed' }), task('c')];
  expect(phaseCounts(tasks)).toEqual([
    { phase: 'Failed', count: 1 },
    { phase: 'Pending', count: 2 },
  ]);
});

test('waitsForApproval: by its reason', () => {
  expect(waitsForApproval(task('a', { phase: 'Running', reason: 'WaitingForApproval' }))).toBe(true);
  expect(waitsForApproval(task('a', { phase: 'Running' }))).toBe(false);
});
