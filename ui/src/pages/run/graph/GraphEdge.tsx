import { BaseEdge, type EdgeProps } from '@xyflow/react';
import { memo } from 'react';
import type { PathEdge } from './elements';
import styles from './RunGraph.module.css';

/** An edge along the way that the layout found. Thicker for many dependencies between folded nodes. */
export const GraphEdge = memo(function GraphEdge({ data }: EdgeProps<PathEdge>) {
  if (data === undefined) return null;
  const width = Math.min(1.5 + Math.log10(data.count), 5);
  return (
    <BaseEdge
      path={data.path}
      interactionWidth={0}
      className={data.isActive ? styles.activeEdge : styles.edge}
      style={{ strokeWidth: data.isActive ? width + 1 : width }}
    />
  );
});
