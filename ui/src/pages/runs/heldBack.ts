import { useState } from 'react';
import type { Run } from '@/api/schema';

/** The runs to show and how many newer ones are held back: those above `top`, the newest that was shown. Null: none are. */
export function splitAt(runs: readonly Run[], top: string | null): { shown: readonly Run[]; held: number } {
  if (top === null) return { shown: runs, held: 0 };
  const held = runs.findIndex(({ id }) => id <= top);
  // All are newer: what was shown is gone, and nothing would jump.
  return held <= 0 ? { shown: runs, held: 0 } : { shown: runs.slice(held), held };
}

/** While the reader is further down, newer runs are held back, so that what is read stays where it is. */
export function useHeldBack(runs: readonly Run[], isFurtherDown: boolean) {
  const [top, setTop] = useState<string | null>(null);
  const newest = runs[0]?.id ?? null;
  if (!isFurtherDown && top !== null) setTop(null);
  if (isFurtherDown && top === null && newest !== null) setTop(newest);
  return { ...splitAt(runs, isFurtherDown ? top : null), release: () => setTop(newest) };
}
