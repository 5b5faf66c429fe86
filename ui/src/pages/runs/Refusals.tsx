import { Link } from 'react-router';
import { Notice } from '@/components/Notice';
import { runPath } from '@/model/paths';
import { type Refusal, runsText } from './actions';

/** The runs for which the service refused what was asked, each with its sentence. */
export function Refusals({ refusals, onClose }: { refusals: readonly Refusal[]; onClose: () => void }) {
  if (refusals.length === 0) return null;
  return (
    <Notice tone="danger">
      <strong>{runsText(refusals.length)} refused:</strong>
      <ul>
        {refusals.map(({ run, sentence }) => (
          <li key={run.id}>
            <Link to={runPath(run.id)} title={run.id}>
              {run.workflow} {run.id.slice(-8)}
            </Link>
            : {sentence}
          </li>
        ))}
      </ul>
      <button type="button" onClick={onClose}>
        Close
      </button>
    </Notice>
  );
}
