import { Link } from 'react-router';
import type { ListedWorkflow } from '@/api/schema';
import { ErrorNotice } from '@/components/Notice';
import { workflowPath } from '@/model/paths';
import { LastRuns } from './LastRuns';
import list from './list.module.css';
import { usePause } from './reading';
import { ScheduleFacts } from './ScheduleFacts';
import { scheduleText } from './schedules';
import styles from './workflows.module.css';

/** One stored workflow in the list. */
export function WorkflowItem({ workflow, onStart }: { workflow: ListedWorkflow; onStart: (name: string) => void }) {
  const { name, version, description, paused, schedule } = workflow;
  const pause = usePause(name);
  return (
    <li className={list.item}>
      <div className={styles.what}>
        <h2 className={list.name}>
          <Link to={workflowPath(name)} title={name}>
            <bdi>{name}</bdi>
          </Link>
        </h2>
        <span className="muted">version {version}</span>
        {description !== null && (
          <p className={list.excerpt} title={description}>
            <bdi>{description}</bdi>
          </p>
        )}
      </div>
      <div className={styles.when}>
        {schedule === null ? (
          <span className="muted">No schedule</span>
        ) : (
          <>
            <p className={styles.rule}>
              {scheduleText(schedule)} {paused && <PausedMark />}
            </p>
            <ScheduleFacts schedule={schedule} isPaused={paused} />
          </>
        )}
      </div>
      <LastRuns workflow={name} />
      <div className={styles.actions}>
        <button type="button" onClick={() => onStart(name)} aria-label={`Run ${name}…`}>
          Run…
        </button>
        {schedule !== null && (
          <button
            type="button"
            onClick={() => pause.isPending || pause.mutate(!paused)}
            aria-disabled={pause.isPending}
            aria-label={`${paused ? 'Unpause' : 'Pause'} the schedule of ${name}`}
          >
            {paused ? 'Unpause' : 'Pause'}
          </button>
        )}
      </div>
      {pause.error !== null && (
        <div className={list.refused}>
          <ErrorNotice error={pause.error} />
        </div>
      )}
    </li>
  );
}

/** Says that a schedule makes no runs at present. */
export function PausedMark() {
  return (
    <span className={styles.paused}>
      <span aria-hidden="true">❚❚</span> Paused
    </span>
  );
}
