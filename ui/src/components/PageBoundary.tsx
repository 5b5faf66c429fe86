import { useQuery } from '@tanstack/react-query';
import { Component, type ReactNode, useEffect } from 'react';
import { api, dataOf } from '@/api/client';
import { keep, kept } from '@/api/kept';
import { PartMissing } from '@/api/parts';
import { sentenceOf } from '@/api/problems';
import { ErrorNotice } from './Notice';

type Props = { /** The address: at another one it tries anew. */ path: string; children: ReactNode };

/** Says what went wrong where a page could not be fetched or shown: without it, the window would be empty. */
export class PageBoundary extends Component<Props, { error: unknown; path: string }> {
  override state = { error: null as unknown, path: this.props.path };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  static getDerivedStateFromProps({ path }: Props, state: { path: string }) {
    return path === state.path ? null : { error: null, path };
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    return (
      <>
        <h1>This page could not be shown</h1>
        <ErrorNotice error={this.state.error} />
        <p>The service may be away, or have been upgraded since this window was opened.</p>
        <LoadWhenBack error={this.state.error} />
        <button type="button" onClick={() => window.location.reload()}>
          Load it again
        </button>
      </>
    );
  }
}

const POLL_MS = 3_000;
const KEY = 'podrun.loaded-again-at';
const SHORTEST_PAUSE_MS = 30_000;
/** What browsers say when a part of the page could not be fetched: the service was away, or has other files by now. */
const NOT_FETCHED = /dynamically imported module|importing a module script|preload css/i;

/** Loads a page that could not be fetched again by itself, as soon as the service answers; not twice in a row. */
function LoadWhenBack({ error }: { error: unknown }) {
  const { isSuccess } = useQuery({
    queryKey: ['boundary'],
    queryFn: ({ signal }) => dataOf(api.GET('/api/v1/info', { signal })),
    retryDelay: POLL_MS,
    gcTime: 0,
  });
  const isToBeLoaded = isSuccess && (error instanceof PartMissing || NOT_FETCHED.test(sentenceOf(error)));
  useEffect(() => {
    if (!isToBeLoaded || Date.now() - Number(kept('sessionStorage', KEY)) < SHORTEST_PAUSE_MS) return;
    const now = String(Date.now());
    keep('sessionStorage', KEY, now);
    // Where that is forgotten, it would load again and again.
    if (kept('sessionStorage', KEY) === now) window.location.reload();
  }, [isToBeLoaded]);
  return null;
}
