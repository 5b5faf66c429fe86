/** Following the end of a log that grows, until the reader scrolls up. */
import { useCallback, useEffect, useRef, useState } from 'react';

/** A scroll so soon after a key, the wheel or a finger is the reader's. */
const BY_HAND_MS = 600;
const AT_END_PX = 4;
/** Who scrolls down to the last rows means the end. */
const NEAR_END_PX = 40;
const HANDS = ['wheel', 'touchmove', 'keydown', 'pointerdown', 'pointermove'] as const;

export type Follow = {
  isOn: boolean;
  turn: (isOn: boolean) => void;
  /** Watches what scrolls. */
  watch: (element: HTMLElement | null) => void;
};

/** `canResume`: there may be more to follow, so that scrolling to the end is asking for it. */
export function useFollow(initial: boolean, canResume: boolean): Follow {
  const [isOn, turn] = useState(initial);
  const [element, watch] = useState<HTMLElement | null>(null);
  const resumes = useRef(canResume);
  useEffect(() => {
    resumes.current = canResume;
  });
  useEffect(() => {
    if (element === null) return;
    let top = element.scrollTop;
    let height = element.clientHeight;
    let byHandAt = 0;
    const hand = (event: Event) => {
      if (event.type !== 'pointermove' || (event as PointerEvent).buttons > 0) byHandAt = performance.now();
    };
    const scrolled = () => {
      const distance = element.scrollHeight - element.scrollTop - element.clientHeight;
      const isByHand = performance.now() - byHandAt < BY_HAND_MS;
      const wentUp = top - element.scrollTop;
      // Rows that are measured move the place a little by themselves; a script or a screen reader moves it by more.
      const isUp = wentUp > 0 && distance > AT_END_PX && height === element.clientHeight;
      if (isUp && (isByHand || wentUp > element.clientHeight / 2)) turn(false);
      else if (isByHand && wentUp < 0 && distance <= NEAR_END_PX && resumes.current) turn(true);
      top = element.scrollTop;
      height = element.clientHeight;
    };
    for (const name of HANDS) element.addEventListener(name, hand, { passive: true });
    element.addEventListener('scroll', scrolled, { passive: true });
    return () => {
      for (const name of HANDS) element.removeEventListener(name, hand);
      element.removeEventListener('scroll', scrolled);
    };
  }, [element]);
  return { isOn, turn: useCallback((next: boolean) => turn(next), []), watch };
}
