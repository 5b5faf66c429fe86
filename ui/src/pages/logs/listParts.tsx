/** The elements around the rows: a region that is scrolled by keyboard too, and as wide as the longest line. */
import type { ListProps, ScrollerProps } from 'react-virtuoso';
import styles from './LogList.module.css';

/** What they need to know. `label` names the region. */
type ListContext = { label: string };

function Region({ context, children, ...rest }: ScrollerProps & { context: ListContext }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
    <section {...rest} tabIndex={0} aria-label={context.label}>
      {children}
    </section>
  );
}

function List({ context: _context, ...rest }: ListProps & { context: ListContext }) {
  return <div {...rest} className={styles.lines} />;
}

export const LIST_PARTS = { Scroller: Region, List };
