import { memo } from 'react';
import { Link } from 'react-router';
import type { Run } from '@/api/schema';
import { PhaseBadge } from '@/components/PhaseBadge';
import { Duration, RelativeTime } from '@/components/Time';
import { runPath } from '@/model/paths';
import { isFailure } from '@/model/phases';
import { RunLabels } from './RunLabels';
import { RunProgress } from './RunProgress';
import styles from './RunRow.module.css';

/** What a row can ask for. */
export type RunRowActions = {
  readonly select: (run: Run, isSelected: boolean) => void;
  readonly chooseWorkflow: (workflow: string) => void;
  readonly chooseLabel: (key: string, value: string) => void;
};

type Props = { run: Run; isSelected: boolean; actions: RunRowActions };

/** A run. What went wrong is written in it. */
export const RunRow = memo(function RunRow({ run, isSelected, actions }: Props) {
  const short = run.id.slice(-8);
  const name = `${run.workflow} ${short}`;
  return (
    <div className={styles.row} data-selected={isSelected || undefined}>
      <label className={styles.select}>
        <input
          type="checkbox"
          checked={isSelected}
          onChange={(event) => actions.select(run, event.target.checked)}
          aria-label={`Select ${name}`}
        />
      </label>
      <div className={styles.phase}>
        <PhaseBadge phase={run.phase} />
        {run.suspended && (
          <span className={styles.suspended} title="Nothing new of this run starts until it is resumed">
            <span aria-hidden="true">⏸</span> Suspended
          </span>
        )}
      </div>
      <div className={styles.what}>
        <Link to={runPath(run.id)} className={styles.name} title={`${run.workflow} ${run.id}`}>
          <bdi>{run.workflow}</bdi> <span className={styles.id}>{short}</span>
        </Link>
        <button
          type="button"
          className={styles.only}
          onClick={() => actions.chooseWorkflow(run.workflow)}
          aria-label={`Only runs of ${run.workflow}`}
          title={`Only runs of ${run.workflow}`}
        >
          <svg
            viewBox="0 0 16 16"
            width="14"
            height="14"
            aria-hidden="true"
            fill="none"
            stroke="currentColor"
            strokeWidth="1.5"
          >
            <path d="M2 3h12L9.5 8.5V13l-3-1.5v-3z" />
          </svg>
        </button>
        <RunLabels labels={run.labels} onLabel={actions.chooseLabel} />
        <Why run={run} />
      </div>
      <RunProgress run={run} />
      <div className={styles.times}>
        <span>
          <span className="visually-hidden">created </span>
          <RelativeTime time={run.created_at} />
        </span>
        <span className="muted">
          <span className="visually-hidden">duration </span>
          <Duration start={run.started_at} end={run.finished_at} />
        </span>
      </div>
    </div>
  );
});

/** The run's reason and message, where it has them. */
function Why({ run: { phase, reason, message } }: { run: Run }) {
  if (!reason && !message) return null;
  return (
    <p className={styles.why} data-failure={isFailure(phase) || undefined} title={message ?? undefined}>
      {reason && <strong>{reason}</strong>} {message && <bdi>{message}</bdi>}
    </p>
  );
}
