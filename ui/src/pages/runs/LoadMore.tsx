import { useEffect, useRef } from 'react';
import styles from './RunsSection.module.css';
import type { LiveRuns } from './useRunsFeed';

/** Reads older runs when the end comes near, or on the button. A page may be empty: it goes on to the next by itself. */
export function LoadMore({ live }: { live: LiveRuns }) {
  const { list, isLoadingMore, error, loadMore } = live;
  const mark = useRef<HTMLDivElement>(null);
  const { next } = list;
  useEffect(() => {
    // After a refusal only the button asks again. After each page it looks anew: the list may have begun anew while it came.
    if (mark.current === null || next === null || error !== null || isLoadingMore) return;
    const observer = new IntersectionObserver(([entry]) => entry?.isIntersecting && void loadMore(), { rootMargin: '600px' });
    observer.observe(mark.current);
    return () => observer.disconnect();
  }, [next, error, isLoadingMore, loadMore]);
  return (
    <div ref={mark} className={styles.more}>
      {next !== null && (
        <button type="button" onClick={() => void loadMore()} aria-disabled={isLoadingMore}>
          {isLoadingMore ? 'Loading older runs…' : 'Load more'}
        </button>
      )}
      {next === null && list.runs.length > 0 && <span className="muted">No older runs</span>}
    </div>
  );
}
