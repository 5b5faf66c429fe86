/** Runs for tests. */
import type { Run, RunList } from '@/api/schema';

/** The id of the run that was made `second` seconds after the first. */
export function idAt(second: number): string {
  const time = (1_767_225_600_000 + second * 1_000).toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-000000000000`;
}

export function runAt(second: number, change: Partial<Run> = {}): Run {
  const id = idAt(second);
  return {
    id,
    workflow: 'hello',
    workflow_version: null,
    phase: 'Running',
    reason: null,
    message: null,
    is_finished: false,
    suspended: false,
    params: {},
    labels: {},
    created_at: new Date(1_767_225_600_000 + second * 1_000).toISOString(),
    scheduled_at: null,
    started_at: null,
    finished_at: null,
    retried_at: null,
    task_phases: { Running: 1 },
    version: 1,
    links: { self: '', tasks: '', logs: '', events: '', workflow: '', page: '' },
    tasks: null,
    ...change,
  };
}

export function pageOf(seconds: readonly number[], next_cursor: string | null = null, change: Partial<Run> = {}): RunList {
  return { items: seconds.map((second) => runAt(second, change)), next_cursor };
}
