// The list of runs as it is asked for: filtered, sorted and grouped. Pure: what a row holds by the name of a column or
// of a setting, and which words of a filter it fulfils.

import type { RunRow } from '../serve/api.ts';
import type { Runs } from './runs-store.ts';

type Value = number | string | undefined;

const last = <T>(values: readonly (T | undefined)[]): T | undefined => values.findLast((value) => value !== undefined);

/** What every row has beside its settings. */
export const columns = {
  name: ({ name }) => name,
  state: ({ state }) => state,
  data: ({ data }) => data,
  model: ({ model }) => model,
  sweep: ({ sweep }) => sweep,
  accuracy: ({ stages }) => stages.at(-1)?.accuracy,
  loss: ({ stages }) => stages.at(-1)?.loss,
  power: ({ stages }) => last(stages.map(({ power }) => power)),
  gates: ({ stages }) => last(stages.map(({ gateCost }) => gateCost)),
  changed: ({ changed }) => changed,
} as const satisfies Readonly<Record<string, (row: RunRow) => Value>>;
export type Column = keyof typeof columns;

const isColumn = (key: string): key is Column => Object.hasOwn(columns, key);

/** A column or a setting of a row. */
export function valueIn(row: RunRow, key: string, defaults: Runs['defaults']): Value {
  return isColumn(key) ? columns[key](row) : (row.settings[key] ?? defaults[key]);
}

/** The settings that are not the same in all runs, the most telling first: those with the fewest values. */
export function varying({ rows, defaults }: Runs): string[] {
  const values = new Map<string, Set<string>>();
  for (const { settings } of rows) {
    for (const [name, text] of Object.entries(settings)) values.set(name, (values.get(name) ?? new Set()).add(text));
  }
  for (const [name, texts] of values) {
    const usual = defaults[name];
    if (usual !== undefined && rows.some(({ settings }) => settings[name] === undefined)) texts.add(usual);
  }
  return [...values].filter(([, texts]) => texts.size > 1).map(([name]) => name);
}

type Test = (row: RunRow) => boolean;

const comparisons: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
};

/** `resnet8 lambda=0.3 accuracy>0.9 -failed`: every word must hold; one with `-` before it must not. */
export function filterOf(text: string, defaults: Runs['defaults']): Test {
  const tests = text.split(/\s+/).flatMap((word): Test[] => {
    if (word === '' || word === '-') return [];
    return word.startsWith('-') && word.length > 1
      ? [(row) => !testOf(word.slice(1), defaults)(row)]
      : [testOf(word, defaults)];
  });
  return (row) => tests.every((test) => test(row));
}

function testOf(word: string, defaults: Runs['defaults']): Test {
  const [, key = '', sign = '', wanted = ''] = /^([\w-]+)(<=|>=|!=|=|<|>)(.*)$/.exec(word) ?? [];
  if (sign === '' || (!isColumn(key) && !Object.hasOwn(defaults, key))) {
    const lower = word.toLowerCase();
    return ({ name, state, data, model }) => `${name} ${state} ${data} ${model}`.toLowerCase().includes(lower);
  }
  const compare = comparisons[sign];
  if (compare) {
    const bound = Number(wanted);
    return (row) => {
      const value = Number(valueIn(row, key, defaults) ?? Number.NaN);
      return wanted === '' || compare(value, bound);
    };
  }
  return (row) => (String(valueIn(row, key, defaults) ?? '') === wanted) === (sign === '=');
}

export interface Order {
  readonly key: string;
  readonly descending: boolean;
}

/** Numbers by their value, texts in reading order (`run2` before `run10`), what is not known last. */
export function sorted(rows: readonly RunRow[], { key, descending }: Order, defaults: Runs['defaults']): RunRow[] {
  const collator = new Intl.Collator('en', { numeric: true });
  const keyed = rows.map((row) => ({ row, value: valueIn(row, key, defaults) }));
  keyed.sort((a, b) => {
    if (a.value === undefined || b.value === undefined)
      return Number(a.value === undefined) - Number(b.value === undefined);
    const way =
      typeof a.value === 'number' && typeof b.value === 'number'
        ? a.value - b.value
        : collator.compare(String(a.value), String(b.value));
    return descending ? -way : way;
  });
  return keyed.map(({ row }) => row);
}

export type Line =
  | { readonly kind: 'run'; readonly row: RunRow }
  | { readonly kind: 'group'; readonly text: string; readonly rows: readonly RunRow[]; readonly isOpen: boolean };

/** The rows under headings of their groups; without headings where no key is given. */
export function grouped(
  rows: readonly RunRow[],
  key: string,
  defaults: Runs['defaults'],
  closed: readonly string[],
): Line[] {
  if (key === '') return rows.map((row) => ({ kind: 'run', row }));
  const groups = new Map<string, RunRow[]>();
  for (const row of rows) {
    const text = String(valueIn(row, key, defaults) ?? '–');
    groups.set(text, [...(groups.get(text) ?? []), row]);
  }
  const collator = new Intl.Collator('en', { numeric: true });
  return [...groups]
    .sort(([a], [b]) => collator.compare(a, b))
    .flatMap(([text, members]) => {
      const isOpen = !closed.includes(text);
      const lines = isOpen ? members.map((row): Line => ({ kind: 'run', row })) : [];
      return [{ kind: 'group', text, rows: members, isOpen } as const, ...lines];
    });
}
