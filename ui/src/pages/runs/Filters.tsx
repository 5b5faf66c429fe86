import { type FormEvent, useId, useState } from 'react';
import styles from './Filters.module.css';
import { fieldError } from './fieldErrors';
import { fromLocalInput, isFiltered, NO_FILTER, type RunFilter, TEXT_FIELDS, type TextField, toLocalInput } from './filter';
import { useNarrow } from './useNarrow';

type Props = { filter: RunFilter; error: unknown; onChoose: (change: Partial<RunFilter>) => void };

/** The filters but for the phases. A field counts when it is left, or on Enter. */
export function Filters({ filter, error, onChoose }: Props) {
  const isNarrow = useNarrow();
  const chosen = TEXT_FIELDS.filter((name) => filter[name] !== '').length;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    // Enter counts for the field it is pressed in as leaving it would.
    if (document.activeElement instanceof HTMLInputElement) {
      const input = document.activeElement;
      input.blur();
      input.focus();
    }
  };
  const field = (name: TextField) => ({ value: filter[name], error: fieldError(error, name), onChoose: choose(name) });
  const choose = (name: TextField) => (value: string) => value !== filter[name] && onChoose({ [name]: value });
  return (
    <details className={styles.filters} open={!isNarrow || chosen > 0}>
      <summary>Filters{chosen > 0 && ` (${chosen})`}</summary>
      <form className={styles.form} onSubmit={submit}>
        <TextInput label="Workflow" placeholder="name" {...field('workflow')} />
        <TextInput label="Labels" placeholder="team=a, tier!=b" {...field('label_selector')} />
        <TimeInput label="Created after" {...field('created_after')} />
        <TimeInput label="Created before" {...field('created_before')} />
        <div className={styles.buttons}>
          <button type="submit">Apply</button>
          <button type="button" disabled={!isFiltered(filter)} onClick={() => onChoose(NO_FILTER)}>
            Clear
          </button>
        </div>
      </form>
    </details>
  );
}

type FieldProps = { label: string; value: string; error: string | null; onChoose: (value: string) => void };

function TextInput({ label, value, error, onChoose, placeholder }: FieldProps & { placeholder: string }) {
  const [draft, setDraft] = useDraft(value);
  return (
    <Field label={label} error={error}>
      {(aria) => (
        <input
          {...aria}
          type="search"
          autoComplete="off"
          spellCheck={false}
          placeholder={placeholder}
          value={draft}
          onChange={(event) => setDraft(event.target.value)}
          onBlur={() => onChoose(draft.trim())}
        />
      )}
    </Field>
  );
}

function TimeInput({ label, value, error, onChoose }: FieldProps) {
  const [draft, setDraft] = useDraft(toLocalInput(value));
  return (
    <Field label={label} error={error}>
      {(aria) => (
        <input
          {...aria}
          type="datetime-local"
          step="1"
          value={draft}
          onChange={(event) => setDraft(event.target.value)}
          // A time that was not touched stays to the fraction of a second, and one that can't be shown as it is.
          onBlur={() => draft !== toLocalInput(value) && onChoose(fromLocalInput(draft))}
        />
      )}
    </Field>
  );
}

type Aria = { id: string; 'aria-invalid': boolean; 'aria-describedby': string | undefined };

function Field({ label, error, children }: { label: string; error: string | null; children: (aria: Aria) => React.ReactNode }) {
  const id = useId();
  const errorId = `${id}-error`;
  return (
    <div className={styles.field}>
      <label htmlFor={id}>{label}</label>
      {children({ id, 'aria-invalid': error !== null, 'aria-describedby': error === null ? undefined : errorId })}
      {error !== null && (
        <p id={errorId} className={styles.error} role="alert">
          {error}
        </p>
      )}
    </div>
  );
}

/** What is being typed, until the value changes from elsewhere (Clear, the back button). */
function useDraft(value: string) {
  const [draft, setDraft] = useState(value);
  const [known, setKnown] = useState(value);
  if (value !== known) {
    setKnown(value);
    setDraft(value);
  }
  return [draft, setDraft] as const;
}
