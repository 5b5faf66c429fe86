import type { StoredWorkflow } from '@/api/schema';
import { useSession } from '@/api/session';
import { Commands } from '@/components/Commands';
import { curlCommand, podrunCommand } from '@/model/commands';
import { exampleParams } from './params';

/** What is on the page, and a run of it, as commands; `asked`: the version in the address, null for the newest. */
export function WorkflowCommands({ workflow, asked }: { workflow: StoredWorkflow; asked: number | null }) {
  const hasToken = useSession().token !== null;
  const origin = window.location.origin;
  const { name } = workflow;
  const reference = asked === null ? name : `${name}@${asked}`;
  const path = `/api/v1/workflows/${encodeURIComponent(name)}${asked === null ? '' : `?version=${asked}`}`;
  const params = exampleParams(workflow.params);
  const words = Object.entries(params).flatMap(([param, value]) => [
    '-p',
    `${param}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  ]);
  const body = Object.keys(params).length === 0 ? { workflow: reference } : { workflow: reference, params };
  return (
    <Commands
      commands={[
        { name: 'podrun (show)', text: podrunCommand(origin, 'workflows', 'get', reference) },
        { name: 'podrun (run)', text: podrunCommand(origin, 'submit', reference, ...words) },
        { name: 'curl (show)', text: curlCommand(origin, { path }, hasToken) },
        { name: 'curl (run)', text: curlCommand(origin, { method: 'POST', path: '/api/v1/runs', body }, hasToken) },
      ]}
    />
  );
}
