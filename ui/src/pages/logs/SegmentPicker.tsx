import styles from './LogView.module.css';
import { countText } from './logAddress';

type Props = { segment: number; size: number; total: number; onPick: (firstLine: number) => void };

/** A browser can't scroll through more rows than fit into its highest element: longer logs come in segments. */
export function SegmentPicker({ segment, size, total, onPick }: Props) {
  const count = Math.ceil(total / size);
  if (count <= 1) return null;
  return (
    <div className={styles.group}>
      <label>
        Showing{' '}
        <select value={segment} onChange={(event) => onPick(Number(event.target.value) * size)}>
          {Array.from({ length: count }, (_, number) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a segment is its number
            <option key={number} value={number}>
              lines {countText(number * size + 1)}–{countText(Math.min(total, (number + 1) * size))}
            </option>
          ))}
        </select>
      </label>
      <button type="button" disabled={segment === 0} onClick={() => onPick((segment - 1) * size)}>
        Previous
      </button>
      <button type="button" disabled={segment === count - 1} onClick={() => onPick((segment + 1) * size)}>
        Next
      </button>
    </div>
  );
}
