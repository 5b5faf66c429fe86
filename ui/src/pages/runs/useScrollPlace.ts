import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { useNavigationType } from 'react-router';
import { keys } from '@/api/query';

/** The list is measured and the page has scrolled to its top by then. */
const SETTLED_MS = 60;

/** Who comes back by the browser's back button finds the list scrolled as it was left. `name` tells which list. */
export function useScrollPlace(name: string): void {
  const queries = useQueryClient();
  const isBack = useNavigationType() === 'POP';
  // biome-ignore lint/correctness/useExhaustiveDependencies: how this page was come to counts, not how it is left
  useEffect(() => {
    const key = [...keys.runs(name), 'place'];
    const left = isBack ? (queries.getQueryData<number>(key) ?? 0) : 0;
    let place = left;
    const timer = left > 0 ? window.setTimeout(() => window.scrollTo(0, left), SETTLED_MS) : undefined;
    const onScroll = () => {
      place = window.scrollY;
    };
    window.addEventListener('scroll', onScroll, { passive: true });
    return () => {
      window.clearTimeout(timer);
      window.removeEventListener('scroll', onScroll);
      queries.setQueryData(key, place);
    };
  }, [queries, name]);
}
