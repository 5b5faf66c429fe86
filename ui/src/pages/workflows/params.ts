/** The params of a stored workflow: as fields of a form, and in a command that runs it. */
import type { StoredParam } from '@/api/schema';
import type { ParamField } from '@/model/params';

const EXAMPLES: Readonly<Record<StoredParam['type'], unknown>> = {
  string: 'VALUE',
  number: 1.5,
  integer: 1,
  boolean: true,
  array: [],
  object: {},
};

/** In the order of the workflow. */
export function fieldsOf(params: Readonly<Record<string, StoredParam>>): ParamField[] {
  return Object.entries(params).map(([name, param]) => ({ name, ...param, default: param.default ?? null }));
}

/** One value for each param that has no default: the first that it may be, else any of its type. */
export function exampleParams(params: Readonly<Record<string, StoredParam>>): Record<string, unknown> {
  const required = Object.entries(params).filter(([, param]) => param.required);
  return Object.fromEntries(required.map(([name, param]) => [name, param.enum?.[0] ?? EXAMPLES[param.type]]));
}
