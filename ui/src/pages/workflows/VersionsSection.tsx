import { Link } from 'react-router';
import { ErrorNotice } from '@/components/Notice';
import { RelativeTime } from '@/components/Time';
import { workflowPath } from '@/model/paths';
import type { useVersions } from './reading';
import styles from './workflows.module.css';

type Props = { name: string; versions: ReturnType<typeof useVersions> /** The version on the page. */; shown: number };

/** All versions, newest first, each a link to its document. */
export function VersionsSection({
  name,
  versions: { data, error, hasNextPage, fetchNextPage, isFetchingNextPage },
  shown,
}: Props) {
  const versions = data?.pages.flatMap(({ items }) => items);
  const newest = versions?.[0]?.version;
  return (
    <section aria-labelledby="versions">
      <h2 id="versions">Versions</h2>
      {error !== null && <ErrorNotice error={error} />}
      {versions === undefined && error === null && <p role="status">Loading the versions…</p>}
      {versions !== undefined && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a long list scrolls, by the keyboard too
        <section className={styles.versions} aria-label="Versions, newest first" tabIndex={0}>
          <ol>
            {versions.map(({ version, created_at }) => (
              <li key={version}>
                <Link
                  to={workflowPath(name, version === newest ? null : version)}
                  aria-current={version === shown ? 'true' : undefined}
                >
                  Version {version}
                </Link>{' '}
                <span className="muted">
                  <RelativeTime time={created_at} />
                  {version === newest && ', the newest'}
                </span>
              </li>
            ))}
          </ol>
          {hasNextPage && (
            <button type="button" onClick={() => void fetchNextPage()} disabled={isFetchingNextPage}>
              {isFetchingNextPage ? 'Loading more…' : 'Show more versions'}
            </button>
          )}
        </section>
      )}
    </section>
  );
}
