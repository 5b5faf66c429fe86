import { type FormEvent, useState } from 'react';
import { useNavigate } from 'react-router';
import { Dialog } from '@/components/Dialog';
import { ErrorNotice } from '@/components/Notice';
import { useDelete } from './reading';
import styles from './workflows.module.css';

/** Deletes a stored workflow once its name was typed in: its versions can't be brought back. */
export function DeleteWorkflow({ name, hasSchedule, onClose }: { name: string; hasSchedule: boolean; onClose: () => void }) {
  const navigate = useNavigate();
  const [typed, setTyped] = useState('');
  const deletion = useDelete(name);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    deletion.mutate(undefined, { onSuccess: () => navigate('/workflows') });
  };
  return (
    <Dialog title={`Delete ${name}`} onClose={onClose}>
      <form onSubmit={submit} className={styles.form}>
        <p>
          All its versions{hasSchedule && ' and its schedule'} are deleted; this can’t be undone. Its runs stay, and those that
          are not finished go on.
        </p>
        <label>
          Its name, to confirm
          <input value={typed} onChange={(event) => setTyped(event.target.value)} autoComplete="off" spellCheck={false} />
        </label>
        {deletion.error !== null && <ErrorNotice error={deletion.error} />}
        <div className={styles.actions}>
          <button type="submit" className="danger" disabled={typed.trim() !== name || deletion.isPending}>
            Delete it
          </button>
          <button type="button" onClick={onClose}>
            Keep it
          </button>
        </div>
      </form>
    </Dialog>
  );
}
