/** Round times for an axis. */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  10,
  20,
  50,
  100,
  200,
  500,
  SECOND,
  2 * SECOND,
  5 * SECOND,
  10 * SECOND,
  15 * SECOND,
  30 * SECOND,
  MINUTE,
  2 * MINUTE,
  5 * MINUTE,
  10 * MINUTE,
  15 * MINUTE,
  30 * MINUTE,
  HOUR,
  2 * HOUR,
  3 * HOUR,
  6 * HOUR,
  12 * HOUR,
  DAY,
  2 * DAY,
  7 * DAY,
  30 * DAY,
  90 * DAY,
];

/** Milliseconds from 0, all in `from` to `to`, and at most about `most` of them. */
export function ticksOf(from: number, to: number, most: number): { step: number; ticks: number[] } {
  const least = (to - from) / Math.max(1, most);
  const step = STEPS.find((each) => each >= least) ?? Math.ceil(least / DAY) * DAY;
  const ticks: number[] = [];
  for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step) ticks.push(tick);
  return { step, ticks };
}

/** `+0 s`, `+1.5 s`, `+2:05`, `+3:00:00`, `+2 d 04:00`: as exact as the step between two of them needs. */
export function tickText(tick: number, step: number): string {
  const sign = tick < 0 ? '−' : '+';
  const ms = Math.abs(tick);
  if (ms < MINUTE) return `${sign}${step < SECOND ? (ms / SECOND).toFixed(step < 100 ? 2 : 1) : ms / SECOND} s`;
  const seconds = Math.floor((ms % MINUTE) / SECOND);
  const fraction = step < SECOND ? ((ms % SECOND) / SECOND).toFixed(step < 100 ? 2 : 1).slice(1) : '';
  const minutes = Math.floor(ms / MINUTE);
  if (ms < HOUR) return `${sign}${minutes}:${pad(seconds)}${fraction}`;
  const hours = `${pad(minutes % 60)}${step < MINUTE ? `:${pad(seconds)}${fraction}` : ''}`;
  if (ms < DAY) return `${sign}${Math.floor(ms / HOUR)}:${hours}${step < MINUTE ? '' : ' h'}`;
  return `${sign}${Math.floor(ms / DAY)} d ${pad(Math.floor((ms % DAY) / HOUR))}:${hours}`;
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}
