/**
 * From thousands of tasks to a graph that can be laid out and read: what is shown as one node.
 *
 * A fan-out is one node. Where that leaves too many nodes or edges, whole levels are, the widest first; where levels alone are too
 * many, ranges of levels. What a person has unfolded is shown as far as there is room, and the rest is folded for it. Phases have no
 * say in it: the graph must not jump while it runs.
 */
import { type Levels, levelsOf } from './levels';
import type { Topology } from './topology';

export const MAX_NODES = 300;
export const MAX_EDGES = 1_500;
/** Ranges of levels take a third of the room, so that one of them can be unfolded. */
const MAX_RANGES = MAX_NODES / 3;
const MAX_UNFOLDED = 20;

export type FoldedNode = {
  /** `t:NAME` a task or fan-out, `i:NAME` an item, `l:N` a level, `r:N-M` levels; stable, and what `unfolded` names. */
  readonly id: string;
  readonly kind: 'task' | 'item' | 'fanOut' | 'group';
  readonly title: string;
  readonly level: number;
  readonly isExit: boolean;
};

export type FoldedEdge = { readonly source: number; readonly target: number; readonly count: number };

export type Folding = {
  /** By level, then in document order. */
  readonly nodes: readonly FoldedNode[];
  readonly edges: readonly FoldedEdge[];
  /** The node of each of the document's tasks; of an unfolded fan-out that of its first item, the others follow. */
  readonly nodeOf: Int32Array;
  readonly levels: number;
  readonly unfolded: readonly string[];
  /** What was to be unfolded, but is too much. */
  readonly refused: readonly string[];
};

type Range = { readonly from: number; readonly to: number };

/** What is open: ranges by number, levels, fan-outs by task. */
type Choice = {
  readonly ranges: ReadonlySet<number>;
  readonly fanOuts: ReadonlySet<number>;
  readonly levels: ReadonlySet<number>;
  /** Levels that nobody unfolded are folded from this width on. */
  readonly foldFrom: number;
};

const CLOSED: Choice = { ranges: new Set(), fanOuts: new Set(), levels: new Set(), foldFrom: 2 };

/** `unfolded`: ids of nodes, the last ones asked for last. */
export function fold(topology: Topology, unfolded: readonly string[]): Folding {
  const folder = new Folder(topology);
  let choice = CLOSED;
  const taken: string[] = [];
  for (const id of unfolded.slice(-MAX_UNFOLDED).reverse()) {
    const next = folder.opened(choice, id);
    if (next === null || !folder.fits(next)) continue;
    choice = next;
    taken.push(id);
  }
  return folder.result(folder.widened(choice), taken.reverse(), unfolded);
}

class Folder {
  readonly #topology: Topology;
  readonly #levels: Levels;
  readonly #ranges: readonly Range[];
  readonly #rangeOf: Int32Array;
  /** Tasks by level, then in document order. */
  readonly #ordered: Int32Array;

  constructor(topology: Topology) {
    this.#topology = topology;
    this.#levels = levelsOf(topology);
    this.#ordered = byLevel(this.#levels);
    this.#rangeOf = new Int32Array(this.#levels.widths.length);
    this.#ranges = this.#cut(this.#levels.widths.length);
    for (let most = MAX_RANGES; !this.fits(CLOSED) && most >= 1; most = Math.floor(most / 2)) this.#ranges = this.#cut(most);
  }

