// What a form or a command line needs of each setting: its name, where it goes in the configuration, what kind of value
// it takes, in which range, from which choices, what it is without, what it is for; and how a text becomes a value, or
// the error that says what was expected.
// The table says what belongs together and why (table.ts), the schema which values are valid (config.ts); nothing here
// knows of a terminal.
// Invariant: fields are plain data, which a worker or a page can be sent.

import { sources } from '../../data/registry.ts';
import { models } from '../../nn/models/registry.ts';
import { invariant, UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { type ConfigurationInput, withSetting } from './config.ts';
import { accepts, choices, defaultValue, expectation, type Range, rangeAt, type ValueKind, valueKind } from './keys.ts';
import { recipeNames, recipes } from './recipes.ts';
import { type Setting, type SettingPhase, settings } from './table.ts';
import { badValue, decimalNumber, oneOf, wholeNumber } from './values.ts';

export interface Field {
  /** Its own among all fields: `lambda`; where several phases have one of the name, with the phase: `train-epochs`. */
  readonly name: string;
  readonly phase: SettingPhase;
  /** Title of the fields that it stands among. */
  readonly group: string;
  /** Where its value goes in the configuration; several where one text says several values. */
  readonly paths: readonly string[];
  readonly help: string;
  /** Of the value at the first path. */
  readonly kind: ValueKind;
  /** Of a switch, whose texts are `true` and `false`: the value that `true` sets. */
  readonly value?: boolean;
  /** The names it may take, where these are a closed list. */
  readonly choices?: readonly string[];
  /** Of a number. */
  readonly range?: Range;
  /** What a value must be, in words. */
  readonly expected: string;
  /** The value without it; absent where the key is then absent. */
  readonly default?: unknown;
  /** What that means, in words. */
  readonly usual?: string;
}

/** The settings of some phases, in the order of the table. */
export function settingsOfPhases(phases: readonly string[]): readonly Setting[] {
  return settings.filter(({ phase }) => phases.includes(phase));
}

export function findSetting(name: string): Setting {
  const found = settings.find((setting) => setting.name === name && !setting.prefixed);
  invariant(found, `no setting is called ${name}`);
  return found;
}

/** The setting's name among those of all phases. */
export function fieldName({ prefixed, phase, name }: Setting): string {
  return prefixed ? `${phase}-${name}` : name;
}

/** A setting as plain data. */
export function fieldOf(setting: Setting): Field {
  const { phase, group, paths, help, value } = setting;
  const path = paths[0]!;
  const kind = valueKind(path);
  // Names of one phase mean its settings; where the default is in words, the value behind it may depend on other
  // settings.
  const usual = setting.defaultText ?? (value === undefined ? textOf(defaultValue(path)) : undefined);
  return {
    ...{ name: fieldName(setting), phase, group, paths, help, kind },
    ...given({ value, choices: choices(path), range: rangeAt(path) }),
    expected: expectedOf(setting),
    ...given({ default: defaultValue(path), usual }),
  };
}

const textOf = (value: unknown) => (value === undefined ? undefined : String(value));

/** Every setting as a field, in the order of the table. */
export function fields(): Field[] {
  return settings.map(fieldOf);
}

/** What a value must be: "a whole number from 2 to 8". */
export function expectedOf({ expected, paths }: Setting): string {
  return expected ?? expectation(paths[0]!);
}

/**
 * Values for each path of a setting from the text that the user gave; a bad one is a UserError that begins with
 * `label`.
 */
export function parseSetting(setting: Setting, label: string, text: string): readonly unknown[] {
  if (setting.value !== undefined) {
    return [oneOf(label, ['true', 'false'])(text) === 'true' ? setting.value : !setting.value];
  }
  const path = setting.paths[0]!;
  const names = choices(path);
  if (names) return [oneOf(label, names)(text)];
  const values = setting.parse ? setting.parse(text) : [typedValue(path, text)];
  const good = values?.every((value, k) => value !== undefined && accepts(setting.paths[k]!, value));
  if (!values || !good) throw badValue(label, text, expectedOf(setting));
  return values;
}

function typedValue(path: string, text: string): unknown {
  const kind = valueKind(path);
  if (kind === 'integer') return wholeNumber(text);
  if (kind === 'number') return decimalNumber(text);
  return text.trim() === '' ? undefined : text;
}

/** Settings that a user has said one after the other, each by its values (see `parseSetting`). */
export class SaidSettings {
  input: ConfigurationInput;
  /** The lists that settings have said, by path. */
  readonly #lists = new Map<string, readonly unknown[]>();

  /** `before`: what they are said on top of. */
  constructor(before: ConfigurationInput = {}) {
    this.input = before;
  }

  say({ paths, adds }: Setting, values: readonly unknown[]): void {
    for (const [k, path] of paths.entries()) {
      const said = values[k];
      const value = adds && Array.isArray(said) ? [...(this.#lists.get(path) ?? []), ...said] : said;
      if (Array.isArray(value)) this.#lists.set(path, value);
      this.input = withSetting(this.input, path, value);
    }
  }
}

export interface FormReading {
  readonly settings: ConfigurationInput;
  /**
   * One line for each field whose text is no value of it; what the settings mean together is parseConfiguration's to
   * check.
   */
  readonly problems: Readonly<Record<string, string>>;
}

/** Settings from a form: texts by the names of fields; a field that is not there, or empty, keeps its default. */
export function readFields(texts: Readonly<Record<string, string>>): FormReading {
  const said = new SaidSettings();
  const problems: Record<string, string> = {};
  for (const name of Object.keys(texts)) {
    invariant(
      settings.some((one) => fieldName(one) === name),
      `no field is called ${name}`,
    );
  }
  for (const setting of settings) {
    const name = fieldName(setting);
    const text = texts[name] ?? '';
    if (text === '') continue;
    try {
      said.say(setting, parseSetting(setting, name, text));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      problems[name] = error.message;
    }
  }
  return { settings: said.input, problems };
}

export interface NamedChoice {
  /** As it is written: `resnet8`, `csv:FILE`. */
  readonly name: string;
  readonly summary: string;
}

/** The data sets, models and recipes that can be named, for lists to choose from. */
export function namedChoices(): Readonly<Record<'data' | 'models' | 'recipes', readonly NamedChoice[]>> {
  return {
    data: sources.map(({ usage, summary }) => ({ name: usage, summary })),
    models: models.map(({ name, description }) => ({ name, summary: description })),
    recipes: recipeNames.map((name) => ({ name, summary: recipes[name].summary })),
  };
}
