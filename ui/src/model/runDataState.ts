/** What is known of a run, as a value: how an answer of the API and the run's events change it. No input and output here. */
import type { Event, Phase, Run, RunPhase, TaskRun } from '@/api/schema';
import { isOver } from '@/model/phases';

export type RunState = {
  readonly run: Run;
  /** In document order, items of a `foreach` in its place. */
  readonly tasks: readonly TaskRun[];
  readonly byName: ReadonlyMap<string, TaskRun>;
};

/** What must be read again. `everything`: tasks have come or gone, or began anew. */
export type Stale = { everything: boolean; run: boolean; tasks: Set<string> };

export function nothingStale(): Stale {
  return { everything: false, run: false, tasks: new Set() };
}

export function isStale(stale: Stale): boolean {
  return stale.everything || stale.run || stale.tasks.size > 0;
}

/** `more` is added to `stale`. */
export function addStale(stale: Stale, more: Stale): void {
  stale.everything ||= more.everything;
  stale.run ||= more.run;
  for (const name of more.tasks) stale.tasks.add(name);
}

/**
 * The state after the whole was read. Tasks that have not changed stay the same objects.
 *
 * `touched` had events after the read began: what those said stays until the next read, so that nothing on the page goes back in time.
 */
export function withAnswer(before: RunState | null, answer: Run, touched: Stale): RunState {
  const { tasks: read, ...run } = answer;
  const tasks = (read ?? []).map((task) => keptTask(before, task, touched));
  const isSameList =
    before !== null && tasks.length === before.tasks.length && tasks.every((task, at) => task === before.tasks[at]);
  const next = before !== null && touched.run ? { ...run, ...movingPart(before.run) } : run;
  return {
    run: before !== null && isSame(before.run, next) ? before.run : next,
    tasks: isSameList ? before.tasks : tasks,
    byName: isSameList ? before.byName : indexOf(tasks),
  };
}

/** The state after only the run and some of its tasks were read; `run` null: only tasks. */
export function withParts(before: RunState, run: Run | null, read: readonly TaskRun[], touched: Stale): RunState {
  const changed = new Map<string, TaskRun>();
  for (const task of read) {
    const kept = keptTask(before, task, touched);
    if (before.byName.has(task.name) && kept !== before.byName.get(task.name)) changed.set(task.name, kept);
  }
  const next = run === null || touched.run || isSame(before.run, run) ? before.run : run;
  return replaced(before, next, changed);
}

/** What the events say, applied at once, and what has to be read again for the exact truth. */
export function withEvents(before: RunState, events: readonly Event[]): { state: RunState; stale: Stale } {
  const stale = nothingStale();
  const changed = new Map<string, TaskRun>();
  let run = before.run;
  for (const event of events) {
    if (event.type === 'RetryRequested') stale.everything = true;
    if (event.task === null) {
      stale.run = true;
      run = runAfter(run, event);
      continue;
    }
    const task = changed.get(event.task) ?? before.byName.get(event.task);
    if (task === undefined) {
      stale.everything ||= event.type === 'TaskPhase' || event.type === 'AttemptPhase';
      continue;
    }
    if (event.type === 'PodEvent' || event.type === 'Note') continue;
    stale.tasks.add(event.task);
    changed.set(event.task, taskAfter(task, event));
  }
  const counted = changed.size === 0 ? run : { ...run, task_phases: countsAfter(run.task_phases, before, changed) };
  return { state: replaced(before, counted, changed), stale };
}

/** Whether two values of JSON are equal. */
export function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  const names = Object.keys(left);
  if (names.length !== Object.keys(right).length) return false;
  return names.every((name) => name in right && isSame(left[name], right[name]));
}

function keptTask(before: RunState | null, task: TaskRun, touched: Stale): TaskRun {
  const old = before?.byName.get(task.name);
  return old !== undefined && (touched.tasks.has(task.name) || isSame(old, task)) ? old : task;
}

function replaced(before: RunState, run: Run, changed: ReadonlyMap<string, TaskRun>): RunState {
  if (changed.size === 0) return run === before.run ? before : { ...before, run };
  const tasks = before.tasks.map((task) => changed.get(task.name) ?? task);
  return { run, tasks, byName: indexOf(tasks) };
}

function indexOf(tasks: readonly TaskRun[]): ReadonlyMap<string, TaskRun> {
  return new Map(tasks.map((task) => [task.name, task]));
}

function movingPart({
  phase,
  reason,
  message,
  suspended,
  is_finished,
  started_at,
  finished_at,
  task_phases,
}: Run): Partial<Run> {
  return { phase, reason, message, suspended, is_finished, started_at, finished_at, task_phases };
}

function runAfter(run: Run, event: Event): Run {
  if (event.type === 'SuspendRequested') return { ...run, suspended: true };
  if (event.type === 'ResumeRequested') return { ...run, suspended: false };
  if (event.type === 'RunFinished') return { ...run, is_finished: true };
  if (event.type !== 'RunPhase' || event.phase === null) return run;
  const phase = event.phase as RunPhase;
  return {
    ...run,
    phase,
    reason: event.reason,
    message: event.message,
    started_at: phase === 'Running' ? (run.started_at ?? event.time) : run.started_at,
    finished_at: isOver(phase) ? event.time : null,
  };
}

function taskAfter(task: TaskRun, event: Event): TaskRun {
  if (event.phase === null) return task;
  const phase = event.phase as Phase;
  if (event.type === 'AttemptPhase') return withAttempt(task, event, phase);
  if (event.type !== 'TaskPhase') return task;
  return {
    ...task,
    phase,
    reason: event.reason,
    message: event.message,
    started_at: phase === 'Running' ? (task.started_at ?? event.time) : task.started_at,
    finished_at: isOver(phase) ? event.time : null,
  };
}

function withAttempt(task: TaskRun, event: Event, phase: Phase): TaskRun {
  const old = task.attempts.find(({ attempt }) => attempt === event.attempt);
  if (event.attempt === null) return task;
  const { reason, message, time } = event;
  if (old === undefined) {
    const log = { bytes: 0, lines: 0, sealed: false, gaps: 0 };
    const place = { pod: '', namespace: '', node: null, exit_code: null };
    const started_at = phase === 'Running' ? time : null;
    const finished_at = isOver(phase) ? time : null;
    const attempt = {
      attempt: event.attempt,
      phase,
      reason,
      message,
      ...place,
      created_at: time,
      started_at,
      finished_at,
      log,
    };
    return { ...task, attempts: [...task.attempts, attempt] };
  }
  const next = {
    ...old,
    phase,
    reason,
    message,
    started_at: phase === 'Running' ? (old.started_at ?? time) : old.started_at,
    finished_at: isOver(phase) ? (old.finished_at ?? time) : null,
  };
  return { ...task, attempts: task.attempts.map((attempt) => (attempt === old ? next : attempt)) };
}

function countsAfter(
  counts: Readonly<Record<string, number>>,
  before: RunState,
  changed: ReadonlyMap<string, TaskRun>,
): Record<string, number> {
  const next = { ...counts };
  for (const [name, task] of changed) {
    const old = before.byName.get(name);
    if (old === undefined || old.phase === task.phase) continue;
    next[old.phase] = Math.max(0, (next[old.phase] ?? 0) - 1);
    next[task.phase] = (next[task.phase] ?? 0) + 1;
    if (next[old.phase] === 0) delete next[old.phase];
  }
  return next;
}
