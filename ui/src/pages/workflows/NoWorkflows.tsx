import { useSession } from '@/api/session';
import { CopyButton } from '@/components/CopyButton';
import { curlCommand, podrunCommand } from '@/model/commands';
import list from './list.module.css';

const EXAMPLE = {
  name: 'hello',
  params: { who: 'world' },
  tasks: [{ name: 'say', image: 'busybox', command: ['echo', `hello \${{ params.who }}`] }],
};

/** How the first workflow gets stored. */
export function NoWorkflows() {
  const hasToken = useSession().token !== null;
  const origin = window.location.origin;
  const curl = curlCommand(origin, { method: 'PUT', path: '/api/v1/workflows/hello', body: EXAMPLE }, hasToken);
  const commands = [
    { name: 'podrun', said: 'A workflow in a file, JSON or YAML, is stored under its own name:' },
    { name: 'curl', said: 'Or without a file:' },
  ];
  const texts = [podrunCommand(origin, 'workflows', 'put', 'workflow.json'), curl];
  return (
    <section aria-labelledby="none" className={list.empty}>
      <h2 id="none">No workflow is stored yet</h2>
      {commands.map(({ name, said }, index) => (
        <div key={name}>
          <p>{said}</p>
          <pre className={list.wrapped}>{texts[index]}</pre>
          <CopyButton text={texts[index] ?? ''} label={`Copy the ${name} command`} />
        </div>
      ))}
    </section>
  );
}
