/** Schedules in words. */
import type { StoredSchedule } from '@/api/schema';
import { relativeText } from '@/model/times';

const UNITS: readonly (readonly [seconds: number, one: string, short: string])[] = [
  [86_400, 'day', 'd'],
  [3_600, 'hour', 'h'],
  [60, 'minute', 'min'],
  [1, 'second', 's'],
];

type Rule = Pick<StoredSchedule, 'every_seconds' | 'cron' | 'timezone'>;

/** `every hour`, `every 5 min`, `every 1 h 30 min`, `30 2 * * 1-5 (Europe/Berlin)`. */
export function scheduleText({ every_seconds, cron, timezone }: Rule): string {
  if (every_seconds !== null) return everyText(every_seconds);
  return cron === null ? '' : `${cron} (${timezone ?? 'UTC'})`;
}

function everyText(seconds: number): string {
  const one = UNITS.find(([size]) => size === seconds);
  if (one !== undefined) return `every ${one[1]}`;
  const parts: string[] = [];
  let left = seconds;
  for (const [size, , short] of UNITS) {
    // The last unit takes the fraction of a second too.
    const amount = size === 1 ? Number(left.toFixed(3)) : Math.floor(left / size);
    if (amount > 0) parts.push(`${amount} ${short}`);
    left -= amount * size;
  }
  return `every ${parts.join(' ')}`;
}

/** What happens when a run is due and the last one is not finished. */
export function overlapText(overlap: StoredSchedule['overlap']): string {
  switch (overlap) {
    case 'allow':
      return 'a run that is due starts beside one that is not finished';
    case 'forbid':
      return 'a run that is due while the last one is not finished is left out';
    case 'replace':
      return 'a run that is due cancels the last one if that is not finished';
  }
}

/** What happens to times that were missed, while the service was away. */
export function catchupText(catchup: boolean): string {
  return catchup
    ? 'each time that was missed gets a run, at most 100'
    : 'of the times that were missed only the last one gets a run';
}

/** When a schedule comes next. It is read again every few seconds only: so close to its time it is due. */
export function nextText(time: string, now: number): string {
  return Date.parse(time) - now < 10_000 ? 'now' : relativeText(time, now);
}
