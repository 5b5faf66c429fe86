import { expect, test } from 'vitest';
import { newKey, SubmitKeys } from './idempotency';

test('newKey: printable, and never the same', () => {
  expect(newKey()).toMatch(/^[0-9a-f]{32}$/);
  expect(newKey()).not.toBe(newKey());
});

test('SubmitKeys: one key for each body, until it is forgotten', () => {
  const keys = new SubmitKeys();
  const first = keys.of({ workflow: 'build', params: { count: 1 } });
  expect(keys.of({ workflow: 'build', params: { count: 2 } })).not.toBe(first);
  expect(keys.of({ workflow: 'build', params: { count: 1 } })).toBe(first);
  keys.forget({ workflow: 'build', params: { count: 1 } });
  expect(keys.of({ workflow: 'build', params: { count: 1 } })).not.toBe(first);
});
