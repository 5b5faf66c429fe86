import { type KeyboardEvent, useId } from 'react';
import { sentenceOf } from '@/api/problems';
import { useTyped } from '@/model/typed';
import styles from './LogView.module.css';
import { counted, countText } from './logAddress';
import { type LogSearch, MOST_HITS } from './logSearch';

const TYPING_MS = 350;

type Props = {
  text: string;
  search: LogSearch | null;
  /** The line that is stood at. */
  current: number | null;
  onSearch: (text: string) => void;
  onStep: (direction: 1 | -1) => void;
};

/** Finds a text in the whole log: the service looks through it. */
export function SearchBar({ text, search, current, onSearch, onStep }: Props) {
  const { typed, setTyped, tellNow } = useTyped(text, onSearch, TYPING_MS);
  const hint = useId();
  const press = (event: KeyboardEvent) => {
    if (event.key === 'Escape') setTyped('');
    if (event.key !== 'Enter') return;
    event.preventDefault();
    if (typed !== text) tellNow();
    else onStep(event.shiftKey ? -1 : 1);
  };
  const hasHits = search !== null && search.hits.length > 0;
  return (
    <search className={styles.group}>
      <label>
        <span className="visually-hidden">Search this log</span>
        <input
          type="search"
          className={styles.search}
          placeholder="Search this log"
          title="Exactly this text: upper and lower case matter. Enter: next, Shift+Enter: previous."
          aria-describedby={hint}
          maxLength={1_000}
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
          onKeyDown={press}
        />
      </label>
      <span id={hint} className="visually-hidden">
        Exactly this text: upper and lower case matter. Enter goes to the next line that has it, Shift+Enter to the previous
        one.
      </span>
      <button type="button" disabled={!hasHits} onClick={() => onStep(-1)} aria-label="Previous line found">
        ↑
      </button>
      <button type="button" disabled={!hasHits} onClick={() => onStep(1)} aria-label="Next line found">
        ↓
      </button>
      <span className={styles.count} role="status">
        {search !== null && countOf(search, current)}
      </span>
    </search>
  );
}

function countOf(search: LogSearch, current: number | null): string {
  if (search.problem !== null) return sentenceOf(search.problem);
  const { hits } = search;
  if (hits.length === 0) return search.isDone ? 'Not found (upper and lower case matter)' : 'Searching…';
  const place = current === null ? -1 : hits.indexOf(current);
  const which = search.isCut ? `the first ${countText(MOST_HITS)} lines` : counted(hits.length, 'line');
  return `${place < 0 ? 'Found in' : `${countText(place + 1)} of`} ${which}${search.isDone || search.isCut ? '' : ', searching on…'}`;
}
