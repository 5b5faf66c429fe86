import { useNow, useTextAtNow } from '@/model/now';
import { durationText, elapsed, localText, relativeText } from '@/model/times';

/** A time, as distance from now; the exact one in its title. Null: a dash. */
export function RelativeTime({ time }: { time: string | null }) {
  const text = useTextAtNow((now) => (time === null ? '–' : relativeText(time, now)));
  if (time === null) return <span aria-hidden="true">{text}</span>;
  return (
    <time dateTime={time} title={localText(time)}>
      {text}
    </time>
  );
}

/** How long it took, or has taken so far. A dash for what has not started. */
export function Duration({ start, end }: { start: string | null; end: string | null }) {
  const now = useNow(start !== null && end === null);
  const milliseconds = elapsed(start, end, now);
  return milliseconds === null ? <span aria-hidden="true">–</span> : <span>{durationText(milliseconds)}</span>;
}
