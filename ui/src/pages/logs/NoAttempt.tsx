import type { TaskDetail } from '@/api/schema';
import { Notice } from '@/components/Notice';
import { isOver } from '@/model/phases';

/** Why there is no log: the task has not begun, or never will. */
export function NoAttempt({ task }: { task: TaskDetail }) {
  const why = [task.reason, task.message].filter((part) => part !== null && part !== '').join(': ');
  return (
    <Notice tone={task.phase === 'Error' || task.phase === 'Failed' ? 'danger' : 'info'}>
      {sentence(task)}
      {why !== '' && (
        <>
          {' '}
          <bdi>{why}</bdi>
        </>
      )}
    </Notice>
  );
}

function sentence({ phase }: TaskDetail): string {
  if (phase === 'Skipped' || phase === 'Omitted') return `This task did not run (${phase}), so it has no log.`;
  if (isOver(phase)) return `This task never started (${phase}), so it has no log.`;
  return 'This task has not started yet. Its log appears here when it does.';
}
