/** The commands that give on a terminal what the page shows. Every value is quoted for a POSIX shell. */

const PLAIN = /^[A-Za-z0-9_@%+=:,./~-]+$/;

/** One word of a POSIX shell. */
export function shellWord(text: string): string {
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export type Call = {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path and query, such as `/api/v1/runs?limit=10`. */
  path: string;
  accept?: string;
  body?: unknown;
};

/** A `curl` command. The token is named, not shown: it comes from the environment. */
export function curlCommand(origin: string, call: Call, hasToken: boolean): string {
  const words = ['curl', '-sS'];
  if (call.method !== undefined && call.method !== 'GET') words.push('-X', call.method);
  if (hasToken) words.push('-H', '"Authorization: Bearer $PODRUN_TOKEN"');
  if (call.accept !== undefined) words.push('-H', shellWord(`Accept: ${call.accept}`));
  if (call.body !== undefined)
    words.push('-H', shellWord('Content-Type: application/json'), '-d', shellWord(JSON.stringify(call.body)));
  return [...words, shellWord(origin + call.path)].join(' ');
}

/** A `podrun` command, with the server where it is not the default one. */
export function podrunCommand(origin: string, ...args: readonly string[]): string {
  const server = origin === 'http://127.0.0.1:8080' ? [] : ['--server', origin];
  return ['podrun', ...args, ...server].map(shellWord).join(' ');
}
