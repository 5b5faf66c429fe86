import { useQuery } from '@tanstack/react-query';
import { useEffect } from 'react';
import { Link, useParams } from 'react-router';
import { api, dataOf } from '@/api/client';
import { ApiProblem } from '@/api/problems';
import { keys } from '@/api/query';
import type { TaskDetail } from '@/api/schema';
import { ErrorNotice, Notice } from '@/components/Notice';
import { logPath } from '@/model/paths';
import { isOver } from '@/model/phases';
import { AttemptLog } from './AttemptLog';
import { LogHeader } from './LogHeader';
import { missingIn } from './logAddress';
import { NoAttempt } from './NoAttempt';
import { type AddressControl, useLogAddress } from './useLogAddress';

/** While the task goes on its phase is asked for this often; afterwards, or where it is gone, for a retry that someone asks for. */
const LIVE_MS = 1_500;
const OVER_MS = 10_000;

/** The log of one attempt and container of a task. */
export default function LogsPage() {
  const { runId = '', task: name = '' } = useParams();
  const task = useQuery({
    queryKey: keys.task(runId, name),
    queryFn: () => dataOf(api.GET('/api/v1/runs/{run_id}/tasks/{task}', { params: { path: { run_id: runId, task: name } } })),
    refetchInterval: ({ state: { data, error } }) =>
      error instanceof ApiProblem || (data !== undefined && isSettled(data)) ? OVER_MS : LIVE_MS,
  });
  const run = useQuery({
    queryKey: keys.run(runId),
    queryFn: () => dataOf(api.GET('/api/v1/runs/{run_id}', { params: { path: { run_id: runId } } })),
    staleTime: 60_000,
  });
  const address = useLogAddress();
  const phase = task.data?.phase;
  useEffect(() => {
    document.title = [phase, `Log of ${name}`, 'podrun'].filter((part) => part !== undefined).join(' · ');
  }, [phase, name]);

  const isGone = task.error instanceof ApiProblem && task.error.status === 404;
  const attempts = task.data?.attempts ?? [];
  const newest = attempts.at(-1)?.attempt ?? null;
  return (
    <>
      <LogHeader runId={runId} name={name} workflow={run.data?.workflow ?? null} task={task.data ?? null} address={address} />
      {isGone && task.data !== undefined && <Notice tone="warning">The run has been deleted: its log is gone.</Notice>}
      {task.error !== null && !(isGone && task.data !== undefined) && (
        <>
          <ErrorNotice error={task.error} />
          <button type="button" onClick={() => void task.refetch()}>
            Try again
          </button>
        </>
      )}
      {task.data === undefined && task.error === null && <p role="status">Reading the task…</p>}
      {task.data !== undefined && <LogOf runId={runId} task={task.data} newest={newest} address={address} />}
    </>
  );
}

type Asked = { runId: string; task: TaskDetail; newest: number | null; address: AddressControl };

/** The log that the address names, or why there is none. */
function LogOf({ runId, task, newest, address }: Asked) {
  const missing = missingIn(task, address.value);
  if (missing !== null) {
    return (
      <Notice tone="warning">
        {missing} <Link to={logPath(runId, task.name)}>The log that there is</Link>
      </Notice>
    );
  }
  if (newest === null) return <NoAttempt task={task} />;
  return <AttemptLog runId={runId} task={task} newest={newest} address={address} />;
}

function isSettled(task: TaskDetail): boolean {
  return isOver(task.phase) && task.attempts.every(({ phase, log }) => isOver(phase) && log.sealed);
}
