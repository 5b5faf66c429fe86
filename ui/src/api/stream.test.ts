import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ApiProblem, Unreachable } from './problems';

const probes: string[] = [];
let probe: () => Promise<Response>;
vi.mock('./client', () => ({
  fetchApi: (href: string) => {
    probes.push(href);
    return probe();
  },
}));
vi.mock('./session', () => ({ currentToken: () => 'secret?', bytesOf: (token: string) => token }));

/** A websocket as the service's end sees it. */
class FakeSocket {
  static readonly all: FakeSocket[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  isClosed = false;

  constructor(
    readonly url: string,
    readonly protocols: readonly string[],
  ) {
    FakeSocket.all.push(this);
  }

  send(frame: unknown): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  close(): void {
    this.isClosed = true;
  }
}

vi.stubGlobal('window', globalThis);
vi.stubGlobal('location', { href: 'https://podrun.example/runs', origin: 'https://podrun.example' });
vi.stubGlobal('WebSocket', FakeSocket);
const { openStream } = await import('./stream');

const event = (cursor: string) => ({ type: 'event', cursor, event: cursor });

function opened(query: Record<string, string> = { tail: '0' }) {
  const frames: unknown[] = [];
  const statuses: string[] = [];
  const refusals: ApiProblem[] = [];
  const stream = openStream<string>({
    path: '/api/v1/runs/events',
    query,
    onFrame: (frame) => frames.push(frame),
    onStatus: (status) => statuses.push(status),
    onRefused: (problem) => refusals.push(problem),
  });
  return { stream, frames, statuses, refusals };
}

function socket(number: number): FakeSocket {
  const found = FakeSocket.all[number];
  if (found === undefined) throw new Error(`there is no websocket ${number}`);
  return found;
}

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.all.length = 0;
  probes.length = 0;
  probe = () => Promise.resolve(new Response('{}'));
});
afterEach(() => vi.useRealTimers());

test('the token is a subprotocol and in no address', () => {
  opened();
  expect(socket(0).url).toBe('wss://podrun.example/api/v1/runs/events?tail=0');
  expect(socket(0).protocols).toEqual(['podrun.v1', 'base64url.bearer.podrun.dev.c2VjcmV0Pw']);
});

test('what was cut off goes on behind the last frame', async () => {
  const { frames, statuses } = opened();
  socket(0).onopen?.();
  socket(0).send(event('c1'));
  socket(0).send({ type: 'ping' });
  socket(0).send(event('c2'));
  socket(0).onclose?.();
  await vi.advanceTimersByTimeAsync(250);
  expect(probes).toEqual(['https://podrun.example/api/v1/runs/events?cursor=c2&limit=1']);
  expect(socket(1).url).toBe('wss://podrun.example/api/v1/runs/events?cursor=c2');
  socket(1).onopen?.();
  socket(1).send(event('c3'));
  expect(frames).toEqual(['c1', 'c2', 'c3'].map(event));
  expect(statuses).toEqual(['connecting', 'open', 'reconnecting', 'reconnecting', 'open']);
});

test('a connection that says nothing for 40 s is given up', async () => {
  opened();
  socket(0).onopen?.();
  await vi.advanceTimersByTimeAsync(39_000);
  socket(0).send({ type: 'ping' });
  await vi.advanceTimersByTimeAsync(39_000);
  expect(socket(0).isClosed).toBe(false);
  await vi.advanceTimersByTimeAsync(1_500);
  expect(socket(0).isClosed).toBe(true);
  expect(FakeSocket.all).toHaveLength(2);
});

test('while the service is away it is asked for less and less often, and a refusal ends it', async () => {
  probe = () => Promise.reject(new Unreachable('away'));
  const { statuses, refusals } = opened();
  socket(0).onclose?.();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(FakeSocket.all).toHaveLength(1);
  expect(probes.length).toBeGreaterThan(10);
  expect(probes.length).toBeLessThan(30);
  probe = () => Promise.reject(new ApiProblem(404, { detail: 'gone' }));
  await vi.advanceTimersByTimeAsync(5_000);
  expect(statuses.at(-1)).toBe('refused');
  expect(refusals.map(({ message }) => message)).toEqual(['gone']);
  const asked = probes.length;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(probes).toHaveLength(asked);
});

test('a stream that has ended stays closed', async () => {
  const { frames, statuses } = opened();
  socket(0).onopen?.();
  socket(0).send({ type: 'end', phase: 'Succeeded' });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(socket(0).isClosed).toBe(true);
  expect(FakeSocket.all).toHaveLength(1);
  expect(frames).toHaveLength(1);
  expect(statuses.at(-1)).toBe('ended');
});

test('a stream that is closed while it is on its way back opens nothing', async () => {
  let answer: (response: Response) => void = () => undefined;
  probe = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  const { stream } = opened();
  socket(0).onclose?.();
  await vi.advanceTimersByTimeAsync(250);
  stream.close();
  answer(new Response('{}'));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(FakeSocket.all).toHaveLength(1);
});
