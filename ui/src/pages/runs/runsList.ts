/**
 * The runs that have been read, newest first, and how answers are merged into them.
 *
 * Runs are ordered by id, as the API orders them: a UUIDv7 begins with the time of creation. All functions give a new list, in
 * which runs that have not changed are the same objects as before, so that their rows are not rendered again.
 */
import type { Run, RunList } from '@/api/schema';

export type RunsList = {
  readonly runs: readonly Run[];
  /** Where older runs go on; null: there are none, or nothing was read yet. */
  readonly next: string | null;
  /** Id of the oldest run that was read by page; null: none yet. Older ones are not in the list while `next` is not null. */
  readonly end: string | null;
  readonly isRead: boolean;
  /** So many came in at the top since the first page was read. */
  readonly arrived: number;
};

export const NOTHING_READ: RunsList = { runs: [], next: null, end: null, isRead: false, arrived: 0 };

/** Above and below every id. */
const TOP = '~';
const BOTTOM = '';

/** The first page as it was read first, or again when too much has come since. */
export function ofFirstPage(page: RunList): RunsList {
  return { runs: page.items, next: page.next_cursor, end: page.items.at(-1)?.id ?? null, isRead: true, arrived: 0 };
}

/** The list with the page behind its end. */
export function withNextPage(list: RunsList, page: RunList): RunsList {
  const end = page.items.at(-1)?.id ?? list.end;
  return { ...list, runs: merged(list.runs, page, false), next: page.next_cursor, end };
}

/** The list with a page that was read again; `isTop`: nothing newer exists than what this page has. */
export function withPageAgain(list: RunsList, page: RunList, isTop: boolean): RunsList {
  const newest = list.runs[0]?.id ?? TOP;
  const arrived = list.arrived + (isTop ? page.items.filter(({ id }) => id > newest).length : 0);
  return { ...list, runs: merged(list.runs, page, isTop), arrived };
}

/** The list with a run that was read again. Without `isWanted` it leaves the list. */
export function withRun(list: RunsList, run: Run, isWanted: boolean): RunsList {
  if (!isWanted) return withoutRun(list, run.id);
  const known = list.runs.find(({ id }) => id === run.id);
  if (known !== undefined) {
    if (newer(known, run) === known) return list;
    return { ...list, runs: list.runs.map((each) => (each === known ? run : each)) };
  }
  return isInReach(list, run.id) ? { ...list, runs: sorted([...list.runs, run]) } : list;
}

/** The list without a run: it was deleted, or no longer is what was asked for. */
export function withoutRun(list: RunsList, id: string): RunsList {
  return list.runs.some((run) => run.id === id) ? { ...list, runs: list.runs.filter((run) => run.id !== id) } : list;
}

/** Whether a run would stand among those that were read, if it were wanted. */
export function isInReach(list: RunsList, id: string): boolean {
  return list.isRead && (list.next === null || (list.end !== null && id >= list.end));
}

/** Which ids a page answers for: those between its first and its last run, also where they are not in it. */
export function covers(page: RunList, isTop: boolean, id: string): boolean {
  const first = isTop ? TOP : page.items[0]?.id;
  const last = page.next_cursor === null ? BOTTOM : page.items.at(-1)?.id;
  return first !== undefined && last !== undefined && id <= first && id >= last;
}

/** When a run was made, by its id: milliseconds since 1970. */
export function createdAt(id: string): number {
  return Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16);
}

function merged(runs: readonly Run[], page: RunList, isTop: boolean): readonly Run[] {
  const known = new Map(runs.map((run) => [run.id, run]));
  const kept = runs.filter(({ id }) => !covers(page, isTop, id));
  const read = page.items.map((run) => newer(known.get(run.id), run));
  const ids = new Set(read.map(({ id }) => id));
  return sorted([...kept.filter(({ id }) => !ids.has(id)), ...read]);
}

function newer(known: Run | undefined, run: Run): Run {
  return known !== undefined && known.version >= run.version ? known : run;
}

function sorted(runs: Run[]): Run[] {
  return runs.sort((a, b) => (a.id < b.id ? 1 : a.id > b.id ? -1 : 0));
}
