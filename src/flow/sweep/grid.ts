// From what a user varies to trials: a grid over settings of a run by the names of their options, trials that are
// listed, and their rivals, exact multipliers of fewer bits with the same training. Pure: nothing is read or written.
// Invariants: every trial is a valid run, its name tells what is varied and nothing else, and no two are the same run.

import { z } from 'zod';
import { isGeneratorSpec } from '../../netlist/generators/registry.ts';
import { UserError } from '../../tensor/errors.ts';
import { readJson, sha256 } from '../../tensor/files.ts';
import { nearestName } from '../../tensor/names.ts';
import { requireReachable } from '../multipliers/targets.ts';
import {
  type Configuration,
  type ConfigurationInput,
  describeIssues,
  mergeSettings,
  parseConfiguration,
  refuseStructures,
  withExactWidths,
  withRecipe,
} from '../settings/config.ts';
import { readingSettings, refuseContradictions } from '../settings/effects.ts';
import { fieldName, parseSetting, SaidSettings } from '../settings/fields.ts';
import { isExact, parseWidths } from '../settings/layers.ts';
import { describeIdle, type Said, saidIn } from '../settings/said.ts';
import { type Setting, settings } from '../settings/table.ts';
import { badValue } from '../settings/values.ts';
import { phaseKeys } from './keys.ts';

/** Values of one setting, by the name of its option without dashes and as they would be typed behind it. */
export interface Axis {
  readonly name: string;
  readonly values: readonly string[];
}

/** A trial that is said by itself: settings by their options' names, or as a configuration has them. */
export interface ListedTrial {
  readonly name?: string | undefined;
  readonly options?: Readonly<Record<string, string>> | undefined;
  readonly settings?: ConfigurationInput | undefined;
}

export interface GridInput {
  /** What all trials have in common. */
  readonly settings?: ConfigurationInput;
  /** What the user said of them; what decides nothing in any trial is refused. Default: none is looked at. */
  readonly said?: readonly Said[];
  /** Every combination of their values is a trial; the last varies fastest. */
  readonly over?: readonly Axis[];
  /** Each of them with every such combination; default: one that says nothing of its own. */
  readonly trials?: readonly ListedTrial[];
  /** Widths such as 4x5 of exact multipliers that are trained in the same way; default: none. */
  readonly rivals?: readonly string[];
}

export interface Trial {
  /** Of its folder. */
  readonly name: string;
  /** The same for trials that differ in their seed alone: they are one point of the front. */
  readonly point: string;
  readonly kind: 'trial' | 'rival';
  readonly settings: ConfigurationInput;
}

/** Most trials of a plan; more are a slip of a comma. */
const MOST_TRIALS = 10_000;
/** Longer names of trials are told by a hash. */
const LONGEST = 80;

/** "lambda=0.3,1,3"; values that have commas themselves are separated by semicolons. */
export function parseAxis(text: string): Axis {
  const [, name, list] = /^(?:--)?([a-z][\w-]*)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || list === undefined) {
    throw badValue('--over', text, 'an option of tram run and its values, such as lambda=0.3,1,3');
  }
  const values = list.split(list.includes(';') ? ';' : ',').map((value) => value.trim());
  if (values.includes('')) {
    throw badValue('--over', text, 'values separated by commas (by semicolons where they have commas), none empty');
  }
  return { name, values };
}

/** Rivals of a run are measured beside it; those of a sweep are trials. */
const ofTrials = settings.filter(({ paths }) => !paths.includes('rivals'));

/** The setting that `tram run` has under this name. */
function settingNamed(name: string): Setting {
  const found = ofTrials.find((setting) => fieldName(setting) === name);
  if (found) return found;
  const several = ofTrials.filter((setting) => setting.prefixed && setting.name === name).map(fieldName);
  if (several.length > 0) throw new UserError(`${name}: several phases have it; write ${several.join(', ')}`);
  const nearest = nearestName(name, ofTrials.map(fieldName));
  const question = nearest === undefined ? '' : `did you mean '${nearest}'? `;
  throw new UserError(`unknown setting to vary '${name}'; ${question}valid: the options that tram run --help lists`);
}

const said = z.union([z.string(), z.number(), z.boolean()]).transform(String);
const optionsRecord = z.record(z.string(), said);
const fileSchema = z.strictObject({
  settings: z.record(z.string(), z.unknown()).optional(),
  over: z.record(z.string(), z.array(said)).optional(),
  trials: z
    .array(
      z.strictObject({
        name: z.string().optional(),
        options: optionsRecord.optional(),
        settings: z.record(z.string(), z.unknown()).optional(),
      }),
    )
    .optional(),
  rivals: z.union([z.literal('none'), z.array(z.string())]).optional(),
});

