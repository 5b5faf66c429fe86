/** Requests that change a run, for whichever page shows it. */
import { api, dataOf } from '@/api/client';
import type { Run } from '@/api/schema';

export type Cancellation = { readonly reason: string | null; readonly force: boolean };

/** Cancel the run; by `force` its tasks of `on_exit`, too. */
export function cancelRun(runId: string, body: Cancellation): Promise<Run> {
  return dataOf(api.POST('/api/v1/runs/{run_id}/cancel', { params: { path: { run_id: runId } }, body }));
}

/** `tasks` null: all that failed. */
export function retryRun(runId: string, tasks: string[] | null): Promise<Run> {
  return dataOf(api.POST('/api/v1/runs/{run_id}/retry', { params: { path: { run_id: runId } }, body: { tasks } }));
}
