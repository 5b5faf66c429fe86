import { expect, test } from 'vitest';
import { factsOf, indented } from './documentText';

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

test('indented: like JSON.stringify, but numbers stay as they were written', () => {
  const value = { a: [1, 'x, {"y": [\\"', {}, []], b: { c: null, d: true } };
  expect(indented(JSON.stringify(value), 10_000)).toEqual({ text: JSON.stringify(value, null, 2), isWhole: true });
  expect(indented('{ "n":2.0,\n"big":12345678901234567890 }', 100).text).toBe(
    '{\n  "n": 2.0,\n  "big": 12345678901234567890\n}',
  );
});

test('indented: it ends after so many characters', () => {
  const { text, isWhole } = indented(JSON.stringify(Array.from({ length: 1_000 }, () => 'x')), 500);
  expect(isWhole).toBe(false);
  expect(text.length).toBeLessThanOrEqual(500);
});
