import { type FormEvent, type ReactNode, useState } from 'react';
import type { Cancellation } from '@/model/runRequests';
import styles from './CancelDialog.module.css';
import { Dialog } from './Dialog';
import { ErrorNotice } from './Notice';

const LONGEST_REASON = 1_024;

type Props = {
  title: string;
  submitLabel: string;
  closeLabel: string;
  /** What will happen. */
  children: ReactNode;
  /** It is being cancelled already: only cutting it short is left. */
  isForced?: boolean;
  isBusy?: boolean;
  error?: unknown;
  onClose: () => void;
  onCancel: (cancellation: Cancellation) => void;
};

/** Asks before runs are cancelled, and for the reason. */
export function CancelDialog(props: Props) {
  const { title, submitLabel, closeLabel, children, isForced = false, isBusy = false, error = null } = props;
  const [reason, setReason] = useState('');
  const [force, setForce] = useState(isForced);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    props.onCancel({ reason: reason.trim() || null, force });
  };
  return (
    <Dialog title={title} onClose={props.onClose}>
      <form onSubmit={submit} className={styles.form}>
        <p>{children}</p>
        {error !== null && <ErrorNotice error={error} />}
        <label>
          Reason, kept in the history (optional)
          <input type="text" maxLength={LONGEST_REASON} value={reason} onChange={({ target }) => setReason(target.value)} />
        </label>
        <label className={styles.check}>
          <input type="checkbox" checked={force} disabled={isForced} onChange={({ target }) => setForce(target.checked)} />
          <span>
            Also cut off the tasks of <code>on_exit</code>
          </span>
        </label>
        <div className={styles.actions}>
          <button type="submit" className="danger" disabled={isBusy}>
            {submitLabel}
          </button>
          <button type="button" onClick={props.onClose}>
            {closeLabel}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
