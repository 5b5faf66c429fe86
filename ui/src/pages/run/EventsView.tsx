import { memo, useMemo, useState } from 'react';
import { useSearchParams } from 'react-router';
import { Virtuoso } from 'react-virtuoso';
import type { Event, EventType } from '@/api/schema';
import { ErrorNotice } from '@/components/Notice';
import { PhaseBadge } from '@/components/PhaseBadge';
import { localText } from '@/model/times';
import styles from './EventsView.module.css';
import { useHistory } from './eventHistory';

const TYPE_WORDS: Readonly<Record<EventType, string>> = {
  RunPhase: 'run',
  TaskPhase: 'task',
  AttemptPhase: 'attempt',
  PodEvent: 'pod',
  CancelRequested: 'cancel requested',
  RetryRequested: 'retry requested',
  SuspendRequested: 'suspend requested',
  ResumeRequested: 'resume requested',
  Approved: 'approved',
  Rejected: 'rejected',
  RunFinished: 'run finished',
  Note: 'note',
};

type Props = { runId: string; isFinished: boolean; onSelect: (task: string | null) => void };

/** The run's history: each change of a phase, and what the cluster said of its pods. */
export const EventsView = memo(function EventsView({ runId, isFinished, onSelect }: Props) {
  const { events, isComplete, error, retry } = useHistory(runId, isFinished);
  const [search, setSearch] = useSearchParams();
  const [isNewestFirst, setNewestFirst] = useState(true);
  const type = search.get('type') ?? '';
  const rows = useMemo(() => {
    const wanted = type === '' ? events : events.filter((event) => event.type === type);
    return isNewestFirst ? wanted.toReversed() : wanted;
  }, [events, type, isNewestFirst]);
  const types = useMemo(() => [...new Set(events.map((event) => event.type))], [events]);
  const choose = (value: string) =>
    setSearch(
      (before) => {
        const next = new URLSearchParams(before);
        if (value === '') next.delete('type');
        else next.set('type', value);
        return next;
      },
      { replace: true },
    );
  return (
    <>
      <div className={styles.filters}>
        <label>
          Type{' '}
          <select value={type} onChange={({ target }) => choose(target.value)}>
            <option value="">all</option>
            {types.map((each) => (
              <option key={each} value={each}>
                {TYPE_WORDS[each] ?? each}
              </option>
            ))}
          </select>
        </label>
        <label className={styles.check}>
          <input type="checkbox" checked={isNewestFirst} onChange={({ target }) => setNewestFirst(target.checked)} />
          Newest first
        </label>
        {/* The count is no news: it grows with each event of a run that goes on. */}
        <span className="muted">
          {rows.length} entries <span role="status">{!isComplete && error === null && 'so far, reading on…'}</span>
        </span>
      </div>
      {error !== null && (
        <>
          <ErrorNotice error={error} />
          <p>
            <button type="button" onClick={retry}>
              Try again
            </button>
          </p>
        </>
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a list that scrolls, by the keyboard too */}
      <section className={styles.list} aria-label="Events" tabIndex={0}>
        <Virtuoso
          key={String(isNewestFirst)}
          data={rows}
          computeItemKey={(_, event) => event.cursor}
          followOutput={isNewestFirst ? false : 'auto'}
          initialTopMostItemIndex={isNewestFirst ? 0 : Math.max(0, rows.length - 1)}
          tabIndex={-1}
          itemContent={(_, event) => <EventRow event={event} onSelect={onSelect} />}
        />
      </section>
    </>
  );
});

const EventRow = memo(function EventRow({ event, onSelect }: { event: Event; onSelect: Props['onSelect'] }) {
  const { task, attempt, phase, reason, message } = event;
  return (
    <div className={styles.row}>
      <time dateTime={event.time} className="muted" title={event.time}>
        {localText(event.time)}
      </time>
      <span className={styles.type}>{TYPE_WORDS[event.type] ?? event.type}</span>
      <div className={styles.what}>
        {task !== null && (
          <button type="button" className={styles.task} onClick={() => onSelect(task)}>
            <bdi>{task}</bdi>
          </button>
        )}
        {attempt !== null && <span className="muted">attempt {attempt}</span>}
        {phase !== null && <PhaseBadge phase={phase} />}
        {reason !== null && <strong>{reason}</strong>}
        {message !== null && <bdi>{message}</bdi>}
      </div>
    </div>
  );
});
