/** How one line is shown. */
import { bytesText } from '@/model/times';
import type { LogEntry } from './logLines';

/** Longer lines are cut until more is asked for. */
export const SHOWN_CHARACTERS = 20_000;

export type ShownText = {
  text: string;
  /** What is shown of how much, where it is not all. */
  cut: string | null;
  /** More of it can be shown. */
  hasMore: boolean;
};

/** The first `most` characters; of a line that overwrites itself (`\r`) the last ones, which are what a terminal shows. */
export function shownText(entry: LogEntry, most: number): ShownText {
  const { text, length } = entry;
  if (length <= most) return { text, cut: null, hasMore: false };
  const overwritten = text.lastIndexOf('\r', text.length - 2);
  const isProgress = overwritten >= 0 && text.length === length;
  const start = isProgress ? Math.max(text.indexOf('\r', length - most) + 1, length - most) : 0;
  const shown = text.slice(start, start + most);
  const which = start > 0 ? 'the last' : 'the first';
  const cut = `… ${which} ${bytesText(shown.length)} of about ${bytesText(length)}`;
  return { text: shown, cut, hasMore: most < text.length };
}

/** Local date, and time with milliseconds: `2026-01-31`, `12:00:05.123`. */
export function timeParts(time: string): { date: string; clock: string } {
  const at = new Date(time);
  const two = (value: number) => String(value).padStart(2, '0');
  return {
    date: `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`,
    clock: `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, '0')}`,
  };
}
