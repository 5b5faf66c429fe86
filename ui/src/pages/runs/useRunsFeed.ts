import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useMemo, useSyncExternalStore } from 'react';
import { keys } from '@/api/query';
import { type RunFilter, searchOf } from './filter';
import { RunsFeed, type RunsView } from './runsFeed';
import type { RunsList } from './runsList';
import { apiSource } from './source';

/** No event tells of a run that was deleted: the newest page is read again so often. */
const REFRESH_MS = 30_000;

export type LiveRuns = RunsView & Pick<RunsFeed, 'refresh' | 'loadMore' | 'take' | 'askBeforeBeginningAnew'>;

/** The runs that a filter means, live while the component is shown. What was read stays in the cache for coming back. */
export function useRunsFeed(filter: RunFilter): LiveRuns {
  const queries = useQueryClient();
  const key = searchOf(filter).toString();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key is all of the filter
  const feed = useMemo(() => new RunsFeed(apiSource, filter, queries.getQueryData<RunsList>(keys.runs(key))), [queries, key]);
  useEffect(() => {
    const stop = feed.start();
    const onVisible = () => document.visibilityState === 'visible' && feed.refresh();
    document.addEventListener('visibilitychange', onVisible);
    const timer = window.setInterval(onVisible, REFRESH_MS);
    return () => {
      window.clearInterval(timer);
      document.removeEventListener('visibilitychange', onVisible);
      stop();
      const { list } = feed.snapshot();
      if (list.isRead) queries.setQueryData(keys.runs(key), list);
    };
  }, [feed, queries, key]);
  const view = useSyncExternalStore(feed.subscribe, feed.snapshot);
  const { refresh, loadMore, take, askBeforeBeginningAnew } = feed;
  return { ...view, refresh, loadMore, take, askBeforeBeginningAnew };
}
