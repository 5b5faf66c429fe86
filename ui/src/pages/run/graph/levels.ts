/** Levels of a graph: a task's is the longest path to it from a root. */
import type { Topology } from './topology';

export type Levels = {
  readonly levelOf: Int32Array;
  readonly widths: Int32Array;
  /** From this level on they are those of `on_exit`, which stand after all others. */
  readonly exitFrom: number;
};

/** Linear in tasks and edges. */
export function levelsOf(topology: Topology): Levels {
  const { isExit } = topology;
  const levelOf = longestPaths(topology);
  let exitFrom = 0;
  let last = 0;
  for (const [task, level] of levelOf.entries()) if (isExit[task] === 0) exitFrom = Math.max(exitFrom, level + 1);
  for (const [task, level] of levelOf.entries()) {
    if (isExit[task] === 1) levelOf[task] = level + exitFrom;
    last = Math.max(last, (levelOf[task] ?? 0) + 1);
  }
  const widths = new Int32Array(last);
  for (const level of levelOf) widths[level] = (widths[level] ?? 0) + 1;
  return { levelOf, widths, exitFrom };
}

/** Only edges within the graph and within `on_exit` count. */
function longestPaths({ names, starts, upstreams, isExit }: Topology): Int32Array {
  const count = names.length;
  const waitsFor = new Int32Array(count);
  const offsets = new Int32Array(count + 1);
  const follows = (task: number, upstream: number) => upstream >= 0 && isExit[upstream] === isExit[task];
  for (let task = 0; task < count; task++) {
    for (let at = starts[task] ?? 0; at < (starts[task + 1] ?? 0); at++) {
      const upstream = upstreams[at] ?? -1;
      if (!follows(task, upstream)) continue;
      waitsFor[task] = (waitsFor[task] ?? 0) + 1;
      offsets[upstream + 1] = (offsets[upstream + 1] ?? 0) + 1;
    }
  }
  for (let task = 0; task < count; task++) offsets[task + 1] = (offsets[task + 1] ?? 0) + (offsets[task] ?? 0);
  const downstreams = new Int32Array(offsets[count] ?? 0);
  const filled = offsets.slice();
  for (let task = 0; task < count; task++) {
    for (let at = starts[task] ?? 0; at < (starts[task + 1] ?? 0); at++) {
      const upstream = upstreams[at] ?? -1;
      if (!follows(task, upstream)) continue;
      downstreams[filled[upstream] ?? 0] = task;
      filled[upstream] = (filled[upstream] ?? 0) + 1;
    }
  }
  const level = new Int32Array(count);
  const ready: number[] = [];
  for (let task = 0; task < count; task++) if (waitsFor[task] === 0) ready.push(task);
  for (let at = 0; at < ready.length; at++) {
    const task = ready[at] ?? 0;
    for (let edge = offsets[task] ?? 0; edge < (offsets[task + 1] ?? 0); edge++) {
      const next = downstreams[edge] ?? 0;
      level[next] = Math.max(level[next] ?? 0, (level[task] ?? 0) + 1);
      waitsFor[next] = (waitsFor[next] ?? 0) - 1;
      if (waitsFor[next] === 0) ready.push(next);
    }
  }
  return level;
}
