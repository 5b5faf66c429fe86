import { memo } from 'react';
import type { TaskRun } from '@/api/schema';
import { PhaseBadge } from '@/components/PhaseBadge';
import type { RunData } from '@/model/runData';
import styles from './TaskPanel.module.css';
import { phaseCounts } from './taskRows';

const MOST_SHOWN = 50;

type UpstreamProps = { data: RunData; task: TaskRun; onSelect: (task: string) => void; onFilter: (text: string) => void };

/** What the task waits for, or waited for. */
export function Upstream({ data, task, onSelect, onFilter }: UpstreamProps) {
  if (task.depends_on.length === 0) return null;
  return (
    <section>
      <h3>Depends on</h3>
      <ul className={styles.upstream}>
        {task.depends_on.slice(0, MOST_SHOWN).map((name) => {
          const upstream = data.byName.get(name);
          return (
            <li key={name}>
              <button type="button" onClick={() => (upstream === undefined ? onFilter(`${name}.`) : onSelect(name))}>
                <bdi>{name}</bdi>
              </button>{' '}
              {upstream === undefined ? <span className="muted">all items</span> : <PhaseBadge phase={upstream.phase} />}
            </li>
          );
        })}
        {task.depends_on.length > MOST_SHOWN && <li>and {task.depends_on.length - MOST_SHOWN} more</li>}
      </ul>
    </section>
  );
}

/** Where no task has the name: a `foreach` task, in whose place its items stand, or nothing at all. */
export function GroupOrGone({ data, name, onFilter }: { data: RunData; name: string; onFilter: (text: string) => void }) {
  const items = data.tasks.filter((task) => task.foreach?.task === name);
  if (items.length === 0) return <p>This run has no task of this name (any more).</p>;
  return (
    <>
      <p>{items.length} items:</p>
      <ul className={styles.upstream}>
        {phaseCounts(items).map(({ phase, count }) => (
          <li key={phase}>
            <PhaseBadge phase={phase} count={count} />
          </li>
        ))}
      </ul>
      <button type="button" onClick={() => onFilter(`${name}.`)}>
        Show them in the table
      </button>
    </>
  );
}

/** A value, indented. It may be large, and the panel is rendered at every event of the run. */
export const Json = memo(function Json({ value }: { value: unknown }) {
  return <pre className={styles.json}>{JSON.stringify(value, null, 2)}</pre>;
});
