import { type KeyboardEvent, useRef } from 'react';
import styles from './Tabs.module.css';

export type Tab<Name extends string> = { name: Name; label: string };

type Props<Name extends string> = {
  label: string;
  tabs: readonly Tab<Name>[];
  selected: Name;
  onSelect: (name: Name) => void;
};

/** The ids that tie a tab to its panel, of which there is one at a time. */
export const PANEL_ID = 'run-view';
export const tabId = (name: string) => `run-tab-${name}`;

/** Tabs: arrow keys, Home and End move among them and open what they stand for. */
export function Tabs<Name extends string>({ label, tabs, selected, onSelect }: Props<Name>) {
  const list = useRef<HTMLDivElement>(null);
  const onKeyDown = (event: KeyboardEvent) => {
    // From where the focus is: the view of the last key press may still be on its way.
    const at = tabs.findIndex(({ name }) => tabId(name) === document.activeElement?.id);
    const steps: Record<string, number> = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 };
    const next = steps[event.key];
    const tab = next === undefined ? undefined : tabs[(next + tabs.length) % tabs.length];
    if (tab === undefined) return;
    event.preventDefault();
    onSelect(tab.name);
    list.current?.querySelector<HTMLElement>(`#${tabId(tab.name)}`)?.focus();
  };
  return (
    <div ref={list} role="tablist" aria-label={label} className={styles.tabs} onKeyDown={onKeyDown}>
      {tabs.map(({ name, label: text }) => (
        <button
          key={name}
          id={tabId(name)}
          type="button"
          role="tab"
          aria-selected={name === selected}
          aria-controls={name === selected ? PANEL_ID : undefined}
          tabIndex={name === selected ? 0 : -1}
          onClick={() => onSelect(name)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}
