import { afterEach, expect, test, vi } from 'vitest';
import { PartUnavailable, Unreachable } from './problems';

vi.stubGlobal('window', {
  location: { origin: 'http://podrun.example' },
  sessionStorage: { getItem: () => null, setItem: () => undefined, removeItem: () => undefined },
});
const { fetchApi } = await import('./client');
const { signIn, signOut } = await import('./session');

const ADDRESS = 'http://podrun.example/api/v1/info';

function answerWith(answer: (request: Request, signal: AbortSignal) => Promise<Response>) {
  vi.stubGlobal('fetch', (request: Request, init?: RequestInit) => answer(request, init?.signal ?? request.signal));
}

function problem(status: number, type: string) {
  return () => Promise.resolve(Response.json({ type: `urn:podrun:problem:${type}`, title: type }, { status }));
}

afterEach(() => {
  vi.useRealTimers();
  signOut();
});

test('a token of any letters is sent, so that the service can refuse it', async () => {
  const said: string[] = [];
  answerWith((request) => {
    said.push(request.headers.get('Authorization') ?? '');
    return Promise.resolve(new Response('{}'));
  });
  signIn('“é”');
  await fetchApi(ADDRESS);
  expect(Buffer.from(said[0] ?? '', 'latin1').toString('utf8')).toBe('Bearer “é”');
});

test.each([
  ['log-store-unavailable', true],
  ['try-again', true],
  ['database-unavailable', false],
])('503 of %s: of a part alone %s', async (type, isOfPart) => {
  answerWith(problem(503, type));
  const error: unknown = await fetchApi(ADDRESS).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(Unreachable);
  expect(error instanceof PartUnavailable).toBe(isOfPart);
  expect((error as Error).message).toBe(type);
});

test('an answer that does not begin is not waited for longer than 30 s; a POST, which may not be sent twice, is', async () => {
  vi.useFakeTimers();
  const signals: AbortSignal[] = [];
  answerWith((_, signal) => {
    signals.push(signal);
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  });
  const results: unknown[] = [];
  void fetchApi(ADDRESS).catch((error: unknown) => results.push(error));
  void fetchApi(ADDRESS, { method: 'POST' }).catch((error: unknown) => results.push(error));
  await vi.advanceTimersByTimeAsync(29_000);
  expect(results).toEqual([]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(results).toHaveLength(1);
  expect(results[0]).toBeInstanceOf(Unreachable);
});

test('what its caller gives up is no outage', async () => {
  answerWith((_, signal) => Promise.reject(signal.reason));
  const error: unknown = await fetchApi(ADDRESS, { signal: AbortSignal.abort() }).catch((thrown: unknown) => thrown);
  expect(error).not.toBeInstanceOf(Unreachable);
});
