import { useQuery } from '@tanstack/react-query';
import { Suspense, useEffect, useRef } from 'react';
import { Link, NavLink, Outlet, useLocation } from 'react-router';
import { api, dataOf } from '@/api/client';
import { useConnection } from '@/api/connection';
import { keys } from '@/api/query';
import { signOut, useSession } from '@/api/session';
import { chooseTheme, useTheme } from '@/model/theme';
import styles from './Layout.module.css';
import { PageBoundary } from './PageBoundary';
import { SignIn } from './SignIn';

/** What stands around every page: navigation, theme, and what is wrong with the connection. */
export function Layout() {
  const session = useSession();
  return session.isRefused ? <SignIn /> : <Frame hasToken={session.token !== null} />;
}

function Frame({ hasToken }: { hasToken: boolean }) {
  const theme = useTheme();
  const connection = useConnection();
  const info = useQuery({
    queryKey: keys.info,
    queryFn: () => dataOf(api.GET('/api/v1/info')),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const { pathname } = useLocation();
  useFocusOnNavigation(pathname);
  const other = theme === 'dark' ? 'light' : 'dark';
  return (
    <>
      <a href="#content" className={styles.skip}>
        Skip to the content
      </a>
      <header className={styles.header}>
        <Link to="/runs" className={styles.brand}>
          podrun
        </Link>
        <nav aria-label="Pages" className={styles.nav}>
          <NavLink to="/runs">Runs</NavLink>
          <NavLink to="/workflows">Workflows</NavLink>
        </nav>
        <span className={styles.info}>{info.data && `${info.data.version} · ${info.data.pods} pods`}</span>
        {hasToken && (
          <button type="button" onClick={signOut}>
            Forget token
          </button>
        )}
        <button type="button" onClick={() => chooseTheme(other)} aria-label={`Switch to the ${other} theme`}>
          <span aria-hidden="true">{theme === 'dark' ? '☀' : '☾'}</span>
        </button>
      </header>
      {!connection.isUp && (
        <div className={styles.away} role="alert">
          {connection.message}
        </div>
      )}
      <main id="content" tabIndex={-1} className={styles.main}>
        <PageBoundary path={pathname}>
          <Suspense fallback={<p role="status">Loading…</p>}>
            <Outlet />
          </Suspense>
        </PageBoundary>
      </main>
    </>
  );
}

/** Another page's content begins where the focus is: else a screen reader stays at the link that was left. */
function useFocusOnNavigation(pathname: string): void {
  const shown = useRef(pathname);
  useEffect(() => {
    const before = shown.current;
    shown.current = pathname;
    // The start page leads on to the runs by itself.
    if (before === pathname || before === '/') return;
    // Also where the link that was followed is gone already, and the focus with it.
    document.getElementById('content')?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, [pathname]);
}
