/** Of each task the times to draw: for each attempt pending and running, apart. Milliseconds since 1970. */
import type { Attempt, Phase, TaskRun } from '@/api/schema';
import { isFailure, isOver, TASK_PHASES } from '@/model/phases';
import { durationText } from '@/model/times';

export type Segment = {
  readonly kind: 'pending' | 'running' | 'items';
  /** Which attempt; 0 for the items of a fan-out. */
  readonly attempt: number;
  readonly from: number;
  /** Null: it goes on. */
  readonly to: number | null;
  readonly phase: Phase;
};

export type Row = {
  readonly id: string;
  readonly name: string;
  readonly phase: Phase;
  /** The task; null for items folded into one row. */
  readonly task: TaskRun | null;
  readonly segments: readonly Segment[];
  /** Of a fan-out's row: how many items are in which phase. */
  readonly counts: readonly (readonly [Phase, number])[] | null;
  readonly isUnfolded: boolean;
};

export type Order = 'start' | 'document';
type Times = { readonly segments: readonly Segment[]; readonly from: number };

/** Fan-outs of more items than this are one row until they are unfolded. */
export const MOST_ITEMS = 50;

const known = new WeakMap<TaskRun, Times>();

/** What there is to draw of a task; nothing for one that had no pod. Clocks may differ: no segment ends before it begins. */
export function segmentsOf(task: TaskRun): readonly Segment[] {
  return timesOf(task).segments;
}

function timesOf(task: TaskRun): Times {
  let times = known.get(task);
  if (times === undefined) {
    const segments = task.attempts.flatMap(ofAttempt);
    const began = segments[0]?.from ?? (task.started_at === null ? Number.POSITIVE_INFINITY : Date.parse(task.started_at));
    times = { segments, from: began };
    known.set(task, times);
  }
  return times;
}

function ofAttempt({ attempt, created_at, started_at, finished_at, phase }: Attempt): Segment[] {
  const started = started_at === null ? null : Date.parse(started_at);
  // A node's clock may be behind the service's: what started is not pending any more.
  const created = Math.min(Date.parse(created_at), started ?? Number.POSITIVE_INFINITY);
  const end = finished_at === null ? null : Date.parse(finished_at);
  const open = (from: number) => (end === null ? (isOver(phase) ? from : null) : Math.max(from, end));
  const segments: Segment[] = [];
  if (started === null || started > created) {
    segments.push({
      kind: 'pending',
      attempt,
      from: created,
      to: started ?? open(created),
      phase: started === null ? phase : 'Pending',
    });
  }
  if (started !== null) segments.push({ kind: 'running', attempt, from: started, to: open(started), phase });
  return segments;
}

/** One for each task; for a fan-out of many items one, and its items below it where it is unfolded. */
export function rowsOf(tasks: readonly TaskRun[], order: Order, unfolded: ReadonlySet<string>): Row[] {
  const fanOuts = new Map<string, TaskRun[]>();
  for (const task of tasks) {
    if (task.foreach === null) continue;
    const items = fanOuts.get(task.foreach.task);
    if (items === undefined) fanOuts.set(task.foreach.task, [task]);
    else items.push(task);
  }
  const entries: { from: number; rows: () => Row[] }[] = [];
  for (const task of tasks) {
    const items = task.foreach === null ? undefined : fanOuts.get(task.foreach.task);
    if (task.foreach === null || items === undefined || items.length <= MOST_ITEMS) {
      entries.push({ from: timesOf(task).from, rows: () => [rowOf(task)] });
    } else if (items[0] === task) {
      const { task: name } = task.foreach;
      const from = items.reduce((least, item) => Math.min(least, timesOf(item).from), Number.POSITIVE_INFINITY);
      entries.push({ from, rows: () => ofFanOut(name, items, order, unfolded.has(name)) });
    }
  }
  if (order === 'start') sortByStart(entries);
  return entries.flatMap(({ rows }) => rows());
}

