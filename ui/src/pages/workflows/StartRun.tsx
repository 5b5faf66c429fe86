import { useMutation, useQuery } from '@tanstack/react-query';
import { useId, useRef, useState } from 'react';
import { useNavigate } from 'react-router';
import { api, dataOf } from '@/api/client';
import { ApiProblem } from '@/api/problems';
import { keys } from '@/api/query';
import type { StoredWorkflow } from '@/api/schema';
import { Dialog } from '@/components/Dialog';
import { ErrorNotice } from '@/components/Notice';
import { ParamsForm } from '@/components/ParamsForm';
import { SubmitKeys } from '@/model/idempotency';
import { runPath } from '@/model/paths';
import { parseLabels } from './labels';
import { fieldsOf } from './params';
import styles from './workflows.module.css';

/** Asks for a run's params and starts it; `version` null: of the newest one. */
export function StartRun({ name, version, onClose }: { name: string; version: number | null; onClose: () => void }) {
  const workflow = useQuery({
    // Read for this form alone: what is typed in must not be lost because the workflow is read again.
    queryKey: [...keys.workflow(name, version), 'form'],
    queryFn: ({ signal }) =>
      dataOf(
        api.GET('/api/v1/workflows/{name}', { params: { path: { name }, query: { version: version ?? undefined } }, signal }),
      ),
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
  });
  return (
    <Dialog title={`Run ${name}${workflow.data === undefined ? '' : `, version ${workflow.data.version}`}`} onClose={onClose}>
      {workflow.error !== null && <ErrorNotice error={workflow.error} />}
      {workflow.data === undefined && workflow.error === null && <p role="status">Loading its params…</p>}
      {workflow.data !== undefined && <StartForm workflow={workflow.data} onClose={onClose} />}
    </Dialog>
  );
}

type Body = { workflow: string; params: Record<string, unknown>; labels: Record<string, string> };

function StartForm({ workflow, onClose }: { workflow: StoredWorkflow; onClose: () => void }) {
  const navigate = useNavigate();
  const labelsId = useId();
  const keysOfForm = useRef(new SubmitKeys());
  const [text, setText] = useState('');
  const [wrong, setWrong] = useState<string | null>(null);
  const submit = useMutation({
    mutationFn: async (body: Body) => {
      const headers = { 'Idempotency-Key': keysOfForm.current.of(body) };
      try {
        return await dataOf(api.POST('/api/v1/runs', { body, headers }));
      } catch (error) {
        if (error instanceof ApiProblem && error.status === 410) keysOfForm.current.forget(body);
        throw error;
      }
    },
    onSuccess: (run) => navigate(runPath(run.id)),
  });
  const onSubmit = (params: Record<string, unknown>) => {
    const parsed = parseLabels(text);
    setWrong('wrong' in parsed ? parsed.wrong : null);
    // The version that the form was made of, even if there is a newer one by now.
    if ('labels' in parsed) submit.mutate({ workflow: `${workflow.name}@${workflow.version}`, params, labels: parsed.labels });
  };
  const fields = fieldsOf(workflow.params);
  return (
    <>
      <p className={styles.labels}>
        <label htmlFor={labelsId}>Labels of the run</label>
        <input
          id={labelsId}
          value={text}
          placeholder="team=data, stage=test"
          aria-invalid={wrong !== null}
          aria-describedby={wrong === null ? undefined : `${labelsId}-wrong`}
          onChange={(event) => setText(event.target.value)}
        />
        {wrong !== null && (
          <span id={`${labelsId}-wrong`} role="alert" className={styles.wrong}>
            {wrong}
          </span>
        )}
      </p>
      <ParamsForm
        fields={fields}
        values={{}}
        error={submit.error}
        isBusy={submit.isPending || submit.isSuccess}
        submitLabel="Run"
        onSubmit={onSubmit}
        onCancel={onClose}
      />
    </>
  );
}
