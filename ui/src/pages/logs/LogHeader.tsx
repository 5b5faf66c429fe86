import { Link } from 'react-router';
import type { Attempt, TaskDetail } from '@/api/schema';
import { PhaseBadge } from '@/components/PhaseBadge';
import { runPath } from '@/model/paths';
import styles from './LogHeader.module.css';
import type { AddressControl } from './useLogAddress';

type Props = {
  runId: string;
  name: string;
  workflow: string | null;
  task: TaskDetail | null;
  address: AddressControl;
};

/** Which log it is, the way back to the run, and the way to the task's other logs. */
export function LogHeader({ runId, name, workflow, task, address }: Props) {
  const attempts = task?.attempts ?? [];
  const shown = address.value.attempt ?? attempts.at(-1)?.attempt ?? null;
  return (
    <div className={styles.header}>
      <nav aria-label="Run" className={styles.back}>
        <Link to={`${runPath(runId)}?task=${encodeURIComponent(name)}`} title={`Run ${runId}`}>
          ← Run <bdi>{workflow ?? runId}</bdi>
        </Link>
      </nav>
      <h1 className={styles.title} title={name}>
        Log of <bdi>{name}</bdi>
      </h1>
      {task !== null && <PhaseBadge phase={task.phase} />}
      {shown !== null && <AttemptPicker attempts={attempts} shown={shown} onPick={(attempt) => address.change({ attempt })} />}
      {task !== null && <ContainerPicker names={task.containers} address={address} />}
    </div>
  );
}

type PickerProps = { attempts: readonly Attempt[]; shown: number; onPick: (attempt: number | null) => void };

function AttemptPicker({ attempts, shown, onPick }: PickerProps) {
  const last = attempts.at(-1)?.attempt ?? shown;
  // The last one is what is shown where the address names none.
  const pick = (attempt: number) => onPick(attempt === last ? null : attempt);
  const isKnown = attempts.some(({ attempt }) => attempt === shown);
  return (
    <div className={styles.picker}>
      <label>
        Attempt{' '}
        <select value={shown} onChange={(event) => pick(Number(event.target.value))}>
          {!isKnown && <option value={shown}>{shown}</option>}
          {attempts.map((attempt) => (
            <option key={attempt.attempt} value={attempt.attempt}>
              {attempt.attempt} · {attempt.phase}
              {attempt.reason === null ? '' : ` (${attempt.reason})`}
            </option>
          ))}
        </select>
      </label>
      {attempts.length > 1 && (
        <>
          <button type="button" disabled={shown <= 1} onClick={() => pick(shown - 1)} aria-label="Previous attempt">
            ‹
          </button>
          <button type="button" disabled={shown >= last} onClick={() => pick(shown + 1)} aria-label="Next attempt">
            ›
          </button>
        </>
      )}
    </div>
  );
}

function ContainerPicker({ names, address }: { names: readonly string[]; address: AddressControl }) {
  const { container } = address.value;
  const all = names.includes(container) ? names : [container, ...names];
  if (all.length < 2) return null;
  return (
    <label>
      Container{' '}
      <select value={container} onChange={(event) => address.change({ container: event.target.value })}>
        {all.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </label>
  );
}
