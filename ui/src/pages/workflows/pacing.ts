/** How often, and how many at once, the service is asked. */

const SHORTEST_PAUSE_MS = 1_000;
const PAUSE_FACTOR = 10;

/** Reads again what changed: one read at a time, and the next one not sooner than ten times what the last one took. */
export class Pacer<Key> {
  private changed = new Set<Key>();
  private isReading = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isClosed = false;

  constructor(private readonly read: (changed: ReadonlySet<Key>) => Promise<unknown>) {}

  /** This must be read again. */
  mark(key: Key): void {
    this.changed.add(key);
    if (!this.isReading && this.timer === undefined) void this.next();
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
  }

  private async next(): Promise<void> {
    this.timer = undefined;
    if (this.isClosed || this.changed.size === 0) return;
    const changed = this.changed;
    this.changed = new Set();
    this.isReading = true;
    const began = performance.now();
    try {
      await this.read(changed);
    } finally {
      this.isReading = false;
      const pause = Math.max(SHORTEST_PAUSE_MS, (performance.now() - began) * PAUSE_FACTOR);
      if (!this.isClosed) this.timer = setTimeout(() => void this.next(), pause);
    }
  }
}

/** At most `most` of the calls run at once; the others wait for their turn. */
export function lanes(most: number): <T>(call: () => Promise<T>) => Promise<T> {
  let busy = 0;
  const waiting: (() => void)[] = [];
  return async (call) => {
    if (busy >= most) await new Promise<void>((resolve) => waiting.push(resolve));
    else busy += 1;
    try {
      return await call();
    } finally {
      // Its lane goes straight to the next one, so that nobody slips in between.
      const next = waiting.shift();
      if (next === undefined) busy -= 1;
      else next();
    }
  };
}
