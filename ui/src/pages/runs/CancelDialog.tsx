import { type FormEvent, useState } from 'react';
import type { Run } from '@/api/schema';
import { Dialog } from '@/components/Dialog';
import { runsText } from './actions';
import styles from './CancelDialog.module.css';

const LONGEST_REASON = 1_024;

type Props = {
  runs: readonly Run[];
  /** How many of the selected runs are over already. */
  others: number;
  onClose: () => void;
  onCancel: (reason: string, force: boolean) => void;
};

/** Asks before runs are cancelled, and for the reason. */
export function CancelDialog({ runs, others, onClose, onCancel }: Props) {
  const [reason, setReason] = useState('');
  const [force, setForce] = useState(false);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    onCancel(reason.trim(), force);
  };
  return (
    <Dialog title={`Cancel ${runsText(runs.length)}?`} onClose={onClose}>
      <form onSubmit={submit} className={styles.form}>
        <p>
          Their waiting tasks will not start and their running pods are deleted. What is cancelled can be retried, but not
          resumed where it was.
          {others > 0 && ` ${others} of the selected ${others === 1 ? 'is' : 'are'} over already and stay as they are.`}
        </p>
        <label className={styles.reason}>
          Reason (optional)
          <input value={reason} maxLength={LONGEST_REASON} onChange={(event) => setReason(event.target.value)} />
        </label>
        <label className={styles.force}>
          <input type="checkbox" checked={force} onChange={(event) => setForce(event.target.checked)} />
          Don’t run their on_exit tasks either
        </label>
        <div className={styles.buttons}>
          <button type="button" onClick={onClose}>
            Keep running
          </button>
          <button type="submit" className="danger">
            Cancel {runsText(runs.length)}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
