import {
  type KeyboardEvent,
  type RefObject,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react';
import { FollowBar } from './FollowBar';
import { type Align, LogList, type LogListHandle } from './LogList';
import styles from './LogView.module.css';
import type { LineRange, LogAddress } from './logAddress';
import { rangeText } from './logAddress';
import type { LogFeed } from './logFeed';
import { Rows, segmentLines } from './logRows';
import { type LogSearch, neighbour } from './logSearch';
import { RangeBar } from './RangeBar';
import { SearchBar } from './SearchBar';
import { SegmentPicker } from './SegmentPicker';
import type { Follow } from './useFollow';

/** For so long after a jump, lines that come in and are higher than thought do not move its goal. */
const SETTLING_MS = 2_000;

type Goal = { line: number; align: Align; at: number };

export type LogViewProps = {
  feed: LogFeed;
  label: string;
  address: LogAddress;
  onSearch: (text: string) => void;
  /** The lines that the address names. */
  range: LineRange | null;
  onRange: (range: LineRange | null) => void;
  follow: Follow;
  /** More lines may come. */
  isLive: boolean;
  /** Where to begin where no line is named. */
  beginsAtEnd: boolean;
};

/** The lines, with what moves through them: search, line links, following, segments. */
export function LogView(props: LogViewProps) {
  const { feed, address, range, follow, isLive } = props;
  const { version } = useSyncExternalStore(feed.subscribe, feed.snapshot);
  const { total, gaps } = feed.buffer;
  const list = useRef<LogListHandle>(null);
  const region = useRef<HTMLElement | null>(null);
  const [goal, setGoal] = useGoal(props, total);
  const [found, setFound] = useState<{ line: number; search: LogSearch | null } | null>(null);
  // Another search stands nowhere yet.
  const current = found !== null && found.search === feed.search ? found.line : null;

  const size = segmentLines(address.isWrapped, window.devicePixelRatio);
  const lastSegment = Math.max(0, Math.floor((total - 1) / size));
  const segment = follow.isOn ? lastSegment : Math.min(lastSegment, Math.floor(goal.line / size));
  const end = Math.min(total, (segment + 1) * size);
  // biome-ignore lint/correctness/useExhaustiveDependencies: gaps are one list that grows
  const rows = useMemo(() => new Rows(segment * size, end, gaps, end === total), [segment, size, end, total, gaps.length]);

  const goTo = (line: number, align: Align = 'center') => {
    follow.turn(false);
    setGoal({ line: Math.min(line, Math.max(0, total - 1)), align, at: performance.now() });
  };
  const release = useScrolling(list, rows, goal, follow.isOn, address.isWrapped, version);
  const clicked = useRef<LineRange | null>(range);
  useNamedRange(range, clicked, region, goTo);

  // Where the list is made anew (another segment, wrapped or not), it begins where the reader was.
  const isFollowing = useRef(follow.isOn);
  useEffect(() => {
    isFollowing.current = follow.isOn;
  });
  const listKey = `${segment} ${address.isWrapped}`;
  const seen = useRef({ key: listKey, line: goal.line });
  const start = startOf(seen.current.key === listKey || follow.isOn ? null : seen.current.line, rows, goal, follow.isOn);
  useEffect(() => {
    seen.current = { key: listKey, line: list.current?.topLine() ?? goal.line };
  });

  const step = (direction: 1 | -1) => {
    const top = list.current?.topLine() ?? 0;
    const line = neighbour(feed.search?.hits ?? [], current ?? (direction === 1 ? top - 1 : top), direction);
    if (line === null) return;
    setFound({ line, search: feed.search });
    goTo(line);
  };
  useFirstHit(feed.search, !follow.isOn && range === null, () => step(1));
  const pick = (line: number, isRange: boolean) => {
    const from = isRange && range !== null ? range.first : line;
    follow.turn(false);
    clicked.current = { first: Math.min(from, line), last: Math.max(from, line) };
    props.onRange(clicked.current);
  };
  const press = (event: KeyboardEvent) => {
    release();
    if (event.target !== region.current || event.ctrlKey || event.metaKey || event.altKey) return;
    // The end of a log that grows fast is gone before it is reached.
    if (event.key === 'End' && isLive) return follow.turn(true);
    if (event.key === 'f' && isLive) follow.turn(!follow.isOn);
    else if (event.key === 'n') step(1);
    else if (event.key === 'N') step(-1);
    else return;
    event.preventDefault();
  };
  const label = range === null ? props.label : `${props.label}, ${rangeText(range)} selected`;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: keys of the region inside, which the list makes
    <div className={styles.view} onKeyDown={press} onWheel={release} onPointerDown={release}>
      <div className={styles.bar}>
        <SearchBar text={address.search} search={feed.search} current={current} onSearch={props.onSearch} onStep={step} />
        <RangeBar feed={feed} range={range} total={total} onRange={props.onRange} />
      </div>
      <SegmentPicker segment={segment} size={size} total={total} onPick={(line) => goTo(line, 'start')} />
      <LogList
        key={listKey}
        ref={list}
        feed={feed}
        version={version}
        rows={rows}
        label={label}
        isWrapped={address.isWrapped}
        hasTimes={address.hasTimes}
        search={address.search}
        current={current}
        range={range}
        start={start}
        onPick={pick}
        onHeight={() => {
          // The height is told before it is drawn.
          requestAnimationFrame(() => {
            if (isFollowing.current && region.current !== null) region.current.scrollTop = region.current.scrollHeight;
          });
        }}
        onScroller={(element) => {
          region.current = element;
          follow.watch(element);
        }}
      />
      <FollowBar isLive={isLive} follow={follow} total={total} onEnd={() => goTo(total - 1, 'end')} />
    </div>
  );
}

