/**
 * A line as a terminal would show it: its text, and the colours in it.
 *
 * Only colours and styles (SGR) are followed, and what overwrites a line within itself (`\r`, backspace, "erase in line"). All
 * other escape sequences and control characters vanish: titles, links, cursor moves. Text is never hidden: "concealed" is not
 * followed, and a string that does not end is shown. Each line stands for itself: a colour ends with its line.
 *
 * Source: https://ecma-international.org/publications-and-standards/standards/ecma-48/
 */
import { type AnsiStyle, isSameStyle, nextStyle, PLAIN } from './ansiStyle';

export type { AnsiColor, AnsiStyle, ColorName } from './ansiStyle';

/** A stretch of the visible text with a style of its own. */
export type AnsiSpan = { start: number; end: number; style: AnsiStyle };
export type AnsiLine = {
  /** What is visible. */
  text: string;
  /** In order, without those that have no style. */
  spans: AnsiSpan[];
};

// biome-ignore-start lint/suspicious/noControlCharactersInRegex: they are what it looks for
/** Anything that is not simply shown. A tab is. */
const SPECIAL = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/;
/** In this order: CSI sequences; OSC, DCS and other strings with their end; other escape sequences; control characters. */
const TOKENS = new RegExp(
  [
    '(?:\\x1b\\[|\\x9b)([0-?]{0,256})[ -/]{0,8}([@-~])',
    // Not beyond where another one begins: a line full of beginnings would be looked through from each of them.
    '(?:\\x1b[\\]PX^_]|[\\x90\\x98\\x9d-\\x9f])[^\\x07\\x1b\\x90\\x98\\x9c-\\x9f]{0,4096}(?:\\x07|\\x1b\\\\|\\x9c)',
    '\\x1b[ -/]{0,8}[0-~]',
    '[\\x00-\\x08\\x0a-\\x1f\\x7f-\\x9f]',
  ].join('|'),
  'g',
);
// biome-ignore-end lint/suspicious/noControlCharactersInRegex: as above

/** What a terminal would show of one line. */
export function parseAnsi(raw: string): AnsiLine {
  if (!SPECIAL.test(raw)) return { text: raw, spans: [] };
  const line = new Cells();
  let style: AnsiStyle = PLAIN;
  let shown = 0;
  for (const token of raw.matchAll(TOKENS)) {
    if (token.index > shown) line.write(raw.slice(shown, token.index), style);
    shown = token.index + token[0].length;
    const [whole, parameters = '', final] = token;
    if (final === 'm') style = nextStyle(style, parameters);
    else if (final === 'K') line.erase(parameters);
    else if (whole === '\r') line.column = 0;
    else if (whole === '\b') line.column = Math.max(0, line.column - 1);
  }
  line.write(raw.slice(shown), style);
  return line.done();
}

/** The visible text alone. */
export function visibleText(raw: string): string {
  return SPECIAL.test(raw) ? parseAnsi(raw).text : raw;
}

/** A line's cells: as stretches while it is only appended to, one by one from its first overwriting on. */
class Cells {
  column = 0;
  private text = '';
  private spans: AnsiSpan[] = [];
  private cells: { character: string; style: AnsiStyle }[] | null = null;

  write(text: string, style: AnsiStyle): void {
    if (text === '') return;
    if (this.cells === null && this.column === this.text.length) {
      this.append(text, style);
      this.column = this.text.length;
      return;
    }
    const cells = this.split();
    for (const character of text) {
      cells[this.column] = { character, style };
      this.column += 1;
    }
  }

  /** `\x1b[K` to the end, `\x1b[1K` to the cursor, `\x1b[2K` all. */
  erase(parameters: string): void {
    const cells = this.split();
    if (parameters === '' || parameters === '0') cells.length = Math.min(cells.length, this.column);
    else if (parameters === '2') cells.length = 0;
    else if (parameters === '1') cells.fill({ character: ' ', style: PLAIN }, 0, this.column + 1);
    while (cells.length < this.column) cells.push({ character: ' ', style: PLAIN });
  }

  done(): AnsiLine {
    if (this.cells !== null) {
      const { cells } = this;
      this.text = '';
      this.spans = [];
      for (let first = 0; first < cells.length; ) {
        const style = cells[first]?.style ?? PLAIN;
        let text = '';
        for (; first < cells.length && (cells[first]?.style ?? PLAIN) === style; first += 1)
          text += cells[first]?.character ?? ' ';
        this.append(text, style);
      }
    }
    return { text: this.text, spans: this.spans };
  }

  private split() {
    if (this.cells === null) {
      this.cells = [];
      let span = 0;
      let index = 0;
      let column = 0;
      for (const character of this.text) {
        while ((this.spans[span]?.end ?? Number.POSITIVE_INFINITY) <= index) span += 1;
        const current = this.spans[span];
        this.cells.push({ character, style: current !== undefined && current.start <= index ? current.style : PLAIN });
        index += character.length;
        if (index <= this.column) column += 1;
      }
      this.column = column;
    }
    return this.cells;
  }

  private append(text: string, style: AnsiStyle): void {
    const start = this.text.length;
    this.text += text;
    if (style === PLAIN) return;
    const last = this.spans.at(-1);
    if (last !== undefined && last.end === start && isSameStyle(last.style, style)) last.end = this.text.length;
    else this.spans.push({ start, end: this.text.length, style });
  }
}
