/** The last lines of a log: pieces of long lines put together, and no more kept than is shown. */
import type { LogLine } from '@/api/stream';

export type TailLine = { readonly key: string; readonly container: string; readonly text: string; readonly isOpen: boolean };

/** What is shown of one line. */
export const MOST_CHARACTERS = 2_000;

/** The last `most` lines after `more` have come. A piece goes on with the line that is open. */
export function withLines(before: readonly TailLine[], more: readonly LogLine[], most: number): readonly TailLine[] {
  const lines = [...before];
  for (const { line, attempt, container, text, partial } of more) {
    const key = `${attempt} ${container} ${line}`;
    const last = lines.at(-1);
    const isOpen = partial === true;
    if (last?.isOpen && last.key === key) lines[lines.length - 1] = { ...last, text: cut(last.text + text), isOpen };
    else lines.push({ key, container, text: cut(text), isOpen });
  }
  return lines.slice(-most);
}

/** The lines of a body of newline-delimited JSON; what is not a line (a gap) is left out. */
export function parseLines(body: string): LogLine[] {
  return body
    .split('\n')
    .filter((row) => row !== '')
    .map((row) => JSON.parse(row) as Partial<LogLine>)
    .filter((row): row is LogLine => typeof row.text === 'string' && typeof row.line === 'number');
}

function cut(text: string): string {
  return text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text;
}