/** A plan from a JSON file: `{ "settings": …, "over": { "lambda": [0.3, 1] }, "trials": […], "rivals": ["4x5"] }`. */
export function readGridFile(path: string): GridInput {
  const parsed = fileSchema.safeParse(readJson(path));
  if (!parsed.success) throw new UserError(`${path}: ${describeIssues(parsed.error, fileSchema)}`);
  const { settings, over, trials, rivals } = parsed.data;
  return {
    ...(settings ? { settings: settings as ConfigurationInput } : {}),
    ...(over ? { over: Object.entries(over).map(([name, values]) => ({ name, values })) } : {}),
    ...(trials ? { trials: trials as readonly ListedTrial[] } : {}),
    ...(rivals === undefined ? {} : { rivals: rivals === 'none' ? [] : rivals }),
  };
}

/** What is varied in one trial. */
interface Draft {
  readonly given?: string | undefined;
  readonly options: readonly (readonly [name: string, text: string])[];
  /** Those of them that a name does not tell, which stands for them. */
  readonly untold?: readonly string[] | undefined;
  readonly settings: ConfigurationInput;
  readonly kind: Trial['kind'];
}

/**
 * The trials of a plan, those of the first seed first, rivals before the others; a UserError where there is none, or
 * one that is no run.
 */
export function trialsOf({
  settings: common = {},
  said = [],
  over = [],
  trials = [],
  rivals = [],
}: GridInput): readonly Trial[] {
  for (const { name, values } of over) {
    if (values.length === 0) throw new UserError(`the sweep is empty: ${name} has no value`);
    if (over.filter((axis) => axis.name === name).length > 1)
      throw new UserError(`${name} is varied twice; join the two lists`);
  }
  if (over.length === 0 && trials.length === 0) {
    throw new UserError('the sweep is empty: nothing is varied; say what with --over, --config or --cheapest');
  }
  const withRivals = [common, ...trials.map((trial) => trial.settings ?? {})].find(
    (one) => (one.rivals ?? 'none') !== 'none',
  );
  if (withRivals)
    throw new UserError(
      `settings.rivals is ${withRivals.rivals}, but a sweep trains rivals as trials: say rivals beside settings`,
    );
  const listed = trials.length === 0 ? [{}] : trials;
  const count = over.reduce((product, { values }) => product * values.length, listed.length);
  if (count > MOST_TRIALS) throw new UserError(`the sweep has ${count} trials; at most ${MOST_TRIALS} were expected`);
  const drafts = listed.flatMap(({ name, options = {}, settings: own = {} }: ListedTrial) =>
    combinations(over).map((varied): Draft => {
      const untold = name === undefined ? undefined : Object.keys(options);
      return { given: name, options: [...Object.entries(options), ...varied], untold, settings: own, kind: 'trial' };
    }),
  );
  const words = wordsFor(drafts);
  const own = drafts.map((draft) => trialOf(draft, common, words));
  const configurations = own.map(({ configuration }) => configuration);
  for (const one of [...said, ...over.map(saidOver)]) refuseIdleIn(configurations, one);
  const size = drafts.length / listed.length;
  for (const { said: one, at } of saidInTrials(trials)) {
    refuseIdleIn(
      at.flatMap((trial) => configurations.slice(trial * size, (trial + 1) * size)),
      one,
    );
  }
  const all = [...own, ...rivalsOf(drafts, rivals).map((draft) => trialOf(draft, common, words))];
  return inOrderOfSeeds(distinct(all));
}

/** An axis that decides nothing makes the same runs for all of its values. */
const saidOver = ({ name }: Axis): Said => ({ label: `--over ${name}`, paths: settingNamed(name).paths });

/** What listed trials say, each with the trials that say it. */
function saidInTrials(trials: readonly ListedTrial[]): readonly { readonly said: Said; readonly at: number[] }[] {
  const found = new Map<string, { readonly said: Said; readonly at: number[] }>();
  for (const [at, { options = {}, settings: own = {} }] of trials.entries()) {
    const words = Object.keys(options).map((name) => ({ label: name, paths: settingNamed(name).paths }));
    for (const said of [...words, ...saidIn(own)]) {
      const known = found.get(said.label) ?? { said: { ...said, label: `${said.label} of trials` }, at: [] };
      known.at.push(at);
      found.set(said.label, known);
    }
  }
  return [...found.values()];
}

/** Refuses what decides nothing in any of some trials. */
function refuseIdleIn(trials: readonly Configuration[], said: Said): void {
  const idles = trials.map((configuration) => describeIdle(said, configuration));
  const [first] = idles;
  if (first !== undefined && !idles.includes(undefined)) throw new UserError(first);
}

