import { Handle, type NodeProps, Position } from '@xyflow/react';
import { createContext, memo, useContext } from 'react';
import type { TaskRun } from '@/api/schema';
import { isFailure, signOf, toneOf } from '@/model/phases';
import type { TaskNode } from './elements';
import type { FoldedNode } from './folding';
import styles from './GraphNode.module.css';
import { countsText, failedText, leadingPhase, type Summary } from './summary';

export type GraphActions = {
  /** A task's node was pressed, or the name of a failed one on a folded node. */
  select: (task: string) => void;
  /** A folded node was pressed: its tasks are listed. */
  list: (node: FoldedNode) => void;
  unfold: (node: FoldedNode) => void;
  focused: (id: string) => void;
};

export const ActionsContext = createContext<GraphActions | null>(null);

/** A task, or what is folded into one node. */
export const GraphNode = memo(function GraphNode({ data, sourcePosition, targetPosition }: NodeProps<TaskNode>) {
  const { node, summary, isSelected } = data;
  const phase = leadingPhase(summary);
  const isTask = node.kind === 'task' || node.kind === 'item';
  return (
    <div
      className={isTask ? styles.task : styles.folded}
      data-tone={toneOf(phase)}
      data-failed={summary.failures > 0}
      data-selected={isSelected}
    >
      <Handle type="target" className={styles.handle} position={targetPosition ?? Position.Left} isConnectable={false} />
      <Handle type="source" className={styles.handle} position={sourcePosition ?? Position.Right} isConnectable={false} />
      {isTask ? <TaskFace data={data} /> : <FoldedFace data={data} />}
    </div>
  );
});

function TaskFace({ data: { node, summary, after, isSelected, isStop } }: { data: TaskNode['data'] }) {
  const actions = useContext(ActionsContext);
  const phase = leadingPhase(summary);
  const detail = summary.task === null ? '' : detailText(summary.task);
  return (
    <button
      type="button"
      className={styles.main}
      data-node={node.id}
      tabIndex={isStop ? 0 : -1}
      aria-pressed={isSelected}
      title={`${node.title}\n${phase}${detail && `\n${detail}`}`}
      onClick={() => actions?.select(node.title)}
      onFocus={() => actions?.focused(node.id)}
    >
      <span className={styles.title}>{node.title}</span>
      <span className="visually-hidden">, </span>
      <span className={styles.phase}>
        <span className={styles.sign} aria-hidden="true">
          {signOf(phase)}
        </span>
        {phase}
        {detail && <span className={styles.detail}> {detail}</span>}
      </span>
      <span className="visually-hidden">, {after}</span>
    </button>
  );
}

/** What failed about it, or which attempt it is. */
function detailText(task: TaskRun): string {
  const last = task.attempts.at(-1);
  const words: string[] = [];
  // Why it failed, and why it still waits.
  if (task.reason !== null && task.phase !== 'Succeeded') words.push(task.reason);
  if (isFailure(task.phase) && last !== undefined && last.exit_code !== null) words.push(`exit code ${last.exit_code}`);
  if (task.attempts.length > 1) words.push(`attempt ${task.attempts.length}`);
  return words.join(', ');
}

function FoldedFace({ data: { node, summary, after, isSelected, isStop } }: { data: TaskNode['data'] }) {
  const actions = useContext(ActionsContext);
  const counts = countsText(summary);
  const failed = failedText(summary);
  const total = summary.total.toLocaleString('en');
  const what = node.kind === 'fanOut' ? `${total} items` : `${total} tasks`;
  return (
    <>
      <button
        type="button"
        className={styles.main}
        data-node={node.id}
        tabIndex={isStop ? 0 : -1}
        aria-pressed={isSelected}
        title={`${node.title}: ${what}\n${counts}${failed === null ? '' : `\n${failed}`}`}
        onClick={() => actions?.list(node)}
        onFocus={() => actions?.focused(node.id)}
      >
        <span className={styles.title}>
          {node.title} <span className={styles.count}>{node.kind === 'fanOut' ? `× ${total}` : what} </span>
        </span>
        <PhaseBar summary={summary} />
        <Counts summary={summary} />
        <span className="visually-hidden">
          folded: {counts}, {after}. List them
        </span>
      </button>
      <button
        type="button"
        className={styles.unfold}
        tabIndex={isStop ? 0 : -1}
        aria-label={`Unfold ${node.title}`}
        title="Unfold"
        onClick={() => actions?.unfold(node)}
      >
        <span aria-hidden="true">⊞</span>
      </button>
      <Failures summary={summary} isStop={isStop} />
    </>
  );
}

/** Phases as parts of one bar; the counts beside it say the same in words. */
export function PhaseBar({ summary }: { summary: Summary }) {
  return (
    <span className={styles.bar} aria-hidden="true">
      {summary.counts.map(([phase, count]) => (
        <span key={phase} data-tone={toneOf(phase)} style={{ flexGrow: count }} />
      ))}
    </span>
  );
}

function Counts({ summary }: { summary: Summary }) {
  return (
    <span className={styles.counts} aria-hidden="true">
      {summary.counts.map(([phase, count]) => (
        <span key={phase} data-tone={toneOf(phase)}>
          {signOf(phase)} {count.toLocaleString('en')}
          {summary.counts.length < 3 && ` ${phase}`}
        </span>
      ))}
    </span>
  );
}

function Failures({ summary, isStop }: { summary: Summary; isStop: boolean }) {
  const actions = useContext(ActionsContext);
  if (summary.failures === 0) return null;
  return (
    <span className={styles.failures}>
      {summary.failures.toLocaleString('en')} failed:
      {summary.failed.map((name) => (
        <button key={name} type="button" tabIndex={isStop ? 0 : -1} title={name} onClick={() => actions?.select(name)}>
          {name}
        </button>
      ))}
      {summary.failures > summary.failed.length && '…'}
    </span>
  );
}
