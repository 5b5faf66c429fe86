import { useSession } from '@/api/session';
import { CopyButton } from '@/components/CopyButton';
import { curlCommand } from '@/model/commands';
import styles from './EmptyRuns.module.css';

const FIRST = {
  workflow: {
    name: 'hello',
    tasks: [{ name: 'greet', image: 'python:3', command: ['python3', '-c', 'print("hello world")'] }],
  },
};

/** Why there is nothing in the list, and what to do about it. */
export function EmptyRuns({ isFiltered, onClear }: { isFiltered: boolean; onClear: () => void }) {
  const { token } = useSession();
  if (isFiltered)
    return (
      <div className={styles.empty}>
        <p role="status">No run is what these filters ask for.</p>
        <button type="button" onClick={onClear}>
          Clear the filters
        </button>
      </div>
    );
  const command = curlCommand(window.location.origin, { method: 'POST', path: '/api/v1/runs', body: FIRST }, token !== null);
  return (
    <div className={styles.empty}>
      <p role="status">No runs yet. This command makes one:</p>
      <pre className={styles.command}>{command}</pre>
      <CopyButton text={command} label="Copy the command" />
    </div>
  );
}
