import { useState } from 'react';
import styles from './RunGraph.module.css';

type Props = {
  failures: number;
  unfolded: readonly string[];
  onFailed: (number: number) => void;
  onZoomIn: () => void;
  onZoomOut: () => void;
  onFit: () => void;
  /** Null: all. */
  onFold: (id: string | null) => void;
};

/** The graph's controls: where the failures are, zoom, and what was unfolded. */
export function Toolbar({ failures, unfolded, onFailed, onZoomIn, onZoomOut, onFit, onFold }: Props) {
  return (
    <div className={styles.toolbar}>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for forms */}
      <div role="group" aria-label="Zoom">
        <button type="button" className={styles.square} onClick={onZoomOut} aria-label="Zoom out">
          −
        </button>
        <button type="button" className={styles.square} onClick={onZoomIn} aria-label="Zoom in">
          +
        </button>
        <button type="button" onClick={onFit}>
          Fit
        </button>
      </div>
      {failures > 0 && <Failed failures={failures} onFailed={onFailed} />}
      {unfolded.length > 0 && (
        <div className={styles.unfolded}>
          <span className="muted">Unfolded:</span>
          {unfolded.map((id) => (
            <button key={id} type="button" onClick={() => onFold(id)} aria-label={`Fold ${nameOf(id)}`} title={nameOf(id)}>
              {nameOf(id)} ✕
            </button>
          ))}
          {unfolded.length > 1 && (
            <button type="button" onClick={() => onFold(null)}>
              Fold all
            </button>
          )}
        </div>
      )}
    </div>
  );
}

/** Each press leads to the next one. */
function Failed({ failures, onFailed }: { failures: number; onFailed: (number: number) => void }) {
  const [next, setNext] = useState(0);
  const number = next % failures;
  const go = () => {
    onFailed(number);
    setNext(number + 1);
  };
  const count = failures.toLocaleString('en');
  return (
    <button type="button" className={styles.failed} onClick={go}>
      <span aria-hidden="true">✕</span>
      {failures === 1 ? 'Go to the failed task' : `Go to failed task ${(number + 1).toLocaleString('en')} of ${count}`}
    </button>
  );
}

/** Of an id of the folding, as a person reads it. */
function nameOf(id: string): string {
  const rest = id.slice(2);
  if (id.startsWith('l:')) return `Level ${rest}`;
  return id.startsWith('r:') ? `Levels ${rest.replace('-', '–')}` : rest;
}
