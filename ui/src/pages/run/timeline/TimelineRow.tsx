import { type CSSProperties, memo } from 'react';
import { serviceNow } from '@/api/clock';
import { signOf, toneOf } from '@/model/phases';
import { detailText, type Row, type Segment, segmentText } from './spans';
import styles from './Timeline.module.css';

type Props = {
  row: Row;
  /** Of the axis, milliseconds since 1970. */
  start: number;
  isSelected: boolean;
  isStop: boolean;
  onPress: (row: Row) => void;
  onFocus: (id: string) => void;
};

/** A task's name and bars, or those of a fan-out's items together. It is not rendered again while time goes on. */
export const TimelineRow = memo(function TimelineRow({ row, start, isSelected, isStop, onPress, onFocus }: Props) {
  const isFanOut = row.counts !== null;
  const text = detailText(row, serviceNow());
  return (
    <button
      type="button"
      className={styles.row}
      data-row={row.id}
      data-tone={toneOf(row.phase)}
      data-item={row.task?.foreach != null}
      tabIndex={isStop ? 0 : -1}
      aria-pressed={isFanOut ? undefined : isSelected}
      aria-expanded={isFanOut ? row.isUnfolded : undefined}
      title={`${row.name}${text}`.replaceAll('; ', '\n')}
      onClick={() => onPress(row)}
      onFocus={() => onFocus(row.id)}
    >
      <span className={styles.name}>
        {isFanOut && <span aria-hidden="true">{row.isUnfolded ? '▾' : '▸'}</span>}
        <span className={styles.sign} aria-hidden="true">
          {signOf(row.phase)}
        </span>
        <span className={styles.label}>{row.name}</span>
        <span className="visually-hidden">{text}</span>
        {row.counts !== null && <Counts counts={row.counts} />}
      </span>
      <span className={styles.track} aria-hidden="true">
        <span className={styles.time}>
          {row.segments.map((segment) => (
            <Bar key={`${segment.attempt} ${segment.kind}`} segment={segment} start={start} />
          ))}
          {row.segments.length === 0 && <span className={styles.mark}>{row.phase}</span>}
        </span>
      </span>
    </button>
  );
});

function Counts({ counts }: { counts: NonNullable<Row['counts']> }) {
  return (
    <span className={styles.counts} aria-hidden="true">
      {counts.map(([phase, count]) => (
        <span key={phase} data-tone={toneOf(phase)}>
          {signOf(phase)}
          {count.toLocaleString('en')}
        </span>
      ))}
    </span>
  );
}

function Bar({ segment, start }: { segment: Segment; start: number }) {
  const { kind, attempt, from, to, phase } = segment;
  const seconds = (time: number) => (time - start) / 1_000;
  const style = { '--from': seconds(from), '--to': to === null ? 'var(--now)' : seconds(to) } as CSSProperties;
  return (
    <span
      className={styles.bar}
      style={style}
      data-kind={kind}
      data-tone={kind === 'pending' && phase === 'Pending' ? 'pending' : toneOf(phase)}
      data-open={to === null}
      title={segmentText(segment, serviceNow())}
    >
      {kind === 'running' && (
        <span>
          {signOf(phase)}
          {attempt > 1 && ` ${attempt}`}
        </span>
      )}
    </span>
  );
}
