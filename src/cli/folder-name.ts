// The folder of a run that was given none: runs/<data>-<model>-seed<seed>, and behind it whatever else is not the
// default, so that commands with other settings make other runs. The name is a function of the settings alone.

import {
  type Configuration,
  type ConfigurationInput,
  parseConfiguration,
  published,
  withExactWidths,
} from '../flow/settings/config.ts';
import { namedChoices } from '../flow/settings/fields.ts';
import { isModelFile } from '../flow/settings/model-name.ts';
import { settings } from '../flow/settings/table.ts';
import { UserError } from '../tensor/errors.ts';
import { sha256 } from '../tensor/files.ts';
import { optionName } from './settings.ts';

/** Names become unwieldy beyond this; what is longer is told by a hash. */
const LONGEST = 100;
/** Of more settings not every choice is looked for. */
const MOST_PARTS = 10;

/** Settings that every name begins with, the recipe, whose name stands for itself, and how raw values are read. */
const NAMED: readonly string[] = ['data', 'model', 'seed', 'recipe', 'image', 'maximum'];

/** With the published settings as what is usual, where the user asked for them. */
export function defaultFolder(given: ConfigurationInput, isPublished = false): string {
  const configuration = parseConfiguration(given, 'settings');
  return folderName(configuration, variedParts(given, configuration, isPublished));
}

/**
 * The run that a command with `--redo` and without a folder is about: the one of its settings, or else the one that is
 * there and lacks the fewest of them. Where two are as near it is for the user to say; where there is none, a new one
 * is made.
 */
export function redoneFolder(
  given: ConfigurationInput,
  isPublished: boolean,
  isThere: (folder: string) => boolean,
): string {
  const configuration = parseConfiguration(given, 'settings');
  const parts = variedParts(given, configuration, isPublished);
  const few = parts.length <= MOST_PARTS;
  for (let left = 0; left <= parts.length; left++) {
    if (!few && left > 1 && left < parts.length) continue;
    const found = choices(parts, parts.length - left)
      .map((chosen) => folderName(configuration, chosen))
      .filter(isThere);
    if (found.length === 1) return found[0]!;
    if (found.length > 1) {
      throw new UserError(`--redo could mean ${found.slice(0, 3).join(' or ')}; name the run with --out`);
    }
  }
  return folderName(configuration, parts);
}

/** The ways to keep so many parts, in their order. */
function choices(parts: readonly string[], count: number): string[][] {
  if (count === 0) return [[]];
  return parts.flatMap((part, at) => choices(parts.slice(at + 1), count - 1).map((rest) => [part, ...rest]));
}

function folderName({ data, model, seed }: Configuration, parts: readonly string[]): string {
  const varied = parts.join('-');
  const suffix = varied.length > LONGEST ? sha256(varied).slice(0, 12) : varied;
  return `runs/${dataLabel(data)}-${fileSafe(modelLabel(model))}-seed${seed}${suffix === '' ? '' : `-${suffix}`}`;
}

function variedParts(given: ConfigurationInput, configuration: Configuration, isPublished: boolean): string[] {
  const { bits, recipe } = configuration;
  const base = recipe === undefined ? { bits } : { bits, recipe };
  const usual = parseConfiguration(isPublished ? { ...base, ...published } : base, 'settings');
  const from = [...(isPublished ? ['published'] : []), ...(recipe === undefined ? [] : [recipe])];
  return [...from, ...variations(withExactWidths(given, 'settings'), configuration, usual)];
}

/** "lambda1", "structure-per-layer": each option whose value is not the usual one. */
function variations(given: ConfigurationInput, configuration: Configuration, usual: Configuration): string[] {
  const told = new Set<string>();
  return settings.flatMap((setting) => {
    const { paths, placeholder, value } = setting;
    const compared = setting.name === 'bits' ? { ...usual, bits: { weights: 8, activations: 8 } } : usual;
    const isVaried = paths.some(
      (path) => !told.has(path) && textAt(given, path) !== '' && textAt(configuration, path) !== textAt(compared, path),
    );
    if (NAMED.includes(setting.name) || !isVaried) return [];
    const name = optionName(setting, true).slice(2);
    if (placeholder === undefined) return textAt(configuration, paths[0]!) === String(value) ? [name] : [];
    for (const path of paths) told.add(path);
    const texts = [...new Set(paths.map((path) => textAt(configuration, path)))];
    const text = fileSafe(texts.map(shortName).join('x')) || 'none';
    return [/^\d/.test(text) ? name + text : `${name}-${text}`];
  });
}

function textAt(configuration: ConfigurationInput, path: string): string {
  const at = path
    .split('.')
    .reduce<unknown>((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], configuration);
  return at === undefined ? '' : String(at);
}

/** Of a path only the file's name, without what every such file is called. */
function shortName(text: string): string {
  const base = text.split(/[/\\]/).at(-1)!;
  return base
    .replace(/\.gz$/i, '')
    .replace(/\.(safetensors|pth|pt|v|sv|blif|npy|npz|txt|csv|bin|h|onnx|[cm]?[jt]s)$/i, '');
}

/** The data set's own name: `cifar10:/data` is cifar10, `csv:/data/faces.csv.gz` is faces; a formula is all of it. */
function dataLabel(data: string): string {
  const kinds = namedChoices().data.map(({ name }) => name.split(':')[0]!);
  const kind = kinds.find((name) => data === name || data.startsWith(`${name}:`));
  if (kind !== undefined && ['digits', 'cifar10', 'cifar100'].includes(kind)) return kind;
  if (kind === 'procedural') return fileSafe(data);
  const base =
    (kind === undefined ? data : data.slice(kind.length + 1))
      .replace(/[/\\]+$/, '')
      .split(/[/\\]/)
      .at(-1) ?? '';
  return fileSafe(base.replace(/(\.csv|\.npz)?(\.gz)?$/i, '')) || kind || 'data';
}

/** Of a file of the user's own its name. */
const modelLabel = (model: string): string => (isModelFile(model) ? shortName(model) : model);

function fileSafe(text: string): string {
  return text.replace(/[^\w.-]+/g, '-').replace(/^[-.]+|-+$/g, '');
}
