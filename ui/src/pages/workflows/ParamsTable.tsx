import type { StoredParam } from '@/api/schema';
import styles from './workflows.module.css';

/** The params that a run gives values to. */
export function ParamsTable({ params }: { params: Readonly<Record<string, StoredParam>> }) {
  const entries = Object.entries(params);
  return (
    <section aria-labelledby="params">
      <h2 id="params">Params</h2>
      {entries.length === 0 ? (
        <p className="muted">It has none.</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls, by the keyboard too
        <section className={styles.scroll} aria-label="Table of params" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">Type</th>
                <th scope="col">Default</th>
                <th scope="col">Meaning</th>
              </tr>
            </thead>
            <tbody>
              {entries.map(([name, param]) => (
                <Param key={name} name={name} param={param} />
              ))}
            </tbody>
          </table>
        </section>
      )}
    </section>
  );
}

function Param({
  name,
  param: { type, required, default: value, enum: choices, description },
}: {
  name: string;
  param: StoredParam;
}) {
  return (
    <tr>
      <th scope="row" className={styles.param}>
        <bdi>{name}</bdi>
      </th>
      <td>{type}</td>
      <td>
        {required ? (
          <strong>required</strong>
        ) : (
          <code className={styles.value}>
            <bdi>{JSON.stringify(value)}</bdi>
          </code>
        )}
      </td>
      <td>
        {description !== null && <bdi className={styles.value}>{description}</bdi>}
        {choices !== null && (
          <p className={styles.choices}>
            One of:{' '}
            {choices.map((choice, index) => (
              <span key={JSON.stringify(choice)}>
                {index > 0 && ', '}
                <code>
                  <bdi>{JSON.stringify(choice)}</bdi>
                </code>
              </span>
            ))}
          </p>
        )}
        {description === null && choices === null && <span aria-hidden="true">–</span>}
      </td>
    </tr>
  );
}
