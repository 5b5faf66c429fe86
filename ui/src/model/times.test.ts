import { expect, test } from 'vitest';
import { bytesText, durationText, elapsed, relativeText } from './times';

test.each([
  [-5, '0 ms'],
  [850, '850 ms'],
  [12_345, '12.3 s'],
  [59_960, '1 min 00 s'],
  [245_000, '4 min 05 s'],
  [7_380_000, '2 h 03 min'],
  [273_600_000, '3 d 4 h'],
])('durationText: %d ms', (milliseconds, text) => {
  expect(durationText(milliseconds)).toBe(text);
});

test('elapsed: without an end, until now', () => {
  expect(elapsed('2026-01-31T12:00:00Z', null, Date.parse('2026-01-31T12:00:05Z'))).toBe(5_000);
  expect(elapsed(null, null, 0)).toBeNull();
});

test('relativeText: before and after now', () => {
  const now = Date.parse('2026-01-31T12:00:00Z');
  expect(relativeText('2026-01-31T11:57:00Z', now)).toBe('3 min ago');
  expect(relativeText('2026-01-31T14:00:00Z', now)).toBe('in 2 h');
});

test('bytesText: a unit that fits', () => {
  expect(bytesText(512)).toBe('512 B');
  expect(bytesText(1536)).toBe('1.5 KiB');
  expect(bytesText(20 * 1024 * 1024)).toBe('20.0 MiB');
});
