// What the published program computed, as pinned in this repository (scripts/pin-reference.mjs makes the files).

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export function publishedJson<T>(name: 'layers.json' | 'mapping.json'): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, 'published', name), 'utf8')) as T;
}
