import { ReactFlowProvider } from '@xyflow/react';
import { useMemo, useState, useSyncExternalStore } from 'react';
import type { TaskRun } from '@/api/schema';
import { Notice } from '@/components/Notice';
import { Canvas } from './Canvas';
import { GroupList } from './GroupList';
import type { Direction } from './layout';
import styles from './RunGraph.module.css';
import { nodeOfRow } from './summary';
import { type Graph, useGraph } from './useGraph';

type Props = {
  tasks: readonly TaskRun[];
  onExit: ReadonlySet<string>;
  selected: string | null;
  onSelect: (task: string | null) => void;
};

const TOO_MUCH = 'There is no room to draw all of them: this list has them.';

/** A run's tasks as a graph, live. Fan-outs and, where there are many, whole levels are folded; a press lists or unfolds them. */
export function RunGraph({ tasks, onExit, selected, onSelect }: Props) {
  const direction = useDirection();
  const [unfolded, setUnfolded] = useState<readonly string[]>([]);
  const [listed, setListed] = useState<string | null>(null);
  const { graph, error, retry } = useGraph(tasks, onExit, unfolded, direction);
  const unfold = (id: string) => {
    setUnfolded((ids) => [...ids.filter((other) => other !== id), id]);
    setListed(null);
  };
  const fold = (id: string | null) => setUnfolded((ids) => (id === null ? [] : ids.filter((other) => other !== id)));
  if (tasks.length === 0) return <p>This run has no tasks yet.</p>;
  if (error !== null) {
    return (
      <Notice tone="danger">
        {error} The table of tasks has all of them.{' '}
        <button type="button" onClick={retry}>
          Try again
        </button>
      </Notice>
    );
  }
  if (graph === null) return <Waiting />;
  const last = unfolded.at(-1);
  const refused = last !== undefined && graph.folding.refused.includes(last) ? last : null;
  const shown = listed ?? refused;
  return (
    <div className={styles.stage}>
      <ReactFlowProvider key={graph.direction}>
        <Canvas
          graph={graph}
          tasks={tasks}
          selected={selected}
          onSelect={onSelect}
          onList={setListed}
          onUnfold={unfold}
          onFold={fold}
        />
      </ReactFlowProvider>
      {shown !== null && (
        <Listed
          graph={graph}
          tasks={tasks}
          id={shown}
          selected={selected}
          isRefused={graph.folding.refused.includes(shown)}
          onSelect={onSelect}
          onUnfold={() => unfold(shown)}
          onClose={() => {
            setListed(null);
            if (refused !== null) fold(refused);
          }}
        />
      )}
    </div>
  );
}

function Waiting() {
  return (
    <div className={styles.canvas}>
      <p className={styles.busy} role="status">
        Laying out the graph…
      </p>
    </div>
  );
}

type ListedProps = {
  graph: Graph;
  tasks: readonly TaskRun[];
  id: string;
  selected: string | null;
  isRefused: boolean;
  onSelect: (task: string) => void;
  onUnfold: () => void;
  onClose: () => void;
};

function Listed({ graph, tasks, id, isRefused, ...rest }: ListedProps) {
  const { folding, ownerOf } = graph;
  const number = folding.nodes.findIndex((node) => node.id === id);
  const members = useMemo(
    () => tasks.filter((_, row) => nodeOfRow(folding, ownerOf, tasks, row) === number),
    [tasks, folding, ownerOf, number],
  );
  const node = folding.nodes[number];
  if (node === undefined) return null;
  return <GroupList title={node.title} tasks={members} note={isRefused ? TOO_MUCH : null} {...rest} />;
}

const narrow = window.matchMedia('(max-width: 640px)');

/** Narrow screens scroll downwards. */
function useDirection(): Direction {
  return useSyncExternalStore(
    (listener) => {
      narrow.addEventListener('change', listener);
      return () => narrow.removeEventListener('change', listener);
    },
    () => (narrow.matches ? 'down' : 'right'),
  );
}
