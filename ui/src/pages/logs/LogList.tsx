import { type CSSProperties, type ReactElement, type Ref, useImperativeHandle, useRef } from 'react';
import { type ListRange, Virtuoso, type VirtuosoHandle } from 'react-virtuoso';
import styles from './LogList.module.css';
import { GapRow, LogRow } from './LogRow';
import { LIST_PARTS } from './listParts';
import type { LineRange } from './logAddress';
import type { LogFeed } from './logFeed';
import { ROW_PX, type Rows } from './logRows';

/** Rows that are drawn beyond both edges, in pixels. */
const AHEAD_PX = 240;
const LONGEST_COLUMNS = 20_000;

export type Align = 'start' | 'center' | 'end';

export type LogListHandle = {
  scrollTo(row: number, align: Align): void;
  /** The first line that can be seen, null where none can. */
  topLine(): number | null;
};

export type LogListProps = {
  ref: Ref<LogListHandle>;
  feed: LogFeed;
  /** Changes when anything that is shown may have. */
  version: number;
  rows: Rows;
  /** Names the region. */
  label: string;
  isWrapped: boolean;
  hasTimes: boolean;
  search: string;
  current: number | null;
  range: LineRange | null;
  start: { row: number; align: Align };
  onPick: (line: number, isRange: boolean) => void;
  onScroller: (element: HTMLElement | null) => void;
  /** All rows together have another height. */
  onHeight: () => void;
};

/** The lines of a segment, of which only those in sight are drawn and asked for. */
export function LogList(props: LogListProps): ReactElement {
  const { ref, feed, rows, isWrapped, start, onScroller } = props;
  const list = useRef<VirtuosoHandle>(null);
  const scroller = useRef<HTMLElement | null>(null);
  useImperativeHandle(ref, () => ({
    scrollTo: (row, align) => list.current?.scrollToIndex({ index: row, align }),
    topLine: () => topLine(scroller.current),
  }));
  const look = ({ startIndex, endIndex }: ListRange) => feed.buffer.view(rows.lineAt(startIndex), rows.lineAt(endIndex));
  const size = {
    '--digits': Math.max(4, String(rows.end).length),
    '--columns': Math.min(feed.buffer.longest, LONGEST_COLUMNS),
  } as CSSProperties;
  return (
    <Virtuoso
      ref={list}
      className={`${styles.list} ${isWrapped ? styles.wrapped : ''}`}
      style={size}
      context={props}
      components={LIST_PARTS}
      totalCount={rows.count}
      {...(isWrapped ? { defaultItemHeight: ROW_PX } : { fixedItemHeight: ROW_PX })}
      increaseViewportBy={AHEAD_PX}
      initialTopMostItemIndex={{ index: start.row, align: start.align }}
      itemContent={drawRow}
      rangeChanged={look}
      totalListHeightChanged={props.onHeight}
      scrollerRef={(element) => {
        scroller.current = element instanceof HTMLElement ? element : null;
        onScroller(scroller.current);
      }}
    />
  );
}

function drawRow(index: number, _data: unknown, context: Omit<LogListProps, 'ref'>) {
  const { rows, feed, search, current, range } = context;
  const { line, gap } = rows.at(index);
  if (gap !== null) return <GapRow gap={gap} />;
  return (
    <LogRow
      line={line}
      entry={feed.buffer.get(line)}
      search={search}
      isHit={feed.search?.isHit(line) ?? false}
      isCurrent={line === current}
      isSelected={range !== null && line >= range.first && line <= range.last}
      hasTime={context.hasTimes}
      onPick={context.onPick}
    />
  );
}

function topLine(scroller: HTMLElement | null): number | null {
  if (scroller === null) return null;
  const top = scroller.getBoundingClientRect().top;
  for (const row of scroller.querySelectorAll<HTMLElement>('[data-line]'))
    if (row.getBoundingClientRect().bottom > top + 1) return Number(row.dataset.line);
  return null;
}
