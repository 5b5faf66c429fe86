/**
 * The token, kept for the browser's session only, and whether the service asks for one.
 *
 * It is never part of an address: requests carry it in a header, websockets as a subprotocol.
 */
import { useSyncExternalStore } from 'react';

const KEY = 'podrun.token';

type Session = { readonly token: string | null; readonly isRefused: boolean };

let session: Session = { token: sessionStorage.getItem(KEY), isRefused: false };
const listeners = new Set<() => void>();

function set(next: Session): void {
  session = next;
  for (const listener of listeners) listener();
}

/** The token that the user gave, null where none was given. */
export function currentToken(): string | null {
  return session.token;
}

/** Keep the token until the tab is closed. */
export function signIn(token: string): void {
  sessionStorage.setItem(KEY, token);
  set({ token, isRefused: false });
}

/** Forget the token. */
export function signOut(): void {
  sessionStorage.removeItem(KEY);
  set({ token: null, isRefused: false });
}

/** The service has answered 401: the page asks for a token. A late answer to an older token changes nothing. */
export function refused(token: string | null): void {
  if (token === session.token) set({ token, isRefused: true });
}

/** The session, for components. */
export function useSession(): Session {
  return useSyncExternalStore(subscribe, () => session);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
