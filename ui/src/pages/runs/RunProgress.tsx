import type { Run } from '@/api/schema';
import { isOver } from '@/model/phases';
import { progressOf, progressText } from './progress';
import styles from './RunProgress.module.css';

/** How far a run's tasks are: a bar while it is active, with what failed hatched; and in words. */
export function RunProgress({ run }: { run: Run }) {
  const progress = progressOf(run.task_phases);
  const isActive = !isOver(run.phase);
  const text = progressText(progress, isActive);
  const share = (count: number) => `${progress.total === 0 ? 0 : (100 * count) / progress.total}%`;
  return (
    <div className={styles.progress}>
      {isActive && (
        <div
          className={styles.bar}
          role="progressbar"
          aria-label="Tasks"
          aria-valuemin={0}
          aria-valuemax={progress.total}
          aria-valuenow={progress.over}
          aria-valuetext={text}
        >
          <span className={styles.failed} style={{ width: share(progress.failed) }} />
          <span className={styles.over} style={{ width: share(progress.over - progress.failed) }} />
        </div>
      )}
      <span className={styles.text} aria-hidden={isActive}>
        {text}
      </span>
    </div>
  );
}
