/**
 * Colours that can be read in both themes, whatever a program asked for.
 *
 * The sixteen are the theme's. Any other colour keeps its hue, and goes towards black (light theme) or white (dark) until it
 * has enough contrast. On a background of its own, text that can't be read on it becomes black or white.
 */
import type { AnsiColor, AnsiStyle } from './ansiStyle';

type Rgb = readonly [number, number, number];

/** Over the 4.5:1 of WCAG, so that rows that are marked, with a surface a little lighter or darker, have it too. */
const ENOUGH = 6;
const ENOUGH_ON_ITS_OWN = 4.5;
const BLACK: Rgb = [0, 0, 0];
const WHITE: Rgb = [255, 255, 255];
/** `--surface` of the themes. */
const SURFACES = { light: WHITE, dark: [18, 21, 26] as Rgb };

/** Values of `color` and `background-color` in each theme; null: as it is around it. */
export type Paint = {
  light: { color: string | null; background: string | null };
  dark: { color: string | null; background: string | null };
};

/** What to paint a style with. */
export function paintOf(style: AnsiStyle): Paint {
  return { light: paintIn('light', style), dark: paintIn('dark', style) };
}

function paintIn(theme: 'light' | 'dark', style: AnsiStyle): Paint['light'] {
  const color = style.inverse ? (style.background ?? 'surface') : style.color;
  const background = style.inverse ? (style.color ?? 'text') : style.background;
  if (background !== null) {
    // The theme's colours are made to be read on the surface: so is the surface's colour on them.
    if (typeof background === 'string') return { color: 'var(--surface)', background: cssOf(background) };
    return { color: readableOn(background, color), background: cssOf(background) };
  }
  if (color === null) return { color: style.faint ? 'var(--text-muted)' : null, background: null };
  return { color: typeof color === 'string' ? cssOf(color) : cssOf(readable(color, SURFACES[theme])), background: null };
}

/** The colour, moved away from the surface as far as needed. */
export function readable(color: Rgb, surface: Rgb): Rgb {
  const end = luminance(surface) > 0.5 ? BLACK : WHITE;
  for (let share = 0; share < 1; share += 0.1) {
    const mixed = mix(color, end, share);
    if (contrast(mixed, surface) >= ENOUGH) return mixed;
  }
  return end;
}

function readableOn(background: Rgb, color: AnsiColor | 'surface' | null): string {
  if (color !== null && typeof color !== 'string' && contrast(color, background) >= ENOUGH_ON_ITS_OWN) return cssOf(color);
  return cssOf(contrast(BLACK, background) >= contrast(WHITE, background) ? BLACK : WHITE);
}

function cssOf(color: AnsiColor | 'surface' | 'text'): string {
  if (color === 'surface' || color === 'text') return `var(--${color})`;
  return typeof color === 'string' ? `var(--ansi-${color})` : `rgb(${color.join(' ')})`;
}

function mix(color: Rgb, other: Rgb, share: number): Rgb {
  const part = (at: 0 | 1 | 2) => Math.round(color[at] * (1 - share) + other[at] * share);
  return [part(0), part(1), part(2)];
}

/** WCAG's contrast of two colours. Source: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio */
export function contrast(one: Rgb, other: Rgb): number {
  const [darker = 0, lighter = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (lighter + 0.05) / (darker + 0.05);
}

function luminance(color: Rgb): number {
  const part = (value: number) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * part(color[0]) + 0.7152 * part(color[1]) + 0.0722 * part(color[2]);
}
