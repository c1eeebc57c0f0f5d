// The phases of a run as facts: their order, what decides each one's result, and how each stands to the others.
// Everything that treats one phase in another way than the rest asks here; what they do is in phases/.

import { isAbsolute } from 'node:path';
import {
  asIfUnsaid,
  type Configuration,
  type ConfigurationInput,
  configurationSchema,
  mergeSettings,
} from './config.ts';
import { isOnnxFile } from './model-name.ts';
import { publishedTraining } from './training.ts';

/** In their order. */
export const phases = ['train', 'harms', 'quantize', 'explore', 'map', 'recover', 'rivals', 'report'] as const;
export type Phase = (typeof phases)[number];

/** The phases that train for epochs: they have lines in metrics.jsonl and a resume point. */
export const trainingPhases = ['train', 'quantize', 'explore', 'recover'] as const satisfies readonly Phase[];
export type TrainingPhase = (typeof trainingPhases)[number];

export function isTraining(phase: Phase): phase is TrainingPhase {
  return (trainingPhases as readonly Phase[]).includes(phase);
}

interface PhaseFacts {
  readonly title: (configuration: Configuration) => string;
  /**
   * The part of the configuration that decides its result, beside those of the phases before it. What is idle there
   * counts as if nobody had said it (`asIfUnsaid`).
   */
  readonly settings: (configuration: Configuration) => object;
  /**
   * `once`: done behind the phase before it, and then not again while its settings stay. `always`: a view of whatever
   * is done, made anew each time that it is asked for and out of date as soon as another phase is done.
   */
  readonly done: 'once' | 'always';
  /** What it needs: the run folder alone, or also the data set and a device. */
  readonly reads: 'folder' | 'data';
}

export const phaseFacts: Readonly<Record<Phase, PhaseFacts>> = {
  train: {
    title: ({ model, train: { checkpoint, newClassifier, epochs } }) => {
      const from = checkpoint ?? (isOnnxFile(model) ? model : undefined);
      if (from === undefined) return 'train the float model';
      if (newClassifier) return `train on from ${from} with a new classifier`;
      return checkpoint === undefined && epochs > 0 ? `train on from ${from}` : `take the network from ${from}`;
    },
    // The statistics of each device are what runs had before they could go over several.
    settings: ({ model, seed, syncBatchNorm, train }) => ({
      ...{ model, seed, train },
      ...(syncBatchNorm && { syncBatchNorm }),
    }),
    ...{ done: 'once', reads: 'data' },
  },
  harms: {
    title: () => 'measure what few bits of each layer do',
    settings: ({ approximate, exactLayers, channelwise, quantize }) => ({
      // Where the usual layers are approximated, as runs had it before this was a phase.
      ...(approximate.join() === 'usual' ? {} : { approximate }),
      ...(exactLayers.length === 0 ? {} : { exactLayers }),
      channelwise,
      quantize: ofCalibration(quantize),
    }),
    ...{ done: 'once', reads: 'data' },
  },
  quantize: {
    title: () => 'quantise',
    settings: ({ bits, channelwise, quantize }) => ({ bits, channelwise, quantize }),
    ...{ done: 'once', reads: 'data' },
  },
  explore: {
    title: () => 'explore θ and weights',
    settings: ({ approximate, exactLayers, explore }) => ({ approximate, exactLayers, explore }),
    ...{ done: 'once', reads: 'data' },
  },
  map: {
    title: ({ map: { multiplier } }) =>
      multiplier === undefined ? 'map θ to a multiplier' : `measure the multiplier ${multiplier}`,
    settings: ({ approximate, exactLayers, map }) => ({ approximate, exactLayers, map }),
    ...{ done: 'once', reads: 'data' },
  },
  recover: {
    title: () => 'recover accuracy',
    settings: ({ recover }) => ({ recover }),
    ...{ done: 'once', reads: 'data' },
  },
  rivals: {
    title: ({ rivals }) =>
      `measure exact multipliers of fewer bits${rivals === 'recovered' ? ', retrained as the run’s own' : ''}`,
    settings: ({ rivals }) => ({ rivals }),
    ...{ done: 'once', reads: 'data' },
  },
  report: { title: () => 'report', settings: () => ({}), done: 'always', reads: 'folder' },
};

