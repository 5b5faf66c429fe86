import { useEffect, useRef } from 'react';
import styles from './LogView.module.css';
import { counted } from './logAddress';
import type { Follow } from './useFollow';

/** Says whether the end is followed, and what has come since it is not. */
export function FollowBar(props: { isLive: boolean; follow: Follow; total: number; onEnd: () => void }) {
  const { isLive, follow, total } = props;
  const pausedAt = useRef(total);
  useEffect(() => {
    if (follow.isOn) pausedAt.current = total;
  });
  if (!isLive)
    return (
      <div className={styles.end}>
        <button type="button" onClick={props.onEnd}>
          Go to the end
        </button>
      </div>
    );
  const missed = total - pausedAt.current;
  return (
    <div className={styles.end}>
      <button type="button" onClick={() => follow.turn(!follow.isOn)} title="Key f in the log">
        {follow.isOn ? 'Pause' : 'Follow'}
      </button>
      <span className={styles.count}>
        {follow.isOn ? 'Following the end. Scrolling up pauses.' : 'Paused.'}{' '}
        {!follow.isOn && missed > 0 && <span className={styles.new}>{counted(missed, 'new line')} below</span>}
      </span>
    </div>
  );
}
