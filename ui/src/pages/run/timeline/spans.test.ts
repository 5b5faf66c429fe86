import { expect, test } from 'vitest';
import type { Attempt, Phase, TaskRun } from '@/api/schema';
import { boundsOf, rowsOf, rowText, segmentsOf } from './spans';

const START = Date.parse('2026-01-31T12:00:00Z');
const time = (seconds: number) => new Date(START + seconds * 1_000).toISOString();

function attempt(number: number, phase: Phase, created: number, started: number | null, finished: number | null): Attempt {
  return {
    attempt: number,
    phase,
    created_at: time(created),
    started_at: started === null ? null : time(started),
    finished_at: finished === null ? null : time(finished),
    exit_code: null,
    log: { bytes: 0, gaps: 0, is_sealed: true, lines: 0, lines_removed: 0 } as unknown as Attempt['log'],
    message: null,
    namespace: 'n',
    node: null,
    pod: 'p',
    reason: null,
  };
}

function task(name: string, phase: Phase, attempts: Attempt[], fields: Partial<TaskRun> = {}): TaskRun {
  const rest = {
    depends_on: [],
    foreach: null,
    message: null,
    outputs: null,
    reason: null,
    started_at: null,
    finished_at: null,
  };
  return { name, phase, attempts, ...rest, ...fields };
}

const drawn = (of: TaskRun) =>
  segmentsOf(of).map(({ kind, attempt, from, to, phase }) => [
    kind,
    attempt,
    (from - START) / 1_000,
    to === null ? null : (to - START) / 1_000,
    phase,
  ]);

test('segmentsOf: attempts apart, pending and running apart', () => {
  const build = task('build', 'Failed', [attempt(1, 'Failed', 0, 2, 14), attempt(2, 'Failed', 24, 25, 30)]);
  expect(drawn(build)).toEqual([
    ['pending', 1, 0, 2, 'Pending'],
    ['running', 1, 2, 14, 'Failed'],
    ['pending', 2, 24, 25, 'Pending'],
    ['running', 2, 25, 30, 'Failed'],
  ]);
});

test.each([
  ['still pending', attempt(1, 'Pending', 1, null, null), [['pending', 1, 1, null, 'Pending']]],
  ['cancelled while pending', attempt(1, 'Cancelled', 1, null, 5), [['pending', 1, 1, 5, 'Cancelled']]],
  [
    'still running',
    attempt(1, 'Running', 1, 2, null),
    [
      ['pending', 1, 1, 2, 'Pending'],
      ['running', 1, 2, null, 'Running'],
    ],
  ],
  ['started before it was created: clocks differ', attempt(1, 'Succeeded', 3, 2, 5), [['running', 1, 2, 5, 'Succeeded']]],
  ['finished before it started', attempt(1, 'Succeeded', 2, 2, 1), [['running', 1, 2, 2, 'Succeeded']]],
  [
    'over without an end',
    attempt(1, 'Error', 2, 3, null),
    [
      ['pending', 1, 2, 3, 'Pending'],
      ['running', 1, 3, 3, 'Error'],
    ],
  ],
] as const)('segmentsOf: %s', (_, given, segments) => {
  expect(drawn(task('t', given.phase, [given]))).toEqual(segments);
});

test('rowsOf: by start, what has not begun last, in the order of the document', () => {
  const tasks = [
    task('c', 'Pending', []),
    task('b', 'Running', [attempt(1, 'Running', 5, 6, null)]),
    task('d', 'Skipped', []),
    task('a', 'Succeeded', [attempt(1, 'Succeeded', 1, 2, 3)]),
  ];
  expect(rowsOf(tasks, 'start', new Set()).map(({ name }) => name)).toEqual(['a', 'b', 'c', 'd']);
  expect(rowsOf(tasks, 'document', new Set()).map(({ name }) => name)).toEqual(['c', 'b', 'd', 'a']);
});

test('rowsOf: a fan-out of many items is one row, from the first start to the last end', () => {
  const items = Array.from({ length: 60 }, (_, index) =>
    task(`w.${index}`, index === 7 ? 'Failed' : 'Succeeded', [attempt(1, 'Succeeded', index, index + 1, index + 2)], {
      foreach: { task: 'w', index, item: index },
    }),
  );
  const [row, ...rest] = rowsOf(items, 'start', new Set());
  expect(rest).toEqual([]);
  expect(row?.counts).toEqual([
    ['Failed', 1],
    ['Succeeded', 59],
  ]);
  expect(row?.segments.map(({ from, to }) => [from - START, (to ?? 0) - START])).toEqual([[0, 61_000]]);
  expect(rowsOf(items, 'start', new Set(['w']))).toHaveLength(61);
});

test('boundsOf: what goes on ends now', () => {
  const rows = rowsOf([task('t', 'Running', [attempt(1, 'Running', -2, 3, null)])], 'start', new Set());
  expect(boundsOf(rows, START, START + 9_000)).toEqual({ from: START - 2_000, to: START + 9_000, isLive: true });
});

test.each([
  [
    task('build', 'Succeeded', [attempt(1, 'Succeeded', 0, 2, 14)]),
    'build: Succeeded; pending 2.0 s; running 12.0 s, Succeeded',
  ],
  [
    task('build', 'Failed', [attempt(1, 'Failed', 0, 2, 14), attempt(2, 'Failed', 20, 21, 22)], { reason: 'OOMKilled' }),
    'build: Failed (OOMKilled); attempt 1: pending 2.0 s; running 12.0 s, Failed; attempt 2: pending 1.0 s; running 1.0 s, Failed',
  ],
  [task('deploy', 'Running', [attempt(1, 'Running', 0, 0, null)]), 'deploy: Running; running 20.0 s so far'],
  [task('deploy', 'Cancelled', [attempt(1, 'Cancelled', 0, null, 3)]), 'deploy: Cancelled; pending 3.0 s, Cancelled'],
  [task('deploy', 'Skipped', []), 'deploy: Skipped, no pod'],
  [task('deploy', 'Pending', []), 'deploy: Pending, no pod so far'],
])('rowText: %#', (given, text) => {
  expect(rowsOf([given], 'start', new Set()).map((row) => rowText(row, START + 20_000))).toEqual([text]);
});
