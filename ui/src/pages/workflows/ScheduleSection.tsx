import type { StoredSchedule } from '@/api/schema';
import { ScheduleFacts } from './ScheduleFacts';
import { catchupText, overlapText, scheduleText } from './schedules';
import styles from './workflows.module.css';

/** When a workflow runs by itself, what came of it, and what its rules mean. */
export function ScheduleSection({ schedule, isPaused }: { schedule: StoredSchedule; isPaused: boolean }) {
  const { overlap, catchup } = schedule;
  return (
    <section aria-labelledby="schedule">
      <h2 id="schedule">Schedule</h2>
      <p className={styles.rule}>{scheduleText(schedule)}</p>
      {isPaused && <p>It is paused: it starts no runs until it is unpaused. Runs by name still start.</p>}
      <ScheduleFacts schedule={schedule} isPaused={isPaused} />
      <dl className={styles.facts}>
        <dt>Overlap</dt>
        <dd>
          <code>{overlap}</code>: {overlapText(overlap)}
        </dd>
        <dt>Catchup</dt>
        <dd>
          <code>{String(catchup)}</code>: {catchupText(catchup)}
        </dd>
      </dl>
    </section>
  );
}
