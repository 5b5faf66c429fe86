/**
 * The time axis: which part of it is in sight, and how many pixels a second has.
 *
 * Bars are placed by CSS from `--unit` (pixels a second), `--now` (seconds) and `--shift`, so that time goes on, and the axis is
 * zoomed and moved, without rendering a single row again.
 */
import { type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';

export type Scale = {
  readonly zoom: number;
  readonly width: number;
  /** Pixels that are out of sight at the left. */
  readonly shift: number;
  readonly pixels: number;
};

const MAX_PIXELS = 8_000_000;
const STEP = 1.6;

export function useScale(
  root: RefObject<HTMLElement | null>,
  scroller: RefObject<HTMLElement | null>,
  seconds: number,
  now: number,
) {
  const [width, setWidth] = useState(0);
  const [zoom, setZoom] = useState(1);
  const [shift, setShift] = useState(0);
  const pixels = Math.max(width * zoom, 1);
  const aim = useRef<number | null>(null);
  useEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, [scroller]);
  useLayoutEffect(() => {
    const style = root.current?.style;
    style?.setProperty('--unit', `${pixels / seconds}px`);
    style?.setProperty('--now', String(now));
    if (scroller.current !== null && aim.current !== null) scroller.current.scrollLeft = aim.current;
    aim.current = null;
  }, [root, scroller, pixels, seconds, now]);
  useLayoutEffect(() => root.current?.style.setProperty('--shift', `${-shift}px`), [root, shift]);
  /** Around a place in sight, its middle by default, in pixels. */
  const zoomBy = useCallback(
    (steps: number, at = width / 2) => {
      const next = Math.min(Math.max(zoom * STEP ** steps, 1), Math.max(1, MAX_PIXELS / Math.max(width, 1)));
      aim.current = ((shift + at) * next) / zoom - at;
      setZoom(next);
    },
    [zoom, width, shift],
  );
  const showAll = useCallback(() => setZoom(1), []);
  const scrolled = useCallback(() => setShift(scroller.current?.scrollLeft ?? 0), [scroller]);
  const scale: Scale = { zoom, width, shift: Math.min(shift, pixels - width), pixels };
  return { scale, zoomBy, showAll, scrolled };
}

/** Ctrl and the wheel zoom, the wheel sideways moves. The browser's own zoom is refused, which React's listeners can't do. */
export function useWheel(
  root: RefObject<HTMLElement | null>,
  scroller: RefObject<HTMLElement | null>,
  zoomBy: (steps: number, at?: number) => void,
): void {
  useEffect(() => {
    const element = root.current;
    const turned = (event: WheelEvent) => {
      const track = scroller.current;
      const isSideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (track === null || !(event.ctrlKey || isSideways)) return;
      event.preventDefault();
      if (event.ctrlKey) zoomBy(-Math.sign(event.deltaY) / 2, event.clientX - track.getBoundingClientRect().left);
      else track.scrollLeft += event.deltaX || event.deltaY;
    };
    element?.addEventListener('wheel', turned, { passive: false });
    return () => element?.removeEventListener('wheel', turned);
  }, [root, scroller, zoomBy]);
}
