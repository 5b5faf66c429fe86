import { useEffect, useState } from 'react';
import { useSession } from '@/api/session';
import { Commands } from '@/components/Commands';
import { ErrorNotice } from '@/components/Notice';
import { curlCommand, podrunCommand } from '@/model/commands';
import list from './list.module.css';
import { NoWorkflows } from './NoWorkflows';
import { useLiveRuns, useStoredWorkflows } from './reading';
import { StartRun } from './StartRun';
import { WorkflowItem } from './WorkflowItem';

/** The stored workflows: schedules, their last runs, and a run started from a form. */
export default function WorkflowsPage() {
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useStoredWorkflows();
  const [started, setStarted] = useState<string | null>(null);
  useLiveRuns(null);
  useEffect(() => {
    document.title = 'Workflows · podrun';
  }, []);
  const workflows = data?.pages.flatMap(({ items }) => items);
  return (
    <>
      <h1>Workflows</h1>
      <p className={`muted ${list.lead}`}>
        Stored under a name: they are run by that name, and by their schedule if they have one.
      </p>
      {error !== null && (
        <>
          <ErrorNotice error={error} />
          <button type="button" onClick={() => void refetch()}>
            Try again
          </button>
        </>
      )}
      {workflows === undefined && error === null && <p role="status">Loading the workflows…</p>}
      {workflows?.length === 0 && !hasNextPage && <NoWorkflows />}
      {workflows !== undefined && workflows.length > 0 && (
        <ul className={list.list} aria-label="Stored workflows">
          {workflows.map((workflow) => (
            <WorkflowItem key={workflow.name} workflow={workflow} onStart={setStarted} />
          ))}
        </ul>
      )}
      {hasNextPage && (
        <p>
          <button type="button" onClick={() => void fetchNextPage()} disabled={isFetchingNextPage}>
            {isFetchingNextPage ? 'Loading more…' : 'Show more workflows'}
          </button>
        </p>
      )}
      <ListCommands />
      {started !== null && <StartRun name={started} version={null} onClose={() => setStarted(null)} />}
    </>
  );
}

function ListCommands() {
  const hasToken = useSession().token !== null;
  const origin = window.location.origin;
  return (
    <Commands
      commands={[
        { name: 'podrun', text: podrunCommand(origin, 'workflows', 'list') },
        { name: 'curl', text: curlCommand(origin, { path: '/api/v1/workflows' }, hasToken) },
      ]}
    />
  );
}
