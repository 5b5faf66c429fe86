import { useState } from 'react';
import { useNavigate } from 'react-router';
import type { Run } from '@/api/schema';
import { Dialog } from '@/components/Dialog';
import { ErrorNotice } from '@/components/Notice';
import { isOver } from '@/model/phases';
import { retryRun } from '@/model/runRequests';
import { CancelRun } from './CancelRun';
import { ResubmitDialog } from './ResubmitDialog';
import styles from './RunActions.module.css';
import { deleteRun, resumeRun, suspendRun, useAction } from './runActions';

type Asked = 'cancel' | 'resubmit' | 'delete' | null;

/** What can be done to the run in its phase. `refresh`: read it again after something was done. */
export function RunActions({ run, refresh }: { run: Run; refresh: () => void }) {
  const [asked, setAsked] = useState<Asked>(null);
  const retry = useAction(() => retryRun(run.id, null), refresh);
  const suspension = useAction(() => (run.suspended ? resumeRun(run.id) : suspendRun(run.id)), refresh);
  const close = () => setAsked(null);
  const isRunning = !isOver(run.phase);
  return (
    <>
      <div className={styles.actions}>
        {run.is_finished && needsRetry(run) && (
          <button type="button" className="primary" onClick={() => retry.run(undefined)} disabled={retry.isBusy}>
            Retry from failed
          </button>
        )}
        {isRunning && run.phase !== 'Cancelling' && (
          <button type="button" onClick={() => suspension.run(undefined)} disabled={suspension.isBusy}>
            {run.suspended ? 'Resume' : 'Suspend'}
          </button>
        )}
        <button type="button" onClick={() => setAsked('resubmit')}>
          Resubmit…
        </button>
        {isRunning && (
          <button type="button" className="danger" onClick={() => setAsked('cancel')}>
            Cancel…
          </button>
        )}
        {run.is_finished && (
          <button type="button" className="danger" onClick={() => setAsked('delete')}>
            Delete…
          </button>
        )}
      </div>
      {retry.error !== null && <ErrorNotice error={retry.error} />}
      {suspension.error !== null && <ErrorNotice error={suspension.error} />}
      {asked === 'cancel' && <CancelRun run={run} onClose={close} onDone={refresh} />}
      {asked === 'resubmit' && <ResubmitDialog run={run} onClose={close} />}
      {asked === 'delete' && <DeleteDialog run={run} onClose={close} />}
    </>
  );
}

/** Of a run in which everything has succeeded there is nothing to run again. */
function needsRetry(run: Run): boolean {
  return (['Failed', 'Error', 'Cancelled'] as const).some((phase) => run.phase === phase || (run.task_phases[phase] ?? 0) > 0);
}

function DeleteDialog({ run, onClose }: { run: Run; onClose: () => void }) {
  const navigate = useNavigate();
  const action = useAction(
    () => deleteRun(run.id),
    () => navigate('/runs'),
  );
  return (
    <Dialog title="Delete this run?" onClose={onClose}>
      <p>The run of {run.workflow}, its history and its logs are deleted. This can’t be undone.</p>
      {action.error !== null && <ErrorNotice error={action.error} />}
      <div className={styles.actions}>
        <button type="button" className="danger" onClick={() => action.run(undefined)} disabled={action.isBusy}>
          Delete the run
        </button>
        <button type="button" onClick={onClose}>
          Keep it
        </button>
      </div>
    </Dialog>
  );
}
