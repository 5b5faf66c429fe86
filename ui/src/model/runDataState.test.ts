import { expect, test } from 'vitest';
import type { Event, Run, TaskRun } from '@/api/schema';
import { nothingStale, type RunState, withAnswer, withEvents, withParts } from './runDataState';

const T1 = '2026-01-31T12:00:01Z';
const T2 = '2026-01-31T12:00:02Z';

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
const run = (given: Partial<Run> = {}): Run => ({
  id: 'r',
  workflow: 'w',
  workflow_version: null,
  phase: 'Running',
  reason: null,
  message: null,
  is_finished: false,
  suspended: false,
  params: { list: ['a'] },
  labels: {},
  created_at: T1,
  scheduled_at: null,
  started_at: T1,
  finished_at: null,
  retried_at: null,
  task_phases: { Pending: 2 },
  version: 1,
  links: { self: '', tasks: '', logs: '', events: '', workflow: '', page: '' },
  ...given,
});
const event = (given: Partial<Event>): Event => ({
  cursor: '1',
  time: T2,
  type: 'TaskPhase',
  run_id: 'r',
  workflow: 'w',
  task: null,
  attempt: null,
  phase: null,
  reason: null,
  message: null,
  details: null,
  ...given,
});
const state = (...tasks: TaskRun[]): RunState => withAnswer(null, { ...run(), tasks }, nothingStale());

test('withAnswer: what has not changed stays the same object', () => {
  const before = state(task('a', { depends_on: ['x'] }), task('b'));
  const same = withAnswer(before, { ...run(), tasks: [task('a', { depends_on: ['x'] }), task('b')] }, nothingStale());
  expect(same.run).toBe(before.run);
  expect(same.tasks).toBe(before.tasks);
  const next = withAnswer(
    before,
    { ...run(), tasks: [task('a', { depends_on: ['x'] }), task('b', { phase: 'Running' })] },
    nothingStale(),
  );
  expect(next.tasks[0]).toBe(before.tasks[0]);
  expect(next.byName.get('b')?.phase).toBe('Running');
});

test('withAnswer: what an event said after the read began is not undone', () => {
  const { state: after, stale } = withEvents(state(task('a'), task('b')), [
    event({ task: 'a', phase: 'Running' }),
    event({ type: 'RunPhase', phase: 'Cancelling' }),
  ]);
  const next = withAnswer(after, { ...run(), tasks: [task('a'), task('b', { phase: 'Succeeded' })] }, stale);
  expect(next.tasks.map(({ phase }) => phase)).toEqual(['Running', 'Succeeded']);
  expect(next.run.phase).toBe('Cancelling');
});

test('withAnswer: items come in place of their task', () => {
  const next = withAnswer(state(task('work')), { ...run(), tasks: [task('work.0'), task('work.1')] }, nothingStale());
  expect([...next.byName.keys()]).toEqual(['work.0', 'work.1']);
});

test('withEvents: a task with its attempts, and the counts', () => {
  const before = state(task('a'), task('b'));
  const { state: after, stale } = withEvents(before, [
    event({ type: 'AttemptPhase', task: 'a', attempt: 1, phase: 'Pending', time: T1 }),
    event({ type: 'AttemptPhase', task: 'a', attempt: 1, phase: 'Running' }),
    event({ task: 'a', phase: 'Running' }),
    event({ type: 'AttemptPhase', task: 'a', attempt: 1, phase: 'Failed', reason: 'OOMKilled' }),
    event({ task: 'a', phase: 'Pending', reason: 'WaitingForRetry', message: 'attempt 1 Failed' }),
  ]);
  expect(after.byName.get('a')).toMatchObject({
    phase: 'Pending',
    reason: 'WaitingForRetry',
    started_at: T2,
    finished_at: null,
  });
  expect(after.byName.get('a')?.attempts).toMatchObject([{ attempt: 1, phase: 'Failed', reason: 'OOMKilled', created_at: T1 }]);
  expect(after.byName.get('b')).toBe(before.byName.get('b'));
  expect(after.run.task_phases).toEqual({ Pending: 2 });
  expect([...stale.tasks]).toEqual(['a']);
  expect(stale.everything).toBe(false);
});

test('withEvents: counts follow the phases', () => {
  const { state: after } = withEvents(state(task('a'), task('b')), [event({ task: 'a', phase: 'Succeeded' })]);
  expect(after.run.task_phases).toEqual({ Pending: 1, Succeeded: 1 });
  expect(after.tasks[0]?.finished_at).toBe(T2);
});

test('withEvents: an unknown task, or a retry, makes everything be read again', () => {
  expect(withEvents(state(task('work')), [event({ task: 'work.0', phase: 'Running' })]).stale.everything).toBe(true);
  expect(withEvents(state(task('a')), [event({ type: 'RetryRequested' })]).stale.everything).toBe(true);
});

test('withEvents: what the cluster says of a pod changes nothing', () => {
  const before = state(task('a'));
  const { state: after, stale } = withEvents(before, [event({ type: 'PodEvent', task: 'a', reason: 'Pulling' })]);
  expect(after).toBe(before);
  expect(stale).toEqual(nothingStale());
});

test.each<[Partial<Event>, Partial<Run>]>([
  [
    { type: 'RunPhase', phase: 'Failed', reason: 'TaskFailed' },
    { phase: 'Failed', reason: 'TaskFailed', finished_at: T2 },
  ],
  [
    { type: 'RunFinished', phase: 'Failed' },
    { phase: 'Running', is_finished: true },
  ],
  [{ type: 'SuspendRequested' }, { suspended: true }],
  [
    { type: 'CancelRequested', message: 'enough' },
    { phase: 'Running', message: null },
  ],
])('withEvents: %j of the run', (given, expected) => {
  const { state: after, stale } = withEvents(state(task('a')), [event(given)]);
  expect(after.run).toMatchObject(expected);
  expect(stale.run).toBe(true);
});

test('withParts: only the tasks that were read, and none that is gone', () => {
  const before = state(task('a'), task('b'));
  const next = withParts(before, run({ version: 2 }), [task('b', { phase: 'Running' }), task('c')], nothingStale());
  expect(next.run.version).toBe(2);
  expect(next.tasks.map(({ name, phase }) => [name, phase])).toEqual([
    ['a', 'Pending'],
    ['b', 'Running'],
  ]);
  expect(next.tasks[0]).toBe(before.tasks[0]);
  expect(withParts(before, run(), [task('a')], nothingStale())).toBe(before);
});

test('withEvents: ten thousand events take milliseconds', () => {
  const before = state(...Array.from({ length: 10_000 }, (_, index) => task(`t${index}`)));
  const events = before.tasks.map(({ name }) => event({ task: name, phase: 'Succeeded' }));
  const { state: after } = withEvents(before, events);
  expect(after.run.task_phases).toEqual({ Succeeded: 10_000 });
});
