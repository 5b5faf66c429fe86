import { type KeyboardEvent, useCallback, useMemo, useRef, useState } from 'react';
import { Virtuoso, type VirtuosoHandle } from 'react-virtuoso';
import type { Run, TaskRun } from '@/api/schema';
import { useNow } from '@/model/now';
import { localText } from '@/model/times';
import { Axis } from './Axis';
import { boundsOf, type Order, type Row, rowsOf } from './spans';
import styles from './Timeline.module.css';
import { TimelineRow } from './TimelineRow';
import { useScale, useWheel } from './useScale';

type Props = { run: Run; tasks: readonly TaskRun[]; selected: string | null; onSelect: (task: string | null) => void };

/** A run's tasks over time: for each attempt how long it was pending and running. */
export function Timeline(props: Props) {
  return props.tasks.length === 0 ? <p>This run has no tasks yet.</p> : <Chart {...props} />;
}

function Chart({ run, tasks, selected, onSelect }: Props) {
  const root = useRef<HTMLElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const [order, setOrder] = useState<Order>('start');
  const [unfolded, setUnfolded] = useState<ReadonlySet<string>>(new Set());
  const rows = useMemo(() => rowsOf(tasks, order, unfolded), [tasks, order, unfolded]);
  const zero = Date.parse(run.started_at ?? run.created_at);
  const fixed = useMemo(() => boundsOf(rows, zero, 0), [rows, zero]);
  const now = useNow(fixed.isLive);
  const { from } = fixed;
  const to = fixed.isLive ? Math.max(fixed.to, now) : fixed.to;
  const { scale, zoomBy, showAll, scrolled } = useScale(
    root,
    scroller,
    (to - from) / 1_000,
    (Math.max(now, from) - from) / 1_000,
  );
  const press = useCallback(
    (row: Row) => {
      if (row.counts === null) onSelect(row.name);
      else
        setUnfolded(
          (names) => new Set(names.has(row.name) ? [...names].filter((name) => name !== row.name) : [...names, row.name]),
        );
    },
    [onSelect],
  );
  useWheel(root, scroller, zoomBy);
  return (
    <section ref={root} className={styles.timeline} aria-label="Timeline">
      <Controls order={order} onOrder={setOrder} onZoom={zoomBy} onFit={showAll} />
      <Legend />
      <div className={styles.axis}>
        <span className={styles.zero}>From {localText(new Date(zero).toISOString())}</span>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, by the keyboard too */}
        <section ref={scroller} className={styles.scroller} tabIndex={0} aria-label="Time axis" onScroll={scrolled}>
          <div style={{ width: `${scale.pixels}px` }}>
            <Axis scale={scale} from={from} to={to} zero={zero} />
          </div>
        </section>
      </div>
      <Rows rows={rows} start={from} selected={selected} onPress={press} />
    </section>
  );
}

type ControlsProps = { order: Order; onOrder: (order: Order) => void; onZoom: (steps: number) => void; onFit: () => void };

function Controls({ order, onOrder, onZoom, onFit }: ControlsProps) {
  return (
    <div className={styles.controls}>
      <button type="button" onClick={() => onZoom(-1)} aria-label="Zoom out">
        −
      </button>
      <button type="button" onClick={() => onZoom(1)} aria-label="Zoom in">
        +
      </button>
      <button type="button" onClick={onFit}>
        Fit
      </button>
      <label>
        Order{' '}
        <select value={order} onChange={(event) => onOrder(event.target.value === 'document' ? 'document' : 'start')}>
          <option value="start">by start</option>
          <option value="document">as in the document</option>
        </select>
      </label>
    </div>
  );
}

function Legend() {
  return (
    <p className={styles.legend}>
      <span>
        <i data-kind="pending" data-tone="pending" /> pending
      </span>
      <span>
        <i data-kind="running" data-tone="running" /> running
      </span>
      <span>
        <i data-kind="running" data-tone="succeeded" /> succeeded
      </span>
      <span>
        <i data-kind="running" data-tone="failed" /> failed
      </span>
      <span className="muted">Each attempt has bars of its own.</span>
    </p>
  );
}

type RowsProps = { rows: readonly Row[]; start: number; selected: string | null; onPress: (row: Row) => void };

/** Only rows in sight are there. Tab leads to one of them, arrow keys to the others. */
function Rows({ rows, start, selected, onPress }: RowsProps) {
  const list = useRef<VirtuosoHandle>(null);
  const frame = useRef<HTMLDivElement>(null);
  const [focused, setFocused] = useState<string | null>(null);
  const [range, setRange] = useState({ startIndex: 0, endIndex: 0 });
  const at = rows.findIndex(({ id }) => id === focused);
  const stop = at >= range.startIndex && at <= range.endIndex ? at : range.startIndex;
  const go = (event: KeyboardEvent) => {
    const next = { ArrowDown: stop + 1, ArrowUp: stop - 1, Home: 0, End: rows.length - 1 }[event.key];
    const id = next === undefined ? undefined : rows[next]?.id;
    if (next === undefined || id === undefined) return;
    event.preventDefault();
    list.current?.scrollIntoView({ index: next, done: () => focusRow(frame.current, id) });
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: arrow keys lead from row to row, which are buttons
    <div ref={frame} className={styles.rows} onKeyDown={go}>
      <Virtuoso
        ref={list}
        className={styles.list}
        // Its rows take the focus.
        tabIndex={-1}
        totalCount={rows.length}
        rangeChanged={setRange}
        computeItemKey={(row) => rows[row]?.id ?? row}
        itemContent={(number) => {
          const row = rows[number];
          return row === undefined ? null : (
            <TimelineRow
              row={row}
              start={start}
              isSelected={row.counts === null && row.name === selected}
              isStop={number === stop}
              onPress={onPress}
              onFocus={setFocused}
            />
          );
        }}
      />
    </div>
  );
}

function focusRow(frame: HTMLElement | null, id: string): void {
  const row = [...(frame?.querySelectorAll<HTMLElement>('[data-row]') ?? [])].find((each) => each.dataset.row === id);
  row?.focus({ preventScroll: true });
}
