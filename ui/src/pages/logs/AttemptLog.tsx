import { useCallback, useEffect, useState, useSyncExternalStore } from 'react';
import type { Attempt, TaskDetail } from '@/api/schema';
import { ErrorNotice, Notice } from '@/components/Notice';
import { apiLogPath } from '@/model/paths';
import { isFailure, isOver } from '@/model/phases';
import { LogOptions } from './LogOptions';
import { LogStatus } from './LogStatus';
import { LogView } from './LogView';
import { counted, countText } from './logAddress';
import { LogFeed } from './logFeed';
import { type Follow, useFollow } from './useFollow';
import type { AddressControl } from './useLogAddress';

type Props = {
  runId: string;
  task: TaskDetail;
  /** The number of the last attempt, null where none has begun. */
  newest: number | null;
  address: AddressControl;
};

/** The log of the attempt that is looked at: the one that the address names, else the one that was the last when it was opened. */
export function AttemptLog({ runId, task, newest, address }: Props) {
  const named = address.value.attempt;
  const [opened, setOpened] = useState(newest);
  const shown = named ?? opened ?? newest ?? 1;
  const isNewer = useNewer(shown, newest);
  const goOn = useCallback(() => {
    setOpened(newest);
    if (named !== null || address.range !== null) address.change({ attempt: null });
  }, [newest, named, address]);
  return (
    <>
      {isNewer && (
        <Notice>
          Attempt {newest} has started.{' '}
          <button type="button" onClick={goOn}>
            Show attempt {newest}
          </button>
        </Notice>
      )}
      <OneLog
        key={`${shown} ${address.value.container}`}
        runId={runId}
        task={task}
        number={shown}
        isLast={shown === (newest ?? shown)}
        attempt={task.attempts.find((each) => each.attempt === shown)}
        address={address}
        onNext={isNewer ? goOn : null}
      />
    </>
  );
}

/** Whether an attempt has begun since the one that is shown was the last. */
function useNewer(shown: number, newest: number | null): boolean {
  const [since, setSince] = useState({ shown, newest });
  if (since.shown !== shown) setSince({ shown, newest });
  return newest !== null && since.shown === shown && newest > shown && (since.newest ?? shown) <= shown;
}

type OneLogProps = Pick<Props, 'runId' | 'task' | 'address'> & {
  number: number;
  /** No later attempt has begun. */
  isLast: boolean;
  attempt: Attempt | undefined;
  /** Goes on into the attempt that has begun meanwhile; null: none has. */
  onNext: (() => void) | null;
};

function OneLog(props: OneLogProps) {
  const { runId, task, number, address, attempt, isLast, onNext } = props;
  const [feed, setFeed] = useState<LogFeed | null>(null);
  const { container, search } = address.value;
  const canGrow = !(attempt?.log.sealed ?? false) || (isLast && !isOver(task.phase));
  const follow = useFollow(canGrow && isLast && address.range === null, canGrow);
  // Whoever follows goes on into the next attempt; whoever reads is asked.
  useEffect(() => {
    if (onNext !== null && follow.isOn) onNext();
  }, [onNext, follow.isOn]);
  useEffect(() => {
    const path = apiLogPath(runId, task.name);
    const opened = new LogFeed(path, number, container);
    opened.open();
    setFeed(opened);
    return () => opened.close();
  }, [runId, task.name, number, container]);
  useEffect(() => feed?.searchFor(search), [feed, search]);
  return feed === null ? null : <OpenLog {...props} feed={feed} follow={follow} canGrow={canGrow} />;
}

type OpenLogProps = OneLogProps & { feed: LogFeed; follow: Follow; canGrow: boolean };

function OpenLog({ task, number, attempt, address, follow, runId, feed, canGrow }: OpenLogProps) {
  const { status, isKnown, refused, trouble } = useSyncExternalStore(feed.subscribe, feed.snapshot);
  const { container } = address.value;
  const { buffer } = feed;
  const stored = container === 'main' && attempt?.log.sealed ? attempt.log.lines : 0;
  useEffect(() => buffer.raiseTotal(stored), [buffer, stored]);
  // A log that is whole is only read to its end.
  const isLive = status !== 'ended' && status !== 'refused' && !(attempt?.log.sealed ?? false);
  const { range } = address;
  return (
    <>
      <LogStatus feed={feed} isLive={isLive} attempt={attempt} status={status} isKnown={isKnown} container={container} />
      <LogOptions runId={runId} task={task} number={number} attempt={attempt} address={address} isLive={isLive} />
      {refused !== null && <ErrorNotice error={refused} />}
      {trouble !== null && <Notice tone="warning">{trouble}. Trying again…</Notice>}
      {buffer.gaps.length > 0 && (
        <Notice tone="warning">
          Lines may be missing at {counted(buffer.gaps.length, 'place')} of those read, the first before line{' '}
          {countText((buffer.gaps[0]?.before ?? 0) + 1)}: {buffer.gaps[0]?.reason}
        </Notice>
      )}
      {range !== null && isKnown && range.first >= buffer.total && (
        <Notice tone="warning">
          Line {countText(range.first + 1)} is not there{isLive ? ' yet' : ''}: the log has {counted(buffer.total, 'line')}.
        </Notice>
      )}
      {buffer.total === 0 && buffer.gaps.length === 0 ? (
        <Empty task={task} attempt={attempt} isLive={isLive} isKnown={isKnown} isRefused={refused !== null} />
      ) : (
        <LogView
          feed={feed}
          label={`Log of ${task.name}, attempt ${number}${container === 'main' ? '' : `, container ${container}`}`}
          address={address.value}
          onSearch={(search) => address.change({ search })}
          range={range}
          onRange={address.select}
          follow={follow}
          isLive={isLive || (canGrow && status !== 'refused')}
          beginsAtEnd={attempt !== undefined && isFailure(attempt.phase)}
        />
      )}
    </>
  );
}

type EmptyProps = { task: TaskDetail; attempt: Attempt | undefined; isLive: boolean; isKnown: boolean; isRefused: boolean };

function Empty({ task, attempt, isLive, isKnown, isRefused }: EmptyProps) {
  if (isRefused) return null;
  if (!isLive) return <p role="status">{isKnown ? 'The log is empty: nothing was written.' : 'Reading the log…'}</p>;
  const { phase, reason, message } = attempt ?? task;
  const why = [reason, message].filter((part) => part !== null && part !== '').join(': ');
  return (
    <p role="status">
      Waiting for the first line.{phase === 'Pending' && ' The pod is pending.'} <bdi>{why}</bdi>
    </p>
  );
}
