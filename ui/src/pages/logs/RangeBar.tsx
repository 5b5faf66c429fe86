import { type FormEvent, useEffect, useId, useState } from 'react';
import { sentenceOf } from '@/api/problems';
import { visibleText } from '@/model/ansi';
import styles from './LogView.module.css';
import { countText, type LineRange, rangeText, readLines } from './logAddress';
import type { LogFeed } from './logFeed';

const MOST_COPIED = 20_000;
const SAID_MS = 3_000;

type Props = { feed: LogFeed; range: LineRange | null; total: number; onRange: (range: LineRange | null) => void };

/** Goes to lines by number, and copies those that are selected. */
export function RangeBar({ feed, range, total, onRange }: Props) {
  const [typed, setTyped] = useState('');
  const [said, setSaid] = useState('');
  const hint = useId();
  useEffect(() => setTyped(range === null ? '' : shortText(range)), [range]);
  const go = (event: FormEvent) => {
    event.preventDefault();
    const wanted = readLines(typed);
    if (typed.trim() === '') onRange(null);
    else if (wanted === null) setSaid('Write a number, such as 120, or a range, such as 120-130.');
    else if (wanted.first >= total) setSaid(`The log has ${countText(total)} lines.`);
    else {
      setSaid('');
      onRange(wanted);
    }
  };
  const copy = async (read: () => Promise<string>) => {
    setSaid('Copying…');
    try {
      await navigator.clipboard.writeText(await read());
      setSaid('Copied');
    } catch (error) {
      setSaid(error instanceof DOMException ? 'Not allowed: select and copy it' : sentenceOf(error));
    }
    window.setTimeout(() => setSaid(''), SAID_MS);
  };
  return (
    <form className={styles.group} onSubmit={go}>
      <label className={styles.group}>
        Line
        <input
          className={styles.short}
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
          placeholder="120-130"
          aria-describedby={hint}
        />
      </label>
      <span id={hint} className="visually-hidden">
        A line’s number or a range of them: they are selected, and the address links to them.
      </span>
      <button type="submit">Go</button>
      {range !== null && (
        <>
          <button type="button" onClick={() => copy(() => textOf(feed, range))} aria-label={`Copy text of ${rangeText(range)}`}>
            Copy text
          </button>
          <button
            type="button"
            onClick={() => copy(async () => window.location.href)}
            aria-label={`Copy link to ${rangeText(range)}`}
          >
            Copy link
          </button>
          <button type="button" onClick={() => onRange(null)} aria-label="Clear the selection">
            ✕
          </button>
        </>
      )}
      <span role="status" className={styles.count}>
        {said}
      </span>
    </form>
  );
}

function shortText({ first, last }: LineRange): string {
  return first === last ? String(first + 1) : `${first + 1}-${last + 1}`;
}

/** What is visible of the lines. */
async function textOf(feed: LogFeed, { first, last }: LineRange): Promise<string> {
  if (last - first >= MOST_COPIED) throw new Error(`At most ${countText(MOST_COPIED)} lines are copied: download the log.`);
  const entries = await feed.readRange(first, last);
  return entries.map(({ text }) => `${visibleText(text)}\n`).join('');
}
