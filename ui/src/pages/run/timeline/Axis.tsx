import { localText } from '@/model/times';
import styles from './Timeline.module.css';
import { ticksOf, tickText } from './ticks';
import type { Scale } from './useScale';

const TICK_PX = 90;

/** Ticks of the part in sight, counted from the run's start; local times in their titles. */
export function Axis({ scale, from, to, zero }: { scale: Scale; from: number; to: number; zero: number }) {
  const perPixel = (to - from) / scale.pixels;
  const first = from - zero + scale.shift * perPixel;
  const { step, ticks } = ticksOf(first, first + scale.width * perPixel, scale.width / TICK_PX);
  return (
    <div className={styles.ticks} aria-hidden="true">
      {ticks.map((tick) => (
        <span
          key={tick}
          style={{ left: `${(tick + zero - from) / perPixel - scale.shift}px` }}
          title={localText(new Date(zero + tick).toISOString())}
        >
          {tickText(tick, step)}
        </span>
      ))}
    </div>
  );
}
