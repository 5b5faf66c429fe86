import { lazy, Suspense, useCallback, useMemo } from 'react';
import { useSearchParams } from 'react-router';
import { fetchPart } from '@/api/parts';
import { Commands } from '@/components/Commands';
import { Notice } from '@/components/Notice';
import type { RunData } from '@/model/runData';
import { Approvals } from './Approvals';
import { DocumentView } from './DocumentView';
import { namesIn } from './documentText';
import { EventsView } from './EventsView';
import { FailedTasks } from './FailedTasks';
import styles from './LoadedRun.module.css';
import { ParamsView } from './ParamsView';
import { RunActions } from './RunActions';
import { RunHeading } from './RunHeading';
import { runCommands } from './runCommands';
import { useDocumentFacts } from './runDocument';
import { PANEL_ID, type Tab, Tabs, tabId } from './Tabs';
import { TaskPanel } from './TaskPanel';
import { TasksView } from './TasksView';

const RunGraph = lazy(() => fetchPart(() => import('./graph/RunGraph')).then(({ RunGraph }) => ({ default: RunGraph })));
const Timeline = lazy(() => fetchPart(() => import('./timeline/Timeline')).then(({ Timeline }) => ({ default: Timeline })));

const VIEWS = ['graph', 'timeline', 'tasks', 'events', 'document', 'params'] as const;
export type View = (typeof VIEWS)[number];
const TABS: readonly Tab<View>[] = [
  { name: 'graph', label: 'Graph' },
  { name: 'timeline', label: 'Timeline' },
  { name: 'tasks', label: 'Tasks' },
  { name: 'events', label: 'Events' },
  { name: 'document', label: 'Document' },
  { name: 'params', label: 'Params' },
];

type Props = { data: RunData; refresh: () => void };

/** The page of a run that was read. */
export function LoadedRun({ data, refresh }: Props) {
  const { run, tasks } = data;
  const address = useAddress();
  const facts = useDocumentFacts(run.id);
  return (
    <>
      <RunHeading run={run} />
      <RunActions run={run} refresh={refresh} />
      {run.suspended && (
        <Notice tone="warning">Suspended: what runs goes on, and nothing new starts until it is resumed.</Notice>
      )}
      <Approvals runId={run.id} tasks={tasks} refresh={refresh} />
      <FailedTasks
        runId={run.id}
        canRetry={run.is_finished}
        tasks={tasks}
        mayFail={facts.mayFail}
        onSelect={address.select}
        onShowAll={address.showFailed}
        refresh={refresh}
      />
      <Tabs label="Views of the run" tabs={TABS} selected={address.view} onSelect={address.show} />
      <div className={styles.body} data-panel={address.task !== null}>
        <div id={PANEL_ID} role="tabpanel" aria-labelledby={tabId(address.view)} className={styles.view}>
          <Suspense fallback={<p role="status">Loading…</p>}>
            <ViewOf data={data} onExitNames={facts.onExit} address={address} />
          </Suspense>
        </div>
        {address.task !== null && (
          <TaskPanel data={data} name={address.task} onSelect={address.select} onFilter={address.filter} refresh={refresh} />
        )}
      </div>
      <Commands commands={runCommands(run, address.view, address.task)} />
    </>
  );
}

type ViewProps = { data: RunData; onExitNames: ReadonlySet<string>; address: Address };

function ViewOf({ data, onExitNames, address }: ViewProps) {
  const { run, tasks } = data;
  const { task, select } = address;
  const onExit = useMemo(() => namesIn(tasks, onExitNames), [tasks, onExitNames]);
  switch (address.view) {
    case 'graph':
      return <RunGraph tasks={tasks} onExit={onExit} selected={task} onSelect={select} />;
    case 'timeline':
      return <Timeline run={run} tasks={tasks} selected={task} onSelect={select} />;
    case 'tasks':
      return <TasksView tasks={tasks} selected={task} onSelect={select} />;
    case 'events':
      return <EventsView runId={run.id} isFinished={run.is_finished} onSelect={select} />;
    case 'document':
      return <DocumentView runId={run.id} name={run.workflow} />;
    case 'params':
      return <ParamsView params={run.params} />;
  }
}

type Address = ReturnType<typeof useAddress>;

/** What the page's address says, and the ways to change it. Each is a step that the browser's “back” undoes. */
function useAddress() {
  const [search, setSearch] = useSearchParams();
  const view = VIEWS.find((each) => each === search.get('view')) ?? 'graph';
  const edit = useCallback(
    (change: (next: URLSearchParams) => void) =>
      setSearch((before) => {
        const next = new URLSearchParams(before);
        change(next);
        return next;
      }),
    [setSearch],
  );
  const show = useCallback((name: View) => edit((next) => next.set('view', name)), [edit]);
  const select = useCallback(
    (task: string | null) => edit((next) => (task === null ? next.delete('task') : next.set('task', task))),
    [edit],
  );
  const filter = useCallback(
    (text: string) =>
      edit((next) => {
        next.set('view', 'tasks');
        next.set('q', text);
        next.delete('phase');
      }),
    [edit],
  );
  const showFailed = useCallback(
    () =>
      edit((next) => {
        next.set('view', 'tasks');
        next.delete('q');
        next.delete('phase');
        for (const phase of ['Failed', 'Error']) next.append('phase', phase);
      }),
    [edit],
  );
  return { view, task: search.get('task'), show, select, filter, showFailed };
}
