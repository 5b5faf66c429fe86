import { expect, test } from 'vitest';
import { heardTime, serviceNow } from './clock';

const HERE = Date.parse('2026-01-31T12:00:00Z');

test('serviceNow: a clock that is an hour late here counts as the service’s', () => {
  heardTime('Sat, 31 Jan 2026 13:00:00 GMT', HERE);
  expect(serviceNow(HERE)).toBe(HERE + 3_600_500);
});

test('serviceNow: what whole seconds and the way of an answer explain is no difference', () => {
  heardTime('Sat, 31 Jan 2026 11:59:59 GMT', HERE);
  expect(serviceNow(HERE)).toBe(HERE);
});

test('heardTime: an answer without a time changes nothing', () => {
  heardTime('Sat, 31 Jan 2026 13:00:00 GMT', HERE);
  heardTime(null, HERE);
  heardTime('soon', HERE);
  expect(serviceNow(HERE)).toBe(HERE + 3_600_500);
});
