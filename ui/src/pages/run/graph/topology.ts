/** What depends on what in a run, as numbers: the document's tasks (a fan-out is one), without phases. */
import type { TaskRun } from '@/api/schema';

/** A run's graph. Tasks are numbered by their first row; `upstreams` of task `i` are at `starts[i]` to `starts[i + 1]`. */
export type Topology = {
  readonly names: readonly string[];
  /** How many items a fan-out has; 0 for a task that is none. */
  readonly items: Int32Array;
  readonly isExit: Uint8Array;
  readonly starts: Int32Array;
  readonly upstreams: Int32Array;
};

/** A topology, and of each row of the API the number of its document's task. */
export type Encoded = { readonly topology: Topology; readonly ownerOf: Int32Array };

const EDGES_A_STEP = 20_000;

/** The name in the document: an item's is that of its fan-out. */
export function documentName(task: TaskRun): string {
  return task.foreach?.task ?? task.name;
}

/** In steps of a few milliseconds, since a million edges are too many for one frame; it yields between them. */
export function* encodeSteps(tasks: readonly TaskRun[], onExit: ReadonlySet<string>): Generator<void, Encoded> {
  const { names, firsts, items, ownerOf } = numberTasks(tasks);
  const numbers = new Map(names.map((name, number) => [name, number]));
  const starts = new Int32Array(names.length + 1);
  for (const [number, first] of firsts.entries()) starts[number + 1] = (starts[number] ?? 0) + first.depends_on.length;
  const upstreams = new Int32Array(starts[names.length] ?? 0);
  let next = EDGES_A_STEP;
  for (const [number, first] of firsts.entries()) {
    let at = starts[number] ?? 0;
    for (const upstream of first.depends_on) upstreams[at++] = numbers.get(upstream) ?? -1;
    if (at > next) {
      next = at + EDGES_A_STEP;
      yield;
    }
  }
  // Of a fan-out either the document's name or those of its items are given.
  const isExit = Uint8Array.from(firsts, (first) => (onExit.has(documentName(first)) || onExit.has(first.name) ? 1 : 0));
  return { topology: { names, items: Int32Array.from(items), isExit, starts, upstreams }, ownerOf };
}

function numberTasks(tasks: readonly TaskRun[]) {
  const numbers = new Map<string, number>();
  const names: string[] = [];
  const firsts: TaskRun[] = [];
  const items: number[] = [];
  const ownerOf = new Int32Array(tasks.length);
  for (const [row, task] of tasks.entries()) {
    const name = documentName(task);
    let number = numbers.get(name);
    if (number === undefined) {
      number = names.length;
      numbers.set(name, number);
      names.push(name);
      firsts.push(task);
      items.push(0);
    }
    ownerOf[row] = number;
    if (task.foreach !== null) items[number] = (items[number] ?? 0) + 1;
  }
  return { names, firsts, items, ownerOf };
}

/** All of it at once. */
export function encode(tasks: readonly TaskRun[], onExit: ReadonlySet<string>): Encoded {
  const steps = encodeSteps(tasks, onExit);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Whether both lists make the same graph. A run's document never changes, so names tell; its fan-outs are found while it runs. */
export function isSameTopology(before: readonly TaskRun[], after: readonly TaskRun[]): boolean {
  if (before === after) return true;
  return (
    before.length === after.length &&
    after.every((task, row) => {
      const other = before[row];
      return other === task || (other !== undefined && other.name === task.name && other.foreach?.task === task.foreach?.task);
    })
  );
}
