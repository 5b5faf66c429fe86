import { expect, test } from 'vitest';
import type { StoredParam } from '@/api/schema';
import { exampleParams } from './params';

const param = (part: Partial<StoredParam>): StoredParam => ({
  type: 'string',
  required: true,
  default: null,
  enum: null,
  description: null,
  ...part,
});

test('exampleParams: only what has no default, the first choice where there is one', () => {
  expect(
    exampleParams({
      branch: param({ required: false, default: 'main' }),
      count: param({ type: 'integer' }),
      size: param({ enum: ['small', 'large'] }),
      who: param({}),
    }),
  ).toEqual({ count: 1, size: 'small', who: 'VALUE' });
});
