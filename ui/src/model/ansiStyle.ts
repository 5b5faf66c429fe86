/** "Select graphic rendition": what the numbers in `\x1b[1;31m` mean. */

export const COLOR_NAMES = [
  'black',
  'red',
  'green',
  'yellow',
  'blue',
  'magenta',
  'cyan',
  'white',
  'bright-black',
  'bright-red',
  'bright-green',
  'bright-yellow',
  'bright-blue',
  'bright-magenta',
  'bright-cyan',
  'bright-white',
] as const;
export type ColorName = (typeof COLOR_NAMES)[number];

/** One of the sixteen, which the theme gives, or red, green and blue from 0 to 255. */
export type AnsiColor = ColorName | readonly [number, number, number];

export type AnsiStyle = Readonly<{
  color: AnsiColor | null;
  background: AnsiColor | null;
  bold: boolean;
  faint: boolean;
  italic: boolean;
  underline: boolean;
  strike: boolean;
  inverse: boolean;
}>;

/** No style: the one object that stands for it. */
export const PLAIN: AnsiStyle = Object.freeze({
  color: null,
  background: null,
  bold: false,
  faint: false,
  italic: false,
  underline: false,
  strike: false,
  inverse: false,
});

/** The style after a sequence with these parameters (`1;31`, `38;5;208`, `38:2::255:0:0`). */
export function nextStyle(style: AnsiStyle, parameters: string): AnsiStyle {
  const next: { -readonly [Key in keyof AnsiStyle]: AnsiStyle[Key] } = { ...style };
  const words = parameters.split(';');
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    const code = Number.parseInt(word || '0', 10);
    if (code === 38 || code === 48) {
      const [color, used] = word.includes(':') ? [colonColor(word), 0] : listedColor(words.slice(at + 1, at + 5));
      at += used;
      if (color !== null) next[code === 38 ? 'color' : 'background'] = color;
    } else Object.assign(next, changeOf(code, word));
  }
  return isSameStyle(next, PLAIN) ? PLAIN : next;
}

/** Whether two styles look the same. */
export function isSameStyle(one: AnsiStyle, other: AnsiStyle): boolean {
  return (
    one.bold === other.bold &&
    one.faint === other.faint &&
    one.italic === other.italic &&
    one.underline === other.underline &&
    one.strike === other.strike &&
    one.inverse === other.inverse &&
    String(one.color) === String(other.color) &&
    String(one.background) === String(other.background)
  );
}

const CHANGES: Readonly<Record<number, Partial<AnsiStyle>>> = {
  0: PLAIN,
  1: { bold: true },
  2: { faint: true },
  3: { italic: true },
  4: { underline: true },
  7: { inverse: true },
  9: { strike: true },
  21: { underline: true },
  22: { bold: false, faint: false },
  23: { italic: false },
  24: { underline: false },
  27: { inverse: false },
  29: { strike: false },
  39: { color: null },
  49: { background: null },
};

function changeOf(code: number, word: string): Partial<AnsiStyle> {
  if (code >= 30 && code <= 37) return { color: COLOR_NAMES[code - 30] ?? null };
  if (code >= 40 && code <= 47) return { background: COLOR_NAMES[code - 40] ?? null };
  if (code >= 90 && code <= 97) return { color: COLOR_NAMES[code - 82] ?? null };
  if (code >= 100 && code <= 107) return { background: COLOR_NAMES[code - 92] ?? null };
  if (word === '4:0') return { underline: false };
  return CHANGES[code] ?? {};
}

/** `5;N` or `2;R;G;B`, and how many words that were. */
function listedColor(words: readonly string[]): [AnsiColor | null, number] {
  if (words[0] === '5') return [paletteColor(Number(words[1] || 0)), 2];
  if (words[0] === '2') return [trueColor(words.slice(1, 4)), 4];
  return [null, 0];
}

/** `38:5:N`, `38:2:R:G:B`, or with a colour space `38:2::R:G:B`. */
function colonColor(word: string): AnsiColor | null {
  const parts = word.split(':').slice(1);
  if (parts[0] === '5') return paletteColor(Number(parts[1] || 0));
  if (parts[0] === '2') return trueColor(parts.length > 4 ? parts.slice(2, 5) : parts.slice(1, 4));
  return null;
}

function trueColor(words: readonly string[]): AnsiColor | null {
  const [red = 0, green = 0, blue = 0] = words.map((word) => Number(word || 0));
  return [red, green, blue].every((value) => value >= 0 && value <= 255) ? [red, green, blue] : null;
}

/** xterm's 256 colours: the sixteen, a cube of 6 × 6 × 6, and 24 greys. */
function paletteColor(number: number): AnsiColor | null {
  if (!Number.isInteger(number) || number < 0 || number > 255) return null;
  if (number < 16) return COLOR_NAMES[number] ?? null;
  if (number >= 232) {
    const grey = 8 + (number - 232) * 10;
    return [grey, grey, grey];
  }
  const level = (step: number) => (step === 0 ? 0 : 55 + step * 40);
  const index = number - 16;
  return [level(Math.floor(index / 36)), level(Math.floor(index / 6) % 6), level(index % 6)];
}
