import type { Run } from '@/api/schema';
import { CancelDialog } from '@/components/CancelDialog';
import { type Cancellation, cancelRun } from '@/model/runRequests';
import { useAction } from './runActions';

/** Asks before the run is cancelled, and cancels it. Of one that is being cancelled already, only cutting it short is left. */
export function CancelRun({ run, onClose, onDone }: { run: Run; onClose: () => void; onDone: () => void }) {
  const action = useAction(
    (cancellation: Cancellation) => cancelRun(run.id, cancellation),
    () => {
      onDone();
      onClose();
    },
  );
  return (
    <CancelDialog
      title="Cancel this run?"
      submitLabel="Cancel the run"
      closeLabel="Let it run"
      isForced={run.phase === 'Cancelling'}
      isBusy={action.isBusy}
      error={action.error}
      onClose={onClose}
      onCancel={action.run}
    >
      Its waiting and running tasks become Cancelled, and their pods are deleted. Then the tasks of <code>on_exit</code> run.
    </CancelDialog>
  );
}
