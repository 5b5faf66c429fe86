/** Phases: their order, words and signs. A phase is never told by its colour alone. */
import type { Phase, RunPhase } from '@/api/schema';

export const TASK_PHASES: readonly Phase[] = [
  'Failed',
  'Error',
  'Running',
  'Pending',
  'Cancelled',
  'Omitted',
  'Skipped',
  'Succeeded',
];
export const RUN_PHASES: readonly RunPhase[] = [
  'Pending',
  'Running',
  'Cancelling',
  'Succeeded',
  'Failed',
  'Error',
  'Cancelled',
];

const SIGNS: Readonly<Record<Phase | RunPhase, string>> = {
  Pending: '○',
  Running: '▶',
  Cancelling: '◌',
  Succeeded: '✓',
  Failed: '✕',
  Error: '!',
  Skipped: '»',
  Omitted: '–',
  Cancelled: '⊘',
};

/** One character, the same for a phase everywhere. */
export function signOf(phase: Phase | RunPhase): string {
  return SIGNS[phase];
}

/** The name of the phase's colours in `tokens.css`: `var(--failed)`, `var(--failed-soft)`. */
export function toneOf(phase: Phase | RunPhase): string {
  return phase === 'Cancelling' ? 'cancelled' : phase.toLowerCase();
}

/** Whether nothing more will happen in this phase. */
export function isOver(phase: Phase | RunPhase): boolean {
  return phase !== 'Pending' && phase !== 'Running' && phase !== 'Cancelling';
}

/** Whether a person should look: the user's container failed, or podrun or the cluster could not run it. */
export function isFailure(phase: Phase | RunPhase): boolean {
  return phase === 'Failed' || phase === 'Error';
}
