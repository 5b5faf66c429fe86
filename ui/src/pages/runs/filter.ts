/** Which runs are shown: in the page's address, in the API's query, and as commands. All three use the same names. */
import type { RunPhase } from '@/api/schema';
import { type Call, curlCommand, podrunCommand } from '@/model/commands';
import { RUN_PHASES } from '@/model/phases';

/** Empty texts and an empty list: all. Times are RFC 3339. */
export type RunFilter = {
  readonly phase: readonly RunPhase[];
  readonly workflow: string;
  readonly label_selector: string;
  readonly created_after: string;
  readonly created_before: string;
};
export type TextField = Exclude<keyof RunFilter, 'phase'>;

export const TEXT_FIELDS: readonly TextField[] = ['workflow', 'label_selector', 'created_after', 'created_before'];
export const NO_FILTER: RunFilter = { phase: [], workflow: '', label_selector: '', created_after: '', created_before: '' };

/** The filter that an address tells. Phases that don't exist are left out; any other nonsense the service refuses, saying why. */
export function filterOf(search: URLSearchParams): RunFilter {
  const asked = search.getAll('phase');
  const text = (name: TextField) => (search.get(name) ?? '').trim();
  return {
    phase: RUN_PHASES.filter((phase) => asked.includes(phase)),
    workflow: text('workflow'),
    label_selector: text('label_selector'),
    created_after: text('created_after'),
    created_before: text('created_before'),
  };
}

/** The filter as a query, without what is empty: the page's own and the API's. */
export function searchOf(filter: Partial<RunFilter>): URLSearchParams {
  const search = new URLSearchParams();
  for (const phase of filter.phase ?? []) search.append('phase', phase);
  for (const name of TEXT_FIELDS) if (filter[name]) search.set(name, filter[name]);
  return search;
}

/** The filter without its phases: what events are asked for, and what is counted. */
export function withoutPhase(filter: RunFilter): RunFilter {
  return { ...filter, phase: [] };
}

export function isFiltered(filter: RunFilter): boolean {
  return filter.phase.length > 0 || TEXT_FIELDS.some((name) => filter[name] !== '');
}

/** Whether a run in this phase is shown. */
export function wantsPhase(filter: RunFilter, phase: string | null): boolean {
  return filter.phase.length === 0 || filter.phase.some((each) => each === phase);
}

/** `selector` and `key=value`; unchanged where it has that already. */
export function withLabel(selector: string, key: string, value: string): string {
  const term = `${key}=${value}`;
  const terms = selector.split(',').map((each) => each.trim());
  if (terms.includes(term)) return selector;
  return selector === '' ? term : `${selector},${term}`;
}

/** What an `<input type="datetime-local">` shows of an RFC 3339 time: the local one. Empty where it is none. */
export function toLocalInput(time: string): string {
  const date = new Date(time);
  if (time === '' || Number.isNaN(date.getTime())) return '';
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19);
}

/** The RFC 3339 time, in UTC, of what an `<input type="datetime-local">` holds. */
export function fromLocalInput(value: string): string {
  const date = new Date(value);
  return value === '' || Number.isNaN(date.getTime()) ? '' : `${date.toISOString().slice(0, 19)}Z`;
}

/** The commands that list what is seen. */
export function listCommands(origin: string, filter: RunFilter, hasToken: boolean): { name: string; text: string }[] {
  const query = searchOf(filter).toString();
  const call: Call = { path: `/api/v1/runs${query && `?${query}`}` };
  const flags = filter.phase.flatMap((phase) => ['--phase', phase]);
  for (const name of TEXT_FIELDS) if (filter[name]) flags.push(`--${name.replaceAll('_', '-')}`, filter[name]);
  return [
    { name: 'podrun', text: podrunCommand(origin, 'list', ...flags) },
    { name: 'curl', text: curlCommand(origin, call, hasToken) },
  ];
}
