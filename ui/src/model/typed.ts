/** What is typed into a field whose value the address keeps. */
import { useEffect, useRef, useState } from 'react';

/**
 * The field keeps what is typed to itself until there is a pause in typing, then tells it: the address changes too late to be
 * what a field shows, and a letter typed meanwhile would be lost. `tellNow` does not wait for the pause.
 */
export function useTyped(value: string, tell: (typed: string) => void, pauseMs: number) {
  const [typed, setTyped] = useState(value);
  const known = useRef(value);
  const onItsWay = useRef<string[]>([]);
  // What renders the field again, such as a log that grows, is no pause.
  const latest = useRef(tell);
  useEffect(() => {
    latest.current = tell;
  });
  useEffect(() => {
    if (value === known.current) return;
    known.current = value;
    // What comes back of what was told is no change from elsewhere, such as the back button's.
    const arrived = onItsWay.current.indexOf(value) + 1;
    onItsWay.current = onItsWay.current.slice(arrived || onItsWay.current.length);
    if (arrived === 0) setTyped(value);
  }, [value]);
  const tellNow = () => {
    if (typed === (onItsWay.current.at(-1) ?? known.current)) return;
    onItsWay.current.push(typed);
    latest.current(typed);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: only typing starts the wait anew
  useEffect(() => {
    const timer = window.setTimeout(tellNow, pauseMs);
    return () => window.clearTimeout(timer);
  }, [typed, pauseMs]);
  return { typed, setTyped, tellNow };
}
