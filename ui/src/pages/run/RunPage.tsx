import { useEffect } from 'react';
import { Link, useParams } from 'react-router';
import { ApiProblem } from '@/api/problems';
import { ErrorNotice, Notice } from '@/components/Notice';
import { useRunData } from '@/model/runData';
import { LoadedRun } from './LoadedRun';

/** One run: what it is, what failed, and its tasks in several views. */
export default function RunPage() {
  const { runId = '' } = useParams();
  return <LiveRun key={runId} runId={runId} />;
}

function LiveRun({ runId }: { runId: string }) {
  const { data, error, refresh } = useRunData(runId);
  const title = data === null ? 'Run' : `${data.run.phase} · ${data.run.workflow}`;
  useEffect(() => {
    document.title = `${title} · podrun`;
  }, [title]);
  const isGone = error instanceof ApiProblem && error.status === 404;
  if (data === null)
    return error === null ? <p role="status">Reading the run…</p> : <NoRun error={error} isGone={isGone} refresh={refresh} />;
  return (
    <>
      {isGone && <Notice tone="warning">This run was deleted. What was read of it stays here until you leave.</Notice>}
      {error !== null && !isGone && <ErrorNotice error={error} />}
      <LoadedRun data={data} refresh={refresh} />
    </>
  );
}

function NoRun({ error, isGone, refresh }: { error: unknown; isGone: boolean; refresh: () => void }) {
  return (
    <>
      <h1>{isGone ? 'There is no such run' : 'The run can’t be shown'}</h1>
      {isGone ? <p>It was deleted, or never there.</p> : <ErrorNotice error={error} />}
      <p>
        {!isGone && (
          <button type="button" onClick={refresh}>
            Try again
          </button>
        )}{' '}
        <Link to="/runs">All runs</Link>
      </p>
    </>
  );
}
