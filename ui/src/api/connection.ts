/** Whether the service answers: told by every request and stream, shown by the page's banner. */
import { useSyncExternalStore } from 'react';

export type Connection = {
  /** False from the first failed request until one succeeds again. */
  readonly isUp: boolean;
  /** What is wrong, a sentence for a person. */
  readonly message: string | null;
};

const UP: Connection = { isUp: true, message: null };

let connection: Connection = UP;
const listeners = new Set<() => void>();

function set(next: Connection): void {
  if (next.isUp === connection.isUp && next.message === connection.message) return;
  connection = next;
  for (const listener of listeners) listener();
}

/** A request was answered. */
export function answered(): void {
  set(UP);
}

/** A request was not answered, or only by something that stands before the service. */
export function unanswered(message: string): void {
  set({ isUp: false, message });
}

/** The connection, for components. */
export function useConnection(): Connection {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => connection,
  );
}
