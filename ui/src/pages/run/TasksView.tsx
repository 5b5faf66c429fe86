import { memo, useMemo } from 'react';
import { useSearchParams } from 'react-router';
import { TableVirtuoso } from 'react-virtuoso';
import { serviceNow } from '@/api/clock';
import type { TaskRun } from '@/api/schema';
import { PhaseBadge } from '@/components/PhaseBadge';
import { Duration, RelativeTime } from '@/components/Time';
import { useTyped } from '@/model/typed';
import styles from './TasksView.module.css';
import { ORDERS, type Order, phaseCounts, rowsOf } from './taskRows';

const ORDER_WORDS: Readonly<Record<Order, string>> = {
  document: 'as in the document',
  longest: 'longest first',
  started: 'last started first',
};
const ROW_PX = 37;
const MOST_PX = 640;
const TYPING_MS = 150;

type Props = { tasks: readonly TaskRun[]; selected: string | null; onSelect: (task: string | null) => void };

/** All tasks as a table; its filters are part of the address. */
export const TasksView = memo(function TasksView({ tasks, selected, onSelect }: Props) {
  const [search, setSearch] = useSearchParams();
  const phases = search.getAll('phase');
  const text = search.get('q') ?? '';
  const order = ORDERS.find((each) => each === search.get('order')) ?? 'document';
  const phaseKey = phases.join(' ');
  const rows = useMemo(
    () => rowsOf(tasks, { phases: new Set(phaseKey.split(' ').filter(Boolean)), text, order }, serviceNow()),
    [tasks, phaseKey, text, order],
  );
  const change = (edit: (next: URLSearchParams) => void) =>
    setSearch(
      (before) => {
        const next = new URLSearchParams(before);
        edit(next);
        return next;
      },
      { replace: true },
    );
  const toggle = (phase: string) =>
    change((next) => {
      next.delete('phase');
      const others = phases.filter((each) => each !== phase);
      for (const each of others.length === phases.length ? [...phases, phase] : others) next.append('phase', each);
    });
  return (
    <>
      <div className={styles.filters}>
        <NameFilter
          value={text}
          onChange={(typed) => change((next) => (typed === '' ? next.delete('q') : next.set('q', typed)))}
        />
        <label>
          Order{' '}
          <select value={order} onChange={({ target }) => change((next) => next.set('order', target.value))}>
            {ORDERS.map((each) => (
              <option key={each} value={each}>
                {ORDER_WORDS[each]}
              </option>
            ))}
          </select>
        </label>
        <fieldset className={styles.phases}>
          <legend className="visually-hidden">Phases</legend>
          {phaseCounts(tasks).map(({ phase, count }) => (
            <button key={phase} type="button" aria-pressed={phases.includes(phase)} onClick={() => toggle(phase)}>
              <PhaseBadge phase={phase} count={count} />
            </button>
          ))}
        </fieldset>
        <span role="status" className="muted">
          {rows.length === tasks.length ? `${rows.length} tasks` : `${rows.length} of ${tasks.length} tasks`}
        </span>
      </div>
      {rows.length === 0 ? (
        <p>No task fits these filters.</p>
      ) : (
        <TaskTable rows={rows} selected={selected} onSelect={onSelect} />
      )}
    </>
  );
});

function NameFilter({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const { typed, setTyped } = useTyped(value, onChange, TYPING_MS);
  return (
    <label>
      Name <input type="search" value={typed} onChange={({ target }) => setTyped(target.value)} />
    </label>
  );
}

function TaskTable({ rows, selected, onSelect }: { rows: readonly TaskRun[] } & Pick<Props, 'selected' | 'onSelect'>) {
  return (
    <div className={styles.table}>
      <TableVirtuoso
        role="region"
        aria-label="Table of tasks"
        data={rows}
        style={{ height: Math.min(MOST_PX, (rows.length + 1) * ROW_PX + 20) }}
        computeItemKey={(_, task) => task.name}
        components={{ Table: TableElement }}
        fixedHeaderContent={() => (
          <tr>
            <th scope="col">Task</th>
            <th scope="col">Phase</th>
            <th scope="col">Reason</th>
            <th scope="col" className={styles.extra}>
              Attempts
            </th>
            <th scope="col" className={styles.extra}>
              Started
            </th>
            <th scope="col">Duration</th>
            <th scope="col" className={styles.extra}>
              Exit code
            </th>
            <th scope="col" className={styles.more}>
              Pod, node
            </th>
          </tr>
        )}
        itemContent={(_, task) => <TaskCells task={task} isSelected={task.name === selected} onSelect={onSelect} />}
      />
    </div>
  );
}

function TableElement(props: React.TableHTMLAttributes<HTMLTableElement>) {
  return <table {...props} aria-label="Tasks" />;
}

type CellsProps = { task: TaskRun; isSelected: boolean; onSelect: Props['onSelect'] };

const TaskCells = memo(function TaskCells({ task, isSelected, onSelect }: CellsProps) {
  const attempt = task.attempts.at(-1);
  const why = [task.reason, task.message].filter(Boolean).join(': ');
  const place = [attempt?.pod, attempt?.node].filter(Boolean).join(', ');
  return (
    <>
      <td className={styles.name} data-selected={isSelected}>
        <button type="button" aria-current={isSelected || undefined} title={task.name} onClick={() => onSelect(task.name)}>
          <bdi>{task.name}</bdi>
        </button>
      </td>
      <td className={styles.phase}>
        <PhaseBadge phase={task.phase} />
      </td>
      <td className={styles.why} title={why}>
        <bdi>{why}</bdi>
      </td>
      <td className={styles.extra}>{task.attempts.length || ''}</td>
      <td className={styles.extra}>
        <RelativeTime time={task.started_at} />
      </td>
      <td className={styles.duration}>
        <Duration start={task.started_at} end={task.finished_at} />
      </td>
      <td className={styles.extra}>{attempt?.exit_code ?? ''}</td>
      <td className={`${styles.more} ${styles.pod}`} title={place}>
        {place}
      </td>
    </>
  );
});
