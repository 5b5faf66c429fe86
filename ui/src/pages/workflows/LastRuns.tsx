import { useEffect, useRef, useState } from 'react';
import { Link } from 'react-router';
import type { Run } from '@/api/schema';
import { runPath, runsPath } from '@/model/paths';
import { signOf, toneOf } from '@/model/phases';
import { localText } from '@/model/times';
import list from './list.module.css';
import { useNewestRuns } from './reading';

const SHOWN = 5;
/** Rows that are about to be seen are read too. */
const MARGIN = '200px';

/** The phases of a workflow's newest runs, newest first, each a link to it. They are read once they are in sight. */
export function LastRuns({ workflow }: { workflow: string }) {
  const element = useRef<HTMLDivElement>(null);
  const isInSight = useIsInSight(element);
  const { data, error } = useNewestRuns(workflow, SHOWN, isInSight);
  return (
    <div ref={element} className={list.last}>
      <h3>
        <Link to={runsPath(workflow)} aria-label={`Last runs: all of ${workflow}`}>
          Last runs
        </Link>
      </h3>
      {data === undefined && <span className="muted">{error === null ? 'Loading…' : 'Could not be read.'}</span>}
      {data?.items.length === 0 && <span className="muted">None yet</span>}
      {data !== undefined && data.items.length > 0 && (
        <ol className={list.chips} aria-label={`Last runs of ${workflow}, newest first`}>
          {data.items.map((run) => (
            <Chip key={run.id} run={run} />
          ))}
        </ol>
      )}
    </div>
  );
}

function Chip({ run: { id, phase, reason, created_at } }: { run: Run }) {
  const said = `${phase}${reason === null ? '' : `, ${reason}`}: run of ${localText(created_at)}`;
  return (
    <li>
      <Link to={runPath(id)} className={list.chip} data-tone={toneOf(phase)} title={said} aria-label={said}>
        {signOf(phase)}
      </Link>
    </li>
  );
}

function useIsInSight(element: React.RefObject<Element | null>): boolean {
  const [isInSight, setInSight] = useState(false);
  useEffect(() => {
    if (element.current === null) return;
    const observer = new IntersectionObserver(([entry]) => setInSight(entry?.isIntersecting ?? false), {
      rootMargin: MARGIN,
    });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [element]);
  return isInSight;
}
