import type { Attempt, TaskDetail } from '@/api/schema';
import { currentToken } from '@/api/session';
import { Commands } from '@/components/Commands';
import { curlCommand, podrunCommand } from '@/model/commands';
import { apiLogPath } from '@/model/paths';
import { Download } from './Download';
import styles from './LogHeader.module.css';
import type { AddressControl } from './useLogAddress';

type Props = {
  runId: string;
  task: TaskDetail;
  number: number;
  attempt: Attempt | undefined;
  address: AddressControl;
  isLive: boolean;
};

/** How the lines are shown, and how to have them elsewhere. */
export function LogOptions({ runId, task, number, attempt, address, isLive }: Props) {
  const { container, isWrapped, hasTimes } = address.value;
  const query = new URLSearchParams({ attempt: String(number), container });
  if (hasTimes) query.set('timestamps', 'true');
  const path = `${apiLogPath(runId, task.name)}?${query}`;
  const args = ['logs', runId, task.name, '--attempt', String(number)];
  if (container !== 'main') args.push('--container', container);
  if (hasTimes) args.push('--timestamps');
  const curl = curlCommand(window.location.origin, { path, accept: 'text/plain' }, currentToken() !== null);
  if (isLive) args.push('--follow');
  const commands = [
    { name: 'podrun', text: podrunCommand(window.location.origin, ...args) },
    { name: 'curl', text: curl },
  ];
  const file = `${task.name}-${number}${container === 'main' ? '' : `-${container}`}.log`;
  return (
    <div className={styles.options}>
      <label>
        <input type="checkbox" checked={isWrapped} onChange={(event) => address.change({ isWrapped: event.target.checked })} />
        Wrap lines
      </label>
      <label>
        <input type="checkbox" checked={hasTimes} onChange={(event) => address.change({ hasTimes: event.target.checked })} />
        Timestamps
      </label>
      <Download path={path} file={file} bytes={container === 'main' ? (attempt?.log.bytes ?? null) : null} curl={curl} />
      <Commands commands={commands} />
    </div>
  );
}
