/** The folded and laid out graph of a run's tasks, made in a worker; the last one stays until the next is there. */
import { useEffect, useMemo, useState } from 'react';
import { PartMissing } from '@/api/parts';
import { sentenceOf } from '@/api/problems';
import type { TaskRun } from '@/api/schema';
import type { Folding } from './folding';
import type { Direction, Layout } from './layout';
import { type Answer, LayoutClient } from './layoutClient';
import { type Encoded, encodeSteps, isSameTopology } from './topology';

export type Graph = {
  /** The tasks that it was made of: their names, not their phases. */
  readonly shape: readonly TaskRun[];
  readonly ownerOf: Int32Array;
  readonly direction: Direction;
  readonly folding: Folding;
  readonly layout: Layout;
};

type Shape = { readonly tasks: readonly TaskRun[]; readonly encoded: Encoded };

const SLICE_MS = 8;

/** `error`: a sentence, when there is no graph to come. Throws PartMissing, as a part of the page that can’t be fetched does. */
export function useGraph(
  tasks: readonly TaskRun[],
  onExit: ReadonlySet<string>,
  unfolded: readonly string[],
  direction: Direction,
): { graph: Graph | null; error: string | null; retry: () => void } {
  const shape = useShape(tasks, onExit);
  const [shapes] = useState(() => new WeakMap<object, Shape>());
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const [client, setClient] = useState<LayoutClient | null>(null);
  useEffect(() => {
    const made = new LayoutClient(setAnswer, setError);
    setClient(made);
    return () => made.close();
  }, []);
  const [attempt, setAttempt] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: an attempt asks the same again
  useEffect(() => {
    if (shape === null || client === null) return;
    shapes.set(shape.encoded.topology, shape);
    setError(null);
    client.ask({ topology: shape.encoded.topology, unfolded, direction });
  }, [shape, client, shapes, unfolded, direction, attempt]);
  const graph = useMemo(() => {
    const made = answer === null ? undefined : shapes.get(answer.question.topology);
    if (answer === null || made === undefined) return null;
    const { folding, layout, question } = answer;
    return { shape: made.tasks, ownerOf: made.encoded.ownerOf, direction: question.direction, folding, layout };
  }, [answer, shapes]);
  if (error instanceof PartMissing) throw error;
  return { graph, error: error === null ? null : sentenceOf(error), retry: () => setAttempt((count) => count + 1) };
}

/** The tasks as a topology, anew only when it is another one. */
function useShape(tasks: readonly TaskRun[], onExit: ReadonlySet<string>): Shape | null {
  const [of, setOf] = useState(tasks);
  if (of !== tasks && !isSameTopology(of, tasks)) setOf(tasks);
  const exits = [...onExit].sort().join('\n');
  const [shape, setShape] = useState<Shape | null>(null);
  useEffect(() => {
    const steps = encodeSteps(of, new Set(exits.split('\n')));
    let timer: number | undefined;
    const go = () => {
      for (const until = performance.now() + SLICE_MS; performance.now() < until; ) {
        const step = steps.next();
        if (step.done === true) {
          setShape({ tasks: of, encoded: step.value });
          return;
        }
      }
      timer = window.setTimeout(go);
    };
    go();
    return () => window.clearTimeout(timer);
  }, [of, exits]);
  return shape;
}
