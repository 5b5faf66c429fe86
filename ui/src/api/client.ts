/**
 * The API's client: typed by the OpenAPI document, with the token, and errors as ApiProblem and Unreachable.
 *
 *     const { data } = await api.GET('/api/v1/runs/{run_id}', { params: { path: { run_id } } });
 *
 * `data` is always there: anything but a success is thrown. Bodies that are not JSON (logs) go through `fetchApi`.
 */
import createClient from 'openapi-fetch';
import { heardTime } from './clock';
import { answered, unanswered } from './connection';
import { ApiProblem, PartUnavailable, readProblem, Unreachable } from './problems';
import type { paths } from './schema';
import { bytesOf, currentToken, refused } from './session';

const AWAY = 'The service can’t be reached. Trying again…';
/** What a proxy answers for a service that is away, and podrun itself while it can't work. */
const AWAY_STATUS = new Set([502, 503, 504]);
/** Of those podrun's own, where all but what was asked for works: no reason to say that the service is away. */
const OF_A_PART: ReadonlySet<string | undefined> = new Set([
  'urn:podrun:problem:evaluator-unavailable',
  'urn:podrun:problem:log-store-unavailable',
  'urn:podrun:problem:try-again',
]);
/** Longer than an answer takes to begin. */
const LONGEST_WAIT_MS = 30_000;

/** `fetch` with the token. Throws ApiProblem for an answer that refuses, Unreachable for none. */
export async function fetchApi(input: Request | string, init?: RequestInit): Promise<Response> {
  const token = currentToken();
  const request = new Request(input, init);
  if (token !== null) request.headers.set('Authorization', `Bearer ${bytesOf(token)}`);
  let response: Response;
  try {
    response = await answerOf(request);
  } catch (error) {
    if (request.signal.aborted) throw error;
    unanswered(AWAY);
    throw new Unreachable(AWAY, error);
  }
  if (AWAY_STATUS.has(response.status)) {
    const problem = await readProblem(response);
    const message = problem?.detail ?? problem?.title ?? `${AWAY} (${response.status})`;
    if (OF_A_PART.has(problem?.type)) {
      answered();
      throw new PartUnavailable(message);
    }
    unanswered(message);
    throw new Unreachable(message);
  }
  heardTime(response.headers.get('Date'));
  answered();
  if (response.status === 401) refused(token);
  // 304 is an answer to If-None-Match, which only callers that know it send.
  if (!response.ok && response.status !== 304) throw new ApiProblem(response.status, await readProblem(response));
  return response;
}

/** A connection may be dead without saying so: what may be asked twice fails where its answer does not begin in time. */
async function answerOf(request: Request): Promise<Response> {
  if (request.method !== 'GET') return fetch(request);
  const overdue = new AbortController();
  const timer = setTimeout(() => overdue.abort(), LONGEST_WAIT_MS);
  try {
    return await fetch(request, { signal: AbortSignal.any([request.signal, overdue.signal]) });
  } finally {
    clearTimeout(timer);
  }
}

export const api = createClient<paths>({ baseUrl: window.location.origin, fetch: (request) => fetchApi(request) });

/** The data of a call that must have some. */
export async function dataOf<T>(call: Promise<{ data?: T }>): Promise<T> {
  const { data } = await call;
  if (data === undefined) throw new ApiProblem(500, { detail: 'The service answered without a body.' });
  return data;
}
