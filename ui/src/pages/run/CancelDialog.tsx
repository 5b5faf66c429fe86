import { type FormEvent, useState } from 'react';
import type { Run } from '@/api/schema';
import { Dialog } from '@/components/Dialog';
import { ErrorNotice } from '@/components/Notice';
import styles from './RunActions.module.css';
import { cancelRun, useAction } from './runActions';

const LONGEST_REASON = 1_024;

/** Asks before a run is cancelled. Of one that is being cancelled already, only cutting it short is left. */
export function CancelDialog({ run, onClose, onDone }: { run: Run; onClose: () => void; onDone: () => void }) {
  const isCancelling = run.phase === 'Cancelling';
  const [reason, setReason] = useState('');
  const [force, setForce] = useState(isCancelling);
  const action = useAction(
    () => cancelRun(run.id, { reason: reason.trim() || null, force }),
    () => {
      onDone();
      onClose();
    },
  );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    action.run(undefined);
  };
  return (
    <Dialog title="Cancel this run?" onClose={onClose}>
      <form onSubmit={submit} className={styles.form}>
        <p>
          Its waiting and running tasks become Cancelled, and their pods are deleted. Then the tasks of <code>on_exit</code>{' '}
          run.
        </p>
        {action.error !== null && <ErrorNotice error={action.error} />}
        <label>
          Reason, kept in the run’s history (optional)
          <input type="text" maxLength={LONGEST_REASON} value={reason} onChange={({ target }) => setReason(target.value)} />
        </label>
        <label className={styles.check}>
          <input type="checkbox" checked={force} disabled={isCancelling} onChange={({ target }) => setForce(target.checked)} />
          <span>
            Also cut off the tasks of <code>on_exit</code>
          </span>
        </label>
        <div className={styles.actions}>
          <button type="submit" className="danger" disabled={action.isBusy}>
            Cancel the run
          </button>
          <button type="button" onClick={onClose}>
            Let it run
          </button>
        </div>
      </form>
    </Dialog>
  );
}
