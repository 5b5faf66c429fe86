/** How far a run's tasks are. */
import type { Phase } from '@/api/schema';
import { isFailure, isOver, TASK_PHASES } from '@/model/phases';

export type Progress = { readonly total: number; readonly over: number; readonly failed: number };

export function progressOf(counts: Readonly<Partial<Record<Phase, number>>>): Progress {
  const sum = (isMeant: (phase: Phase) => boolean) =>
    TASK_PHASES.filter(isMeant).reduce((total, phase) => total + (counts[phase] ?? 0), 0);
  return { total: sum(() => true), over: sum(isOver), failed: sum(isFailure) };
}

/** `37 of 100 tasks`, `37 of 100 tasks, 2 failed`; of a run that is over `100 tasks`. */
export function progressText({ total, over, failed }: Progress, isActive: boolean): string {
  const tasks = `${total} ${total === 1 ? 'task' : 'tasks'}`;
  return (isActive ? `${over} of ${tasks}` : tasks) + (failed > 0 ? `, ${failed} failed` : '');
}
