// The settings of a run as short texts by the names of options, for lists, filters and groups. What a setting is, the
// table says (flow/settings/fields.ts).

import type { Configuration } from '../flow/settings/config.ts';
import { type Field, fields } from '../flow/settings/fields.ts';

const table: readonly Field[] = fields();

function valueAt(configuration: object, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], configuration);
}

/** "none" where nothing is set; both values of a pair that differ with × between them. */
function textOf({ paths, value }: Field, configuration: object): string {
  const texts = paths.map((path) => {
    const found = valueAt(configuration, path);
    if (value !== undefined) return String(found === value);
    if (found === undefined || found === null) return 'none';
    if (Array.isArray(found)) return found.length === 0 ? 'none' : found.join(',');
    return typeof found === 'object' ? JSON.stringify(found) : String(found);
  });
  return [...new Set(texts)].join('×');
}

/** Every setting as text, by its name. */
export function settingTexts(configuration: Configuration): Readonly<Record<string, string>> {
  return Object.fromEntries(table.map((field) => [field.name, textOf(field, configuration)]));
}

/** Those that are not the same text as in `usual`. */
export function differing(
  texts: Readonly<Record<string, string>>,
  usual: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(texts).filter(([name, text]) => usual[name] !== text));
}
