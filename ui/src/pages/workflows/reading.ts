/** What the pages of stored workflows read and change. */
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { api, dataOf } from '@/api/client';
import { keys } from '@/api/query';
import type { Event, StoredWorkflow } from '@/api/schema';
import { openStream } from '@/api/stream';
import { indented, memberText } from '@/model/jsonText';
import { lanes, Pacer } from './pacing';

/** Next and last runs of schedules change without an event. */
const POLL_MS = 10_000;
const PAGE = 100;
const MOST_AT_ONCE = 3;

const inLane = lanes(MOST_AT_ONCE);

/** The stored workflows by name, page by page. */
export function useStoredWorkflows() {
  return useInfiniteQuery({
    queryKey: [...keys.workflows, 'pages'],
    queryFn: ({ pageParam, signal }) =>
      dataOf(api.GET('/api/v1/workflows', { params: { query: { limit: PAGE, cursor: pageParam } }, signal })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    refetchInterval: ({ state }) => POLL_MS * Math.max(1, state.data?.pages.length ?? 1),
  });
}

/** `text`: the whole answer as it came, for numbers in the document that would be rounded. */
export type WorkflowAnswer = StoredWorkflow & { readonly text: string };

/** One stored workflow with a document of it; `version` null: the newest. */
export function useStoredWorkflow(name: string, version: number | null) {
  return useQuery({
    queryKey: keys.workflow(name, version),
    queryFn: async ({ signal }): Promise<WorkflowAnswer> => {
      const params = { path: { name }, query: { version: version ?? undefined } };
      const text = await dataOf(api.GET('/api/v1/workflows/{name}', { params, signal, parseAs: 'text' }));
      return { ...(JSON.parse(text) as StoredWorkflow), text };
    },
    refetchInterval: POLL_MS,
  });
}

/** The document in an answer, indented, with its numbers as they were written. */
export function documentOf({ text }: WorkflowAnswer): string {
  return indented(memberText(text, 'document') ?? 'null', Number.POSITIVE_INFINITY).text;
}

/** Its versions, newest first, page by page. */
export function useVersions(name: string) {
  return useInfiniteQuery({
    queryKey: [...keys.versions(name), 'pages'],
    queryFn: ({ pageParam, signal }) =>
      dataOf(
        api.GET('/api/v1/workflows/{name}/versions', {
          params: { path: { name }, query: { limit: PAGE, cursor: pageParam } },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    refetchInterval: ({ state }) => POLL_MS * Math.max(1, state.data?.pages.length ?? 1),
  });
}

/** Its newest runs. Not read while `isWanted` is false. */
export function useNewestRuns(workflow: string, limit: number, isWanted = true) {
  return useQuery({
    queryKey: keys.runs({ workflow, newest: limit }),
    queryFn: ({ signal }) => inLane(() => dataOf(api.GET('/api/v1/runs', { params: { query: { workflow, limit } }, signal }))),
    enabled: isWanted,
  });
}

/** Pause or unpause its schedule. */
export function usePause(name: string) {
  const queries = useQueryClient();
  const readAgain = () =>
    Promise.all([
      queries.invalidateQueries({ queryKey: keys.workflows }),
      queries.invalidateQueries({ queryKey: ['workflow', name] }),
    ]);
  return useMutation({
    mutationFn: (isToBePaused: boolean) => {
      const params = { path: { name } };
      return dataOf(
        isToBePaused
          ? api.POST('/api/v1/workflows/{name}/pause', { params })
          : api.POST('/api/v1/workflows/{name}/unpause', { params }),
      );
    },
    // Waited for, so that the button says what is so now; not after a refusal, which must be told at once.
    onSuccess: readAgain,
    onError: () => void readAgain(),
  });
}

/** Delete it with its versions and its schedule. */
export function useDelete(name: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => api.DELETE('/api/v1/workflows/{name}', { params: { path: { name } } }),
    onSuccess: () => void queries.invalidateQueries({ queryKey: keys.workflows }),
  });
}

/** Reads the newest runs of workflows again when their runs change phase; of one workflow, where it is given. */
export function useLiveRuns(workflow: string | null): void {
  const queries = useQueryClient();
  useEffect(() => {
    const pacer = new Pacer<string | null>((changed) =>
      queries.invalidateQueries({
        predicate: ({ queryKey }) => {
          const [first, second, filter] = queryKey;
          if (first !== 'runs' || second !== 'list' || !isNewest(filter)) return false;
          return changed.has(null) || changed.has(filter.workflow);
        },
      }),
    );
    const stream = openStream<Event>({
      path: '/api/v1/runs/events',
      query: workflow === null ? { tail: '0' } : { tail: '0', workflow },
      onFrame: (frame) => {
        if (frame.type === 'event' && frame.event.task === null) pacer.mark(frame.event.workflow);
      },
      // What happened while the stream was away is not in it.
      onStatus: (status) => status === 'open' && pacer.mark(null),
    });
    return () => {
      stream.close();
      pacer.close();
    };
  }, [queries, workflow]);
}

function isNewest(filter: unknown): filter is { workflow: string; newest: number } {
  return typeof filter === 'object' && filter !== null && 'newest' in filter && 'workflow' in filter;
}
