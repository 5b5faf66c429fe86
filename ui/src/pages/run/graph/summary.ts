/** What the tasks behind each node are doing, live; places and folding know nothing of it. */
import type { Phase, TaskRun } from '@/api/schema';
import { isFailure, TASK_PHASES } from '@/model/phases';
import type { Folding } from './folding';

const NAMED = 3;

/** The tasks behind one node. */
export type Summary = {
  readonly total: number;
  /** Most urgent phases first. */
  readonly counts: readonly (readonly [Phase, number])[];
  /** The first that failed, by name. */
  readonly failed: readonly string[];
  readonly failures: number;
  /** The task itself, where the node is one. */
  readonly task: TaskRun | null;
};

/** The node of a row of the API. */
export function nodeOfRow(folding: Folding, ownerOf: Int32Array, tasks: readonly TaskRun[], row: number): number {
  const node = folding.nodeOf[ownerOf[row] ?? 0] ?? 0;
  return folding.nodes[node]?.kind === 'item' ? node + (tasks[row]?.foreach?.index ?? 0) : node;
}

/** One for each node, the one of `before` where nothing about it changed. Linear in tasks. */
export function summarize(
  folding: Folding,
  ownerOf: Int32Array,
  tasks: readonly TaskRun[],
  before: readonly Summary[] = [],
): Summary[] {
  const counts = folding.nodes.map(() => new Array<number>(TASK_PHASES.length).fill(0));
  const failed = folding.nodes.map((): string[] => []);
  const last: (TaskRun | null)[] = folding.nodes.map(() => null);
  for (const [row, task] of tasks.entries()) {
    const node = nodeOfRow(folding, ownerOf, tasks, row);
    const of = counts[node];
    if (of === undefined) continue;
    const phase = TASK_PHASES.indexOf(task.phase);
    of[phase] = (of[phase] ?? 0) + 1;
    last[node] = task;
    if (isFailure(task.phase) && (failed[node]?.length ?? NAMED) < NAMED) failed[node]?.push(task.name);
  }
  return folding.nodes.map((node, number) => {
    const single = node.kind === 'task' || node.kind === 'item' ? (last[number] ?? null) : null;
    const summary = summaryOf(counts[number] ?? [], failed[number] ?? [], single);
    const old = before[number];
    return old !== undefined && isSame(old, summary) ? old : summary;
  });
}

function summaryOf(counts: readonly number[], failed: readonly string[], task: TaskRun | null): Summary {
  const present = TASK_PHASES.flatMap((phase, at): [Phase, number][] => (counts[at] ? [[phase, counts[at]]] : []));
  return {
    total: counts.reduce((sum, count) => sum + count, 0),
    counts: present,
    failed,
    failures: present.reduce((sum, [phase, count]) => sum + (isFailure(phase) ? count : 0), 0),
    task,
  };
}

function isSame(a: Summary, b: Summary): boolean {
  return (
    a.task === b.task &&
    a.total === b.total &&
    a.counts.length === b.counts.length &&
    a.counts.every(([phase, count], at) => b.counts[at]?.[0] === phase && b.counts[at]?.[1] === count) &&
    a.failed.length === b.failed.length &&
    a.failed.every((name, at) => b.failed[at] === name)
  );
}

/** The phase whose colour a node has: what a person should see first. */
export function leadingPhase(summary: Summary): Phase {
  const [first] = summary.counts;
  if (first === undefined) return 'Pending';
  const [phase] = first;
  // Pending before Succeeded: it has begun, and goes on.
  return phase === 'Pending' && summary.counts.some(([other]) => other === 'Succeeded') ? 'Running' : phase;
}

/** `9,990 Succeeded, 3 Failed`. */
export function countsText(summary: Summary): string {
  return summary.counts.map(([phase, count]) => `${count.toLocaleString('en')} ${phase}`).join(', ');
}

/** `3 Failed: a, b, c`, of both kinds of failures; null without any. */
export function failedText(summary: Summary): string | null {
  if (summary.failures === 0) return null;
  const more = summary.failures > summary.failed.length ? ', …' : '';
  return `${summary.failures.toLocaleString('en')} failed: ${summary.failed.join(', ')}${more}`;
}
