import type { RunCounts, RunPhase } from '@/api/schema';
import { RUN_PHASES, signOf, toneOf } from '@/model/phases';
import styles from './PhaseChips.module.css';
import { useLast } from './useLast';

type Props = {
  phases: readonly RunPhase[];
  counts: RunCounts | null;
  onChoose: (phases: RunPhase[]) => void;
};

/** How many runs are in which phase; each phase can be chosen, and several together. */
export function PhaseChips({ phases, counts, onChoose }: Props) {
  const shown = useLast(counts);
  const toggle = (phase: RunPhase) => {
    onChoose(phases.includes(phase) ? phases.filter((each) => each !== phase) : [...phases, phase]);
  };
  return (
    <fieldset className={styles.chips}>
      <legend className="visually-hidden">Phases</legend>
      {RUN_PHASES.map((phase) => (
        <button
          key={phase}
          type="button"
          className={styles.chip}
          data-tone={toneOf(phase)}
          aria-pressed={phases.includes(phase)}
          onClick={() => toggle(phase)}
        >
          <span aria-hidden="true">{signOf(phase)}</span>
          {phase}
          <span className={styles.count}>{shown === null ? '…' : (shown.phases[phase] ?? 0).toLocaleString('en')}</span>
        </button>
      ))}
      {shown !== null && !shown.is_complete && (
        <span className="muted">of the newest {shown.looked_at.toLocaleString('en')} runs</span>
      )}
    </fieldset>
  );
}
