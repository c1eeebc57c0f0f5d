// A run: the phases in order over one folder. What is done with the same settings is skipped, what was interrupted goes on, what would
// contradict a finished phase is refused unless it is to be redone. The manifest changes only when a phase is complete.

import { existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../tensor/errors.ts';
import { version } from '../version.ts';
import { type Configuration, type ConfigurationInput, mergeSettings, parseConfiguration } from './config.ts';
import { files, inFolder, makeFolders, openTask, type RunContext, requirePhase } from './context.ts';
import { type DeviceOptions, deviceDetail, openBackend } from './device.ts';
import { type Listener, type Phase, phases } from './events.ts';
import { inputsOf } from './inputs.ts';
import { lockRun, type RunLock } from './lock.ts';
import {
  describeDifference,
  hashFiles,
  hasManifest,
  MANIFEST_VERSION,
  type Manifest,
  manifestPath,
  readManifest,
  settingsOf,
  writeManifest,
} from './manifest.ts';
import { approximateLayers } from './multipliers.ts';
import { explore } from './phases/explore.ts';
import { map } from './phases/map.ts';
import { quantize } from './phases/quantize.ts';
import { recover } from './phases/recover.ts';
import { report } from './phases/report.ts';
import type { PhaseResult } from './phases/result.ts';
import { trainFloat } from './phases/train.ts';
import { summarize } from './summarize.ts';
import type { RunSummary } from './summary.ts';

export interface FlowOptions {
  /** The run folder; made when it is missing. */
  readonly folder: string;
  /** Only what differs: merged over the run's own configuration, or over the defaults for a new run, and checked. */
  readonly settings?: ConfigurationInput;
  /** Phases to do, in order; default: all. */
  readonly phases?: readonly Phase[];
  /** Discards finished phases that have other settings, and what follows them, instead of refusing. */
  readonly redo?: boolean;
  readonly device?: DeviceOptions;
  /** The command line that asks for this, kept with each phase that it does. */
  readonly command?: string;
  readonly listener?: Listener;
  /** Stops between two steps, after saving; the same call goes on from there. */
  readonly signal?: AbortSignal;
}

const work: Record<Phase, { readonly title: string; readonly run: (context: RunContext) => Promise<PhaseResult> }> = {
  train: { title: 'train the float model', run: trainFloat },
  quantize: { title: 'quantise', run: quantize },
  explore: { title: 'explore θ and weights', run: explore },
  map: { title: 'map θ to a multiplier', run: map },
  recover: { title: 'recover accuracy', run: recover },
  report: { title: 'report', run: report },
};

/** Does the phases and returns what the run has come to. A folder in which another process works is refused. */
export async function runFlow(options: FlowOptions): Promise<RunSummary> {
  const { folder, listener, signal } = options;
  const lock = await lockRun(folder, { signal, onWait: (text) => listener?.({ kind: 'note', text }) });
  try {
    return await runLocked(options, lock);
  } finally {
    lock.release();
  }
}

async function runLocked(options: FlowOptions, lock: RunLock): Promise<RunSummary> {
  const { folder, listener = () => {}, signal } = options;
  const wanted = options.phases ?? phases;
  const old = hasManifest(folder) ? readManifest(folder) : undefined;
  if (!old) requireUsableFolder(folder, wanted[0]!);
  const settings = mergeSettings(old?.configuration ?? {}, options.settings ?? {});
  const configuration = parseConfiguration(settings, 'settings');
  refuseIdleSmoothing(options.settings ?? {}, configuration);
  const { dataset, task, layers } = openTask(configuration);
  approximateLayers(configuration, layers);
  const inputs = inputsOf(configuration, dataset, layers);
  const backend = await openBackend(options.device);

  let manifest: Manifest = old
    ? { ...old, configuration, phases: keptPhases(old, configuration, wanted, options.redo ?? false, folder) }
    : {
        format: 'tram-run',
        version: MANIFEST_VERSION,
        program: { tram: version, node: process.version },
        created: new Date().toISOString(),
        configuration,
        inputs,
        phases: {},
      };
  if (manifest.inputs.data.sha256 !== inputs.data.sha256) {
    throw new UserError(
      `the data set ${configuration.data} is not the one that ${folder} was made with (SHA-256 ${inputs.data.sha256.slice(0, 12)}…, the run's ${manifest.inputs.data.sha256.slice(0, 12)}…); use another folder`,
    );
  }
  makeFolders(folder);
  writeManifest(folder, manifest);

  for (const phase of wanted) {
    if (manifest.phases[phase] && phase !== 'report') {
      listener({ kind: 'phase-skip', phase, reason: 'done with these settings' });
      continue;
    }
    const context: RunContext = {
      ...{ folder, manifest, configuration, dataset, task, layers, backend, listener, signal },
      emulation: options.device?.emulation ?? 'auto',
    };
    const before = phases[phases.indexOf(phase) - 1];
    if (before && phase !== 'report') requirePhase(context, before);
    const resumed = existsSync(inFolder(context, files.resume));
    const begun = performance.now();
    listener({ kind: 'phase-start', phase, title: work[phase].title, resumed });
    const result = await work[phase].run(context);
    const record = {
      settings: settingsOf(configuration, phase),
      files: hashFiles(folder, result.files),
      stages: [...result.stages],
      ...(result.multipliers ? { multipliers: [...result.multipliers] } : {}),
      seconds: (performance.now() - begun) / 1000,
      finished: new Date().toISOString(),
      device: { name: backend.name, detail: deviceDetail(backend, options.device) },
      ...(options.command === undefined ? {} : { command: options.command }),
    };
    manifest = { ...manifest, phases: { ...manifest.phases, [phase]: record } };
    lock.check();
    writeManifest(folder, manifest);
    result.finish?.();
    listener({ kind: 'phase-end', phase, summary: phaseSummary(result) });
    signal?.throwIfAborted();
  }
  return summarize(folder);
}

function phaseSummary({ stages }: PhaseResult): string {
  return stages
    .map(({ stage, accuracy, power }) => {
      const cost = power === undefined ? '' : ` at power ${power.toFixed(3)}`;
      return `${stage} ${(100 * accuracy).toFixed(2)} %${cost}`;
    })
    .join(', ');
}

/** A window that was asked for but would smooth nothing is a mistake; one left over from another gradient's run is not. */
function refuseIdleSmoothing(asked: ConfigurationInput, { recover: { gradient } }: Configuration): void {
  if (!asked.recover?.smoothing || gradient === 'difference') return;
  throw new UserError(
    `settings: recover.smoothing is given, but recover.gradient is ${gradient}, which smooths nothing; choose the gradient difference or leave the smoothing out`,
  );
}

/** A folder with other things in it is not written to; a phase in the middle cannot begin a run. */
function requireUsableFolder(folder: string, first: Phase): void {
  if (first !== 'train') {
    throw new UserError(
      `${folder} is not a run folder (no ${manifestPath(folder)}); start one with tram run or tram train`,
    );
  }
  if (!existsSync(folder)) return;
  if (!statSync(folder).isDirectory()) throw new UserError(`${folder} is a file; a folder for the run was expected`);
}

/**
 * The finished phases that stay. One with other settings is an error, or with `redo` it goes, with all behind it and the resume point;
 * with `redo` the wanted phases themselves go too.
 */
function keptPhases(
  old: Manifest,
  configuration: Configuration,
  wanted: readonly Phase[],
  redo: boolean,
  folder: string,
): Manifest['phases'] {
  for (const phase of phases) {
    const record = old.phases[phase];
    if (!record || phase === 'report') continue;
    const settings = settingsOf(configuration, phase);
    const difference = describeDifference(record.settings, settings);
    if (difference === '' && !(redo && wanted.includes(phase))) continue;
    if (!redo) {
      throw new UserError(
        `the phase ${phase} of ${folder} is done with other settings (${difference}); use another --out, or --redo to discard it and what follows`,
      );
    }
    rmSync(join(folder, files.resume), { force: true });
    return Object.fromEntries(Object.entries(old.phases).slice(0, phases.indexOf(phase)));
  }
  return old.phases;
}
