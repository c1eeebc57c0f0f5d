// What the table of settings means on a command line: which options a command has, how they are described, and how their texts become
// values of the configuration.

import { sources } from '../data/registry.ts';
import { type ConfigurationInput, overlay } from '../flow/settings/config.ts';
import { accepts, choices, defaultValue, expectation, valueKind } from '../flow/settings/schema.ts';
import { type Setting, settings } from '../flow/settings/table.ts';
import { badValue, decimalNumber, oneOf, wholeNumber } from '../flow/settings/values.ts';
import { models } from '../nn/models/registry.ts';
import { invariant } from '../tensor/errors.ts';
import { describeOption } from './facts.ts';

/** The settings of some phases, in the order of the table. */
export function settingsOfPhases(phases: readonly string[]): readonly Setting[] {
  return settings.filter(({ phase }) => phases.includes(phase));
}

export function findSetting(name: string): Setting {
  const found = settings.find((setting) => setting.name === name && !setting.prefixed);
  invariant(found, `no setting is called ${name}`);
  return found;
}

/** The option's name on a command; `tram run` tells the phases apart. */
export function optionName(setting: Setting, onRun: boolean): string {
  return `--${onRun && setting.prefixed ? `${setting.phase}-` : ''}${setting.name}`;
}

/** What a value must be: "a whole number from 2 to 8". */
export function expectedOf({ expected, paths }: Setting): string {
  return expected ?? expectation(paths[0]!);
}

/** Help with valid values and default: "images per step [a whole number of at least 1; default: 64]". */
export function describeSetting(setting: Setting): string {
  const { help, placeholder, paths, defaultText } = setting;
  const takesValue = placeholder !== undefined;
  const usual = takesValue ? defaultValue(paths[0]!) : undefined;
  return describeOption({
    help,
    values: takesValue ? expectedOf(setting) : undefined,
    default: defaultText ?? (usual === undefined ? undefined : String(usual)),
  });
}

/** Values for each path of a setting from the text that the user gave; a bad one is a UserError that names the option. */
export function parseSetting(setting: Setting, option: string, text: string): readonly unknown[] {
  const path = setting.paths[0]!;
  const names = choices(path);
  if (names) return [oneOf(option, names)(text)];
  const values = setting.parse ? setting.parse(text) : [typedValue(path, text)];
  const good = values?.every((value, k) => value !== undefined && accepts(setting.paths[k]!, value));
  if (!values || !good) throw badValue(option, text, expectedOf(setting));
  return values;
}

function typedValue(path: string, text: string): unknown {
  const kind = valueKind(path);
  if (kind === 'integer') return wholeNumber(text);
  if (kind === 'number') return decimalNumber(text);
  return text.trim() === '' ? undefined : text;
}

/** Sets a path such as `explore.lambda` in nested settings, to undefined for its default; returns new settings. */
export function withSetting(input: ConfigurationInput, path: string, value: unknown): ConfigurationInput {
  const nested = path.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);
  return overlay(input, nested as ConfigurationInput);
}

/** The phases' options of a name that `tram run` knows only with a prefix, such as --train-epochs and --explore-epochs. */
export function prefixedNames(name: string): string[] {
  return settings
    .filter((setting) => setting.prefixed && setting.name === name)
    .map((setting) => optionName(setting, true));
}

/** The data sets and models that can be named, for the end of a help text. */
export function namesHelp(): string {
  const list = (title: string, rows: readonly (readonly [string, string])[]) =>
    [title, ...rows.map(([name, text]) => `  ${name.padEnd(14)}${text}`)].join('\n');
  return [
    list(
      'Data sets:',
      sources.map(({ usage, summary }) => [usage, summary] as const),
    ),
    list(
      'Models:',
      models.map(({ name, description }) => [name, description] as const),
    ),
  ].join('\n\n');
}
