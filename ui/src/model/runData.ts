/** All of a run, live: what the API answers, brought up to date by the run's events. */
import { useEffect, useMemo, useSyncExternalStore } from 'react';
import { type RunData, RunFeed } from './runDataFeed';

export type { RunData } from './runDataFeed';

/** The run and its tasks, kept up to date while the component is shown. `refresh` after an action of one's own. */
export function useRunData(runId: string): { data: RunData | null; error: unknown; refresh: () => void } {
  const feed = useMemo(() => new RunFeed(runId), [runId]);
  useEffect(() => feed.start(), [feed]);
  const { data, error } = useSyncExternalStore(feed.subscribe, feed.snapshot);
  return { data, error, refresh: feed.refresh };
}
