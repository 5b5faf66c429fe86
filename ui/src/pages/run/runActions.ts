/** What a person can do to a run on its own page: one request each. */
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { api, fetchApi } from '@/api/client';
import { ApiProblem } from '@/api/problems';
import type { Run } from '@/api/schema';
import type { SubmitKeys } from '@/model/idempotency';

export type Answer = 'approve' | 'reject';

/** An action with its progress. `run` does nothing while it is under way. */
export type Action<Input> = { run: (input: Input) => void; isBusy: boolean; error: unknown; reset: () => void };

/** `after` is called when the service did it, and the lists of runs are read again. */
export function useAction<Input>(act: (input: Input) => Promise<unknown>, after?: () => void): Action<Input> {
  const queries = useQueryClient();
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: act,
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: ['runs'] });
      after?.();
    },
  });
  return { run: (input) => !isPending && mutate(input), isBusy: isPending, error, reset };
}

export function suspendRun(runId: string): Promise<unknown> {
  return api.POST('/api/v1/runs/{run_id}/suspend', { params: { path: { run_id: runId } } });
}

export function resumeRun(runId: string): Promise<unknown> {
  return api.POST('/api/v1/runs/{run_id}/resume', { params: { path: { run_id: runId } } });
}

export function deleteRun(runId: string): Promise<unknown> {
  return api.DELETE('/api/v1/runs/{run_id}', { params: { path: { run_id: runId } } });
}

export function answerTask(runId: string, task: string, answer: Answer, comment: string): Promise<unknown> {
  const call = { params: { path: { run_id: runId, task } }, body: { comment: comment.trim() || null } };
  return answer === 'approve'
    ? api.POST('/api/v1/runs/{run_id}/tasks/{task}/approve', call)
    : api.POST('/api/v1/runs/{run_id}/tasks/{task}/reject', call);
}

/** The body of a new run: `workflow` is JSON text, put in as it is, so that its numbers stay as they were written. */
export function submissionText(
  workflow: string,
  params: Readonly<Record<string, unknown>>,
  labels: Readonly<Record<string, string>>,
) {
  return `{"workflow":${workflow},"params":${JSON.stringify(params)},"labels":${JSON.stringify(labels)}}`;
}

/** A new run. The same body makes no second one, unless the first was deleted. */
export async function submitWithKey(body: string, keys: SubmitKeys): Promise<Run> {
  const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': keys.of(body) };
  try {
    const answer = await fetchApi(new URL('/api/v1/runs', window.location.origin).href, { method: 'POST', headers, body });
    return (await answer.json()) as Run;
  } catch (error) {
    if (error instanceof ApiProblem && error.status === 410) keys.forget(body);
    throw error;
  }
}
