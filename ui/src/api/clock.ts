/**
 * The service's clock: durations that go on are counted by it, since the times that they are counted from are its own.
 *
 * Each answer tells its time, in whole seconds, in the header `Date`.
 */

/** Less is no wrong clock: the header has whole seconds, and the answer was under way. */
const BELIEVED_MS = 2_000;

let aheadMs = 0;

/** An answer came with this `Date`; null and what is no date change nothing. */
export function heardTime(date: string | null, here: number = Date.now()): void {
  const there = date === null ? Number.NaN : Date.parse(date) + 500;
  if (Number.isNaN(there)) return;
  aheadMs = Math.abs(there - here) < BELIEVED_MS ? 0 : there - here;
}

/** Milliseconds since 1970, as the service counts them. */
export function serviceNow(here: number = Date.now()): number {
  return here + aheadMs;
}