/** What decides the range of an operand at so many bits, and which layers have widths of their own. */
function ofCalibration(quantize: Configuration['quantize']): object {
  const { images, quantizer, weightZero, range, layerBits, observer, weightObserver, percentile, foldBatchNorm } =
    quantize;
  return { images, quantizer, weightZero, range, layerBits, observer, weightObserver, percentile, foldBatchNorm };
}

/** The command that does a phase by itself, with what it needs before it. */
export function commandOf(phase: Phase): string {
  if (phase === 'harms') return 'quantize';
  return phase === 'rivals' ? 'run' : phase;
}

/** Whether a phase is only a view of the others. */
export const isView = (phase: Phase): boolean => phaseFacts[phase].done === 'always';

/**
 * The phases that a run has: harms are measured where widths of layers are searched; a given multiplier is measured on
 * the quantised network, and no structure is explored; rivals are measured where that is asked for.
 */
export function phasesOf({ quantize, map, rivals }: Deciding): readonly Phase[] {
  const left = new Set<Phase>([
    ...(quantize.layerCost === undefined ? (['harms'] as const) : []),
    ...(map.multiplier === undefined ? [] : (['explore'] as const)),
    ...(rivals === 'none' ? (['rivals'] as const) : []),
  ]);
  return phases.filter((phase) => !left.has(phase));
}

/** By phase, what is known of each that is done. */
type Done = Readonly<Partial<Record<Phase, unknown>>>;

/**
 * The phases of a run of which some are done: harms that its quantisation is done without are none of them, since older
 * programs measured them there.
 */
export function phasesBeside(configuration: Deciding, done: Done): readonly Phase[] {
  const measuredInside = done.quantize !== undefined && done.harms === undefined;
  return phasesOf(configuration).filter((phase) => !(measuredInside && phase === 'harms'));
}

/** Whether nothing of a run is left to do; views of it aside, which any command makes. */
export const isWhole = (configuration: Deciding, done: Done): boolean =>
  phasesBeside(configuration, done).every((phase) => isView(phase) || done[phase]);

type Deciding = Pick<Configuration, 'map' | 'rivals'> & {
  readonly quantize: Pick<Configuration['quantize'], 'layerCost'>;
};

/** Epochs that the training phases before this one take: their numbers go on through the run. */
export function epochsBefore(said: Configuration, phase: TrainingPhase): number {
  const configuration = asIfUnsaid(said);
  const order = phasesOf(configuration).filter(isTraining);
  const before = order.slice(0, order.indexOf(phase));
  return before.reduce((sum, name) => sum + configuration[name].epochs, 0);
}

/** Files of a run's inputs, by what is in them. */
export interface FileInputs {
  readonly checkpoint?: { readonly sha256: string } | undefined;
  readonly multiplier?: { readonly source: string; readonly sha256: string } | undefined;
}

/**
 * What decides a phase's result, as JSON text: its own settings and those of all phases before that the run has. The
 * data set is not among them, since a run has only one; other files count with what is in them, wherever they are.
 */
export function settingsOf(configuration: Configuration, phase: Phase, inputs: FileInputs = {}): string {
  const before = phases.slice(0, phases.indexOf(phase));
  const until = [...phasesOf(configuration).filter((name) => before.includes(name)), phase];
  const decisive = withContents(asIfUnsaid(configuration), inputs);
  return JSON.stringify(Object.assign({}, ...until.map((name) => phaseFacts[name].settings(decisive))));
}

