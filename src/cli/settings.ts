// What the table of settings means on a command line: the names of options and how help describes them. What a setting
// is, and how a text becomes its value, is said in flow/settings/fields.ts.

import { fieldName, fieldOf, namedChoices, parseSetting } from '../flow/settings/fields.ts';
import { type Setting, settings } from '../flow/settings/table.ts';
import { describeOption } from './facts.ts';
import { wrapped } from './style.ts';

/** The option's name on a command; `tram run` tells the phases apart. */
export function optionName(setting: Setting, onRun: boolean): string {
  return `--${onRun ? fieldName(setting) : setting.name}`;
}

/** Help with valid values and default: "images per step [a whole number of at least 1; default: 64]". */
export function describeSetting(setting: Setting): string {
  const { help, expected, usual } = fieldOf(setting);
  return describeOption({ help, values: setting.placeholder === undefined ? undefined : expected, default: usual });
}

/**
 * The phases' options of a name that `tram run` knows only with a prefix, such as --train-epochs and --explore-epochs.
 */
export function prefixedNames(name: string): string[] {
  return settings
    .filter((setting) => setting.prefixed && setting.name === name)
    .map((setting) => optionName(setting, true));
}

/** A setting that several phases have, with what a text means for each of them that takes it. */
export type SaidTogether = readonly (readonly [setting: Setting, values: readonly unknown[]])[];

/**
 * What a text said once for all phases means: those that have no such value keep theirs; one that no phase has is a
 * UserError.
 */
export function parseTogether(alike: readonly Setting[], label: string, text: string): SaidTogether {
  let refused: unknown;
  const said = alike.flatMap((setting): SaidTogether => {
    try {
      return [[setting, parseSetting(setting, label, text)]];
    } catch (error) {
      refused = error;
      return [];
    }
  });
  if (said.length === 0) throw refused;
  return said;
}

/** The same as words that can be typed: of `csv:FILE` what stands before the file. */
export function namedChoicesOf(): Readonly<Record<'data' | 'models' | 'recipes', readonly string[]>> {
  const { data, models, recipes } = namedChoices();
  const words = (list: readonly { readonly name: string }[]) => list.map(({ name }) => name.replace(/:.*$/, ':'));
  return { data: words(data), models: words(models), recipes: words(recipes) };
}

/** Columns of the list of models: it stands in help texts, and in a page that cannot wrap it. */
const LIST_WIDTH = 100;

/** The data sets and models that can be named, for the end of a help text. */
export function namesHelp(): string {
  const { data, models, recipes } = namedChoices();
  const column = Math.max(...data.map(({ name }) => name.length)) + 2;
  const sources = data.map(({ name, summary }) => `  ${name.padEnd(column)}${summary}`);
  const collections = new Map<string, string[]>();
  for (const { name } of models) {
    const prefix = name.slice(0, name.lastIndexOf('/') + 1);
    collections.set(prefix, [...(collections.get(prefix) ?? []), name.slice(prefix.length)]);
  }
  const lists = [...collections].map(([prefix, names]) => {
    const list = wrapped(names.join(', '), LIST_WIDTH - 16).replaceAll('\n', `\n${' '.repeat(16)}`);
    return `  ${prefix.padEnd(14)}${list}`;
  });
  return [
    ['Data sets:', ...sources].join('\n'),
    ['Models (tram models tells of each; a name is PREFIX/NAME where a prefix stands before its list):', ...lists].join(
      '\n',
    ),
    ['Recipes:', ...recipes.map(({ name, summary }) => `  ${name.padEnd(20)}${summary}`)].join('\n'),
  ].join('\n\n');
}
