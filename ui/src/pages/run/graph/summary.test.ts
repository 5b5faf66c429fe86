import { expect, test } from 'vitest';
import type { Phase, TaskRun } from '@/api/schema';
import { fold } from './folding';
import { countsText, failedText, leadingPhase, nodeOfRow, summarize } from './summary';
import { taskRun } from './testTasks';
import { encode } from './topology';

const item = (index: number, phase: Phase) =>
  taskRun(`work.${index}`, { phase, depends_on: ['list'], foreach: { task: 'work', index, item: index } });
const tasks: readonly TaskRun[] = [
  taskRun('list', { phase: 'Succeeded' }),
  ...(['Failed', 'Succeeded', 'Failed', 'Error', 'Failed'] as const).map((phase, index) => item(index, phase)),
];
const { topology, ownerOf } = encode(tasks, new Set());

test('summarize: counts by phase, and who failed, behind a folded node', () => {
  const [list, work] = summarize(fold(topology, []), ownerOf, tasks);
  expect(list?.task).toBe(tasks[0]);
  expect(work && countsText(work)).toBe('3 Failed, 1 Error, 1 Succeeded');
  expect(work && failedText(work)).toBe('4 failed: work.0, work.2, work.3, …');
  expect(work && leadingPhase(work)).toBe('Failed');
  expect(work?.total).toBe(5);
});

test('summarize: what did not change keeps its identity', () => {
  const folding = fold(topology, []);
  const before = summarize(folding, ownerOf, tasks);
  const after = summarize(folding, ownerOf, [...tasks.slice(0, 5), item(4, 'Succeeded')], before);
  expect(after[0]).toBe(before[0]);
  expect(after[1]).not.toBe(before[1]);
});

test('nodeOfRow: an unfolded fan-out has a node for each item', () => {
  const folding = fold(topology, ['t:work']);
  expect(tasks.map((_, row) => folding.nodes[nodeOfRow(folding, ownerOf, tasks, row)]?.title)).toEqual(
    tasks.map(({ name }) => name),
  );
});
