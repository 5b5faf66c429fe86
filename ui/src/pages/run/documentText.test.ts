import { expect, test } from 'vitest';
import { factsOf } from './documentText';

test('factsOf: tasks on exit, and those that may fail', () => {
  const document = {
    task_defaults: { allow_failure: true },
    tasks: [{ name: 'a' }, { name: 'b', allow_failure: false }, { name: 'c', allow_failure: ['an', 'expression'].join(' ') }],
    on_exit: [{ name: 'tidy', allow_failure: null }],
  };
  const { onExit, mayFail } = factsOf(JSON.stringify(document));
  expect([...onExit]).toEqual(['tidy']);
  expect([...mayFail]).toEqual(['a', 'tidy']);
});

test.each(['', 'null', '[]', '{"tasks": 5}'])('factsOf: nothing is known of %j', (text) => {
  expect(factsOf(text).mayFail.size).toBe(0);
});
