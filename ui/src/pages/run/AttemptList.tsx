import { Link } from 'react-router';
import type { Attempt, TaskRun } from '@/api/schema';
import { PhaseBadge } from '@/components/PhaseBadge';
import { Duration } from '@/components/Time';
import { logPath } from '@/model/paths';
import { bytesText, localText } from '@/model/times';
import styles from './TaskPanel.module.css';

const MOST_SHOWN = 50;

/** Each attempt of the task, the last one first. */
export function AttemptList({ runId, task }: { runId: string; task: TaskRun }) {
  if (task.attempts.length === 0) return <p className="muted">No attempts: it has, or had, no pod.</p>;
  const newestFirst = task.attempts.toReversed();
  return (
    <section>
      <h3>{task.attempts.length === 1 ? 'One attempt' : `${task.attempts.length} attempts`}</h3>
      {newestFirst.slice(0, MOST_SHOWN).map((attempt) => (
        <AttemptFacts key={attempt.attempt} runId={runId} task={task.name} attempt={attempt} />
      ))}
      {newestFirst.length > MOST_SHOWN && <p>The {newestFirst.length - MOST_SHOWN} attempts before are not shown.</p>}
    </section>
  );
}

function AttemptFacts({ runId, task, attempt }: { runId: string; task: string; attempt: Attempt }) {
  const { log } = attempt;
  const pendingEnd = attempt.started_at ?? attempt.finished_at;
  const where = [attempt.namespace, attempt.pod].filter(Boolean).join('/');
  return (
    <article className={styles.attempt} aria-label={`Attempt ${attempt.attempt}`}>
      <div className={styles.facts}>
        <strong>Attempt {attempt.attempt}</strong>
        <PhaseBadge phase={attempt.phase} />
        {attempt.reason !== null && <strong>{attempt.reason}</strong>}
        {attempt.exit_code !== null && <span>exit code {attempt.exit_code}</span>}
      </div>
      {attempt.message !== null && <p className={styles.message}>{attempt.message}</p>}
      <dl className={styles.details}>
        <dt>Created</dt>
        <dd>{localText(attempt.created_at)}</dd>
        <dt>Pending</dt>
        <dd>
          <Duration start={attempt.created_at} end={pendingEnd} />
        </dd>
        <dt>Running</dt>
        <dd>
          <Duration start={attempt.started_at} end={attempt.finished_at} />
        </dd>
        {where !== '' && (
          <>
            <dt>Pod</dt>
            <dd>{where}</dd>
          </>
        )}
        {attempt.node !== null && (
          <>
            <dt>Node</dt>
            <dd>{attempt.node}</dd>
          </>
        )}
        <dt>Log</dt>
        <dd>
          <Link to={logPath(runId, task, attempt.attempt)}>
            {log.lines} {log.lines === 1 ? 'line' : 'lines'}, {bytesText(log.bytes)}
            <span className="visually-hidden"> of attempt {attempt.attempt}</span>
          </Link>
          {log.gaps > 0 && (
            <strong> {log.gaps === 1 ? 'lines may be missing' : `lines may be missing at ${log.gaps} places`}</strong>
          )}
          {!log.sealed && <span className="muted"> so far</span>}
        </dd>
      </dl>
    </article>
  );
}
