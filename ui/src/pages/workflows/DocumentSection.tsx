import { useMemo, useState } from 'react';
import { useSearchParams } from 'react-router';
import type { WorkflowVersion } from '@/api/schema';
import { CopyButton } from '@/components/CopyButton';
import { versionIn } from '@/model/paths';
import { documentOf, type WorkflowAnswer } from './reading';
import { VersionDiff } from './VersionDiff';
import styles from './workflows.module.css';

/** More lines at once would make the page slow. */
const MOST_LINES = 2_000;

/** The document of a version, or how it differs from another version's, which the address keeps. */
export function DocumentSection({ workflow, versions }: { workflow: WorkflowAnswer; versions: readonly WorkflowVersion[] }) {
  const { name, version } = workflow;
  const [search, setSearch] = useSearchParams();
  const other = versionIn(search.get('compare'));
  const text = useMemo(() => documentOf(workflow), [workflow]);
  const others = versions.filter((each) => each.version !== version);
  const compare = (chosen: string) =>
    setSearch(
      (before) => {
        if (chosen === '') before.delete('compare');
        else before.set('compare', chosen);
        return before;
      },
      { replace: true },
    );
  return (
    <section aria-labelledby="document">
      <div className={styles.heading}>
        <h2 id="document">Document of version {version}</h2>
        <div className={styles.actions}>
          {(others.length > 0 || other !== null) && (
            <label className={styles.compare}>
              Compare with
              <select value={other ?? ''} onChange={(event) => compare(event.target.value)}>
                <option value="">nothing</option>
                {other !== null && !others.some((each) => each.version === other) && (
                  <option value={other}>version {other}</option>
                )}
                {others.map((each) => (
                  <option key={each.version} value={each.version}>
                    version {each.version}
                  </option>
                ))}
              </select>
            </label>
          )}
          <CopyButton text={text} label="Copy the document" />
          <button type="button" onClick={() => download(`${name}-${version}.json`, text)}>
            Download
          </button>
        </div>
      </div>
      {other === null || other === version ? (
        <Text text={text} />
      ) : (
        <VersionDiff name={name} shown={version} text={text} other={other} />
      )}
    </section>
  );
}

function Text({ text }: { text: string }) {
  const [isWhole, setWhole] = useState(false);
  const lines = useMemo(() => text.split('\n'), [text]);
  const isCut = !isWhole && lines.length > MOST_LINES;
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, by the keyboard too */}
      <section className={styles.document} aria-label="Document" tabIndex={0}>
        <pre>{isCut ? lines.slice(0, MOST_LINES).join('\n') : text}</pre>
      </section>
      {isCut && (
        <p>
          The first {MOST_LINES} of {lines.length} lines.{' '}
          <button type="button" onClick={() => setWhole(true)}>
            Show all
          </button>
        </p>
      )}
    </>
  );
}

function download(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text, '\n'], { type: 'application/json' }));
  const link = window.document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}
