import { Link } from 'react-router';
import type { Run } from '@/api/schema';
import { ErrorNotice } from '@/components/Notice';
import { PhaseBadge } from '@/components/PhaseBadge';
import { Duration, RelativeTime } from '@/components/Time';
import { runPath, runsPath, shortId } from '@/model/paths';
import { useNewestRuns } from './reading';
import styles from './workflows.module.css';

const SHOWN = 20;

/** The newest runs of a workflow, live. */
export function NewestRuns({ workflow }: { workflow: string }) {
  const { data, error } = useNewestRuns(workflow, SHOWN);
  return (
    <section aria-labelledby="runs">
      <div className={styles.heading}>
        <h2 id="runs">Newest runs</h2>
        <Link to={runsPath(workflow)}>All runs of it</Link>
      </div>
      {error !== null && <ErrorNotice error={error} />}
      {data === undefined && error === null && <p role="status">Loading its runs…</p>}
      {data?.items.length === 0 && <p className="muted">It has not run yet: “Run…” starts it.</p>}
      {data !== undefined && data.items.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls, by the keyboard too
        <section className={`${styles.scroll} ${styles.runs}`} aria-label="Table of the newest runs" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">Run</th>
                <th scope="col">Phase</th>
                <th scope="col" className={styles.wide}>
                  Version
                </th>
                <th scope="col">Created</th>
                <th scope="col">Took</th>
              </tr>
            </thead>
            <tbody>
              {data.items.map((run) => (
                <Row key={run.id} run={run} />
              ))}
            </tbody>
          </table>
        </section>
      )}
    </section>
  );
}

function Row({ run }: { run: Run }) {
  const { id, phase, reason, message, workflow_version, created_at, scheduled_at, started_at, finished_at } = run;
  return (
    <tr>
      <th scope="row">
        <Link to={runPath(id)} title={id} aria-label={`Run ${id}`} className={styles.id}>
          {shortId(id)}
        </Link>
      </th>
      <td title={message ?? undefined}>
        <PhaseBadge phase={phase} />
        {reason !== null && <div className="muted">{reason}</div>}
      </td>
      <td className={styles.wide}>{workflow_version ?? <span className="muted">posted</span>}</td>
      <td>
        <RelativeTime time={created_at} />
        {scheduled_at !== null && <div className="muted">by schedule</div>}
      </td>
      <td>
        <Duration start={started_at} end={finished_at} />
      </td>
    </tr>
  );
}
