import { expect, test } from 'vitest';
import {
  filterOf,
  fromLocalInput,
  isFiltered,
  listCommands,
  NO_FILTER,
  searchOf,
  toLocalInput,
  wantsPhase,
  withLabel,
  withoutPhase,
} from './filter';

test('filterOf and searchOf: an address tells a filter, and back', () => {
  const address = 'phase=Failed&phase=Error&workflow=build&label_selector=a%3Db&created_after=2026-01-31T12%3A00%3A00Z';
  const filter = filterOf(new URLSearchParams(address));
  expect(filter).toEqual({
    phase: ['Failed', 'Error'],
    workflow: 'build',
    label_selector: 'a=b',
    created_after: '2026-01-31T12:00:00Z',
    created_before: '',
  });
  expect(searchOf(filter).toString()).toBe(address);
});

test('filterOf: what does not exist, stands twice or is empty is left out', () => {
  expect(filterOf(new URLSearchParams('phase=Nonsense&phase=Failed&phase=Failed&workflow=%20&view=graph'))).toEqual({
    ...NO_FILTER,
    phase: ['Failed'],
  });
  expect(isFiltered(filterOf(new URLSearchParams('workflow=%20&view=graph')))).toBe(false);
});

test('wantsPhase: without phases all are wanted', () => {
  expect(wantsPhase(NO_FILTER, 'Running')).toBe(true);
  const filter = { ...NO_FILTER, phase: ['Failed'] as const };
  expect(wantsPhase(filter, 'Running')).toBe(false);
  expect(wantsPhase(filter, null)).toBe(false);
  expect(wantsPhase(withoutPhase(filter), 'Running')).toBe(true);
});

test('withLabel: is added once', () => {
  expect(withLabel('', 'a', 'b')).toBe('a=b');
  expect(withLabel('x in (y,z)', 'a', 'b')).toBe('x in (y,z),a=b');
  expect(withLabel('a=b, c=d', 'a', 'b')).toBe('a=b, c=d');
});

test('local times: shown and read in the zone of the browser', () => {
  const time = '2026-01-31T12:00:05Z';
  const shown = toLocalInput(time);
  expect(shown).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/);
  expect(new Date(shown).getTime()).toBe(Date.parse(time));
  expect(fromLocalInput(shown)).toBe(time);
  expect(toLocalInput('yesterday')).toBe('');
  expect(fromLocalInput('')).toBe('');
});

test('listCommands: the filter in the words of each command', () => {
  const filter = { ...NO_FILTER, phase: ['Failed', 'Error'] as const, label_selector: 'a in (b, c)' };
  expect(listCommands('http://127.0.0.1:8080', filter, false)).toEqual([
    { name: 'podrun', text: "podrun list --phase Failed --phase Error --label-selector 'a in (b, c)'" },
    {
      name: 'curl',
      text: "curl -sS 'http://127.0.0.1:8080/api/v1/runs?phase=Failed&phase=Error&label_selector=a+in+%28b%2C+c%29'",
    },
  ]);
});
