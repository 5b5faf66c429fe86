/**
 * The runs that a filter means, live.
 *
 * Events only say which runs to read again; what is shown is what the API answers. (Not an infinite query of the cache: what
 * such a query reads takes the place of what was merged into it meanwhile, and it reads all pages again.)
 */
import { ApiProblem } from '@/api/problems';
import type { Event, Run, RunCounts } from '@/api/schema';
import type { StreamStatus } from '@/api/stream';
import { type RunFilter, wantsPhase, withoutPhase } from './filter';
import {
  covers,
  createdAt,
  isInReach,
  NOTHING_READ,
  ofFirstPage,
  type RunsList,
  withNextPage,
  withoutRun,
  withPageAgain,
  withRun,
} from './runsList';
import type { RunsSource } from './source';
import { Throttle } from './throttle';

export type RunsView = {
  readonly list: RunsList;
  readonly counts: RunCounts | null;
  readonly isLoadingMore: boolean;
  /** What was refused last; null once it is answered. */
  readonly error: unknown;
  /** Whether changes are told as they happen; null before that was tried. */
  readonly isLive: boolean | null;
};

const LIST_PAUSE_MS = 500;
const COUNTS_PAUSE_MS = 1_000;
/** More changed runs than this are read by pages. */
const MOST_BY_ID = 24;
const AT_ONCE = 4;
/** Of changed runs at one time; the others wait for the next. */
const MOST_PAGES = 4;
/** More pages of new runs than this are not read to fill the space above older ones: the list begins anew. */
const MOST_NEW_PAGES = 5;
/** After so many new runs the list begins anew when nobody minds: one that is open for days would only grow. */
const MOST_ARRIVED = 3_000;
/** Runs known from before are read again when the list is shown again: the newest of them. */
const MOST_KNOWN_READ_AGAIN = 1_000;

export class RunsFeed {
  private view: RunsView;
  private readonly listeners = new Set<() => void>();
  /** Runs to be read again. */
  private readonly changed = new Set<string>();
  private isTopChanged = true;
  /** Where reading by pages stands. */
  private lastReadAgain = '';
  private abort = new AbortController();
  private reading: Throttle | null = null;
  private counting: Throttle | null = null;
  private unfollow: (() => void) | null = null;
  /** Whether the list may begin anew: nobody reads or has selected what would go. */
  private mayBeginAnew: () => boolean = () => false;

  constructor(
    private readonly source: RunsSource,
    private readonly filter: RunFilter,
    known: RunsList | undefined,
  ) {
    this.view = { list: known ?? NOTHING_READ, counts: null, isLoadingMore: false, error: null, isLive: null };
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): RunsView => this.view;

  /** Begin to read and to listen; gives what ends it. It may begin again afterwards. */
  start(): () => void {
    const abort = new AbortController();
    const reading = new Throttle(() => this.ended(this.readAgain()), LIST_PAUSE_MS);
    const counting = new Throttle(() => this.ended(this.count()), COUNTS_PAUSE_MS);
    Object.assign(this, { abort, reading, counting });
    this.update({ isLoadingMore: false });
    // Also what was over may have been retried while nobody listened.
    for (const run of this.view.list.runs.slice(0, MOST_KNOWN_READ_AGAIN)) this.changed.add(run.id);
    this.refresh();
    return () => {
      this.unfollow?.();
      this.unfollow = null;
      abort.abort();
      reading.stop();
      counting.stop();
    };
  }

  /** Read anew what may have changed unseen: the newest runs, and those that were not over. */
  readonly refresh = (): void => {
    this.isTopChanged = true;
    for (const run of this.view.list.runs) if (!run.is_finished) this.changed.add(run.id);
    this.reading?.ask();
    this.counting?.ask();
  };

  readonly askBeforeBeginningAnew = (mayBeginAnew: () => boolean): void => {
    this.mayBeginAnew = mayBeginAnew;
  };

  /** Read the next page of older runs, if there is one. */
  readonly loadMore = async (): Promise<void> => {
    const { list, isLoadingMore } = this.view;
    if (isLoadingMore || list.next === null) return;
    const { signal } = this.abort;
    this.update({ isLoadingMore: true });
    try {
      const page = await this.source.page(this.filter, list.next, signal);
      // The list began anew meanwhile: this page is not the one behind its end.
      if (this.view.list.next === list.next) this.update({ list: withNextPage(this.view.list, page), error: null });
    } catch (error) {
      if (!signal.aborted) this.update({ error });
    } finally {
      if (!signal.aborted) this.update({ isLoadingMore: false });
    }
  };

  /** A run as the API answered it to a request of the page's own. */
  readonly take = (run: Run): void => {
    this.update({ list: withRun(this.view.list, run, wantsPhase(this.filter, run.phase)) });
    this.counting?.ask();
  };

