// State of a view that is still there when the reader comes back to it, as long as the page is open.

import { useState } from 'preact/hooks';

const kept = new Map<string, unknown>();

export function useKept<T>(key: string, first: T): readonly [T, (value: T) => void] {
  const [value, setValue] = useState<T>(() => (kept.has(key) ? (kept.get(key) as T) : first));
  const set = (next: T) => {
    kept.set(key, next);
    setValue(next);
  };
  return [value, set];
}
