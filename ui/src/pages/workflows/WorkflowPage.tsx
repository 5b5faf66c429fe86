import { useEffect, useState } from 'react';
import { Link, useParams, useSearchParams } from 'react-router';
import { ApiProblem } from '@/api/problems';
import { ErrorNotice, Notice } from '@/components/Notice';
import { runsPath, versionIn, workflowPath } from '@/model/paths';
import { DeleteWorkflow } from './DeleteWorkflow';
import { DocumentSection } from './DocumentSection';
import { NewestRuns } from './NewestRuns';
import { ParamsTable } from './ParamsTable';
import { useLiveRuns, usePause, useStoredWorkflow, useVersions, type WorkflowAnswer } from './reading';
import { ScheduleSection } from './ScheduleSection';
import { StartRun } from './StartRun';
import { VersionsSection } from './VersionsSection';
import { WorkflowCommands } from './WorkflowCommands';
import { PausedMark } from './WorkflowItem';
import styles from './workflows.module.css';

/** A stored workflow: its schedule, params, versions, document and newest runs. */
export default function WorkflowPage() {
  const { name = '' } = useParams();
  const [search] = useSearchParams();
  const version = versionIn(search.get('version'));
  const { data, error, refetch } = useStoredWorkflow(name, version);
  useEffect(() => {
    document.title = `${name} · Workflows · podrun`;
  }, [name]);
  if (error instanceof ApiProblem && error.status === 404)
    return <NotStored name={name} version={version} message={error.message} />;
  return (
    <>
      {data === undefined && (
        <h1>
          <bdi>{name}</bdi>
        </h1>
      )}
      {error !== null && (
        <>
          <ErrorNotice error={error} />
          <button type="button" onClick={() => void refetch()}>
            Try again
          </button>
        </>
      )}
      {data === undefined && error === null && <p role="status">Loading the workflow…</p>}
      {data !== undefined && <Stored key={name} workflow={data} asked={version} />}
    </>
  );
}

function NotStored({ name, version, message }: { name: string; version: number | null; message: string }) {
  return (
    <>
      <h1>
        <bdi>{version === null ? name : `${name}, version ${version}`}</bdi>
      </h1>
      <Notice tone="warning">
        {version === null ? 'No workflow is stored under this name, or not any more' : 'There is no such version'}: {message}.
      </Notice>
      <ul className={styles.links}>
        {version !== null && (
          <li>
            <Link to={workflowPath(name)}>Its newest version</Link>
          </li>
        )}
        <li>
          <Link to={runsPath(name)}>Runs of this name</Link>
        </li>
        <li>
          <Link to="/workflows">All workflows</Link>
        </li>
      </ul>
    </>
  );
}

/** `asked`: the version in the address, null for the newest. */
function Stored({ workflow, asked }: { workflow: WorkflowAnswer; asked: number | null }) {
  const { name, description, schedule, paused } = workflow;
  const versions = useVersions(name);
  const newest = versions.data?.pages[0]?.items[0]?.version ?? null;
  const isOld = asked !== null && newest !== null && asked < newest;
  useLiveRuns(name);
  return (
    <>
      <Heading workflow={workflow} asked={asked} newest={newest} />
      {isOld && (
        <Notice>
          This is version {asked}. The newest is <Link to={workflowPath(name)}>version {newest}</Link>
          {schedule !== null && '; the schedule runs that one'}.
        </Notice>
      )}
      {description !== null && (
        <p className={styles.description}>
          <bdi>{description}</bdi>
        </p>
      )}
      <div className={styles.columns}>
        <div>
          {schedule !== null && <ScheduleSection schedule={schedule} isPaused={paused} />}
          <ParamsTable params={workflow.params} />
          <VersionsSection name={name} versions={versions} shown={workflow.version} />
        </div>
        <NewestRuns workflow={name} />
      </div>
      <DocumentSection workflow={workflow} versions={versions.data?.pages.flatMap(({ items }) => items) ?? []} />
      <WorkflowCommands workflow={workflow} asked={asked} />
    </>
  );
}

function Heading({ workflow, asked, newest }: { workflow: WorkflowAnswer; asked: number | null; newest: number | null }) {
  const { name, version, schedule, paused } = workflow;
  const [dialog, setDialog] = useState<'start' | 'delete' | null>(null);
  const pause = usePause(name);
  const close = () => setDialog(null);
  return (
    <>
      <div className={styles.heading}>
        <h1>
          <bdi>{name}</bdi>
        </h1>
        <span className="muted">
          version {version}
          {version === newest && ', the newest'}
        </span>
        {schedule !== null && paused && <PausedMark />}
        <div className={styles.actions}>
          <button type="button" className="primary" onClick={() => setDialog('start')}>
            Run…
          </button>
          {schedule !== null && (
            <button type="button" onClick={() => pause.isPending || pause.mutate(!paused)} aria-disabled={pause.isPending}>
              {paused ? 'Unpause the schedule' : 'Pause the schedule'}
            </button>
          )}
          <button type="button" className="danger" onClick={() => setDialog('delete')}>
            Delete…
          </button>
        </div>
      </div>
      {pause.error !== null && <ErrorNotice error={pause.error} />}
      {dialog === 'start' && <StartRun name={name} version={asked} onClose={close} />}
      {dialog === 'delete' && <DeleteWorkflow name={name} hasSchedule={schedule !== null} onClose={close} />}
    </>
  );
}
