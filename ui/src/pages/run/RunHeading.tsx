import { Link } from 'react-router';
import type { Run } from '@/api/schema';
import { CopyButton } from '@/components/CopyButton';
import { PhaseBadge } from '@/components/PhaseBadge';
import { Duration, RelativeTime } from '@/components/Time';
import { isFailure } from '@/model/phases';
import styles from './RunHeading.module.css';

/** Which run this is, how it is, and since when. */
export function RunHeading({ run }: { run: Run }) {
  const labels = Object.entries(run.labels);
  return (
    <header className={styles.heading}>
      <div className={styles.title}>
        <h1 title={run.workflow}>
          <bdi>{run.workflow}</bdi>
        </h1>
        <PhaseBadge phase={run.phase} />
        {run.suspended && <span className={styles.mark}>‖ Suspended</span>}
      </div>
      {run.message !== null || run.reason !== null ? (
        <p className={styles.message} data-failed={isFailure(run.phase)}>
          {run.reason !== null && <strong>{run.reason}</strong>} <bdi>{run.message}</bdi>
        </p>
      ) : null}
      <dl className={styles.facts}>
        <Fact name="Run">
          <code>{run.id}</code> <CopyButton text={run.id} label="Copy the run's id" />
        </Fact>
        {run.workflow_version !== null && (
          <Fact name="Stored workflow">
            <Link to={`/workflows/${encodeURIComponent(run.workflow)}?version=${run.workflow_version}`}>
              {run.workflow}@{run.workflow_version}
            </Link>
          </Fact>
        )}
        <Fact name="Created">
          <RelativeTime time={run.created_at} />
        </Fact>
        {run.scheduled_at !== null && (
          <Fact name="Due">
            <RelativeTime time={run.scheduled_at} />
          </Fact>
        )}
        <Fact name="Started">{run.started_at === null ? 'not yet' : <RelativeTime time={run.started_at} />}</Fact>
        {run.retried_at !== null && (
          <Fact name="Retried">
            <RelativeTime time={run.retried_at} />
          </Fact>
        )}
        <Fact name="Duration">
          <Duration start={run.started_at} end={run.finished_at} />
        </Fact>
        {labels.length > 0 && (
          <Fact name="Labels">
            <ul className={styles.labels}>
              {labels.map(([name, value]) => (
                <li key={name}>
                  <bdi>
                    {name}={value}
                  </bdi>
                </li>
              ))}
            </ul>
          </Fact>
        )}
      </dl>
    </header>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
