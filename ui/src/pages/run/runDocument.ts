/** The document that a run was made from: as text, exactly as it was posted, and the few facts that the page needs of it. */
import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { fetchApi } from '@/api/client';
import { keys } from '@/api/query';
import { apiRunPath } from '@/model/paths';
import { type DocumentFacts, factsOf, NO_FACTS } from './documentText';

/** A larger document is not parsed: it would hold up the page for longer than what is learned is worth. */
const MOST_PARSED = 8_000_000;

/** The document's text, read once: it never changes. */
export function useRunDocument(runId: string) {
  return useQuery({
    queryKey: keys.document(runId),
    queryFn: async () => {
      const address = new URL(`${apiRunPath(runId)}/workflow`, window.location.origin);
      return (await fetchApi(address.href)).text();
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** What the page needs to know of the document; nothing, until it is there. */
export function useDocumentFacts(runId: string): DocumentFacts {
  const { data } = useRunDocument(runId);
  return useMemo(() => (data === undefined || data.length > MOST_PARSED ? NO_FACTS : factsOf(data)), [data]);
}
