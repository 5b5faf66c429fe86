/** Light or dark: as the system says, until the user chooses. */
import { useSyncExternalStore } from 'react';
import { keep, kept } from '@/api/kept';

export type Theme = 'light' | 'dark';

const KEY = 'podrun.theme';
const system = window.matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set<() => void>();

let chosen = keptTheme();

function keptTheme(): Theme | null {
  const value = kept('localStorage', KEY);
  return value === 'light' || value === 'dark' ? value : null;
}

function currentTheme(): Theme {
  return chosen ?? (system.matches ? 'dark' : 'light');
}

/** Put the theme on the document; again whenever the system's changes. */
export function applyTheme(): void {
  document.documentElement.dataset.theme = currentTheme();
  for (const listener of listeners) listener();
}

/** The user's choice, kept for this browser. */
export function chooseTheme(theme: Theme): void {
  chosen = theme;
  keep('localStorage', KEY, theme);
  applyTheme();
}

system.addEventListener('change', applyTheme);

/** The theme, for components. */
export function useTheme(): Theme {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, currentTheme);
}
