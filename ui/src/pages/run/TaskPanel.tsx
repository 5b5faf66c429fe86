import { useQuery } from '@tanstack/react-query';
import { type KeyboardEvent, useEffect, useRef } from 'react';
import { api, dataOf } from '@/api/client';
import { keys } from '@/api/query';
import type { TaskRun } from '@/api/schema';
import { LogTail } from '@/components/LogTail';
import { ErrorNotice } from '@/components/Notice';
import { PhaseBadge } from '@/components/PhaseBadge';
import { Duration } from '@/components/Time';
import type { RunData } from '@/model/runData';
import { retryRun } from '@/model/runRequests';
import { ApprovalForm } from './Approvals';
import { AttemptList } from './AttemptList';
import { useAction } from './runActions';
import styles from './TaskPanel.module.css';
import { GroupOrGone, Json, Upstream } from './TaskPanelParts';
import { waitsForApproval } from './taskRows';

const SIZES_MS = 5_000;

type Props = {
  data: RunData;
  name: string;
  onSelect: (task: string | null) => void;
  onFilter: (text: string) => void;
  refresh: () => void;
};

/** All of one task, beside whatever view it was chosen in. Escape closes it, and the focus goes back to where it was. */
export function TaskPanel({ data, name, onSelect, onFilter, refresh }: Props) {
  const heading = useFocusHere(name);
  const task = data.byName.get(name);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Escape' || event.defaultPrevented) return;
    event.stopPropagation();
    onSelect(null);
  };
  return (
    <aside className={styles.panel} aria-label={`Task ${name}`} onKeyDown={onKeyDown}>
      <header className={styles.head}>
        <h2 ref={heading} tabIndex={-1} title={name}>
          <bdi>{name}</bdi>
        </h2>
        <button type="button" onClick={() => onSelect(null)} aria-label="Close the task">
          ✕
        </button>
      </header>
      {task === undefined ? (
        <GroupOrGone data={data} name={name} onFilter={onFilter} />
      ) : (
        <TaskBody key={name} data={data} task={task} onSelect={onSelect} onFilter={onFilter} refresh={refresh} />
      )}
    </aside>
  );
}

function TaskBody({ data, task, onSelect, onFilter, refresh }: Omit<Props, 'name'> & { task: TaskRun }) {
  const { run } = data;
  const retry = useAction(() => retryRun(run.id, [task.name]), refresh);
  const exact = useExactTask(run.id, task);
  return (
    <>
      <div className={styles.facts}>
        <PhaseBadge phase={task.phase} />
        {task.reason !== null && <strong>{task.reason}</strong>}
        <span className="muted">
          <Duration start={task.started_at} end={task.finished_at} />
        </span>
      </div>
      {task.message !== null && <p className={styles.message}>{task.message}</p>}
      {waitsForApproval(task) && <ApprovalForm runId={run.id} task={task} refresh={refresh} />}
      {run.is_finished && (
        <button type="button" onClick={() => retry.run(undefined)} disabled={retry.isBusy}>
          Retry this task and what is downstream
        </button>
      )}
      {retry.error !== null && <ErrorNotice error={retry.error} />}
      <Upstream data={data} task={task} onSelect={onSelect} onFilter={onFilter} />
      {task.foreach !== null && (
        <section>
          <h3>Item {task.foreach.index}</h3>
          <Json value={task.foreach.item} />
        </section>
      )}
      {task.outputs !== null && (
        <section>
          <h3>Outputs</h3>
          <Json value={task.outputs} />
        </section>
      )}
      {task.attempts.length > 0 && (
        <section>
          <h3>Log</h3>
          <LogTail runId={run.id} task={task} />
        </section>
      )}
      <AttemptList runId={run.id} task={exact} />
    </>
  );
}

/** The task with the sizes of its logs, which grow without an event. */
function useExactTask(runId: string, task: TaskRun): TaskRun {
  const isGrowing = task.attempts.some(({ log }) => !log.sealed);
  const { data } = useQuery({
    queryKey: keys.task(runId, task.name),
    queryFn: () =>
      dataOf(api.GET('/api/v1/runs/{run_id}/tasks/{task}', { params: { path: { run_id: runId, task: task.name } } })),
    enabled: isGrowing,
    refetchInterval: SIZES_MS,
  });
  if (!isGrowing || data === undefined) return task;
  const sizes = new Map(data.attempts.map(({ attempt, log }) => [attempt, log]));
  return { ...task, attempts: task.attempts.map((each) => ({ ...each, log: sizes.get(each.attempt) ?? each.log })) };
}

/** The focus goes to the heading when another task is chosen, and back when the panel is closed. Not when a page begins with it. */
function useFocusHere(name: string) {
  const heading = useRef<HTMLHeadingElement>(null);
  const before = useRef<Element | null>(document.activeElement);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the name is what it waits for
  useEffect(() => {
    if (document.activeElement !== document.body) heading.current?.focus();
    // An address that names the task may be opened where the panel is below what is in sight.
    else heading.current?.scrollIntoView({ block: 'nearest' });
  }, [name]);
  useEffect(() => {
    const opener = before.current;
    return () => {
      // The row may have been scrolled away meanwhile.
      const target = opener?.isConnected ? opener : document.querySelector('[role="tab"][aria-selected="true"]');
      if (target instanceof HTMLElement) target.focus();
    };
  }, []);
  return heading;
}