function withContents(configuration: Configuration, { checkpoint, multiplier }: FileInputs): Configuration {
  const { train, map } = configuration;
  const content = (sha256: string) => `file of SHA-256 ${sha256.slice(0, 16)}`;
  return {
    ...configuration,
    train: checkpoint ? { ...train, checkpoint: content(checkpoint.sha256) } : train,
    map: multiplier && isAbsolute(multiplier.source) ? { ...map, multiplier: content(multiplier.sha256) } : map,
  };
}

/**
 * "explore.epochs 10 instead of 3" for what differs between two settings; empty when they mean the same, in whatever
 * order and whatever idle settings say. What `done` does not say, because the program that wrote it did not have the
 * setting yet, was the default.
 */
export function describeDifference(done: string, wanted: string): string {
  const [before, after] = [done, wanted].map((settings) => flatten(withDefaults(asMeant(JSON.parse(settings))))) as [
    Map<string, string>,
    Map<string, string>,
  ];
  const keys = [...new Set([...before.keys(), ...after.keys()])].filter((key) => before.get(key) !== after.get(key));
  return keys.map((key) => `${key} ${after.get(key) ?? 'unset'} instead of ${before.get(key) ?? 'unset'}`).join(', ');
}

/** What settings do not say that the program which wrote them did not have yet: what it did, as published. */
function unsaid(settings: object): ConfigurationInput {
  const isOlder = 'exactLayers' in settings && !('approximate' in settings);
  const sections = Object.entries(publishedTraining).flatMap(([section, before]) => {
    const said: unknown = settings[section as keyof typeof settings];
    if (typeof said !== 'object' || said === null) return [];
    const missing = Object.entries(before).filter(([key]) => !(key in said));
    return missing.length === 0 ? [] : [[section, Object.fromEntries(missing)] as const];
  });
  // Until 0.2 every layer was approximated that was not named.
  return { ...(isOlder ? { approximate: ['all'] } : {}), ...Object.fromEntries(sections) };
}

/** Settings as the program meant them that wrote them. */
export function asMeant<T extends object>(settings: T): T {
  const before = unsaid(settings);
  return Object.keys(before).length === 0 ? settings : (mergeSettings(before, settings) as T);
}

/**
 * What was asked of a run and what came of it with the defaults of its time, as both are meant: a default that is
 * another one today is asked for by the settings that an older program filled in.
 */
export function askedThen(given: ConfigurationInput, configuration: object): ConfigurationInput {
  const before = unsaid(configuration);
  if (Object.keys(before).length === 0) return given;
  const meant = mergeSettings(before, configuration);
  const { grain, ...explore } = meant.explore ?? {};
  const chosen = (section: object, names: readonly string[]) =>
    Object.fromEntries(Object.entries(section).filter(([name]) => names.includes(name)));
  // With a θ per column the rest follows as it always has.
  const aim = grain === 'product' ? ['lambda', 'harden', 'powerModel'] : [];
  const filled = Object.entries(publishedTraining).map(([section, published]) => {
    const names = Object.keys(published).filter((name) => name !== 'harden' && name !== 'powerModel');
    return [section, chosen(meant[section as keyof typeof publishedTraining] ?? {}, names)] as const;
  });
  const layers = before.approximate ? { approximate: before.approximate } : {};
  const asked = mergeSettings({ ...layers, ...Object.fromEntries(filled) }, { explore: chosen(explore, aim) });
  return mergeSettings(asked, given);
}

function withDefaults(settings: Readonly<Record<string, unknown>>): unknown {
  const parsed = configurationSchema.safeParse(settings);
  if (!parsed.success) return settings;
  const meant = asIfUnsaid(parsed.data);
  return Object.fromEntries(Object.keys(settings).map((key) => [key, meant[key as keyof Configuration]]));
}

function flatten(value: unknown, path = ''): Map<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return new Map([[path, JSON.stringify(value)]]);
  return new Map(Object.entries(value).flatMap(([key, inner]) => [...flatten(inner, path ? `${path}.${key}` : key)]));
}
