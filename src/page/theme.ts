// Dark or light: as the system prefers, until the reader switches. Colours are variables of the style sheet; what draws
// on a canvas asks for them here and is told when they change.

import { useEffect, useState } from 'preact/hooks';

export type Theme = 'light' | 'dark';

const KEPT = 'tram-theme';
const preference = matchMedia('(prefers-color-scheme: dark)');

function kept(): Theme | undefined {
  try {
    const found = localStorage.getItem(KEPT);
    return found === 'light' || found === 'dark' ? found : undefined;
  } catch {
    return undefined;
  }
}

const current = (): Theme => kept() ?? (preference.matches ? 'dark' : 'light');

/** Sets what the page begins with, before anything is drawn. */
export function applyTheme(theme: Theme = current()): void {
  document.documentElement.dataset.theme = theme;
}

/** The theme, and the switch to the other one. */
export function useTheme(): readonly [Theme, () => void] {
  const [theme, setTheme] = useState(current);
  useEffect(() => {
    const follow = () => {
      applyTheme();
      setTheme(current());
    };
    preference.addEventListener('change', follow);
    addEventListener('tram-theme', follow);
    return () => {
      preference.removeEventListener('change', follow);
      removeEventListener('tram-theme', follow);
    };
  }, []);
  return [theme, switchTheme];
}

function switchTheme(): void {
  const other = current() === 'dark' ? 'light' : 'dark';
  try {
    localStorage.setItem(KEPT, other);
  } catch {
    // A document that is opened as a file may have no storage: the switch then lasts as long as the page.
  }
  applyTheme(other);
  dispatchEvent(new Event('tram-theme'));
}

/** A colour of the style sheet by the name of its variable: `ink`, `muted`, `series-1`. */
export function colourOf(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
