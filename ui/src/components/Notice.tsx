import type { ReactNode } from 'react';
import { ApiProblem, sentenceOf } from '@/api/problems';
import styles from './Notice.module.css';

type Tone = 'info' | 'warning' | 'danger';

/** Something to know, set off from the rest. `danger` is read out at once. */
export function Notice({ tone = 'info', children }: { tone?: Tone; children: ReactNode }) {
  return (
    <div className={styles.notice} data-tone={tone} role={tone === 'danger' ? 'alert' : 'status'}>
      {children}
    </div>
  );
}

/** What went wrong: the service's sentence, and all that it found wrong, each with its place. */
export function ErrorNotice({ error }: { error: unknown }) {
  const errors = error instanceof ApiProblem ? error.errors : [];
  return (
    <Notice tone="danger">
      <p className={styles.sentence}>{sentenceOf(error)}</p>
      {errors.length > 0 && (
        <ul>
          {errors.slice(0, 100).map(({ pointer, parameter, detail }) => (
            <li key={`${pointer} ${parameter} ${detail}`}>
              <code>{parameter ?? (pointer || '/')}</code> {detail}
            </li>
          ))}
          {errors.length > 100 && <li>and {errors.length - 100} more</li>}
        </ul>
      )}
    </Notice>
  );
}
