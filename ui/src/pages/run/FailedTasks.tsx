import { memo, useMemo } from 'react';
import type { TaskRun } from '@/api/schema';
import { LogTail } from '@/components/LogTail';
import { ErrorNotice } from '@/components/Notice';
import { PhaseBadge } from '@/components/PhaseBadge';
import { retryRun } from '@/model/runRequests';
import { documentName } from './documentText';
import styles from './FailedTasks.module.css';
import { useAction } from './runActions';
import { failedTasks } from './taskRows';

const SHOWN = 5;

type Props = {
  runId: string;
  /** Whether the run is over: before that, nothing can be retried. */
  canRetry: boolean;
  tasks: readonly TaskRun[];
  /** Names in the document of tasks whose failure does not fail the run. */
  mayFail: ReadonlySet<string>;
  onSelect: (task: string) => void;
  onShowAll: () => void;
  refresh: () => void;
};

/** What failed, why, and the last it said: seen without a click. */
export const FailedTasks = memo(function FailedTasks({ runId, canRetry, tasks, mayFail, onSelect, onShowAll, refresh }: Props) {
  const failed = useMemo(() => failedTasks(tasks, mayFail), [tasks, mayFail]);
  if (failed.length === 0) return null;
  const more = failed.length - SHOWN;
  return (
    <section className={styles.failed} aria-labelledby="failed-tasks">
      <h2 id="failed-tasks">{failed.length === 1 ? 'One task failed' : `${failed.length} tasks failed`}</h2>
      <div className={styles.cards} data-single={failed.length === 1}>
        {failed.slice(0, SHOWN).map((task) => (
          <FailedTask
            key={task.name}
            runId={runId}
            canRetry={canRetry}
            task={task}
            isAllowed={mayFail.has(documentName(task))}
            onSelect={onSelect}
            refresh={refresh}
          />
        ))}
      </div>
      {more > 0 && (
        <button type="button" onClick={onShowAll}>
          and {more} more
        </button>
      )}
    </section>
  );
});

type CardProps = {
  runId: string;
  canRetry: boolean;
  task: TaskRun;
  isAllowed: boolean;
  onSelect: (task: string) => void;
  refresh: () => void;
};

const FailedTask = memo(function FailedTask({ runId, canRetry, task, isAllowed, onSelect, refresh }: CardProps) {
  const attempt = task.attempts.at(-1);
  const retry = useAction(() => retryRun(runId, [task.name]), refresh);
  const exitCode = attempt?.exit_code ?? null;
  return (
    <article className={styles.card} aria-label={`Failed task ${task.name}`}>
      <div className={styles.head}>
        <h3 title={task.name}>
          <button type="button" className={styles.name} onClick={() => onSelect(task.name)}>
            <bdi>{task.name}</bdi>
          </button>
        </h3>
        <PhaseBadge phase={task.phase} />
        {task.reason !== null && <strong>{task.reason}</strong>}
        {exitCode !== null && <span>exit code {exitCode}</span>}
        {task.attempts.length > 1 && <span>after {task.attempts.length} attempts</span>}
        {isAllowed && <span className="muted">allowed to fail</span>}
        {canRetry && (
          <button type="button" className={styles.retry} onClick={() => retry.run(undefined)} disabled={retry.isBusy}>
            Retry this task
          </button>
        )}
      </div>
      {task.message !== null && task.message !== `exit code ${exitCode}` && <p className={styles.message}>{task.message}</p>}
      {retry.error !== null && <ErrorNotice error={retry.error} />}
      {attempt === undefined ? <p className="muted">It never had a pod.</p> : <LogTail runId={runId} task={task} />}
    </article>
  );
});