function sortByStart(entries: { from: number }[]): void {
  // Infinity less itself is no number: what has not begun stays in the document's order, at the end.
  entries.sort((a, b) => (a.from === b.from ? 0 : a.from - b.from));
}

const rowKnown = new WeakMap<TaskRun, Row>();

function rowOf(task: TaskRun): Row {
  let row = rowKnown.get(task);
  if (row === undefined) {
    const { name, phase } = task;
    row = { id: name, name, phase, task, segments: segmentsOf(task), counts: null, isUnfolded: false };
    rowKnown.set(task, row);
  }
  return row;
}

function ofFanOut(name: string, items: readonly TaskRun[], order: Order, isUnfolded: boolean): Row[] {
  const phases = new Map<Phase, number>();
  let from = Number.POSITIVE_INFINITY;
  let to: number | null = Number.NEGATIVE_INFINITY;
  for (const item of items) {
    phases.set(item.phase, (phases.get(item.phase) ?? 0) + 1);
    for (const segment of segmentsOf(item)) {
      from = Math.min(from, segment.from);
      to = segment.to === null || to === null ? null : Math.max(to, segment.to);
    }
  }
  const counts = TASK_PHASES.flatMap((phase): [Phase, number][] => {
    const count = phases.get(phase);
    return count === undefined ? [] : [[phase, count]];
  });
  const phase = counts[0]?.[0] ?? 'Pending';
  const segments: Segment[] = Number.isFinite(from) ? [{ kind: 'items', attempt: 0, from, to, phase }] : [];
  const row: Row = { id: `${name} items`, name, phase, task: null, segments, counts, isUnfolded };
  if (!isUnfolded) return [row];
  const entries = items.map((item) => ({ from: timesOf(item).from, item }));
  if (order === 'start') sortByStart(entries);
  return [row, ...entries.map(({ item }) => rowOf(item))];
}

/** What all of them span, from no later than `start` on; what goes on ends now. */
export function boundsOf(rows: readonly Row[], start: number, now: number): { from: number; to: number; isLive: boolean } {
  let from = start;
  let to = start;
  let isLive = false;
  for (const { segments } of rows) {
    for (const segment of segments) {
      from = Math.min(from, segment.from);
      to = Math.max(to, segment.to ?? now);
      isLive ||= segment.to === null;
    }
  }
  return { from, to: Math.max(to, from + 1_000), isLive };
}

/** `attempt 2: running 12.3 s, Failed`. */
export function segmentText({ kind, attempt, from, to, phase }: Segment, now: number): string {
  const length = `${durationText((to ?? now) - from)}${to === null ? ' so far' : ''}`;
  if (kind === 'items') return `from the first to the last item ${length}`;
  const ending = kind === 'running' || phase !== 'Pending' ? (to === null ? '' : `, ${phase}`) : '';
  return `attempt ${attempt}: ${kind} ${length}${ending}`;
}

/** All of a row in words: `build: Failed; attempt 1: pending 2.1 s; running 12.3 s, Failed; attempt 2: …`. */
export function rowText(row: Row, now: number): string {
  return row.name + detailText(row, now);
}

/** What follows on the name. */
export function detailText(row: Row, now: number): string {
  if (row.counts !== null) {
    const counts = row.counts.map(([phase, count]) => `${count.toLocaleString('en')} ${phase}`).join(', ');
    return [`, items: ${counts}`, ...row.segments.map((segment) => segmentText(segment, now))].join('; ');
  }
  if (row.segments.length === 0) return `: ${row.phase}, no pod${isOver(row.phase) ? '' : ' so far'}`;
  const several = (row.segments.at(-1)?.attempt ?? 1) > 1;
  const parts = row.segments.map((segment, at) => {
    const text = segmentText(segment, now);
    const isFirst = row.segments[at - 1]?.attempt !== segment.attempt;
    return several && isFirst ? text : text.replace(/^attempt \d+: /, '');
  });
  const reason = row.task !== null && isFailure(row.phase) && row.task.reason !== null ? ` (${row.task.reason})` : '';
  return `: ${row.phase}${reason}; ${parts.join('; ')}`;
}