/** Where the view goes next. Whoever stops following stays where the end was. */
function useGoal(props: LogViewProps, total: number): [Goal, (goal: Goal) => void] {
  const isFollowing = props.follow.isOn;
  const [goal, setGoal] = useState<Goal>(() => firstGoal(props, total));
  const [followed, setFollowed] = useState<Goal | null>(null);
  if (isFollowing && followed !== goal) setFollowed(goal);
  if (!isFollowing && followed !== null) {
    setFollowed(null);
    if (followed === goal) setGoal({ line: Math.max(0, total - 1), align: 'end', at: Number.NEGATIVE_INFINITY });
  }
  return [goal, setGoal];
}

function firstGoal({ range, beginsAtEnd }: LogViewProps, total: number): Goal {
  const at = performance.now();
  if (range !== null) return { line: range.first, align: 'center', at };
  return beginsAtEnd ? { line: Math.max(0, total - 1), align: 'end', at } : { line: 0, align: 'start', at };
}

function startOf(line: number | null, rows: Rows, goal: Goal, isFollowing: boolean): { row: number; align: Align } {
  if (isFollowing) return { row: Math.max(0, rows.count - 1), align: 'end' };
  if (line !== null && line >= rows.first && line < rows.end) return { row: rows.rowOf(line), align: 'start' };
  const inside = Math.min(Math.max(goal.line, rows.first), Math.max(rows.first, rows.end - 1));
  return { row: rows.rowOf(inside), align: goal.align };
}

/** Goes to the goal when there is a new one, and to the end for as long as that is followed. Gives what the reader's hand calls. */
function useScrolling(
  list: RefObject<LogListHandle | null>,
  rows: Rows,
  goal: Goal,
  isFollowing: boolean,
  isWrapped: boolean,
  version: number,
): () => void {
  const done = useRef<Goal | null>(null);
  const isSettling = useRef(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each change may have made rows higher
  useEffect(() => {
    if (isFollowing || goal.line < rows.first || goal.line >= rows.end) return;
    if (done.current === goal && !(isWrapped && isSettling.current)) return;
    if (performance.now() - goal.at > SETTLING_MS) return;
    isSettling.current = true;
    done.current = goal;
    list.current?.scrollTo(rows.rowOf(goal.line), goal.align);
  }, [list, rows, goal, isFollowing, isWrapped && version]);
  useLayoutEffect(() => {
    if (isFollowing && rows.count > 0) list.current?.scrollTo(rows.count - 1, 'end');
  }, [list, isFollowing, rows]);
  return () => {
    isSettling.current = false;
  };
}

/** Goes to lines that the address names, and puts the focus there; not to those that were clicked, which are in sight. */
function useNamedRange(
  range: LineRange | null,
  clicked: RefObject<LineRange | null>,
  region: RefObject<HTMLElement | null>,
  goTo: (line: number) => void,
): void {
  const first = range?.first ?? null;
  const isFirst = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only another address moves
  useEffect(() => {
    const isKnown = !isFirst.current && first === (clicked.current?.first ?? null);
    isFirst.current = false;
    if (first === null || isKnown) return;
    if (clicked.current?.first !== first) goTo(first);
    clicked.current = range;
    region.current?.focus({ preventScroll: true });
  }, [first]);
}

/** Goes to the first line found, once for each search, unless the reader is at a place that was chosen. */
function useFirstHit(search: LogSearch | null, isFree: boolean, goToNext: () => void): void {
  const done = useRef<LogSearch | null>(null);
  const hasHits = search?.hasFirst === true && search.hits.length > 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: only the first hit moves
  useEffect(() => {
    if (!hasHits || done.current === search) return;
    done.current = search;
    if (isFree) goToNext();
  }, [search, hasHits]);
}
