import type { Attempt } from '@/api/schema';
import type { StreamStatus } from '@/api/stream';
import { PhaseBadge } from '@/components/PhaseBadge';
import { bytesText } from '@/model/times';
import styles from './LogHeader.module.css';
import { counted } from './logAddress';
import type { LogFeed } from './logFeed';

type Props = {
  feed: LogFeed;
  isLive: boolean;
  attempt: Attempt | undefined;
  status: StreamStatus;
  isKnown: boolean;
  container: string;
};

const WORDS: Readonly<Record<StreamStatus, string>> = {
  connecting: 'Connecting…',
  open: '● Live',
  reconnecting: 'Reconnecting… nothing is lost meanwhile',
  ended: 'Ended',
  refused: 'Not available',
};

/** How long the log is, whether it goes on, and how its attempt ended. */
export function LogStatus({ feed, isLive, attempt, status, isKnown, container }: Props) {
  const isMain = container === 'main';
  return (
    <p className={styles.status}>
      <span className={classOf(status, isLive)} role="status">
        {status === 'open' && !isLive ? 'Ended' : WORDS[status]}
      </span>
      {(isKnown || feed.buffer.total > 0) && <span>{counted(feed.buffer.total, 'line')}</span>}
      {isMain && attempt !== undefined && attempt.log.bytes > 0 && <span>{bytesText(attempt.log.bytes)}</span>}
      {attempt !== undefined && (
        <>
          <PhaseBadge phase={attempt.phase} />
          {attempt.reason !== null && <span>{attempt.reason}</span>}
          {attempt.exit_code !== null && <span>exit code {attempt.exit_code}</span>}
          {attempt.message !== null && attempt.message !== `exit code ${attempt.exit_code}` && <bdi>{attempt.message}</bdi>}
        </>
      )}
    </p>
  );
}

function classOf(status: StreamStatus, isLive: boolean): string | undefined {
  if (status === 'open' && isLive) return styles.live;
  return status === 'reconnecting' ? styles.trouble : undefined;
}
