import { useMemo } from 'react';
import { Virtuoso } from 'react-virtuoso';
import type { TaskRun } from '@/api/schema';
import { PhaseBadge } from '@/components/PhaseBadge';
import { TASK_PHASES } from '@/model/phases';
import styles from './RunGraph.module.css';

type Props = {
  title: string;
  tasks: readonly TaskRun[];
  selected: string | null;
  /** Why it is only listed; null: it can be unfolded. */
  note: string | null;
  onSelect: (task: string) => void;
  onUnfold: () => void;
  onClose: () => void;
};

/** The tasks behind a folded node, the most urgent phases first. */
export function GroupList({ title, tasks, selected, note, onSelect, onUnfold, onClose }: Props) {
  const sorted = useMemo(() => TASK_PHASES.flatMap((phase) => tasks.filter((task) => task.phase === phase)), [tasks]);
  return (
    <section className={styles.list} aria-label={`Tasks of ${title}`}>
      <header>
        <h3>
          {title} <span className="muted">({tasks.length.toLocaleString('en')})</span>
        </h3>
        {note === null && (
          <button type="button" onClick={onUnfold}>
            Unfold
          </button>
        )}
        <button type="button" onClick={onClose} aria-label={`Close the list of ${title}`}>
          ✕
        </button>
      </header>
      {note !== null && <p className="muted">{note}</p>}
      <Virtuoso
        className={styles.rows}
        // Its rows take the focus.
        tabIndex={-1}
        totalCount={sorted.length}
        computeItemKey={(row) => sorted[row]?.name ?? row}
        itemContent={(row) => {
          const task = sorted[row];
          return task === undefined ? null : (
            <button
              type="button"
              className={styles.row}
              aria-pressed={task.name === selected}
              title={task.name}
              onClick={() => onSelect(task.name)}
            >
              <span className={styles.rowName}>{task.name}</span>
              <PhaseBadge phase={task.phase} />
            </button>
          );
        }}
      />
    </section>
  );
}
