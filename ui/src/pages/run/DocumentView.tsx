import { memo, useEffect, useMemo, useState } from 'react';
import { CopyButton } from '@/components/CopyButton';
import { ErrorNotice, Notice } from '@/components/Notice';
import { indented } from '@/model/jsonText';
import { bytesText } from '@/model/times';
import styles from './DocumentView.module.css';
import { useRunDocument } from './runDocument';

const MOST_SHOWN = 1_000_000;
/** Lines in one element: those that are out of sight are not laid out. */
const CHUNK_LINES = 200;

/** The document as it was posted, indented for reading. */
export const DocumentView = memo(function DocumentView({ runId, name }: { runId: string; name: string }) {
  const document = useRunDocument(runId);
  if (document.isPending) return <p role="status">Reading the document…</p>;
  if (document.isError) return <ErrorNotice error={document.error} />;
  return <DocumentText text={document.data} name={name} />;
});

function DocumentText({ text, name }: { text: string; name: string }) {
  const { chunks, isWhole } = useMemo(() => chunksOf(text), [text]);
  const bytes = useMemo(() => new Blob([text]).size, [text]);
  return (
    <>
      <div className={styles.tools}>
        <span className="muted">{bytesText(bytes)}, as it was posted</span>
        <CopyButton text={text} label="Copy the document" />
        <Download text={text} name={`${name}.json`} />
      </div>
      {!isWhole && <Notice>Only its first megabyte is shown: download it to see the rest.</Notice>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, by the keyboard too */}
      <section className={styles.document} tabIndex={0} aria-label="Document">
        {chunks.map((chunk, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the document never changes
          <pre key={index}>{chunk}</pre>
        ))}
      </section>
    </>
  );
}

function Download({ text, name }: { text: string; name: string }) {
  const [address, setAddress] = useState<string>();
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
    setAddress(made);
    return () => URL.revokeObjectURL(made);
  }, [text]);
  return (
    <a className="button" href={address} download={name}>
      Download
    </a>
  );
}

function chunksOf(document: string): { chunks: readonly string[]; isWhole: boolean } {
  const { text, isWhole } = indented(document, MOST_SHOWN);
  const lines = text.split('\n');
  const chunks = [];
  for (let at = 0; at < lines.length; at += CHUNK_LINES) chunks.push(lines.slice(at, at + CHUNK_LINES).join('\n'));
  return { chunks, isWhole };
}
