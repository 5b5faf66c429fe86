/**
 * A followed log or history over a websocket, that comes back by itself with the last cursor: nothing lost, nothing doubled.
 *
 *     const stream = openStream({ path, query, onFrame, onStatus });
 *     stream.close();
 */
import { fetchApi } from './client';
import { ApiProblem } from './problems';
import { bytesOf, currentToken } from './session';

const PROTOCOL = 'podrun.v1';
const TOKEN_PROTOCOL = 'base64url.bearer.podrun.dev.';
const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 5_000;
/** The service says something every 15 s: a connection that is silent for longer is dead. */
const SILENCE_MS = 40_000;

export type LogLine = {
  cursor: string;
  line: number;
  time: string;
  task: string;
  attempt: number;
  container: string;
  text: string;
  partial?: true;
};
export type LogGap = { type: 'gap'; cursor: string; from: string | null; to: string | null; reason: string };
export type Frame<Event> =
  | { type: 'lines'; lines: LogLine[] }
  | LogGap
  | { type: 'event'; cursor: string; event: Event }
  | { type: 'ping' }
  | { type: 'end'; phase: string };

export type StreamStatus = 'connecting' | 'open' | 'reconnecting' | 'ended' | 'refused';

export type StreamOptions<Event> = {
  /** Below the origin, such as `/api/v1/runs/events`. */
  path: string;
  /** The query of the first connection; later ones leave out what `cursor` makes needless (`tail`, `from_line`). */
  query?: Readonly<Record<string, string>>;
  /** Each frame but pings, in order. */
  onFrame: (frame: Exclude<Frame<Event>, { type: 'ping' }>) => void;
  onStatus?: (status: StreamStatus) => void;
  /** The service refuses the stream for good (404, 422, ...). */
  onRefused?: (problem: ApiProblem) => void;
};

export type Stream = { close(): void };

/** Open the stream. It reconnects until it has ended, is refused for good, or is closed. */
export function openStream<Event = unknown>(options: StreamOptions<Event>): Stream {
  const stream = new ReconnectingStream(options);
  stream.connect();
  return stream;
}

class ReconnectingStream<Event> implements Stream {
  private socket: WebSocket | null = null;
  private cursor: string | null = null;
  private delay = FIRST_DELAY_MS;
  private timer: number | undefined;
  private silence: number | undefined;
  private isClosed = false;

  constructor(private readonly options: StreamOptions<Event>) {}

  connect(): void {
    this.options.onStatus?.(this.cursor === null && this.delay === FIRST_DELAY_MS ? 'connecting' : 'reconnecting');
    const socket = new WebSocket(this.address(), protocols());
    this.socket = socket;
    socket.onopen = () => {
      this.options.onStatus?.('open');
      this.listen();
    };
    socket.onmessage = (message) => this.receive(JSON.parse(String(message.data)) as Frame<Event>);
    socket.onclose = () => this.lost();
    this.listen();
  }

  close(): void {
    this.isClosed = true;
    window.clearTimeout(this.timer);
    window.clearTimeout(this.silence);
    if (this.socket !== null) {
      this.socket.onclose = null;
      this.socket.onmessage = null;
      this.socket.close();
    }
  }

  private address(): string {
    const url = new URL(this.options.path, window.location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    for (const [name, value] of Object.entries(this.options.query ?? {})) url.searchParams.set(name, value);
    if (this.cursor !== null) {
      for (const name of ['tail', 'from_line', 'cursor']) url.searchParams.delete(name);
      url.searchParams.set('cursor', this.cursor);
    }
    return url.href;
  }

  private receive(frame: Frame<Event>): void {
    this.listen();
    this.delay = FIRST_DELAY_MS;
    if (frame.type === 'ping') return;
    if (frame.type === 'lines') this.cursor = frame.lines.at(-1)?.cursor ?? this.cursor;
    else if (frame.type === 'gap' || frame.type === 'event') this.cursor = frame.cursor;
    if (frame.type === 'end') {
      this.close();
      this.options.onStatus?.('ended');
    }
    this.options.onFrame(frame);
  }

  /** Each sign of life puts off the moment at which the connection counts as dead. */
  private listen(): void {
    window.clearTimeout(this.silence);
    this.silence = window.setTimeout(() => {
      if (this.socket !== null) {
        this.socket.onclose = null;
        this.socket.close();
      }
      this.lost();
    }, SILENCE_MS);
  }

  private lost(): void {
    if (this.isClosed) return;
    window.clearTimeout(this.silence);
    this.options.onStatus?.('reconnecting');
    this.timer = window.setTimeout(() => void this.reconnect(), this.delay * (0.5 + Math.random() / 2));
    this.delay = Math.min(this.delay * 2, LONGEST_DELAY_MS);
  }

  /** A browser does not tell why a websocket was refused: the same path is asked over HTTP first. */
  private async reconnect(): Promise<void> {
    const probe = new URL(this.address().replace(/^ws/, 'http'));
    for (const name of ['tail', 'from_line', 'follow']) probe.searchParams.delete(name);
    probe.searchParams.set('limit', '1');
    try {
      await (await fetchApi(probe.href)).body?.cancel();
    } catch (error) {
      if (this.isClosed) return;
      const isForGood = error instanceof ApiProblem && error.status < 500 && ![401, 408, 429].includes(error.status);
      if (!isForGood) return this.lost();
      this.close();
      this.options.onStatus?.('refused');
      this.options.onRefused?.(error);
      return;
    }
    if (!this.isClosed) this.connect();
  }
}

function protocols(): string[] {
  const token = currentToken();
  if (token === null) return [PROTOCOL];
  const base64 = btoa(bytesOf(token));
  return [PROTOCOL, TOKEN_PROTOCOL + base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')];
}
