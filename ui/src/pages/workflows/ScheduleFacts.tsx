import { Link } from 'react-router';
import type { StoredSchedule } from '@/api/schema';
import { RelativeTime } from '@/components/Time';
import { useNow } from '@/model/now';
import { runPath } from '@/model/paths';
import { localText } from '@/model/times';
import { nextText } from './schedules';
import styles from './workflows.module.css';

/** When a schedule makes its next run, and what came of the last times. */
export function ScheduleFacts({ schedule, isPaused }: { schedule: StoredSchedule; isPaused: boolean }) {
  const { next_at, last_at, last_run_id, last_skipped_at, last_skipped_reason } = schedule;
  return (
    <dl className={styles.facts}>
      <dt>Next run</dt>
      <dd>{next_at === null ? isPaused ? 'none while it is paused' : 'none' : <NextTime time={next_at} />}</dd>
      <dt>Last run</dt>
      <dd>
        {last_at === null && 'none yet'}
        {last_at !== null && last_run_id === null && <RelativeTime time={last_at} />}
        {last_at !== null && last_run_id !== null && (
          <Link to={runPath(last_run_id)}>
            <RelativeTime time={last_at} />
          </Link>
        )}
      </dd>
      {last_skipped_at !== null && (
        <>
          <dt>Left out</dt>
          <dd>
            <RelativeTime time={last_skipped_at} />
            {last_skipped_reason !== null && (
              <>
                {': '}
                <bdi>{last_skipped_reason}</bdi>
              </>
            )}
          </dd>
        </>
      )}
    </dl>
  );
}

function NextTime({ time }: { time: string }) {
  const now = useNow();
  return (
    <time dateTime={time} title={localText(time)}>
      {nextText(time, now)}
    </time>
  );
}
