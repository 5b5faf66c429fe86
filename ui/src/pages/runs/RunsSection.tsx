import { useEffect, useMemo, useRef, useState } from 'react';
import type { Run } from '@/api/schema';
import { BulkActions } from './BulkActions';
import { EmptyRuns } from './EmptyRuns';
import { isFiltered, NO_FILTER, type RunFilter, searchOf, withLabel } from './filter';
import { useHeldBack } from './heldBack';
import { LoadMore } from './LoadMore';
import { RunsList } from './RunsList';
import styles from './RunsSection.module.css';
import { useIsFurtherDown } from './useIsFurtherDown';
import type { LiveRuns } from './useRunsFeed';
import { useScrollPlace } from './useScrollPlace';
import { useStable } from './useStable';

type Props = { filter: RunFilter; live: LiveRuns; onChoose: (change: Partial<RunFilter>) => void };

/** The list with what can be done with the runs that are selected in it. */
export function RunsSection({ filter, live, onChoose }: Props) {
  useScrollPlace(searchOf(filter).toString());
  const top = useRef<HTMLDivElement>(null);
  const isFurtherDown = useIsFurtherDown(top);
  const { shown, held, release } = useHeldBack(live.list.runs, isFurtherDown);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const select = useStable((run: Run, isSelected: boolean) =>
    setSelected((before) => new Set(isSelected ? [...before, run.id] : [...before].filter((id) => id !== run.id))),
  );
  const chooseWorkflow = useStable((workflow: string) => onChoose({ workflow }));
  const chooseLabel = useStable((key: string, value: string) =>
    onChoose({ label_selector: withLabel(filter.label_selector, key, value) }),
  );
  const actions = useMemo(() => ({ select, chooseWorkflow, chooseLabel }), [select, chooseWorkflow, chooseLabel]);
  const { askBeforeBeginningAnew } = live;
  const isAtTop = useStable(() => selected.size === 0 && (top.current?.getBoundingClientRect().top ?? -1) >= 0);
  useEffect(() => {
    askBeforeBeginningAnew(isAtTop);
    return () => askBeforeBeginningAnew(() => false);
  }, [askBeforeBeginningAnew, isAtTop]);
  const showNew = () => {
    release();
    top.current?.scrollIntoView({ block: 'start' });
    // The button goes: who is at the keyboard goes on from the top of the list.
    top.current?.focus({ preventScroll: true });
  };
  const { isRead, next } = live.list;
  const isEmpty = isRead && next === null && live.list.runs.length === 0;
  return (
    <section className={styles.section} aria-label="List of runs" aria-busy={!isRead}>
      <div ref={top} className={styles.top} tabIndex={-1} />
      {!isRead && live.error === null && <p role="status">Loading runs…</p>}
      {/* Also over an empty list: what came of cancelling is told there, though all have left a list of running ones. */}
      {isRead && (shown.length > 0 || isFiltered(filter)) && (
        <BulkActions
          runs={shown}
          selected={selected}
          onSelect={setSelected}
          onDone={live.take}
          newCount={held}
          onNew={showNew}
        />
      )}
      {isEmpty && <EmptyRuns isFiltered={isFiltered(filter)} onClear={() => onChoose(NO_FILTER)} />}
      {shown.length > 0 && <RunsList runs={shown} isWhole={next === null} selected={selected} actions={actions} />}
      {isRead && <LoadMore live={live} />}
    </section>
  );
}
