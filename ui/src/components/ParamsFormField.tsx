import { choicesOf, type FieldInput, type ParamField, valueText } from '@/model/params';
import styles from './ParamsForm.module.css';

const SHOWN_DEFAULT = 80;

type Props = {
  id: string;
  field: ParamField;
  input: FieldInput;
  /** What is wrong with the value, null if nothing is known to be. */
  error: string | null;
  onChange: (input: FieldInput) => void;
};

/** One param: its name, what it is for, its value, and a way back to the default. */
export function ParamInput({ id, field, input, error, onChange }: Props) {
  const choices = choicesOf(field);
  const notes = [field.description !== null && `${id}-about`, error !== null && `${id}-error`].filter(Boolean).join(' ');
  const shared = {
    id,
    'aria-required': field.required,
    'aria-invalid': error !== null,
    'aria-describedby': notes || undefined,
  };
  const write = (text: string) => onChange({ usesDefault: false, text });
  return (
    <div className={styles.field}>
      <label htmlFor={id}>
        <bdi>{field.name}</bdi> <span className="muted">{field.required ? `${field.type}, required` : field.type}</span>
      </label>
      {field.description !== null && (
        <p id={`${id}-about`} className={styles.about}>
          {field.description}
        </p>
      )}
      {choices === null ? (
        <TextInput shared={shared} field={field} input={input} onWrite={write} />
      ) : (
        <select
          {...shared}
          value={input.usesDefault ? 'default' : input.text}
          onChange={({ target }) =>
            target.value === 'default' ? onChange({ usesDefault: true, text: '' }) : write(target.value)
          }
        >
          {field.required ? (
            <option value="">Choose…</option>
          ) : (
            <option value="default">Leave the default: {short(field)}</option>
          )}
          {choices.map((choice, index) => (
            <option key={valueText(choice)} value={index}>
              {valueText(choice)}
            </option>
          ))}
        </select>
      )}
      {choices === null && !field.required && (
        <label className={styles.leave}>
          <input
            type="checkbox"
            checked={input.usesDefault}
            onChange={({ target }) =>
              onChange(
                target.checked ? { usesDefault: true, text: '' } : { usesDefault: false, text: valueText(field.default) },
              )
            }
          />
          Leave the default
        </label>
      )}
      {error !== null && (
        <p id={`${id}-error`} className={styles.error}>
          {error}
        </p>
      )}
    </div>
  );
}

type TextProps = {
  shared: { id: string; 'aria-required': boolean; 'aria-invalid': boolean; 'aria-describedby': string | undefined };
  field: ParamField;
  input: FieldInput;
  onWrite: (text: string) => void;
};

function TextInput({ shared, field, input, onWrite }: TextProps) {
  const placeholder = input.usesDefault ? short(field) : undefined;
  const isJson = field.type === 'array' || field.type === 'object';
  // A string may have several lines: they are kept.
  if (isJson || input.text.includes('\n')) {
    return (
      <textarea
        {...shared}
        rows={isJson ? 4 : 6}
        spellCheck={false}
        placeholder={placeholder}
        value={input.text}
        onChange={({ target }) => onWrite(target.value)}
      />
    );
  }
  const isNumber = field.type === 'integer' || field.type === 'number';
  return (
    <input
      {...shared}
      type="text"
      inputMode={isNumber ? 'decimal' : undefined}
      spellCheck={false}
      autoComplete="off"
      placeholder={placeholder}
      value={input.text}
      onChange={({ target }) => onWrite(target.value)}
    />
  );
}

function short(field: ParamField): string {
  const text = typeof field.default === 'string' ? field.default || 'empty text' : JSON.stringify(field.default);
  return text.length > SHOWN_DEFAULT ? `${text.slice(0, SHOWN_DEFAULT)}…` : text;
}
