/** The cache of what was read, shared by all pages. */
import { QueryClient } from '@tanstack/react-query';
import { ApiProblem, Unreachable } from './problems';

const LONGEST_DELAY_MS = 10_000;
/** Of what is neither a refusal nor silence, such as an answer that was cut off: a fault that stays is told. */
const MOST_RETRIES = 3;

/** What the service refused is not asked again; what it did not answer is, until it does. */
export function makeQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        retry: (count, error) => error instanceof Unreachable || (!(error instanceof ApiProblem) && count < MOST_RETRIES),
        retryDelay: (count) => Math.min(500 * 2 ** count, LONGEST_DELAY_MS),
        networkMode: 'always',
        refetchOnWindowFocus: true,
        staleTime: 1_000,
      },
      mutations: { retry: false, networkMode: 'always' },
    },
  });
}

/** Keys of the cache, so that whoever changes something knows what to read again. */
export const keys = {
  info: ['info'] as const,
  runs: (filter: unknown) => ['runs', 'list', filter] as const,
  counts: (filter: unknown) => ['runs', 'counts', filter] as const,
  run: (id: string) => ['run', id] as const,
  document: (id: string) => ['run', id, 'document'] as const,
  task: (id: string, task: string) => ['run', id, 'task', task] as const,
  workflows: ['workflows'] as const,
  workflow: (name: string, version: number | null) => ['workflow', name, version] as const,
  versions: (name: string) => ['workflow', name, 'versions'] as const,
};
