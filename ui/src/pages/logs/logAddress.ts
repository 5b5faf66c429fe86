/** What the log page's address says. Lines count from 0 in the API, and from 1 in addresses and on screen. */

export type LogAddress = {
  attempt: number | null;
  container: string;
  isWrapped: boolean;
  hasTimes: boolean;
  /** What is searched for; empty: nothing. */
  search: string;
};

/** First and last line, from 0. */
export type LineRange = { first: number; last: number };

export function readAddress(query: URLSearchParams): LogAddress {
  const attempt = query.get('attempt') ?? '';
  return {
    attempt: /^[1-9]\d{0,8}$/.test(attempt) ? Number(attempt) : null,
    container: query.get('container') || 'main',
    isWrapped: query.get('wrap') === '1',
    hasTimes: query.get('time') === '1',
    search: (query.get('q') ?? '').slice(0, 1_000),
  };
}

/** What an address asks for that the task does not have, as a sentence; null: it may have it. */
export function missingIn(
  task: { attempts: readonly { attempt: number }[]; containers: readonly string[] },
  { attempt, container }: Pick<LogAddress, 'attempt' | 'container'>,
): string | null {
  if (attempt !== null && !task.attempts.some((one) => one.attempt === attempt)) return `This task has no attempt ${attempt}.`;
  if (task.containers.length > 0 && !task.containers.includes(container)) return `This task has no container ${container}.`;
  return null;
}

/** The query of an address, without what is the default anyway. */
export function writeAddress(address: LogAddress): string {
  const query = new URLSearchParams();
  if (address.attempt !== null) query.set('attempt', String(address.attempt));
  if (address.container !== 'main') query.set('container', address.container);
  if (address.isWrapped) query.set('wrap', '1');
  if (address.hasTimes) query.set('time', '1');
  if (address.search !== '') query.set('q', address.search);
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}

/** `#L120`, `#L120-L130`, `#L120-130`. Null: no lines. */
export function readHash(hash: string): LineRange | null {
  const match = /^#?L(\d{1,15})(?:-L?(\d{1,15}))?$/.exec(hash);
  return match === null ? null : rangeOf(match[1], match[2]);
}

/** What a person writes: `120`, `120-130`, `L120`. Null: no lines. */
export function readLines(text: string): LineRange | null {
  const match = /^L?(\d{1,15})(?:\s*[-–]\s*L?(\d{1,15}))?$/i.exec(text.replaceAll(/[\s,.]+/g, ''));
  return match === null ? null : rangeOf(match[1], match[2]);
}

export function writeHash({ first, last }: LineRange): string {
  return first === last ? `#L${first + 1}` : `#L${first + 1}-L${last + 1}`;
}

/** `line 120`, `lines 120 to 130`. */
export function rangeText({ first, last }: LineRange): string {
  return first === last ? `line ${countText(first + 1)}` : `lines ${countText(first + 1)} to ${countText(last + 1)}`;
}

export function countText(count: number): string {
  return count.toLocaleString('en');
}

/** A word with its count: `1 line`, `2,000 lines`. */
export function counted(count: number, word: string): string {
  return `${countText(count)} ${word}${count === 1 ? '' : 's'}`;
}

function rangeOf(one: string | undefined, other: string | undefined): LineRange | null {
  const start = Number(one) - 1;
  const end = other === undefined ? start : Number(other) - 1;
  return start < 0 || end < 0 ? null : { first: Math.min(start, end), last: Math.max(start, end) };
}