function combinations(axes: readonly Axis[]): (readonly (readonly [string, string])[])[] {
  return axes.reduce<(readonly (readonly [string, string])[])[]>(
    (rows, { name, values }) => rows.flatMap((row) => values.map((value) => [...row, [name, value] as const])),
    [[]],
  );
}

/**
 * Settings that a rival has of its own: widths, one for all layers, the weights' zero point that suits a multiplier,
 * what is explored, and the multiplier.
 */
const isOfStructure = (name: string): boolean =>
  settingNamed(name).paths.every((path) =>
    /^((bits|explore|map)\.|quantize\.(layerCost|layerKinds|weightZero)$)/.test(path),
  );

/** What decides nothing where the multiplier is given. */
const isOfExploration = (name: string): boolean =>
  settingNamed(name).paths.every((path) => path.startsWith('explore.'));

/** An exact multiplier of each width for everything else that is varied: seeds, networks, recipes. */
function rivalsOf(drafts: readonly Draft[], widths: readonly string[]): Draft[] {
  const contexts = new Map<string, Pick<Draft, 'given' | 'options' | 'settings'>>();
  // Where listed trials differ in more than their structures, their names tell their rivals apart.
  const several = new Set(drafts.map((draft) => JSON.stringify(withoutStructure(draft.settings)))).size > 1;
  for (const { given, options, settings: own } of drafts) {
    const settings = withoutStructure(own);
    const context = { options: options.filter(([name]) => !isOfStructure(name)), settings };
    const key = JSON.stringify(context);
    if (!contexts.has(key)) contexts.set(key, { given: several ? given : undefined, ...context });
  }
  return [...contexts.values()].flatMap((context) =>
    widths.map((width) => ({
      ...context,
      options: [['multiplier', `exact:${width}`] as const, ...context.options],
      kind: 'rival' as const,
    })),
  );
}

interface Planned extends Trial {
  /** The same for trials that are the same run. */
  readonly key: string;
  readonly configuration: Configuration;
  /** As the plan names a listed trial. */
  readonly given: string | undefined;
}

function trialOf(
  { given, options, untold = [], settings: own, kind }: Draft,
  common: ConfigurationInput,
  wordsOf: (options: Draft['options']) => string[],
): Planned {
  const told = [given ?? '', ...wordsOf(options)].filter((word) => word !== '').join('-');
  const spoken = speak(options, mergeSettings(kind === 'rival' ? withoutStructure(common) : common, own));
  let settings: ConfigurationInput;
  let configuration: Configuration;
  try {
    settings = resolve(options, spoken);
    configuration = parseConfiguration(settings, 'settings');
    refuseStructures(configuration, 'settings');
    refuseContradictions(configuration, 'settings', 'map');
    if (configuration.map.multiplier === undefined) requireReachable(configuration);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`the trial ${told}: ${error.message}`);
  }
  const isGiven = configuration.map.multiplier !== undefined;
  const telling = options.filter(([name]) => !(isGiven && isOfExploration(name)));
  const label = (all: Draft['options']) => {
    const told = all.filter(([option]) => !untold.includes(option));
    return [...(given === undefined ? [] : [given]), ...wordsOf(told)].join('-');
  };
  const name = label(telling);
  const point = label(telling.filter(([option]) => option !== 'seed'));
  if (fileSafe(name) === '') throw new UserError('a trial has no name; give it one, or say what it varies');
  const key = phaseKeys(configuration).at(-1)!.key;
  return {
    name: shortened(fileSafe(name)),
    point: shortened(fileSafe(point) || 'all'),
    kind,
    settings,
    key,
    configuration,
    given: kind === 'trial' ? given : undefined,
  };
}

function withoutStructure(common: ConfigurationInput): ConfigurationInput {
  const { bits: _, explore: __, map: ___, quantize, ...rest } = common;
  if (!quantize) return rest;
  const { layerCost: ____, layerKinds: _____, ...others } = quantize;
  return { ...rest, quantize: others };
}

/** Says the options one after the other, but for the multiplier. */
function speak(options: Draft['options'], base: ConfigurationInput): SaidSettings {
  const spoken = new SaidSettings(base);
  for (const [name, text] of options) {
    const setting = settingNamed(name);
    if (name !== 'multiplier') spoken.say(setting, parseSetting(setting, name, text));
  }
  return spoken;
}

