// Trials as a tree of work: what several have in common, up to the last phase with the same settings, is done once, in
// a run of its own from which they branch. Pure: it follows from the trials' settings alone, so that every process that
// works on a sweep comes to the same tree.

import { type Configuration, type ConfigurationInput, parseConfiguration, withRecipe } from '../settings/config.ts';
import { isTraining, type Phase, phaseFacts, phases, phasesOf } from '../settings/phases.ts';
import type { Trial } from './grid.ts';
import { decidedBy, type PhaseKey, phaseKeys, pick, sharedPath } from './keys.ts';

/** One run of the sweep: a trial, or the phases that several trials share. */
export interface Job {
  /** In the sweep's folder: `trials/NAME`, or `shared/PHASE-HASH`. */
  readonly path: string;
  readonly trial?: Trial;
  /** The run that it branches from. */
  readonly parent?: string;
  /** What it says beyond its parent's settings. */
  readonly settings: ConfigurationInput;
  readonly configuration: Configuration;
  /** To do, the parent's among them, which are then there. */
  readonly phases: readonly Phase[];
  /** Epochs of its own. */
  readonly epochs: Readonly<Partial<Record<Phase, number>>>;
}

interface Way {
  readonly trial: Trial;
  readonly settings: ConfigurationInput;
  readonly configuration: Configuration;
  readonly keys: readonly PhaseKey[];
}

/**
 * The trials in their order, shared work before the first that needs it: what is done when the time is over is the
 * trials that come first, and not the networks of the last ones.
 */
export function jobsOf(trials: readonly Trial[]): readonly Job[] {
  const shared = new Map<string, Job>();
  const own = new Map<string, Job>();
  branch(trials.map(wayOf), 0, undefined, shared, own);
  const withParents = (job: Job): readonly Job[] => [
    ...(job.parent === undefined ? [] : withParents(shared.get(job.parent)!)),
    job,
  ];
  return [...new Set(trials.flatMap(({ name }) => withParents(own.get(name)!)))];
}

function wayOf(trial: Trial): Way {
  const { recipe: _, ...settings } = withRecipe(trial.settings);
  const configuration = parseConfiguration(settings, `the trial ${trial.name}`);
  return { trial, settings, configuration, keys: phaseKeys(configuration) };
}

/** Work of ways that have the phases before `depth` in common, done in `parent`. */
function branch(
  ways: readonly Way[],
  depth: number,
  parent: Job | undefined,
  shared: Map<string, Job>,
  own: Map<string, Job>,
): void {
  for (const group of grouped(ways, depth).values()) {
    const [first] = group;
    if (group.length === 1) {
      own.set(first!.trial.name, trialJob(first!, parent));
      continue;
    }
    // As far as all of them go together.
    let end = depth + 1;
    while (grouped(group, end).size === 1) end++;
    const { phase } = first!.keys[end - 1]!;
    const { checkpoint, newClassifier, epochs } = first!.configuration.train;
    const isNothing = phase === 'train' && ((checkpoint !== undefined && !newClassifier) || epochs === 0);
    const job = isNothing ? parent : sharedJob(first!, end, parent);
    if (job && job !== parent) shared.set(job.path, job);
    branch(group, end, job, shared, own);
  }
}

function grouped(ways: readonly Way[], depth: number): Map<string, Way[]> {
  const groups = new Map<string, Way[]>();
  for (const way of ways) {
    const key = way.keys[depth]?.key ?? `end of ${way.trial.name}`;
    groups.set(key, [...(groups.get(key) ?? []), way]);
  }
  return groups;
}

function trialJob(way: Way, parent: Job | undefined): Job {
  return { ...jobOf(way, phases, parent), path: `trials/${way.trial.name}`, trial: way.trial };
}

function sharedJob(way: Way, end: number, parent: Job | undefined): Job {
  const toDo = way.keys.slice(0, end).map(({ phase }) => phase);
  return { ...jobOf(way, toDo, parent), path: sharedPath(way.keys[end - 1]!) };
}

function jobOf({ settings, configuration }: Way, toDo: readonly Phase[], parent: Job | undefined): Omit<Job, 'path'> {
  const done = parent?.phases ?? [];
  const isSaid = (key: string) => {
    const deciding = decidedBy(configuration, key);
    if (deciding.length === 0) return !parent;
    // Harms depend on a part of what quantisation is told, which says the whole of it.
    const isSettled = deciding.some((phase) => phase !== 'harms' && done.includes(phase));
    return deciding.some((phase) => toDo.includes(phase)) && !isSettled;
  };
  const own = phasesOf(configuration).filter((phase) => toDo.includes(phase));
  const trained = own.filter(isTraining).filter((phase) => !done.includes(phase));
  const { checkpoint, newClassifier } = configuration.train;
  const counts = trained.map((phase) => {
    const isGiven = phase === 'train' && checkpoint !== undefined && !newClassifier;
    return [phase, isGiven ? 0 : configuration[phase].epochs] as const;
  });
  return {
    ...(parent ? { parent: parent.path } : {}),
    settings: toDo.at(-1) === 'harms' ? ofHarms(pick(settings, isSaid), configuration) : pick(settings, isSaid),
    configuration,
    phases: toDo,
    epochs: Object.fromEntries(counts.filter(([, epochs]) => epochs > 0)),
  };
}

/** Without what the trials that have harms in common do not have in common: the cost need not be that of each. */
function ofHarms(settings: ConfigurationInput, configuration: Configuration): ConfigurationInput {
  const { quantize } = phaseFacts.harms.settings(configuration) as { readonly quantize: object };
  const own = pick(settings.quantize ?? {}, (key) => key in quantize || key === 'layerCost');
  return { ...settings, quantize: own };
}