  /** At most about so many ranges of levels, none across the border of `on_exit`. */
  #cut(most: number): Range[] {
    const { widths, exitFrom } = this.#levels;
    const size = Math.ceil(widths.length / most);
    const ranges: Range[] = [];
    for (let from = 0; from < widths.length; ) {
      const border = from < exitFrom ? exitFrom : widths.length;
      const to = Math.min(from + size, border);
      this.#rangeOf.fill(ranges.length, from, to);
      ranges.push({ from, to });
      from = to;
    }
    return ranges;
  }

  /** The choice with one more thing open, and what it stands in; null for an id that names nothing here. */
  opened(choice: Choice, id: string): Choice | null {
    const { widths, levelOf } = this.#levels;
    if (id.startsWith('r:')) {
      const range = this.#ranges.findIndex(({ from, to }) => `r:${from + 1}-${to}` === id);
      return range < 0 ? null : { ...choice, ranges: new Set([...choice.ranges, range]) };
    }
    const task = id.startsWith('t:') ? this.#topology.names.indexOf(id.slice(2)) : -1;
    const level = id.startsWith('l:') ? Number(id.slice(2)) - 1 : (levelOf[task] ?? -1);
    if (widths[level] === undefined) return null;
    if (task >= 0 && (this.#topology.items[task] ?? 0) < 2) return null;
    return {
      ...choice,
      ranges: new Set([...choice.ranges, this.#rangeOf[level] ?? 0]),
      levels: new Set([...choice.levels, level]),
      fanOuts: task < 0 ? choice.fanOuts : new Set([...choice.fanOuts, task]),
    };
  }

  /** The choice with as many narrow levels open as there is room for: all of one width, or none. */
  widened(choice: Choice): Choice {
    const steps = [...new Set(this.#levels.widths)].filter((width) => width > 1).sort((a, b) => a - b);
    const candidates = [2, ...steps.map((width) => width + 1)];
    let low = 0;
    for (let high = candidates.length - 1; low < high; ) {
      const middle = Math.ceil((low + high) / 2);
      if (this.fits({ ...choice, foldFrom: candidates[middle] ?? 2 })) low = middle;
      else high = middle - 1;
    }
    return { ...choice, foldFrom: candidates[low] ?? 2 };
  }

  fits(choice: Choice): boolean {
    const grouping = this.#group(choice);
    if (grouping.nodes > MAX_NODES) return false;
    let edges = 0;
    return this.#eachEdge(grouping, (source, target) => {
      edges += (grouping.sizes[source] ?? 1) * (grouping.sizes[target] ?? 1);
      return edges <= MAX_EDGES;
    });
  }

  /** Groups are numbered by level, then in document order; an unfolded fan-out is one group of as many nodes as it has items. */
  #group(choice: Choice) {
    const { names, items } = this.#topology;
    const { levelOf, widths } = this.#levels;
    const groupOf = new Int32Array(names.length);
    const firsts: number[] = [];
    const sizes: number[] = [];
    let nodes = 0;
    let before = '';
    for (const task of this.#ordered) {
      const level = levelOf[task] ?? 0;
      const range = this.#rangeOf[level] ?? 0;
      const { from, to } = this.#ranges[range] ?? { from: level, to: level + 1 };
      const isRangeOpen = to - from === 1 || choice.ranges.has(range);
      const isOpen = isRangeOpen && (choice.levels.has(level) || (widths[level] ?? 0) < choice.foldFrom);
      const key = isOpen ? '' : isRangeOpen ? `l${level}` : `r${range}`;
      if (key === '' || key !== before) {
        const size = isOpen && choice.fanOuts.has(task) ? (items[task] ?? 1) : 1;
        firsts.push(task);
        sizes.push(size);
        nodes += size;
      }
      groupOf[task] = firsts.length - 1;
      before = key;
    }
    return { groupOf, firsts, sizes, nodes };
  }

  /** Calls once for each pair of groups, with the number of edges between them so far unknown; false: stopped by `visit`. */
  #eachEdge(
    { groupOf, firsts }: { groupOf: Int32Array; firsts: readonly number[] },
    visit: (source: number, target: number) => boolean,
    again?: (source: number, target: number) => void,
  ): boolean {
    const { starts, upstreams } = this.#topology;
    const seenBy = new Int32Array(firsts.length).fill(-1);
    // Tasks of one group follow each other in this order, so one mark for each source is enough.
    for (const task of this.#ordered) {
      const target = groupOf[task] ?? 0;
      for (let at = starts[task] ?? 0; at < (starts[task + 1] ?? 0); at++) {
        const upstream = upstreams[at] ?? -1;
        if (upstream < 0) continue;
        const source = groupOf[upstream] ?? 0;
        if (source === target) continue;
        if (seenBy[source] === target) again?.(source, target);
        else {
          seenBy[source] = target;
          if (!visit(source, target)) return false;
        }
      }
    }
    return true;
  }

  result(choice: Choice, unfolded: readonly string[], wanted: readonly string[]): Folding {
    const grouping = this.#group(choice);
    const starts: number[] = [];
    const nodes: FoldedNode[] = [];
    const members = new Int32Array(grouping.firsts.length);
    for (const group of grouping.groupOf) members[group] = (members[group] ?? 0) + 1;
    for (const [group, first] of grouping.firsts.entries()) {
      starts.push(nodes.length);
      for (const node of this.#nodesOf(first, members[group] ?? 1, grouping.sizes[group] ?? 1, choice)) nodes.push(node);
    }
    const known = wanted.filter((id) => this.opened(CLOSED, id) !== null);
    return {
      nodes,
      edges: this.#edges(grouping, starts),
      nodeOf: grouping.groupOf.map((group) => starts[group] ?? 0),
      levels: this.#levels.widths.length,
      unfolded,
      refused: known.filter((id) => !unfolded.includes(id)),
    };
  }

  #edges(grouping: { groupOf: Int32Array; firsts: readonly number[]; sizes: readonly number[] }, starts: readonly number[]) {
    const found: { source: number; target: number; count: number }[] = [];
    const lastOf = new Int32Array(grouping.firsts.length);
    this.#eachEdge(
      grouping,
      (source, target) => {
        lastOf[source] = found.push({ source, target, count: 1 }) - 1;
        return true;
      },
      (source) => {
        const edge = found[lastOf[source] ?? 0];
        if (edge !== undefined) edge.count += 1;
      },
    );
    return found.flatMap(({ source, target, count }) => {
      const edges: FoldedEdge[] = [];
      for (let from = 0; from < (grouping.sizes[source] ?? 1); from++)
        for (let to = 0; to < (grouping.sizes[target] ?? 1); to++)
          edges.push({ source: (starts[source] ?? 0) + from, target: (starts[target] ?? 0) + to, count });
      return edges;
    });
  }

  #nodesOf(task: number, members: number, size: number, choice: Choice): FoldedNode[] {
    const { names, items, isExit } = this.#topology;
    const level = this.#levels.levelOf[task] ?? 0;
    const name = names[task] ?? '';
    const base = { level, isExit: isExit[task] === 1 };
    if (size > 1) {
      return Array.from({ length: size }, (_, item) => {
        const title = `${name}.${item}`;
        return { id: `i:${title}`, kind: 'item', title, ...base };
      });
    }
    if (members === 1) {
      return [{ id: `t:${name}`, kind: (items[task] ?? 0) > 0 ? 'fanOut' : 'task', title: name, ...base }];
    }
    const range = this.#rangeOf[level] ?? 0;
    const { from, to } = this.#ranges[range] ?? { from: level, to: level + 1 };
    const shift = base.isExit ? this.#levels.exitFrom : 0;
    return to - from === 1 || choice.ranges.has(range)
      ? [{ id: `l:${level + 1}`, kind: 'group', title: `Level ${level + 1 - shift}`, ...base }]
      : [{ id: `r:${from + 1}-${to}`, kind: 'group', title: `Levels ${from + 1 - shift}–${to - shift}`, ...base }];
  }
}

function byLevel({ levelOf, widths }: Levels): Int32Array {
  const next = new Int32Array(widths.length);
  for (let level = 1; level < widths.length; level++) next[level] = (next[level - 1] ?? 0) + (widths[level - 1] ?? 0);
  const ordered = new Int32Array(levelOf.length);
  for (const [task, level] of levelOf.entries()) {
    ordered[next[level] ?? 0] = task;
    next[level] = (next[level] ?? 0) + 1;
  }
  return ordered;
}
