/** Tasks for tests. */
import type { TaskRun } from '@/api/schema';

export function taskRun(name: string, fields: Partial<TaskRun> = {}): TaskRun {
  const times = { started_at: null, finished_at: null };
  return {
    name,
    phase: 'Pending',
    depends_on: [],
    foreach: null,
    attempts: [],
    reason: null,
    message: null,
    outputs: null,
    ...times,
    ...fields,
  };
}
