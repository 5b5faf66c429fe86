import { type CSSProperties, memo, type ReactNode, useMemo } from 'react';
import { type AnsiLine, type AnsiSpan, type AnsiStyle, parseAnsi } from '@/model/ansi';
import { paintOf } from '@/model/ansiColors';
import styles from './AnsiText.module.css';

/** A stretch of the visible text that a search found. */
export type Mark = { start: number; end: number; isCurrent: boolean };

/** A line of a log with its colours: text and spans, whatever is in it. `marks` are offsets in the visible text, in order. */
export const AnsiText = memo(function AnsiText({ text, marks }: { text: string; marks?: readonly Mark[] }) {
  const line = useMemo(() => parseAnsi(text), [text]);
  return <AnsiLineText line={line} marks={marks} />;
});

/** The same of a line that is parsed already. */
export function AnsiLineText({ line, marks = [] }: { line: AnsiLine; marks?: readonly Mark[] | undefined }) {
  if (marks.length === 0) return <Spans line={line} start={0} end={line.text.length} />;
  const parts: ReactNode[] = [];
  let shown = 0;
  for (const mark of marks) {
    const start = Math.max(shown, mark.start);
    if (mark.end <= start) continue;
    parts.push(<Spans key={shown} line={line} start={shown} end={start} />);
    parts.push(
      <mark key={`mark ${start}`} className={styles.mark} data-current={mark.isCurrent || undefined}>
        {line.text.slice(start, mark.end)}
      </mark>,
    );
    shown = mark.end;
  }
  parts.push(<Spans key={shown} line={line} start={shown} end={line.text.length} />);
  return parts;
}

/** A part of the line, cut where the style changes. */
function Spans({ line, start, end }: { line: AnsiLine; start: number; end: number }) {
  if (start >= end) return null;
  if (line.spans.length === 0) return line.text.slice(start, end);
  const parts: ReactNode[] = [];
  let shown = start;
  for (const span of line.spans) {
    if (span.end <= start) continue;
    if (span.start >= end) break;
    const from = Math.max(span.start, start);
    const to = Math.min(span.end, end);
    if (from > shown) parts.push(line.text.slice(shown, from));
    parts.push(<Styled key={from} span={span} text={line.text.slice(from, to)} />);
    shown = to;
  }
  if (shown < end) parts.push(line.text.slice(shown, end));
  return parts;
}

function Styled({ span, text }: { span: AnsiSpan; text: string }) {
  const { style } = span;
  return (
    <span
      className={styles.styled}
      data-bold={style.bold || undefined}
      data-italic={style.italic || undefined}
      data-line={lineOf(style)}
      style={variables(style)}
    >
      {text}
    </span>
  );
}

function lineOf({ underline, strike }: AnsiStyle): string | undefined {
  if (underline && strike) return 'both';
  if (underline) return 'under';
  return strike ? 'through' : undefined;
}

/** The colours of both themes, of which the style sheet takes those of the one that is on. */
function variables(style: AnsiStyle): CSSProperties {
  const { light, dark } = paintOf(style);
  const values: Record<string, string | null> = {
    '--light-color': light.color,
    '--light-background': light.background,
    '--dark-color': dark.color,
    '--dark-background': dark.background,
  };
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null)) as CSSProperties;
}
