// Which finished phases of a run stay when it is asked for something. A phase stays while its settings and those of all
// phases before it do; with `redo`, work begins anew at the first phase that differs and no earlier. Deciding changes
// nothing: what the redone phases replace is removed by `discard`, after every input was accepted and in an order that
// a kill at any moment leaves to be finished.

import { existsSync, realpathSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { UserError } from '../../tensor/errors.ts';
import { openJsonLines, removeFile as removePath } from '../../tensor/files.ts';
import type { Configuration } from '../settings/config.ts';
import {
  commandOf,
  describeDifference,
  isView,
  type Phase,
  phases,
  phasesBeside,
  phasesOf,
  settingsOf,
} from '../settings/phases.ts';
import type { MetricRecord } from './events.ts';
import { files } from './folder.ts';
import { type Manifest, type RunInputs, writeManifest } from './manifest.ts';

export interface Plan {
  /** Records of the phases that stay. */
  readonly kept: Manifest['phases'];
  /** Where work begins anew, and the files that the phases from there on had written. */
  readonly discarding: Manifest['discarding'];
}

export interface PlanOptions {
  readonly folder: string;
  readonly old: Manifest;
  readonly configuration: Configuration;
  readonly inputs: RunInputs;
  /** The phases to do, in order. */
  readonly wanted: readonly Phase[];
  readonly redo: boolean;
}

/** A finished phase with other settings is a UserError that says how to go on, unless it is to be redone. */
export function planPhases({ folder, old, configuration, inputs, wanted, redo }: PlanOptions): Plan {
  const isWork = (phase: Phase) => !isView(phase);
  const difference = (phase: Phase) => {
    const record = old.phases[phase];
    return record ? describeDifference(record.settings, settingsOf(configuration, phase, inputs)) : '';
  };
  const differing = phasesOf(configuration).find((phase) => isWork(phase) && difference(phase) !== '');
  if (differing && !redo) {
    throw new UserError(
      `the phase ${differing} of ${folder} is done with other settings (${difference(differing)}); --redo discards it and what follows, tram run --from ${folder} --out ANOTHER keeps both`,
    );
  }
  const asked = redo ? wanted.find((phase) => isWork(phase) && old.phases[phase]) : undefined;
  const last = wanted.findLast(isWork);
  const isInReach = differing && last && phases.indexOf(differing) <= phases.indexOf(last);
  const works = wanted.some((phase) => isWork(phase) && !old.phases[phase]);
  const outdated = works ? phases.find((phase) => isView(phase) && old.phases[phase]) : undefined;
  const first = (isInReach ? differing : (asked ?? differing)) ?? outdated;
  if (!first) return { kept: old.phases, discarding: undefined };
  const stays = ([phase]: [string, unknown]) => phases.indexOf(phase as Phase) < phases.indexOf(first);
  const records = Object.entries(old.phases);
  const gone = records.filter((entry) => !stays(entry)).flatMap(([, record]) => Object.keys(record.files));
  return { kept: Object.fromEntries(records.filter(stays)), discarding: { from: first, files: gone } };
}

/** Every wanted phase must find the one before it done, or be behind it among the wanted ones. */
export function requireOrder(
  folder: string,
  configuration: Configuration,
  wanted: readonly Phase[],
  kept: Plan['kept'],
): void {
  const order = phasesBeside(configuration, kept);
  for (const phase of wanted) {
    const before = isView(phase) ? undefined : order[order.indexOf(phase) - 1];
    if (!before || kept[before] || wanted.includes(before)) continue;
    const missing = order.find((name) => !kept[name])!;
    throw new UserError(
      `the phase ${before} of ${folder} is not done with these settings; run tram ${commandOf(missing)} ${folder} first, or tram run ${folder} for all`,
    );
  }
}

/** Removes what `manifest.discarding` names, and returns the manifest without it; to be called again after a kill. */
export function discard(folder: string, manifest: Manifest): Manifest {
  const { discarding, ...rest } = manifest;
  if (!discarding) return manifest;
  const resume = isView(discarding.from) ? [] : [files.resume];
  for (const path of [...discarding.files, ...resume]) removeRunFile(folder, path);
  if (existsSync(join(folder, files.metrics))) {
    const from = phases.indexOf(discarding.from);
    openJsonLines(join(folder, files.metrics), (line) => phases.indexOf((line as MetricRecord)?.phase) < from).close();
  }
  writeManifest(folder, rest);
  return rest;
}

/** Whether a path of a manifest is one that a run writes: in its folder, or in one of the two folders there. */
export function isRunFile(path: string): boolean {
  return /^(?:(?:checkpoints|figures)\/)?[\w-][\w.-]*$/.test(path);
}

/** Removes a file of the run, and nothing outside its folder, whatever the path says or a link points to. */
export function removeRunFile(folder: string, path: string): void {
  const parent = dirname(join(folder, path));
  if (!isRunFile(path) || !existsSync(parent)) return;
  const root = realpathSync(folder);
  const real = realpathSync(parent);
  if (real === root || real.startsWith(root + sep)) removePath(join(folder, path));
}
