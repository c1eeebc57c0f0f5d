// State of a view that is still there when the reader comes back to it, as long as the page is open, and in a copy of
// the view. Invariant: a key begins with the view's name; values are JSON.

import { useState } from 'preact/hooks';

const kept = new Map<string, unknown>();

/** What is kept of a view, for a copy of it. */
export const keptOf = (view: string): Readonly<Record<string, unknown>> =>
  Object.fromEntries([...kept].filter(([key]) => key.startsWith(`${view} `)));

/** What a copy begins with. */
export function keep(values: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(values)) kept.set(key, value);
}

export function useKept<T>(key: string, first: T): readonly [T, (value: T) => void] {
  const [value, setValue] = useState<T>(() => (kept.has(key) ? (kept.get(key) as T) : first));
  const set = (next: T) => {
    kept.set(key, next);
    setValue(next);
  };
  return [value, set];
}
