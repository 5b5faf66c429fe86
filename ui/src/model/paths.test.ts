import { expect, test } from 'vitest';
import { apiLogPath, apiRunPath, logPath, runsPath, versionIn, workflowPath } from './paths';

test('workflowPath: what is in a name stays in its place', () => {
  expect(workflowPath('build')).toBe('/workflows/build');
  expect(workflowPath('a/b?c', 3)).toBe('/workflows/a%2Fb%3Fc?version=3');
  expect(runsPath('a&b')).toBe('/runs?workflow=a%26b');
});

test('logPath: only what is not the default is in the address', () => {
  expect(logPath('r', 'a b')).toBe('/runs/r/tasks/a%20b/logs');
  expect(logPath('r', 'a', 2, 'side')).toBe('/runs/r/tasks/a/logs?attempt=2&container=side');
  expect(apiLogPath('r', 'a/b')).toBe('/api/v1/runs/r/tasks/a%2Fb/logs');
  expect(apiRunPath('r?')).toBe('/api/v1/runs/r%3F');
});

test.each([
  [null, null],
  ['3', 3],
  ['0', null],
  ['-1', null],
  ['1e3', null],
  ['99999999999', null],
])('versionIn: %s', (text, version) => {
  expect(versionIn(text)).toBe(version);
});
