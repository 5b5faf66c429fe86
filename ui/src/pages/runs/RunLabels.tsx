import styles from './RunRow.module.css';

const MOST = 6;

type Props = { labels: Readonly<Record<string, string>>; onLabel: (key: string, value: string) => void };

/** A run's labels; a click on one asks for all runs that have it. */
export function RunLabels({ labels, onLabel }: Props) {
  const all = Object.entries(labels);
  if (all.length === 0) return null;
  const rest = all.slice(MOST).map(([key, value]) => `${key}=${value}`);
  return (
    <span className={styles.labels}>
      {all.slice(0, MOST).map(([key, value]) => (
        <button
          key={key}
          type="button"
          className={styles.label}
          onClick={() => onLabel(key, value)}
          title={`Only runs with ${key}=${value}`}
        >
          <bdi>
            {key}={value}
          </bdi>
        </button>
      ))}
      {rest.length > 0 && (
        <span className="muted" title={rest.join('\n')}>
          and {rest.length} more
        </span>
      )}
    </span>
  );
}
