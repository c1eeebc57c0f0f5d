// The folder of a run that was given none: runs/<data>-<model>-seed<seed>, and behind it whatever else is not the default, so that commands
// with other settings make other runs. The name is a function of the settings alone.

import { type Configuration, type ConfigurationInput, parseConfiguration, published } from '../flow/config.ts';
import { sha256 } from '../tensor/files.ts';
import { optionName, settings } from './settings.ts';

/** Names become unwieldy beyond this; what is longer is told by a hash. */
const LONGEST = 100;

/** With the published settings as what is usual, where the user asked for them. */
export function defaultFolder(given: ConfigurationInput, isPublished = false): string {
  const configuration = parseConfiguration(given, 'settings');
  const { data, model, seed } = configuration;
  const { bits } = configuration;
  const usual = parseConfiguration(isPublished ? { bits, ...published } : { bits }, 'settings');
  const varied = [...(isPublished ? ['published'] : []), ...variations(given, configuration, usual)].join('-');
  const suffix = varied.length > LONGEST ? sha256(varied).slice(0, 12) : varied;
  return `runs/${dataLabel(data)}-${fileSafe(model)}-seed${seed}${suffix === '' ? '' : `-${suffix}`}`;
}

/** The settings that every folder's name tells, and those that belong to them. */
export function onlyData({ data, image, maximum, model, seed }: ConfigurationInput): ConfigurationInput {
  return { data, image, maximum, model, seed };
}

/** "lambda1", "structure-per-layer": each option whose value is not the usual one. */
function variations(given: ConfigurationInput, configuration: Configuration, usual: Configuration): string[] {
  const told = new Set<string>();
  return settings.flatMap((setting) => {
    const { group, paths, placeholder, value } = setting;
    const compared = setting.name === 'bits' ? { ...usual, bits: { weights: 8, activations: 8 } } : usual;
    const isVaried = paths.some(
      (path) => !told.has(path) && textAt(given, path) !== '' && textAt(configuration, path) !== textAt(compared, path),
    );
    if (group === 'Data and model' || !isVaried) return [];
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
  return base.replace(/\.gz$/i, '').replace(/\.(safetensors|v|sv|blif|npy|npz|txt|csv|bin|h)$/i, '');
}

/** The data set's own name: `cifar10:/data` is cifar10, `csv:/data/faces.csv.gz` is faces. */
function dataLabel(data: string): string {
  const [, kind, location] = /^(?:(digits|cifar10|csv|idx)(?::|$))?(.*)$/s.exec(data) as unknown as [
    string,
    string?,
    string?,
  ];
  if (kind === 'digits' || kind === 'cifar10') return kind;
  const base =
    (location ?? '')
      .replace(/[/\\]+$/, '')
      .split(/[/\\]/)
      .at(-1) ?? '';
  return fileSafe(base.replace(/(\.csv)?(\.gz)?$/i, '')) || kind || 'data';
}

function fileSafe(text: string): string {
  return text.replace(/[^\w.-]+/g, '-').replace(/^[-.]+|-+$/g, '');
}
