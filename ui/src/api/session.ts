/**
 * The token, kept for the browser's session only, and whether the service asks for one.
 *
 * It is never part of an address: requests carry it in a header, websockets as a subprotocol.
 */
import { useSyncExternalStore } from 'react';
import { keep, kept } from './kept';

const KEY = 'podrun.token';

type Session = { readonly token: string | null; readonly isRefused: boolean };

let session: Session = { token: kept('sessionStorage', KEY), isRefused: false };
const listeners = new Set<() => void>();

function set(next: Session): void {
  session = next;
  for (const listener of listeners) listener();
}

/** The token that the user gave, null where none was given. */
export function currentToken(): string | null {
  return session.token;
}

/** The token's bytes in UTF-8, each as one character: headers take no others. */
export function bytesOf(token: string): string {
  return String.fromCharCode(...new TextEncoder().encode(token));
}

/** Keep the token until the tab is closed. */
export function signIn(token: string): void {
  keep('sessionStorage', KEY, token);
  set({ token, isRefused: false });
}

/** Forget the token. The page asks for one at once: nothing that was read with it stays in sight, and no stream goes on. */
export function signOut(): void {
  keep('sessionStorage', KEY, null);
  set({ token: null, isRefused: true });
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
