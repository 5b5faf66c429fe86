/** A workflow's params as fields of a form: what a person typed, checked and turned into values. */
import { ApiProblem } from '@/api/problems';
import type { ProblemError } from '@/api/schema';

export const PARAM_TYPES = ['string', 'number', 'integer', 'boolean', 'array', 'object'] as const;
export type ParamType = (typeof PARAM_TYPES)[number];
export type ParamField = {
  name: string;
  type: ParamType;
  required: boolean;
  /** Null where there is none. */
  default: unknown;
  enum: readonly unknown[] | null;
  description: string | null;
};
/** What stands in a field. `text`: what was typed; of a choice (boolean, enum): the number of the chosen value, empty for none. */
export type FieldInput = { usesDefault: boolean; text: string };

/** A number as JSON writes it, plus a leading + and zeros, which do no harm. */
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** The params of a document as it was posted; bare defaults too. What is no document has none. */
export function fieldsOfDocument(document: unknown): ParamField[] {
  const params = isObject(document) ? document.params : null;
  if (!isObject(params)) return [];
  return Object.entries(params).map(([name, spec]) => (isObject(spec) ? declared(name, spec) : bare(name, spec)));
}

/** The values among which one is chosen; null where anything of the type may be written. */
export function choicesOf(field: ParamField): readonly unknown[] | null {
  if (field.enum !== null) return field.enum;
  return field.type === 'boolean' ? [true, false] : null;
}

/** What a field begins with; `value` undefined: none is given. */
export function initialInput(field: ParamField, value: unknown): FieldInput {
  const isDefault = !field.required && (value === undefined || sameJson(value, field.default));
  if (isDefault || value === undefined) return { usesDefault: isDefault, text: '' };
  const choices = choicesOf(field);
  if (choices === null) return { usesDefault: false, text: valueText(value) };
  const chosen = choices.findIndex((choice) => sameJson(choice, value));
  return { usesDefault: false, text: chosen < 0 ? '' : String(chosen) };
}

/** A value as it is written in a field, or shown: a string as it is, lists and objects as JSON on several lines. */
export function valueText(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'object' ? JSON.stringify(value, null, 2) : String(value);
}

/** The values of all fields, without those that leave the default, and for each wrong field what is wrong. */
export function parseForm(
  fields: readonly ParamField[],
  inputs: ReadonlyMap<string, FieldInput>,
): { params: Record<string, unknown>; errors: Record<string, string> } {
  const params = emptyRecord<unknown>();
  const errors = emptyRecord<string>();
  for (const field of fields) {
    const input = inputs.get(field.name) ?? initialInput(field, undefined);
    if (input.usesDefault && !field.required) continue;
    const parsed = parseField(field, input.text);
    if ('error' in parsed) errors[field.name] = parsed.error;
    else params[field.name] = parsed.value;
  }
  return { params, errors };
}

/** The service's errors by field, and the problem with what belongs to no field; null if nothing is left to say. */
export function errorsByField(
  error: unknown,
  fields: readonly ParamField[],
): { byField: Record<string, string>; rest: unknown } {
  if (!(error instanceof ApiProblem)) return { byField: {}, rest: error };
  const byField = emptyRecord<string>();
  const others: ProblemError[] = [];
  for (const each of error.errors) {
    const name = paramOf(each.pointer);
    if (name === null || !fields.some((field) => field.name === name)) others.push(each);
    else byField[name] = byField[name] === undefined ? each.detail : `${byField[name]} ${each.detail}`;
  }
  if (error.errors.length > 0 && others.length === 0) return { byField, rest: null };
  return { byField, rest: new ApiProblem(error.status, { title: error.title, detail: error.message, errors: others }) };
}

type Parsed = { value: unknown } | { error: string };

function parseField(field: ParamField, text: string): Parsed {
  const choices = choicesOf(field);
  if (choices !== null) return text === '' ? { error: 'Choose a value.' } : { value: choices[Number(text)] };
  switch (field.type) {
    case 'number':
      return parseNumber(text.trim());
    case 'integer':
      return parseInteger(text.trim());
    case 'array':
    case 'object':
      return parseJson(field.type, text);
    default:
      // A field that was overlooked: an empty text would start the run without a word.
      return field.required && text === '' ? { error: 'Give a value.' } : { value: text };
  }
}

function parseNumber(text: string): Parsed {
  const value = Number(text);
  return NUMBER.test(text) && Number.isFinite(value) ? { value } : { error: 'Give a number, such as 2.5.' };
}

function parseInteger(text: string): Parsed {
  if (!/^[+-]?\d+$/.test(text)) return { error: 'Give a whole number, such as 3.' };
  const value = Number(text);
  return Number.isSafeInteger(value) ? { value } : { error: 'This number is too large for a browser to send exactly.' };
}

function parseJson(type: 'array' | 'object', text: string): Parsed {
  const wanted = type === 'array' ? 'a JSON list, such as ["a", "b"]' : 'a JSON object, such as {"a": 1}';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { error: `Give ${wanted}. ${error instanceof Error ? error.message : ''}`.trim() };
  }
  const fits = type === 'array' ? Array.isArray(value) : isObject(value);
  return fits ? { value } : { error: `Give ${wanted}.` };
}

/** The param's name in `/params/NAME` and below. */
function paramOf(pointer: string | null): string | null {
  const [root, place, name] = pointer?.split('/') ?? [];
  if (root !== '' || place !== 'params' || name === undefined) return null;
  return name.replaceAll('~1', '/').replaceAll('~0', '~');
}

function declared(name: string, spec: Readonly<Record<string, unknown>>): ParamField {
  const type = PARAM_TYPES.find((each) => each === spec.type) ?? 'string';
  return {
    name,
    type,
    required: !('default' in spec) || spec.default === null,
    default: spec.default ?? null,
    enum: Array.isArray(spec.enum) ? spec.enum : null,
    description: typeof spec.description === 'string' ? spec.description : null,
  };
}

function bare(name: string, value: unknown): ParamField {
  return { name, type: typeOf(value), required: value === null, default: value, enum: null, description: null };
}

function typeOf(value: unknown): ParamType {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value === 'boolean' ? 'boolean' : 'string';
}

/** Names that all objects have, such as `constructor`, are not in it. */
function emptyRecord<T>(): Record<string, T> {
  return Object.create(null) as Record<string, T>;
}

function sameJson(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
