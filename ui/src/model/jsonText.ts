/** JSON as text: numbers stay as they were written, also those that JavaScript would round. No input and output here. */

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/gs;

/** JSON on lines of its own, indented, without reading its values: numbers stay as they were written. At most `most` characters. */
export function indented(json: string, most: number): { text: string; isWhole: boolean } {
  const parts: string[] = [];
  let length = 0;
  let depth = 0;
  const tokens = json.matchAll(TOKEN);
  let before = '';
  for (const [token] of tokens) {
    const isEnd = token === '}' || token === ']';
    const wasStart = before === '{' || before === '[';
    if (isEnd) depth -= 1;
    const needsLine = before === ',' || (wasStart && !isEnd) || (isEnd && !wasStart);
    const part = (needsLine ? `\n${'  '.repeat(Math.max(0, depth))}` : before === ':' ? ' ' : '') + token;
    if (token === '{' || token === '[') depth += 1;
    length += part.length;
    if (length > most) return { text: parts.join(''), isWhole: false };
    parts.push(part);
    before = token;
  }
  return { text: parts.join(''), isWhole: true };
}

/** The text of an object's own member, as it stands in the object's JSON; null where there is none of this name. */
export function memberText(json: string, name: string): string | null {
  const key = JSON.stringify(name);
  let depth = 0;
  let isKey = false;
  let start: number | null = null;
  for (const { 0: token, index } of json.matchAll(TOKEN)) {
    if (depth === 1 && start !== null && (token === ',' || token === '}')) return json.slice(start, index).trim();
    if (token === '}' || token === ']') depth -= 1;
    if (depth === 1 && start === null && token === ':' && isKey) start = index + 1;
    isKey = depth === 1 && token === key;
    if (token === '{' || token === '[') depth += 1;
  }
  return null;
}
