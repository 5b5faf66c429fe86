import { type ComponentProps, useMemo } from 'react';
import { type Components, Virtuoso } from 'react-virtuoso';
import type { Run } from '@/api/schema';
import { RunRow, type RunRowActions } from './RunRow';
import styles from './RunsSection.module.css';

type Context = {
  readonly selected: ReadonlySet<string>;
  readonly actions: RunRowActions;
  /** How many runs there are in all; -1 while that is not known. */
  readonly size: number;
};
type Props = { runs: readonly Run[]; isWhole: boolean; selected: ReadonlySet<string>; actions: RunRowActions };

/** The rows: of thousands, only those in sight and near it are made. */
export function RunsList({ runs, isWhole, selected, actions }: Props) {
  const context = useMemo<Context>(
    () => ({ selected, actions, size: isWhole ? runs.length : -1 }),
    [selected, actions, isWhole, runs.length],
  );
  return (
    <Virtuoso<Run, Context>
      useWindowScroll
      data={runs}
      context={context}
      components={PARTS}
      computeItemKey={(_index, run) => run.id}
      increaseViewportBy={600}
      itemContent={(_index, run, { selected, actions }) => (
        <RunRow run={run} isSelected={selected.has(run.id)} actions={actions} />
      )}
    />
  );
}

const PARTS: Components<Run, Context> = {
  List: ({ context: _context, ...props }) => <ol {...(props as ComponentProps<'ol'>)} className={styles.rows} />,
  Item: ({ context, item: _item, ...props }) => (
    <li {...props} className={styles.item} aria-setsize={context.size} aria-posinset={props['data-index'] + 1} />
  ),
};