/** What was said with the multiplier; an exact one is that of the trial's widths. */
function resolve(options: Draft['options'], spoken: SaidSettings): ConfigurationInput {
  const multiplier = options.find(([name]) => name === 'multiplier')?.[1];
  if (multiplier === undefined) return withExactWidths(mergeSettings({}, spoken.input), 'settings');
  const widths = isGeneratorSpec(multiplier) ? parseWidths(multiplier.split(':')[1]!) : undefined;
  const isWide = spoken.input.bits?.weights !== undefined || spoken.input.bits?.activations !== undefined;
  if (widths && !isWide) spoken.say(settingNamed('bits'), [widths.weights, widths.activations]);
  spoken.say(settingNamed('multiplier'), [multiplier === 'trained' ? undefined : multiplier]);
  if (multiplier !== 'trained' && !isExact(multiplier)) return mergeSettings(spoken.input, {});
  // How the files beside it are read is none of its business.
  const reading = Object.fromEntries(readingSettings.map((name) => [name, undefined]));
  const said = withExactWidths(mergeSettings(spoken.input, { map: reading }), 'settings');
  const { bits, quantize } = withRecipe(said);
  if (multiplier === 'trained' || quantize?.layerCost !== undefined) return said;
  const { weights = 8, activations = 8 } = bits ?? {};
  return mergeSettings(said, { map: { multiplier: exactSource({ weights, activations }) } });
}

/**
 * Stands for the exact multiplier of these widths. Which netlist of it is the cheapest depends on what is counted: the
 * front asks for each kind of power (front.ts).
 */
export const exactSource = ({ weights, activations }: { weights: number; activations: number }): string =>
  `dadda:${weights}x${activations}`;

/** What options put into the names of these drafts: of a path its end, or all of it where another one ends so, too. */
function wordsFor(drafts: readonly Draft[]): (options: Draft['options']) => string[] {
  const texts = new Map<string, Set<string>>();
  for (const [name, text] of drafts.flatMap(({ options }) => options)) {
    const key = wordOf(name, text);
    texts.set(key, (texts.get(key) ?? new Set()).add(text));
  }
  return (options) =>
    options.map(([name, text]) => {
      const word = wordOf(name, text);
      return (texts.get(word)?.size ?? 1) > 1 ? `${name}-${fileSafe(text)}` : word;
    });
}

/** "lambda0.3", "multiplier-truncated-8x8-columns-6", "exact4x5": what one option puts into the name of a trial. */
function wordOf(name: string, text: string): string {
  const setting = settingNamed(name);
  if (setting.value !== undefined) return text === 'true' ? name : `no-${name}`;
  if (name === 'multiplier')
    return fileSafe(
      text
        .replace(/^exact:/, 'exact')
        .replace(/\.\w+$/, '')
        .replace(/^.*[/\\]/, ''),
    );
  const value = fileSafe(text.replace(/^.*[/\\]/, ''));
  return /^\d/.test(value) ? name + value : `${name}-${value}`;
}

function fileSafe(text: string): string {
  return text.replace(/[^\w.-]+/g, '-').replace(/^[-.]+|-+$/g, '');
}

const shortened = (name: string): string =>
  name.length > LONGEST ? `${name.slice(0, LONGEST - 9)}-${sha256(name).slice(0, 8)}` : name;

/**
 * Without those that are the same run as an earlier one; the names of different ones differ. Nobody lists a run under
 * two names on purpose.
 */
function distinct(all: readonly Planned[]): Trial[] {
  const runs = new Map<string, Planned>();
  for (const trial of all) {
    const known = runs.get(trial.key);
    if (!known) runs.set(trial.key, trial);
    else if (known.given && trial.given && known.given !== trial.given) {
      const both = `${known.name} and ${trial.name}`;
      throw new UserError(
        `the trials ${both} are the same run: what they say differently decides nothing; leave one of them out`,
      );
    }
  }
  const trials = [...runs.values()].map(({ key: _, configuration: __, given: ___, ...trial }): Trial => trial);
  const names = new Set<string>();
  for (const { name } of trials) {
    if (names.has(name)) throw new UserError(`two trials are called ${name}; give them other names`);
    names.add(name);
  }
  return trials;
}

/**
 * All points with the first seed, then with the second: what is there when the time is over is the whole front. Rivals
 * come before what has to beat them; they take less time, too.
 */
function inOrderOfSeeds(trials: readonly Trial[]): Trial[] {
  const seen = new Map<string, number>();
  const round = new Map(
    trials.map(({ name, point }) => {
      const before = seen.get(point) ?? 0;
      seen.set(point, before + 1);
      return [name, before];
    }),
  );
  const isTrial = ({ kind }: Trial) => Number(kind !== 'rival');
  return trials.toSorted((a, b) => round.get(a.name)! - round.get(b.name)! || isTrial(a) - isTrial(b));
}
