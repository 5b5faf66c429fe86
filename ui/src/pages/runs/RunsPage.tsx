import { useEffect } from 'react';
import { useSearchParams } from 'react-router';
import { useSession } from '@/api/session';
import { Commands } from '@/components/Commands';
import { ErrorNotice } from '@/components/Notice';
import { Filters } from './Filters';
import { isAboutFields } from './fieldErrors';
import { filterOf, listCommands, type RunFilter, searchOf } from './filter';
import { PhaseChips } from './PhaseChips';
import styles from './RunsPage.module.css';
import { RunsSection } from './RunsSection';
import { useRunsFeed } from './useRunsFeed';

/** All runs, newest first, live. The address tells which of them. */
export default function RunsPage() {
  const [search, setSearch] = useSearchParams();
  const filter = filterOf(search);
  const live = useRunsFeed(filter);
  const { token } = useSession();
  const choose = (change: Partial<RunFilter>) => setSearch(searchOf({ ...filter, ...change }));
  const phases = filter.phase.join(', ');
  useEffect(() => {
    document.title = `${phases && `${phases} · `}Runs · podrun`;
  }, [phases]);
  return (
    <>
      <header className={styles.heading}>
        <h1>Runs</h1>
        <span className={styles.live} role="status">
          {live.isLive !== null && (live.isLive ? '● Live' : '○ Not live at the moment')}
        </span>
      </header>
      <PhaseChips phases={filter.phase} counts={live.counts} onChoose={(phase) => choose({ phase })} />
      <Filters filter={filter} error={live.error} onChoose={choose} />
      <Commands commands={listCommands(window.location.origin, filter, token !== null)} />
      {live.error !== null && !isAboutFields(live.error) && (
        <div className={styles.error}>
          <ErrorNotice error={live.error} />
          <button type="button" onClick={live.refresh}>
            Try again
          </button>
        </div>
      )}
      <RunsSection key={searchOf(filter).toString()} filter={filter} live={live} onChoose={choose} />
    </>
  );
}
