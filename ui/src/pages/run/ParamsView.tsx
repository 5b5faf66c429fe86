import { memo } from 'react';
import { valueText } from '@/model/params';
import styles from './ParamsView.module.css';

const MOST_SHOWN = 10_000;

/** The values of the run's params, defaults filled in. */
export const ParamsView = memo(function ParamsView({ params }: { params: Readonly<Record<string, unknown>> }) {
  const entries = Object.entries(params);
  if (entries.length === 0) return <p>This workflow has no params.</p>;
  return (
    <table>
      <thead>
        <tr>
          <th scope="col" className={styles.name}>
            Param
          </th>
          <th scope="col">Value</th>
        </tr>
      </thead>
      <tbody>
        {entries.map(([name, value]) => (
          <tr key={name}>
            <th scope="row">
              <bdi>{name}</bdi>
            </th>
            <td>
              <pre className={styles.value}>{cut(valueText(value))}</pre>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
});

function cut(text: string): string {
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text;
}
