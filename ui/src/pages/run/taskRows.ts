/** Which tasks are listed where, and in which order. */
import type { Phase, TaskRun } from '@/api/schema';
import { isFailure, TASK_PHASES } from '@/model/phases';
import { elapsed } from '@/model/times';
import { documentName } from './documentText';

export const ORDERS = ['document', 'longest', 'started'] as const;
export type Order = (typeof ORDERS)[number];
export type TaskFilter = { readonly phases: ReadonlySet<string>; readonly text: string; readonly order: Order };

/** The tasks that failed: first those for which the run failed, then those that were allowed to. */
export function failedTasks(tasks: readonly TaskRun[], mayFail: ReadonlySet<string>): readonly TaskRun[] {
  const failed = tasks.filter((task) => isFailure(task.phase));
  if (mayFail.size === 0) return failed;
  const isAllowed = (task: TaskRun) => mayFail.has(documentName(task));
  return [...failed.filter((task) => !isAllowed(task)), ...failed.filter(isAllowed)];
}

/** Whether a person's answer is what it waits for. */
export function waitsForApproval(task: TaskRun): boolean {
  return task.phase === 'Running' && task.reason === 'WaitingForApproval';
}

/** The rows of the table. Tasks that have not started stand last where the order is one of times. */
export function rowsOf(tasks: readonly TaskRun[], { phases, text, order }: TaskFilter, now: number): readonly TaskRun[] {
  const wanted = text.trim().toLowerCase();
  const rows = tasks.filter(
    (task) => (phases.size === 0 || phases.has(task.phase)) && (wanted === '' || task.name.includes(wanted)),
  );
  if (order === 'document') return rows;
  const keyOf = order === 'longest' ? durationOf : startOf;
  const keyed = rows.map((task) => ({ task, key: keyOf(task, now) }));
  keyed.sort((a, b) => b.key - a.key);
  return keyed.map(({ task }) => task);
}

/** How many tasks are in which phase, in the order in which phases are listed; none that have no task. */
export function phaseCounts(tasks: readonly TaskRun[]): readonly { phase: Phase; count: number }[] {
  const counts = new Map<Phase, number>();
  for (const { phase } of tasks) counts.set(phase, (counts.get(phase) ?? 0) + 1);
  return TASK_PHASES.flatMap((phase) => {
    const count = counts.get(phase);
    return count === undefined ? [] : [{ phase, count }];
  });
}

function durationOf(task: TaskRun, now: number): number {
  return elapsed(task.started_at, task.finished_at, now) ?? -1;
}

function startOf(task: TaskRun): number {
  return task.started_at === null ? -1 : Date.parse(task.started_at);
}
