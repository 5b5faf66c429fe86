/** The service's time of day for durations that grow: one clock for the page, that ticks only while something shows it. */
import { useSyncExternalStore } from 'react';
import { serviceNow } from '@/api/clock';

const TICK_MS = 1_000;
let now = serviceNow();
let timer: number | undefined;
const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  if (timer === undefined) {
    now = serviceNow(); // it may have stood still for long
    timer = window.setInterval(() => {
      now = serviceNow();
      for (const each of listeners) each();
    }, TICK_MS);
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      window.clearInterval(timer);
      timer = undefined;
    }
  };
}

const never = () => () => undefined;

/** Milliseconds since 1970, anew each second while `isTicking`. */
export function useNow(isTicking = true): number {
  return useSyncExternalStore(isTicking ? subscribe : never, () => now);
}

/** What `textAt` makes of the time, anew each second: the component renders again only when it is another text. */
export function useTextAtNow(textAt: (now: number) => string): string {
  return useSyncExternalStore(subscribe, () => textAt(now));
}
