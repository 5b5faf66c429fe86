import { memo, useId, useMemo, useState } from 'react';
import type { TaskRun } from '@/api/schema';
import { ErrorNotice } from '@/components/Notice';
import styles from './Approvals.module.css';
import { type Answer, answerTask, useAction } from './runActions';
import { waitsForApproval } from './taskRows';

const SHOWN = 5;
const LONGEST_COMMENT = 1_024;

type Props = { runId: string; tasks: readonly TaskRun[]; refresh: () => void };

/** The tasks that wait for a person's word, with the way to give it. */
export const Approvals = memo(function Approvals({ runId, tasks, refresh }: Props) {
  const waiting = useMemo(() => tasks.filter(waitsForApproval), [tasks]);
  if (waiting.length === 0) return null;
  return (
    <section className={styles.approvals} aria-labelledby="approvals">
      <h2 id="approvals">{waiting.length === 1 ? 'Waits for approval' : `${waiting.length} tasks wait for approval`}</h2>
      {waiting.slice(0, SHOWN).map((task) => (
        <ApprovalForm key={task.name} runId={runId} task={task} refresh={refresh} />
      ))}
      {waiting.length > SHOWN && <p>and {waiting.length - SHOWN} more: see the table of tasks.</p>}
    </section>
  );
});

/** Approve or reject one task, with a comment. */
export function ApprovalForm({ runId, task, refresh }: { runId: string; task: TaskRun; refresh: () => void }) {
  const [comment, setComment] = useState('');
  const id = useId();
  const action = useAction((answer: Answer) => answerTask(runId, task.name, answer, comment), refresh);
  return (
    <fieldset className={styles.form}>
      <legend>
        <bdi>{task.name}</bdi>
      </legend>
      {task.message !== null && <p className={styles.message}>{task.message}</p>}
      {action.error !== null && <ErrorNotice error={action.error} />}
      <label htmlFor={id}>Comment, kept in the run’s history (optional)</label>
      <input
        id={id}
        type="text"
        maxLength={LONGEST_COMMENT}
        value={comment}
        onChange={({ target }) => setComment(target.value)}
      />
      <div className={styles.buttons}>
        <button type="button" className="primary" disabled={action.isBusy} onClick={() => action.run('approve')}>
          Approve
        </button>
        <button type="button" className="danger" disabled={action.isBusy} onClick={() => action.run('reject')}>
          Reject
        </button>
      </div>
    </fieldset>
  );
}
