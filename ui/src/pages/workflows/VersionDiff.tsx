import { useMemo } from 'react';
import { ErrorNotice } from '@/components/Notice';
import { type DiffLine, diffLines } from './lineDiff';
import { documentOf, useStoredWorkflow } from './reading';
import styles from './workflows.module.css';

type Props = { name: string /** The version whose document is `text`. */; shown: number; text: string; other: number };

/** What changed between two versions of a workflow, from the older one to the newer one. */
export function VersionDiff({ name, shown, text, other }: Props) {
  const { data, error } = useStoredWorkflow(name, other);
  const otherText = useMemo(() => (data === undefined ? null : documentOf(data)), [data]);
  const hunks = useMemo(() => {
    if (otherText === null) return null;
    return other < shown ? diffLines(otherText, text) : diffLines(text, otherText);
  }, [other, otherText, shown, text]);
  const [older, newer] = other < shown ? [other, shown] : [shown, other];
  if (error !== null) return <ErrorNotice error={error} />;
  if (otherText === null) return <p role="status">Loading version {other}…</p>;
  if (hunks === null)
    return (
      <p>
        Versions {older} and {newer} differ by too much to be compared here: download both.
      </p>
    );
  if (hunks.length === 0)
    return (
      <p>
        Versions {older} and {newer} have the same document, but for the order of keys or spaces.
      </p>
    );
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, by the keyboard too
    <section className={styles.document} aria-label={`Changes from version ${older} to version ${newer}`} tabIndex={0}>
      {hunks.map((hunk) => (
        <pre key={`${hunk.before} ${hunk.after}`} className={styles.hunk}>
          <span className="muted">
            Line {hunk.before} of version {older}, line {hunk.after} of version {newer}
          </span>
          {hunk.lines.map((line, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: the lines of a hunk never move
            <Line key={index} line={line} />
          ))}
        </pre>
      ))}
    </section>
  );
}

function Line({ line: { sign, text } }: { line: DiffLine }) {
  const content = `${sign} ${text}`;
  if (sign === '+') return <ins>{content}</ins>;
  if (sign === '-') return <del>{content}</del>;
  return <span>{content}</span>;
}
