import { useMemo, useRef } from 'react';
import { useNavigate } from 'react-router';
import type { Run } from '@/api/schema';
import { Dialog } from '@/components/Dialog';
import { ErrorNotice } from '@/components/Notice';
import { ParamsForm } from '@/components/ParamsForm';
import { SubmitKeys } from '@/model/idempotency';
import { fieldsOfDocument } from '@/model/params';
import { runPath } from '@/model/paths';
import { submissionText, submitWithKey, useAction } from './runActions';
import { useRunDocument } from './runDocument';

/** The same workflow once more, with other params: a new run, which is then shown. */
export function ResubmitDialog({ run, onClose }: { run: Run; onClose: () => void }) {
  const document = useRunDocument(run.id);
  return (
    <Dialog title={`Run ${run.workflow} once more`} onClose={onClose}>
      {document.isPending && <p role="status">Reading the workflow…</p>}
      {document.isError && <ErrorNotice error={document.error} />}
      {document.data !== undefined && <ResubmitForm run={run} text={document.data} onClose={onClose} />}
    </Dialog>
  );
}

function ResubmitForm({ run, text, onClose }: { run: Run; text: string; onClose: () => void }) {
  const navigate = useNavigate();
  const keys = useRef(new SubmitKeys());
  const document = useMemo(() => parsed(text), [text]);
  const fields = useMemo(() => fieldsOfDocument(document), [document]);
  const stored = run.workflow_version === null ? null : `${run.workflow}@${run.workflow_version}`;
  const action = useAction(async (params: Record<string, unknown>) => {
    const workflow = stored === null ? text : JSON.stringify(stored);
    const body = submissionText(workflow, params, ownLabels(run, document));
    const made = await submitWithKey(body, keys.current);
    onClose();
    navigate(runPath(made.id));
  });
  return (
    <>
      <p>
        {stored === null
          ? 'A new run of the same document, with its own id. This one stays as it is.'
          : `A new run of ${stored}. This one stays as it is.`}
      </p>
      <ParamsForm
        fields={fields}
        values={run.params}
        error={action.error}
        isBusy={action.isBusy}
        submitLabel="Start the run"
        onSubmit={action.run}
        onCancel={onClose}
      />
    </>
  );
}

/** Labels that were given with the run: the workflow's own come again by themselves, maybe from other params. */
function ownLabels(run: Run, document: Readonly<Record<string, unknown>>): Record<string, string> {
  const { labels } = document;
  const fromWorkflow = new Set(typeof labels === 'object' && labels !== null ? Object.keys(labels) : []);
  return Object.fromEntries(
    Object.entries(run.labels).filter(([name]) => !fromWorkflow.has(name) && !name.startsWith('podrun.dev/')),
  );
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  const document: unknown = JSON.parse(text);
  return typeof document === 'object' && document !== null ? (document as Record<string, unknown>) : {};
}
