/** Cancel and retry of several runs: which of them it is for, and what came of it. */
import { sentenceOf } from '@/api/problems';
import type { Run } from '@/api/schema';
import { isOver } from '@/model/phases';

const AT_ONCE = 4;

export type Refusal = { readonly run: Run; readonly sentence: string };

/** A run that is over can't be cancelled; one that is being cancelled is cancelled again only by force. */
export function isCancellable(run: Run): boolean {
  return !isOver(run.phase);
}

/** Only what failed or was cancelled can run again. */
export function isRetryable(run: Run): boolean {
  return isOver(run.phase) && run.phase !== 'Succeeded';
}

/** Ask for each run, a few at once; gives those that were refused, in their order. `onDone` gets the others as they are now. */
export async function askForEach(
  runs: readonly Run[],
  ask: (run: Run) => Promise<Run>,
  onDone: (run: Run) => void,
): Promise<Refusal[]> {
  const queue = [...runs];
  const refusals: Refusal[] = [];
  const work = async () => {
    for (let run = queue.shift(); run !== undefined; run = queue.shift()) {
      try {
        onDone(await ask(run));
      } catch (error) {
        refusals.push({ run, sentence: sentenceOf(error) });
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return runs.flatMap((run) => refusals.filter((refusal) => refusal.run === run));
}

/** `1 run`, `3 runs`. */
export function runsText(count: number): string {
  return `${count} ${count === 1 ? 'run' : 'runs'}`;
}
