import { type MouseEvent, memo, useMemo, useState } from 'react';
import { AnsiLineText } from '@/components/AnsiText';
import { parseAnsi } from '@/model/ansi';
import styles from './LogRow.module.css';
import { SHOWN_CHARACTERS, shownText, timeParts } from './lineText';
import { countText } from './logAddress';
import type { GapPlace, LogEntry } from './logLines';
import { marksIn } from './logSearch';

export type LogRowProps = {
  line: number;
  /** Undefined: not read yet. */
  entry: LogEntry | undefined;
  search: string;
  /** The line that the search stands at. */
  isCurrent: boolean;
  isHit: boolean;
  isSelected: boolean;
  hasTime: boolean;
  onPick: (line: number, isRange: boolean) => void;
};

/** A line with its number, which is a link to it. */
export const LogRow = memo(function LogRow(props: LogRowProps) {
  const { line, entry, isHit, isCurrent, isSelected, onPick } = props;
  const pick = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.button !== 0) return;
    event.preventDefault();
    onPick(line, event.shiftKey);
  };
  return (
    <div
      className={styles.row}
      data-line={line}
      data-hit={isHit || undefined}
      data-current={isCurrent || undefined}
      data-selected={isSelected || undefined}
    >
      {/* Thousands of stops for the Tab key help nobody: "Go to line" does the same by keyboard. */}
      <a className={styles.number} href={`#L${line + 1}`} tabIndex={-1} onClick={pick}>
        {line + 1}
      </a>
      {props.hasTime && <LineTime time={entry?.time} />}
      {entry === undefined ? <Missing line={line} /> : <LineText {...props} entry={entry} />}
    </div>
  );
});

function LineTime({ time }: { time: string | undefined }) {
  if (time === undefined) return <span className={styles.time} />;
  const { date, clock } = timeParts(time);
  return (
    <time className={styles.time} dateTime={time} title={time}>
      <span className={styles.date}>{date} </span>
      {clock}
    </time>
  );
}

function Missing({ line }: { line: number }) {
  return (
    <span className={styles.missing}>
      …<span className="visually-hidden"> line {countText(line + 1)} is being read</span>
    </span>
  );
}

function LineText({ entry, search, isCurrent }: LogRowProps & { entry: LogEntry }) {
  const [most, setMost] = useState(SHOWN_CHARACTERS);
  const shown = useMemo(() => shownText(entry, most), [entry, most]);
  const line = useMemo(() => parseAnsi(shown.text), [shown]);
  const marks = useMemo(() => (search === '' ? undefined : marksIn(line.text, search, isCurrent)), [line, search, isCurrent]);
  return (
    <span className={styles.text}>
      <bdi>
        <AnsiLineText line={line} marks={marks} />
      </bdi>
      {shown.cut !== null && (
        <span className={styles.cut}>
          {shown.cut}{' '}
          {shown.hasMore ? (
            <button type="button" className={styles.more} onClick={() => setMost(most * 10)}>
              Show more
            </button>
          ) : (
            '(all of it is in the download)'
          )}
        </span>
      )}
    </span>
  );
}

/** A place between two lines where some may be missing. */
export const GapRow = memo(function GapRow({ gap }: { gap: GapPlace }) {
  return (
    <div className={styles.gap}>
      ⚠ lines may be missing here: <bdi>{gap.reason}</bdi>
    </div>
  );
});
