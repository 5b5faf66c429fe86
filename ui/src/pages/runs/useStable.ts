import { useCallback, useLayoutEffect, useRef } from 'react';

/** The same function at every render, that does what the last one says: rows that got it need not render again. */
export function useStable<Args extends unknown[], Result>(act: (...args: Args) => Result): (...args: Args) => Result {
  const last = useRef(act);
  useLayoutEffect(() => {
    last.current = act;
  });
  return useCallback((...args: Args) => last.current(...args), []);
}
