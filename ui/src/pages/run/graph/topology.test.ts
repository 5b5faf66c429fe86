import { expect, test } from 'vitest';
import { taskRun } from './testTasks';
import { encode, isSameTopology } from './topology';

const tasks = [
  taskRun('list'),
  taskRun('work.0', { depends_on: ['list'], foreach: { task: 'work', index: 0, item: 'a' } }),
  taskRun('work.1', { depends_on: ['list'], foreach: { task: 'work', index: 1, item: 'b' } }),
  taskRun('merge', { depends_on: ['work', 'list'] }),
  taskRun('clean'),
];

test('encode: a fan-out is one task, with its items counted', () => {
  const { topology, ownerOf } = encode(tasks, new Set(['clean']));
  expect(topology.names).toEqual(['list', 'work', 'merge', 'clean']);
  expect([...topology.items]).toEqual([0, 2, 0, 0]);
  expect([...topology.starts]).toEqual([0, 0, 1, 3, 3]);
  expect([...topology.upstreams]).toEqual([0, 1, 0]);
  expect([...topology.isExit]).toEqual([0, 0, 0, 1]);
  expect([...ownerOf]).toEqual([0, 1, 1, 2, 3]);
});

test('isSameTopology: phases make no difference, found items do', () => {
  expect(
    isSameTopology(
      tasks,
      tasks.map((task) => ({ ...task, phase: 'Failed' })),
    ),
  ).toBe(true);
  const before = [tasks[0], taskRun('work', { depends_on: ['list'] }), tasks[3], tasks[4]].filter((task) => task !== undefined);
  expect(isSameTopology(before, tasks)).toBe(false);
});
