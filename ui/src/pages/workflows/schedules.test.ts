import { expect, test } from 'vitest';
import { nextText, scheduleText } from './schedules';

test.each([
  [1, 'every second'],
  [60, 'every minute'],
  [300, 'every 5 min'],
  [3_600, 'every hour'],
  [5_400, 'every 1 h 30 min'],
  [86_400, 'every day'],
  [90_061, 'every 1 d 1 h 1 min 1 s'],
  [1.5, 'every 1.5 s'],
])('scheduleText: %d s', (every_seconds, text) => {
  expect(scheduleText({ every_seconds, cron: null, timezone: null })).toBe(text);
});

test('scheduleText: a cron with its time zone, UTC if it has none', () => {
  expect(scheduleText({ every_seconds: null, cron: '30 2 * * 1-5', timezone: 'Europe/Berlin' })).toBe(
    '30 2 * * 1-5 (Europe/Berlin)',
  );
  expect(scheduleText({ every_seconds: null, cron: '0 * * * *', timezone: null })).toBe('0 * * * * (UTC)');
});

test('nextText: what is due is due now', () => {
  const now = Date.parse('2026-01-31T12:00:00Z');
  expect(nextText('2026-01-31T12:00:05Z', now)).toBe('now');
  expect(nextText('2026-01-31T11:59:30Z', now)).toBe('now');
  expect(nextText('2026-01-31T12:05:00Z', now)).toBe('in 5 min');
});
