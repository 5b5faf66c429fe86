/** Labels as a person writes them: `team=data, stage=test`. */

export type Labels = { labels: Record<string, string> } | { wrong: string };

/** The labels in the text. What the names and values may be is the service's to say. */
export function parseLabels(text: string): Labels {
  const labels: Record<string, string> = {};
  for (const part of text.split(/[,\n]/).map((each) => each.trim())) {
    if (part === '') continue;
    const sign = part.indexOf('=');
    if (sign < 1) return { wrong: `“${part}” is not name=value.` };
    const name = part.slice(0, sign).trim();
    if (Object.hasOwn(labels, name)) return { wrong: `“${name}” is there twice.` };
    // Not by assignment: `__proto__` would be lost.
    Object.defineProperty(labels, name, { value: part.slice(sign + 1).trim(), enumerable: true });
  }
  return { labels };
}
