import { expect, test } from 'vitest';
import { pathOf, runsPath, versionIn } from './paths';

test('pathOf: what is in a name stays in its place', () => {
  expect(pathOf('build')).toBe('/workflows/build');
  expect(pathOf('a/b?c', 3)).toBe('/workflows/a%2Fb%3Fc?version=3');
  expect(runsPath('a&b')).toBe('/runs?workflow=a%26b');
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
