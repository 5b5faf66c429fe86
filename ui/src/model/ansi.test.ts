import { describe, expect, it } from 'vitest';
import { parseAnsi, visibleText } from './ansi';
import { contrast, paintOf, readable } from './ansiColors';
import { PLAIN } from './ansiStyle';

const ESC = '\x1b';

/** The text with each stretch's colour: `<red>text</>`. */
function drawn(raw: string): string {
  const { text, spans } = parseAnsi(raw);
  let result = '';
  let shown = 0;
  for (const { start, end, style } of spans) {
    const words = Object.entries(style).flatMap(([key, value]) => (value === true ? [key] : []));
    if (style.color !== null) words.push(String(style.color));
    if (style.background !== null) words.push(`on ${style.background}`);
    result += `${text.slice(shown, start)}<${words.join(' ')}>${text.slice(start, end)}</>`;
    shown = end;
  }
  return result + text.slice(shown);
}

describe('colours', () => {
  it.each([
    ['plain <b>text</b>', 'plain <b>text</b>'],
    [`a ${ESC}[31mred${ESC}[0m b`, 'a <red>red</> b'],
    [`${ESC}[1;4;94;41mx${ESC}[mz`, '<bold underline bright-blue on red>x</>z'],
    [`${ESC}[38;5;208mx`, '<255,135,0>x</>'],
    [`${ESC}[38;5;9mx`, '<bright-red>x</>'],
    [`${ESC}[48;5;244mx`, '<on 128,128,128>x</>'],
    [`${ESC}[38;2;1;2;3;1mx`, '<bold 1,2,3>x</>'],
    [`${ESC}[38:2::1:2:3mx${ESC}[38:5:1my`, '<1,2,3>x</><red>y</>'],
    [`${ESC}[38;2;300;2;3mx`, 'x'],
    [`${ESC}[1mx${ESC}[22my${ESC}[7mz${ESC}[27m!`, '<bold>x</>y<inverse>z</>!'],
    [`${ESC}[31ma${ESC}[0;31mb`, '<red>ab</>'],
    [`${ESC}[8mhidden`, 'hidden'],
    ['\x9b32mgreen', '<green>green</>'],
  ])('of %j', (raw, shown) => expect(drawn(raw)).toBe(shown));
});

describe('what is no colour', () => {
  it.each([
    ['a\tb', 'a\tb'],
    ['a\x00b\x07c\x7fd\x85e', 'abcde'],
    [`${ESC}[2J${ESC}[10;10Hhome`, 'home'],
    [`${ESC}[?25lx${ESC}[?25h`, 'x'],
    [`${ESC}]0;title\x07x`, 'x'],
    [`${ESC}]8;;https://evil.example${ESC}\\link${ESC}]8;;${ESC}\\`, 'link'],
    [`${ESC}P1$r0m${ESC}\\x`, 'x'],
    [`${ESC}(Bx${ESC}=y${ESC}7`, 'xy'],
    [`${ESC}]52;c;no end`, '52;c;no end'],
    [`x${ESC}`, 'x'],
    [`x${ESC}[`, 'x'],
    [`x${ESC}[31`, 'x31'],
  ])('vanishes from %j', (raw, text) => expect(visibleText(raw)).toBe(text));

  it.each(['\x9d', '\x90a', `${ESC}]`, `${ESC}[`, `${ESC}]8;;`])('holds nothing up where a line is full of %j', (beginning) => {
    const began = performance.now();
    parseAnsi(beginning.repeat(60_000));
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});

describe('a line that overwrites itself', () => {
  it.each([
    ['10 %\r20 %\r30 %', '30 %'],
    ['text of windows\r', 'text of windows'],
    ['abcdef\rxy', 'xycdef'],
    ['abc\b\bX', 'aXc'],
    [`abcdef\r${ESC}[Kxy`, 'xy'],
    [`abcdef\r${ESC}[2Kxy`, 'xy'],
    [`abc${ESC}[2Kxy`, '   xy'],
    ['é😀x\r😀', '😀😀x'],
    ['ab😀\bZ', 'abZ'],
  ])('%j', (raw, text) => expect(visibleText(raw)).toBe(text));

  it('keeps the colours of what stays', () => {
    expect(drawn(`${ESC}[31mred\r${ESC}[32mg`)).toBe('<green>g</><red>ed</>');
  });
});

describe('paint', () => {
  it('keeps contrast on both surfaces for every colour', () => {
    for (let red = 0; red <= 255; red += 51)
      for (let green = 0; green <= 255; green += 51)
        for (let blue = 0; blue <= 255; blue += 51)
          for (const surface of [
            [255, 255, 255],
            [18, 21, 26],
          ] as const)
            expect(contrast(readable([red, green, blue], surface), surface)).toBeGreaterThanOrEqual(6);
  });

  it('puts the surface on a colour of the theme, and black or white on what can not be read', () => {
    expect(paintOf({ ...PLAIN, color: 'yellow', background: 'blue' }).dark).toEqual({
      color: 'var(--surface)',
      background: 'var(--ansi-blue)',
    });
    expect(paintOf({ ...PLAIN, color: [250, 250, 250], background: [255, 255, 255] }).light.color).toBe('rgb(0 0 0)');
    expect(paintOf({ ...PLAIN, inverse: true }).light).toEqual({ color: 'var(--surface)', background: 'var(--text)' });
  });
});
