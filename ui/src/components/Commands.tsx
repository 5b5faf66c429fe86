import styles from './Commands.module.css';
import { CopyButton } from './CopyButton';

export type Command = { name: string; text: string };

/** What is seen, as commands for a terminal, folded away until asked for. */
export function Commands({ commands }: { commands: readonly Command[] }) {
  return (
    <details className={styles.commands}>
      <summary>Commands for a terminal</summary>
      {commands.map(({ name, text }) => (
        <div key={name} className={styles.command}>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long command scrolls, by the keyboard too */}
          <section tabIndex={0} aria-label={`${name} command`}>
            <pre>{text}</pre>
          </section>
          <CopyButton text={text} label={`Copy the ${name} command`} />
        </div>
      ))}
    </details>
  );
}
