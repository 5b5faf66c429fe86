import { expect, test } from 'vitest';
import { parseLabels } from './labels';

test('parseLabels: names and values, an empty value too', () => {
  expect(parseLabels(' team = data, stage=test,\nempty= ')).toEqual({ labels: { team: 'data', stage: 'test', empty: '' } });
  expect(parseLabels('')).toEqual({ labels: {} });
});

test('parseLabels: what is no label is named', () => {
  expect(parseLabels('team')).toEqual({ wrong: '“team” is not name=value.' });
  expect(parseLabels('a=1, a=2')).toEqual({ wrong: '“a” is there twice.' });
});
