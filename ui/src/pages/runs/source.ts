/** Where runs come from: the API, asked until it answers. */
import { api, dataOf } from '@/api/client';
import { Unreachable } from '@/api/problems';
import type { Event, Run, RunCounts, RunList } from '@/api/schema';
import { openStream, type StreamStatus } from '@/api/stream';
import { type RunFilter, searchOf, withoutPhase } from './filter';

const PAGE = 100;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;

/** All methods but `follow` wait out a service that is away; they throw ApiProblem when it refuses, and when aborted. */
export type RunsSource = {
  page(filter: RunFilter, cursor: string | null, signal: AbortSignal): Promise<RunList>;
  run(id: string, signal: AbortSignal): Promise<Run>;
  counts(filter: RunFilter, signal: AbortSignal): Promise<RunCounts>;
  /** Each change from now on of the runs that are meant; gives what ends it. */
  follow(filter: RunFilter, onEvent: (event: Event) => void, onStatus: (status: StreamStatus) => void): () => void;
};

export const apiSource: RunsSource = {
  page: (filter, cursor, signal) =>
    untilAnswered(signal, () =>
      dataOf(api.GET('/api/v1/runs', { params: { query: { ...queryOf(filter), limit: PAGE, cursor } }, signal })),
    ),
  run: (run_id, signal) =>
    untilAnswered(signal, () => dataOf(api.GET('/api/v1/runs/{run_id}', { params: { path: { run_id } }, signal }))),
  counts: (filter, signal) =>
    untilAnswered(signal, () => dataOf(api.GET('/api/v1/runs/counts', { params: { query: queryOf(filter) }, signal }))),
  follow(filter, onEvent, onStatus) {
    // Not by phase: events are chosen by what their run is now, so that nothing would be told of a run that leaves a phase.
    const query = { ...Object.fromEntries(searchOf(withoutPhase(filter))), tail: '0' };
    const stream = openStream<Event>({
      path: '/api/v1/runs/events',
      query,
      onFrame: (frame) => frame.type === 'event' && onEvent(frame.event),
      onStatus,
    });
    return () => stream.close();
  },
};

function queryOf({ phase, workflow, label_selector, created_after, created_before }: RunFilter) {
  return {
    phase: [...phase],
    workflow: workflow || undefined,
    label_selector: label_selector || undefined,
    created_after: created_after || undefined,
    created_before: created_before || undefined,
  };
}

async function untilAnswered<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  for (let delay = FIRST_DELAY_MS; ; delay = Math.min(2 * delay, LONGEST_DELAY_MS)) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof Unreachable) || signal.aborted) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, delay));
    signal.throwIfAborted();
  }
}
