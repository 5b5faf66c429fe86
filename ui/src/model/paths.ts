/** Addresses of the page and, where the typed client is not used, of the API; and what they carry. */

/** The address of a stored workflow; `version` null: its newest one. */
export function workflowPath(name: string, version: number | null = null): string {
  const path = `/workflows/${encodeURIComponent(name)}`;
  return version === null ? path : `${path}?version=${version}`;
}

/** The address of a run. */
export function runPath(id: string): string {
  return `/runs/${encodeURIComponent(id)}`;
}

/** The address of all runs of a workflow. */
export function runsPath(workflow: string): string {
  return `/runs?workflow=${encodeURIComponent(workflow)}`;
}

/** The address of a task's log; `attempt` null: the last one. */
export function logPath(runId: string, task: string, attempt: number | null = null, container = 'main'): string {
  const search = new URLSearchParams();
  if (attempt !== null) search.set('attempt', String(attempt));
  if (container !== 'main') search.set('container', container);
  const query = search.size === 0 ? '' : `?${search}`;
  return `${taskPath(runId, task)}/logs${query}`;
}

/** Where the API has a run. */
export function apiRunPath(id: string): string {
  return `/api/v1${runPath(id)}`;
}

/** Where the API has a task's log. */
export function apiLogPath(runId: string, task: string): string {
  return `/api/v1${taskPath(runId, task)}/logs`;
}

function taskPath(runId: string, task: string): string {
  return `${runPath(runId)}/tasks/${encodeURIComponent(task)}`;
}

/** A version in an address; null where there is none, or nothing that is one. */
export function versionIn(text: string | null): number | null {
  return text !== null && /^[1-9][0-9]{0,8}$/.test(text) ? Number(text) : null;
}

/** The end of a run's id, which is what differs between runs of the same time. */
export function shortId(id: string): string {
  return id.slice(-8);
}
