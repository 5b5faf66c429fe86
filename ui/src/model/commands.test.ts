import { expect, test } from 'vitest';
import { curlCommand, podrunCommand, shellWord } from './commands';

test('shellWord: what a shell would read otherwise is quoted', () => {
  expect(shellWord('run-1')).toBe('run-1');
  expect(shellWord("it's $HOME")).toBe("'it'\\''s $HOME'");
});

test('curlCommand: the token is named, not shown', () => {
  expect(curlCommand('https://runs.example', { path: '/api/v1/runs?phase=Failed&limit=5' }, true)).toBe(
    'curl -sS -H "Authorization: Bearer $PODRUN_TOKEN" \'https://runs.example/api/v1/runs?phase=Failed&limit=5\'',
  );
});

test('podrunCommand: the default server is left out', () => {
  expect(podrunCommand('http://127.0.0.1:8080', 'get', 'abc')).toBe('podrun get abc');
  expect(podrunCommand('https://runs.example', 'logs', 'abc', 'a')).toBe('podrun logs abc a --server https://runs.example');
});
