/** What the page needs to know of a document, and how it is shown. No input and output here. */
import type { TaskRun } from '@/api/schema';

/** Names of tasks in the document; of a `foreach` task its own name, not its items'. */
export type DocumentFacts = { readonly onExit: ReadonlySet<string>; readonly mayFail: ReadonlySet<string> };

export const NO_FACTS: DocumentFacts = { onExit: new Set(), mayFail: new Set() };

/** What a document says of its tasks; nothing of what is no document. */
export function factsOf(text: string): DocumentFacts {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return NO_FACTS;
  }
  const { tasks, on_exit, task_defaults } = record(document);
  const mayFailByDefault = record(task_defaults).allow_failure === true;
  const all = [...list(tasks), ...list(on_exit)].map(record);
  const mayFail = all.filter(({ allow_failure }) => (allow_failure ?? mayFailByDefault) === true);
  return { onExit: new Set(list(on_exit).map(record).map(nameOf)), mayFail: new Set(mayFail.map(nameOf)) };
}

/** The task's name in the document. */
export function documentName(task: TaskRun): string {
  return task.foreach?.task ?? task.name;
}

/** Of the names in the document the tasks' of the run: items in place of their `foreach` task. */
export function namesIn(tasks: readonly TaskRun[], names: ReadonlySet<string>): ReadonlySet<string> {
  if (names.size === 0) return names;
  return new Set(tasks.filter((task) => names.has(documentName(task))).map(({ name }) => name));
}

function nameOf({ name }: Readonly<Record<string, unknown>>): string {
  return String(name);
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
