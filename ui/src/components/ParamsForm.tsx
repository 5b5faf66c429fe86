import { type FormEvent, useEffect, useId, useRef, useState } from 'react';
import { errorsByField, type FieldInput, initialInput, type ParamField, parseForm } from '@/model/params';
import { ErrorNotice, Notice } from './Notice';
import styles from './ParamsForm.module.css';
import { ParamInput } from './ParamsFormField';

export type { ParamField } from '@/model/params';

type Props = {
  fields: readonly ParamField[];
  /** What the fields begin with; a param without a value leaves its default. */
  values: Readonly<Record<string, unknown>>;
  /** Why the last submit was refused; null: it was not. */
  error: unknown;
  isBusy: boolean;
  submitLabel: string;
  /** Only the values that differ from leaving the default. */
  onSubmit: (params: Record<string, unknown>) => void;
  onCancel: () => void;
};

/** A form made from a workflow's params. What is wrong with a value is said at its field, all else above. */
export function ParamsForm({ fields, values, error, isBusy, submitLabel, onSubmit, onCancel }: Props) {
  const form = useRef<HTMLFormElement>(null);
  const formId = useId();
  const [inputs, setInputs] = useState(() => initialInputs(fields, values));
  const [wrong, setWrong] = useState<Readonly<Record<string, string>>>({});
  const { byField, rest } = errorsByField(error, fields);
  const shown = Object.keys(wrong).length > 0 ? wrong : byField;
  const hasWrong = Object.keys(shown).length > 0;

  // biome-ignore lint/correctness/useExhaustiveDependencies: after each submit that found something wrong
  useEffect(() => {
    form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [wrong, error]);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const { params, errors } = parseForm(fields, inputs);
    setWrong(errors);
    if (Object.keys(errors).length === 0) onSubmit(params);
  };
  const change = (name: string, input: FieldInput) => setInputs((before) => new Map(before).set(name, input));

  return (
    <form ref={form} onSubmit={submit} noValidate className={styles.form}>
      {rest !== null && <ErrorNotice error={rest} />}
      {hasWrong && <Notice tone="danger">Some values are wrong: see below.</Notice>}
      {fields.length === 0 && <p className="muted">This workflow has no params.</p>}
      {fields.map((field) => (
        <ParamInput
          key={field.name}
          id={`${formId}-${field.name}`}
          field={field}
          input={inputs.get(field.name) ?? initialInput(field, undefined)}
          error={shown[field.name] ?? null}
          onChange={(input) => change(field.name, input)}
        />
      ))}
      <div className={styles.buttons}>
        <button type="submit" className="primary" disabled={isBusy}>
          {submitLabel}
        </button>
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
      </div>
    </form>
  );
}

function initialInputs(fields: Props['fields'], values: Props['values']): ReadonlyMap<string, FieldInput> {
  const given = new Map(Object.entries(values));
  return new Map(fields.map((field) => [field.name, initialInput(field, given.get(field.name))]));
}
