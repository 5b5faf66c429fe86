import { useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { Link } from 'react-router';
import { fetchApi } from '@/api/client';
import { ApiProblem, sentenceOf } from '@/api/problems';
import { keys } from '@/api/query';
import type { Attempt, TaskRun } from '@/api/schema';
import { openStream } from '@/api/stream';
import { apiLogPath, logPath } from '@/model/paths';
import { AnsiText } from './AnsiText';
import styles from './LogTail.module.css';
import { parseLines, type TailLine, withLines } from './LogTailLines';

const LINES = 20;
const NONE: readonly TailLine[] = [];

/** The last lines of a task's log, of its last attempt: live while it grows. With a link to the whole. */
export function LogTail({ runId, task, lines = LINES }: { runId: string; task: TaskRun; lines?: number }) {
  const attempt = task.attempts.at(-1);
  if (attempt === undefined) return null;
  const place = { runId, task: task.name, attempt, lines };
  return attempt.log.sealed ? <SealedTail {...place} /> : <LiveTail key={attempt.attempt} {...place} />;
}

type Place = { runId: string; task: string; attempt: Attempt; lines: number };

function SealedTail(place: Place) {
  const { runId, task, attempt, lines } = place;
  const tail = useQuery({
    queryKey: [...keys.task(runId, task), 'tail', attempt.attempt, lines],
    queryFn: () => readTail(place),
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (tail.failureReason !== null && tail.data === undefined)
    return <Lines place={place} lines={NONE} said={sentenceOf(tail.failureReason)} />;
  if (tail.data === undefined) return <Lines place={place} lines={NONE} said="Reading the log…" />;
  return <Lines place={place} lines={tail.data} said={tail.data.length === 0 ? 'It wrote no log.' : null} />;
}

/** Where `main` wrote nothing, what the other containers wrote: of a failed init container nothing else would be seen. */
async function readTail({ runId, task, attempt, lines }: Place): Promise<readonly TailLine[]> {
  for (const container of ['main', '*']) {
    const query = new URLSearchParams({ attempt: String(attempt.attempt), container, tail: String(lines) });
    const address = new URL(`${apiLogPath(runId, task)}?${query}`, window.location.origin);
    try {
      const answer = await fetchApi(address.href, { headers: { Accept: 'application/x-ndjson' } });
      const found = withLines([], parseLines(await answer.text()), lines);
      if (found.length > 0) return found;
    } catch (error) {
      // An attempt that has no container of this name has no log of it.
      if (!(error instanceof ApiProblem && error.status === 404)) throw error;
    }
  }
  return [];
}

function LiveTail(place: Place) {
  const { runId, task, attempt, lines } = place;
  const number = attempt.attempt;
  const [read, setRead] = useState<readonly TailLine[]>([]);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    let waiting: Parameters<typeof withLines>[1][number][] = [];
    let timer: number | undefined;
    // A log of a thousand lines a second is painted a few times a second.
    const paint = () => {
      timer = undefined;
      const more = waiting;
      waiting = [];
      setRead((before) => withLines(before, more, lines));
    };
    const stream = openStream({
      path: apiLogPath(runId, task),
      query: { attempt: String(number), tail: String(lines) },
      onFrame: (frame) => {
        if (frame.type !== 'lines') return;
        waiting.push(...frame.lines);
        timer ??= window.setTimeout(paint, 100);
      },
      onRefused: (refusal) => setProblem(refusal.message),
    });
    return () => {
      stream.close();
      window.clearTimeout(timer);
    };
  }, [runId, task, number, lines]);
  return <Lines place={place} lines={read} said={problem ?? (read.length === 0 ? 'Nothing written yet.' : null)} />;
}

function Lines({ place, lines, said }: { place: Place; lines: readonly TailLine[]; said: string | null }) {
  const { runId, task, attempt } = place;
  const box = useRef<HTMLDivElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each time lines have come
  useEffect(() => {
    if (box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);
  const isMain = lines.every(({ container }) => container === 'main');
  return (
    <div className={styles.tail}>
      {said !== null && <p className={styles.said}>{said}</p>}
      {lines.length > 0 && (
        // biome-ignore lint/a11y/useSemanticElements: a fieldset is for controls; this only has a name
        <div
          ref={box}
          role="group"
          className={styles.lines}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: long lines scroll, by the keyboard too
          tabIndex={0}
          aria-label={`Last lines of the log of ${task}, attempt ${attempt.attempt}`}
        >
          {lines.map(({ key, container, text }) => (
            <div key={key} className={styles.line}>
              {!isMain && <span className="muted">[{container}] </span>}
              <AnsiText text={text} />
            </div>
          ))}
        </div>
      )}
      <Link className={styles.whole} to={logPath(runId, task, attempt.attempt, lines.at(-1)?.container)}>
        Whole log of <bdi>{task}</bdi>, attempt {attempt.attempt}
      </Link>
    </div>
  );
}
