import { expect, test } from 'vitest';
import { ApiProblem } from '@/api/problems';
import {
  errorsByField,
  type FieldInput,
  fieldsOfDocument,
  initialInput,
  type ParamField,
  parseForm,
  valueText,
} from './params';

const field = (given: Partial<ParamField>): ParamField => ({
  name: 'x',
  type: 'string',
  required: false,
  default: null,
  enum: null,
  description: null,
  ...given,
});
const parsed = (given: Partial<ParamField>, text: string) => {
  const { params, errors } = parseForm([field(given)], new Map([['x', { usesDefault: false, text }]]));
  return errors.x ?? { value: params.x };
};

test('fieldsOfDocument: declared params and bare defaults', () => {
  const params = {
    who: { description: 'Whom' },
    n: 3,
    half: 0.5,
    dry: false,
    list: ['a'],
    level: { default: 'low', enum: ['low'] },
  };
  expect(fieldsOfDocument({ params }).map(({ name, type, required }) => [name, type, required])).toEqual([
    ['who', 'string', true],
    ['n', 'integer', false],
    ['half', 'number', false],
    ['dry', 'boolean', false],
    ['list', 'array', false],
    ['level', 'string', false],
  ]);
});

test.each([null, 'text', {}, { params: null }, { params: [] }])('fieldsOfDocument: %j has no params', (document) => {
  expect(fieldsOfDocument(document)).toEqual([]);
});

test.each<[Partial<ParamField>, string, unknown]>([
  [{}, '', ''],
  [{}, ' a ', ' a '],
  [{ type: 'number' }, ' 2.50 ', 2.5],
  [{ type: 'number' }, '-1e3', -1000],
  [{ type: 'integer' }, '007', 7],
  [{ type: 'boolean' }, '1', false],
  [{ type: 'array' }, '[1, "a"]', [1, 'a']],
  [{ type: 'object' }, '{"a": null}', { a: null }],
  [{ type: 'integer', enum: [5, 7] }, '1', 7],
])('parseForm: %j of %j', (given, text, value) => {
  expect(parsed(given, text)).toEqual({ value });
});

test.each<[Partial<ParamField>, string]>([
  [{ type: 'number' }, ''],
  [{ type: 'number' }, '0x10'],
  [{ type: 'number' }, '1e999'],
  [{ type: 'integer' }, '1.5'],
  [{ type: 'integer' }, '90071992547409931'],
  [{ type: 'boolean' }, ''],
  [{ type: 'array' }, '{}'],
  [{ type: 'object' }, '[]'],
  [{ type: 'object' }, '{a: 1}'],
])('parseForm: %j refuses %j', (given, text) => {
  expect(parsed(given, text)).toEqual(expect.any(String));
});

test('parseForm: a field that leaves its default gives no value', () => {
  const fields = [field({ name: 'a', default: 1, type: 'integer' }), field({ name: 'constructor', required: true })];
  const inputs = [
    ['a', { usesDefault: true, text: '' }],
    ['constructor', { usesDefault: false, text: 'c' }],
  ] as const;
  const { params, errors } = parseForm(fields, new Map<string, FieldInput>(inputs));
  expect(Object.entries(params)).toEqual([['constructor', 'c']]);
  expect({ ...errors }).toEqual({});
});

test('initialInput: a value like the default leaves the default, another one is written', () => {
  const list = field({ type: 'array', default: ['a'] });
  expect(initialInput(list, ['a'])).toEqual({ usesDefault: true, text: '' });
  expect(initialInput(list, ['b'])).toEqual({ usesDefault: false, text: '[\n  "b"\n]' });
  expect(initialInput(field({ type: 'boolean', default: true }), false)).toEqual({ usesDefault: false, text: '1' });
  expect(initialInput(field({ required: true }), undefined)).toEqual({ usesDefault: false, text: '' });
});

test('valueText: strings as they are, the rest as JSON', () => {
  expect(valueText('a"b')).toBe('a"b');
  expect(valueText(null)).toBe('null');
  expect(valueText({ a: 1 })).toBe('{\n  "a": 1\n}');
});

test('errorsByField: at the field, the rest above', () => {
  const error = (pointer: string | null, detail: string) => ({ pointer, detail, parameter: null });
  const problem = new ApiProblem(422, {
    detail: 'The request is wrong.',
    errors: [
      error('/params/x/0', 'must be text'),
      error('/params/x', 'and short'),
      error('/params/y', 'unknown'),
      error('/labels', 'bad'),
    ],
  });
  const { byField, rest } = errorsByField(problem, [field({})]);
  expect({ ...byField }).toEqual({ x: 'must be text and short' });
  expect((rest as ApiProblem).errors.map(({ pointer }) => pointer)).toEqual(['/params/y', '/labels']);
  expect(errorsByField(new ApiProblem(422, { errors: [error('/params/x', 'no')] }), [field({})]).rest).toBeNull();
  expect(errorsByField(new Error('away'), []).rest).toEqual(new Error('away'));
});

test('parseForm: a required text that was left empty is an error, in place of a default it is a value', () => {
  const empty = { usesDefault: false, text: '' };
  const inputs = [
    ['a', empty],
    ['b', empty],
  ] as const;
  const { params, errors } = parseForm(
    [field({ name: 'a', required: true }), field({ name: 'b', default: 'x' })],
    new Map(inputs),
  );
  expect({ ...params }).toEqual({ b: '' });
  expect({ ...errors }).toEqual({ a: 'Give a value.' });
});
