import { useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { signIn, useSession } from '@/api/session';
import styles from './SignIn.module.css';

/** Asks for the token, in place of everything else. It is kept until the tab is closed. */
export function SignIn() {
  const [token, setToken] = useState('');
  const session = useSession();
  const queries = useQueryClient();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    signIn(token.trim());
    queries.clear();
  };
  return (
    <main className={styles.page}>
      <form onSubmit={submit} className={styles.form}>
        <h1>podrun</h1>
        <label>
          Token of this service
          <input
            type="password"
            autoComplete="current-password"
            required
            value={token}
            onChange={(event) => setToken(event.target.value)}
          />
        </label>
        {session.token !== null && <p role="alert">The service does not take this token.</p>}
        <p className="muted">The value of PODRUN_TOKEN. It is kept until this tab is closed.</p>
        <button type="submit" className="primary">
          Continue
        </button>
      </form>
    </main>
  );
}
