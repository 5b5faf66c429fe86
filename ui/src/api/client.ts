/**
 * The API's client: typed by the OpenAPI document, with the token, and errors as ApiProblem and Unreachable.
 *
 *     const { data } = await api.GET('/api/v1/runs/{run_id}', { params: { path: { run_id } } });
 *
 * `data` is always there: anything but a success is thrown. Bodies that are not JSON (logs) go through `fetchApi`.
 */
import createClient, { type Middleware } from 'openapi-fetch';
import { answered, unanswered } from './connection';
import { ApiProblem, readProblem, Unreachable } from './problems';
import type { paths } from './schema';
import { currentToken, refused } from './session';

const AWAY = 'The service can’t be reached. Trying again…';
/** What a proxy answers for a service that is away, and podrun itself while it can't work. */
const AWAY_STATUS = new Set([502, 503, 504]);

/** `fetch` with the token. Throws ApiProblem for an answer that refuses, Unreachable for none. */
export async function fetchApi(input: Request | string, init?: RequestInit): Promise<Response> {
  const token = currentToken();
  const request = new Request(input, init);
  if (token !== null) request.headers.set('Authorization', `Bearer ${token}`);
  let response: Response;
  try {
    response = await fetch(request);
  } catch (error) {
    if (request.signal.aborted) throw error;
    unanswered(AWAY);
    throw new Unreachable(AWAY, error);
  }
  if (AWAY_STATUS.has(response.status)) {
    const problem = await readProblem(response);
    const message = problem?.detail ?? `${AWAY} (${response.status})`;
    unanswered(message);
    throw new Unreachable(message);
  }
  answered();
  if (response.status === 401) refused(token);
  // 304 is an answer to If-None-Match, which only callers that know it send.
  if (!response.ok && response.status !== 304) throw new ApiProblem(response.status, await readProblem(response));
  return response;
}

const reportErrors: Middleware = {
  onError: ({ error }) => (error instanceof Error ? error : new Error(String(error))),
};

export const api = createClient<paths>({ baseUrl: window.location.origin, fetch: (request) => fetchApi(request) });
api.use(reportErrors);

/** The data of a call that must have some. */
export async function dataOf<T>(call: Promise<{ data?: T }>): Promise<T> {
  const { data } = await call;
  if (data === undefined) throw new ApiProblem(500, { detail: 'The service answered without a body.' });
  return data;
}