  private readonly onEvent = (event: Event): void => {
    const isRunPhase = event.type === 'RunPhase';
    if (isRunPhase) this.counting?.ask();
    if (this.changed.has(event.run_id)) return;
    const isListed = this.view.list.runs.some(({ id }) => id === event.run_id);
    // A run that is not listed can only come in by its own phase.
    if (!isListed && !(isRunPhase && wantsPhase(this.filter, event.phase))) return;
    this.changed.add(event.run_id);
    this.reading?.ask();
  };

  private readonly onStatus = (status: StreamStatus): void => {
    if (status !== 'connecting') this.update({ isLive: status === 'open' });
    // Without an event seen there was no cursor to go on from: what happened meanwhile was told to nobody.
    if (status === 'open') this.refresh();
  };

  private async count(): Promise<void> {
    this.update({ counts: await this.source.counts(withoutPhase(this.filter), this.abort.signal) });
  }

  private async readAgain(): Promise<void> {
    const waiting = [...this.changed];
    this.changed.clear();
    const { list } = this.view;
    const newest = list.runs[0]?.id;
    let ids = waiting.filter((id) => isInReach(list, id) || newest === undefined || id > newest);
    if (this.isTopChanged || ids.some((id) => newest === undefined || id > newest)) {
      this.isTopChanged = false;
      const reached = await this.readTop();
      // Not before the filter is known to be right. Once the stream is open, the newest runs are read again.
      this.unfollow ??= this.source.follow(withoutPhase(this.filter), this.onEvent, this.onStatus);
      ids = ids.filter((id) => id < reached);
    }
    for (let pages = 0; pages < MOST_PAGES && ids.length > MOST_BY_ID; pages += 1) ids = await this.readPageOf(ids);
    if (ids.length <= MOST_BY_ID) await this.readEach(ids);
    else for (const id of ids) this.changed.add(id);
    if (this.changed.size > 0) this.reading?.ask();
  }

  /** Read the newest runs, down to one that was known. Gives the id down to which that was. */
  private async readTop(): Promise<string> {
    const newest = this.view.list.isRead ? this.view.list.runs[0]?.id : undefined;
    let list: RunsList | null = null;
    let cursor: string | null = null;
    for (let pages = 0; pages < MOST_NEW_PAGES; pages += 1) {
      const page = await this.source.page(this.filter, cursor, this.abort.signal);
      list = list === null ? ofFirstPage(page) : withNextPage(list, page);
      cursor = list.next;
      if (newest === undefined || cursor === null || (list.end !== null && list.end <= newest)) break;
    }
    if (list === null) return '';
    const isJoined = newest !== undefined && (cursor === null || (list.end !== null && list.end <= newest));
    const joined = isJoined ? withPageAgain(this.view.list, { items: [...list.runs], next_cursor: list.next }, true) : list;
    this.update({ list: joined.arrived > MOST_ARRIVED && this.mayBeginAnew() ? list : joined, error: null });
    return cursor === null ? '' : (list.end ?? '');
  }

  /** Read the page that begins with one of the runs, from new to old and round again. Gives those that are still to be read. */
  private async readPageOf(ids: readonly string[]): Promise<string[]> {
    const down = ids.toSorted().reverse();
    const first = down.find((id) => id < this.lastReadAgain) ?? down[0];
    if (first === undefined) return [];
    const before = new Date(createdAt(first) + 1_000).toISOString();
    const { created_before } = this.filter;
    const isEarlier = created_before !== '' && Date.parse(created_before) < Date.parse(before);
    const filter = { ...this.filter, created_before: isEarlier ? created_before : before };
    const page = await this.source.page(filter, null, this.abort.signal);
    this.update({ list: withPageAgain(this.view.list, page, false) });
    if (!covers(page, false, first)) await this.readEach([first]);
    this.lastReadAgain = page.items.at(-1)?.id ?? first;
    return ids.filter((id) => id !== first && !covers(page, false, id));
  }

  private async readEach(ids: readonly string[]): Promise<void> {
    const queue = [...ids];
    const read: (Run | string)[] = [];
    const work = async () => {
      for (let id = queue.shift(); id !== undefined; id = queue.shift()) read.push(await this.readRun(id));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    let { list } = this.view;
    for (const run of read)
      list = typeof run === 'string' ? withoutRun(list, run) : withRun(list, run, wantsPhase(this.filter, run.phase));
    if (list !== this.view.list) this.update({ list });
  }

  /** The run, or its id where it is gone. */
  private async readRun(id: string): Promise<Run | string> {
    try {
      return await this.source.run(id, this.abort.signal);
    } catch (error) {
      if (error instanceof ApiProblem && error.status === 404) return id;
      throw error;
    }
  }

  private async ended(work: Promise<void>): Promise<void> {
    const { signal } = this.abort;
    try {
      await work;
    } catch (error) {
      if (!signal.aborted) this.update({ error });
    }
  }

  private update(change: Partial<RunsView>): void {
    this.view = { ...this.view, ...change };
    for (const listener of this.listeners) listener();
  }
}
