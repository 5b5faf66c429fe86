/** Addresses of the page, and what they carry. */

/** The address of a stored workflow; `version` null: its newest one. */
export function pathOf(name: string, version: number | null = null): string {
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

/** A version in an address; null where there is none, or nothing that is one. */
export function versionIn(text: string | null): number | null {
  return text !== null && /^[1-9][0-9]{0,8}$/.test(text) ? Number(text) : null;
}

/** The end of a run's id, which is what differs between runs of the same time. */
export function shortId(id: string): string {
  return id.slice(-8);
}
