import type { Phase, RunPhase } from '@/api/schema';
import { signOf, toneOf } from '@/model/phases';
import styles from './PhaseBadge.module.css';

/** A phase as sign, word and colour; `count` for how many are in it. */
export function PhaseBadge({ phase, count }: { phase: Phase | RunPhase; count?: number }) {
  return (
    <span className={styles.badge} data-tone={toneOf(phase)}>
      <span aria-hidden="true">{signOf(phase)}</span>
      {count === undefined ? phase : `${count} ${phase}`}
    </span>
  );
}
