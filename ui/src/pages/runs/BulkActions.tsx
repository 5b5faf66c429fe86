import { useEffect, useRef, useState } from 'react';
import type { Run } from '@/api/schema';
import { CancelDialog } from '@/components/CancelDialog';
import { cancelRun, retryRun } from '@/model/runRequests';
import { askForEach, isCancellable, isRetryable, type Refusal, runsText } from './actions';
import styles from './BulkActions.module.css';
import { Refusals } from './Refusals';

type Props = {
  runs: readonly Run[];
  selected: ReadonlySet<string>;
  onSelect: (selected: ReadonlySet<string>) => void;
  onDone: (run: Run) => void;
  /** How many newer runs are held back. */
  newCount: number;
  onNew: () => void;
};

/** What can be done with the selected runs, at the top of the list and always in sight. */
export function BulkActions({ runs, selected, onSelect, onDone, newCount, onNew }: Props) {
  const [isAsking, setIsAsking] = useState(false);
  const [said, setSaid] = useState('');
  const [refusals, setRefusals] = useState<readonly Refusal[]>([]);
  const [isBusy, setIsBusy] = useState(false);
  const chosen = selected.size === 0 ? [] : runs.filter(({ id }) => selected.has(id));
  const cancellable = chosen.filter(isCancellable);
  const retryable = chosen.filter(isRetryable);

  const act = async (meant: readonly Run[], ask: (run: Run) => Promise<Run>, done: string) => {
    setIsAsking(false);
    setIsBusy(true);
    setSaid('');
    setRefusals([]);
    const refused = await askForEach(meant, ask, onDone);
    setIsBusy(false);
    setRefusals(refused);
    setSaid(`${runsText(meant.length - refused.length)} ${done}.`);
    onSelect(new Set(refused.map(({ run }) => run.id)));
  };

  return (
    <>
      <div className={styles.bar}>
        <SelectAll runs={runs} chosen={chosen.length} onSelect={onSelect} />
        <button
          type="button"
          disabled={isBusy || retryable.length === 0}
          onClick={() => act(retryable, (run) => retryRun(run.id, null), 'retried')}
        >
          Retry{chosen.length > 0 && ` ${retryable.length}`}
        </button>
        <button
          type="button"
          className="danger"
          disabled={isBusy || cancellable.length === 0}
          onClick={() => setIsAsking(true)}
        >
          Cancel{chosen.length > 0 && ` ${cancellable.length}`}…
        </button>
        <span role="status">{isBusy ? 'Asking…' : said}</span>
        {newCount > 0 && (
          <button type="button" className="primary" onClick={onNew}>
            ↑ {newCount} new {newCount === 1 ? 'run' : 'runs'}
          </button>
        )}
      </div>
      <Refusals refusals={refusals} onClose={() => setRefusals([])} />
      {isAsking && (
        <CancelDialog
          title={`Cancel ${runsText(cancellable.length)}?`}
          submitLabel={`Cancel ${runsText(cancellable.length)}`}
          closeLabel={cancellable.length === 1 ? 'Let it run' : 'Let them run'}
          onClose={() => setIsAsking(false)}
          onCancel={(cancellation) => act(cancellable, (run) => cancelRun(run.id, cancellation), 'being cancelled')}
        >
          {cancellable.length === 1 ? 'Its' : 'Their'} waiting and running tasks become Cancelled, and their pods are deleted.
          Then the tasks of <code>on_exit</code> run.{othersText(chosen.length - cancellable.length)}
        </CancelDialog>
      )}
    </>
  );
}

function othersText(count: number): string {
  if (count === 0) return '';
  return count === 1
    ? ' 1 of the selected is over already and stays as it is.'
    : ` ${count} of the selected are over already and stay as they are.`;
}

type SelectAllProps = { runs: readonly Run[]; chosen: number; onSelect: (selected: ReadonlySet<string>) => void };

function SelectAll({ runs, chosen, onSelect }: SelectAllProps) {
  const box = useRef<HTMLInputElement>(null);
  const isAll = chosen > 0 && chosen === runs.length;
  useEffect(() => {
    if (box.current !== null) box.current.indeterminate = chosen > 0 && !isAll;
  }, [chosen, isAll]);
  return (
    <label className={styles.all} title="The runs that are shown">
      <input
        ref={box}
        type="checkbox"
        checked={isAll}
        disabled={runs.length === 0}
        onChange={() => onSelect(new Set(isAll ? [] : runs.map(({ id }) => id)))}
      />
      {chosen > 0 ? `${chosen} selected` : `Select all ${runs.length}`}
    </label>
  );
}
