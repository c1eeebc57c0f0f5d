// A run: the phases in order over one folder. What is done with the same settings is skipped, what was interrupted goes
// on, what would contradict a finished phase is refused unless it is to be redone. Everything that was given is
// accepted before the folder changes, and the manifest changes only when a phase is complete.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describeData } from '../data/dataset.ts';
import type { FigureFormat } from '../report/formats.ts';
import { DivergedError, UserError } from '../tensor/errors.ts';
import { fixed, percent } from '../tensor/numbers.ts';
import { version } from '../version.ts';
import { lookAhead, requireNewFolder } from './ahead.ts';
import { openLogs } from './logs/logs.ts';
import { requireReachable } from './multipliers/targets.ts';
import { expectPhases } from './phases/expected.ts';
import { explore } from './phases/explore.ts';
import { harms } from './phases/harms.ts';
import { map } from './phases/map.ts';
import { quantize } from './phases/quantize.ts';
import { recover } from './phases/recover.ts';
import { report } from './phases/report.ts';
import type { PhaseResult } from './phases/result.ts';
import { rivals } from './phases/rivals.ts';
import { trainFloat } from './phases/train.ts';
import { devicesSoFar, requireFinite } from './phases/training.ts';
import { summarize, summaryOf } from './results/summarize.ts';
import type { RunSummary } from './results/summary.ts';
import { phasesToTake, takePhases } from './run/branch.ts';
import { devicesOfResumePoint } from './run/checkpoint.ts';
import type { Asked, RunContext } from './run/context.ts';
import { type DeviceOptions, deviceRecord, openBackend, prepareBackend } from './run/device.ts';
import type { Listener } from './run/events.ts';
import { files, inFolder, makeFolders, type RunFolder } from './run/folder.ts';
import { inputsOf, openTask } from './run/inputs.ts';
import { requireIntact } from './run/integrity.ts';
import { lockRun, type RunLock } from './run/lock.ts';
import type { Ending, LogOptions, RunLog } from './run/logs.ts';
import {
  hashFiles,
  hasManifest,
  MANIFEST_VERSION,
  type Manifest,
  type PhaseRecord,
  readManifest,
  withoutSearchedWidths,
  withSearchedWidths,
  writeManifest,
} from './run/manifest.ts';
import { type Material, namedSettings } from './run/material.ts';
import { loggedBy } from './run/metrics.ts';
import { discard, type Plan, planPhases, removeRunFile, requireOrder } from './run/plan.ts';
import { WrittenModels } from './run/written.ts';
import {
  asIfUnsaid,
  type Configuration,
  type ConfigurationInput,
  mergeSettings,
  parseConfiguration,
  withExactWidths,
} from './settings/config.ts';
import {
  isTraining,
  isView,
  type Phase,
  phaseFacts,
  phases,
  phasesBeside,
  phasesOf,
  settingsOf,
} from './settings/phases.ts';
import { idleKeys, refuseIdle, type Said, saidIn } from './settings/said.ts';

/** What a run does and where; settings, a model, data and a multiplier of your own are optional. */
export interface FlowOptions extends Material {
  /** The run folder; made when it is missing. */
  readonly folder: string;
  /**
   * Only what differs: merged over the run's own settings, or over the defaults for a new run, and checked. What is
   * there as undefined returns to its default.
   */
  readonly settings?: ConfigurationInput;
  /**
   * What of the settings was said for this call: an option that decides nothing beside the others is refused, a key of
   * a file told. Default: all of them, as keys of a file.
   */
  readonly said?: readonly Said[];
  /** Phases to do, in order; default: all. Those that the configuration does not have are left out. */
  readonly phases?: readonly Phase[];
  /**
   * Does finished phases again instead of refusing other settings: from the first that differs, and what follows it;
   * where none differs, from the first of `phases`.
   */
  readonly redo?: boolean;
  /**
   * Another run, whose finished phases with the same settings are copied instead of being done; its settings are the
   * defaults.
   */
  readonly from?: string;
  readonly device?: DeviceOptions;
  /** The forms in which the report's figures are written; default: SVG. */
  readonly figures?: readonly FigureFormat[];
  /** Logs for other programs; they decide nothing of what is trained. */
  readonly logs?: LogOptions;
  /** The command line that asks for this, kept with each phase that it does. */
  readonly command?: string;
  readonly listener?: Listener;
  /** Stops between two steps, after saving; the same call goes on from there. */
  readonly signal?: AbortSignal;
}

/** What each phase does; one that reads the folder alone (phaseFacts) asks for no more of the context than that. */
const work: Readonly<Record<Phase, (context: RunContext) => Promise<PhaseResult>>> = {
  train: trainFloat,
  harms,
  quantize,
  explore,
  map,
  recover,
  rivals,
  report,
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
  const { folder, from } = options;
  // Kept in the two words that it means: the widths stay the run's where the multiplier is taken back.
  const said = withExactWidths(namedSettings(options.settings ?? {}, options), 'settings');
  const old = hasManifest(folder) ? readManifest(folder) : undefined;
  if (!old) requireNewFolder(folder, options.phases ? options.phases[0] : phases[0]);
  const source = from === undefined ? undefined : sourceRun(from, folder);
  const given = mergeSettings((old ?? source)?.given ?? {}, said);
  const configuration = parseConfiguration(given, 'settings');
  const { said: words = saidIn(said, 'settings'), listener } = options;
  refuseIdle(words, configuration);
  for (const text of idleKeys(words, given, configuration)) listener?.({ kind: 'note', text });
  const asked = wantedPhases(options, configuration);
  if (old && asked.every((phase) => phaseFacts[phase].reads === 'folder')) {
    requireIntact(folder, old.phases);
    return await doPhases(options, discard(folder, old), asked, lock, new Map(), undefined);
  }

  if (asked.includes('explore')) requireReachable(configuration);
  const known = (old ?? source)?.inputs;
  const tell = (text: string) => options.listener?.({ kind: 'note', text: `data: ${text}` });
  await prepareBackend(options.device);
  const opened = await openTask(configuration, known, options, tell);
  const vouched = inputsOf(configuration, opened, said, old ?? source);
  const { kept, discarding }: Plan = old
    ? planPhases({ folder, old, configuration, inputs: vouched, wanted: asked, redo: options.redo ?? false })
    : { kept: {}, discarding: undefined };
  requireIntact(folder, kept);
  const taken = source && from !== undefined ? phasesToTake(from, source, configuration, vouched, kept) : [];
  const done = { ...kept, ...Object.fromEntries(taken.map((phase) => [phase, source!.phases[phase]])) };
  const wanted = asked.filter((phase) => phasesBeside(configuration, done).includes(phase));
  requireOrder(folder, configuration, wanted, done);
  const toDo = wanted.filter((phase) => !done[phase] || isView(phase));
  const inputs = inputsOf(configuration, opened, said, old ?? source, toDo);
  const emulation = options.device?.emulation ?? 'auto';
  const note = (text: string) => options.listener?.({ kind: 'note', text });
  const backend = await openBackend(options.device, { tell: note, signal: options.signal });
  try {
    const { device } = backend;
    if (device.replicas > 1) note(`device: ${device.description}; each batch is split among them`);
    const accepted = await lookAhead({ folder, configuration, opened, inputs, toDo, emulation, device, done });
    makeFolders(folder);
    const { discarding: unfinished, ...before } = old ?? newManifest();
    let manifest: Manifest = { ...before, given, configuration, inputs, phases: kept };
    const leftovers = [unfinished, discarding].filter((part) => part !== undefined);
    if (leftovers.length > 0) {
      const begin = phases.find((phase) => leftovers.some((part) => part.from === phase))!;
      manifest = { ...manifest, discarding: { from: begin, files: leftovers.flatMap((part) => part.files) } };
    }
    writeManifest(folder, manifest);
    manifest = discard(folder, manifest);
    if (source && from !== undefined) manifest = takePhases(folder, manifest, from, source, taken);
    const { dataset, task, layers } = opened;
    const recompute = options.device?.recompute ?? false;
    const run = { dataset, task, layers, backend, emulation, recompute, written: new WrittenModels(folder) };
    const begun = { ...run, ...accepted, folder, manifest, configuration: withSearchedWidths(manifest) };
    expectPhases(begun, toDo);
    // A device that prepares what comes may have to hear from others.
    await setImmediate();
    const skips = new Map(taken.filter((phase) => !kept[phase]).map((phase) => [phase, `taken from ${from}`]));
    return await doPhases(options, manifest, wanted, lock, skips, { ...run, ...accepted });
  } finally {
    await backend.close?.();
  }
}

type Opened = Omit<RunContext, keyof RunFolder | keyof Asked>;

/** Those of the phases wanted that are not done; `opened` may be missing where all of them read the folder alone. */
async function doPhases(
  options: FlowOptions,
  begun: Manifest,
  wanted: readonly Phase[],
  lock: RunLock,
  skips: ReadonlyMap<Phase, string>,
  opened: Opened | undefined,
): Promise<RunSummary> {
  const { folder, listener = () => {}, signal } = options;
  let manifest = begun;
  if (opened) {
    for (const text of [describeData(opened.dataset), ...opened.dataset.notes]) {
      listener({ kind: 'note', text: `data: ${text}` });
    }
  }
  const logs = await openLogs(options.logs, { folder, manifest, listener });
  let ending: Ending = 'failed';
  let last: Phase | undefined;
  try {
    for (const [at, phase] of wanted.entries()) {
      const isDone = (one: Phase) => manifest.phases[one] !== undefined && !isView(one);
      if (isDone(phase)) {
        listener({ kind: 'phase-skip', phase, reason: skips.get(phase) ?? 'done with these settings' });
        continue;
      }
      const toCome = wanted.slice(at + 1).filter((one) => !isDone(one));
      manifest = await doPhase(options, manifest, { phase, toCome }, lock, logs, opened);
      last = phase;
      signal?.throwIfAborted();
    }
    ending = 'done';
  } catch (error) {
    if (signal?.aborted) ending = 'stopped';
    throw error;
  } finally {
    await logs.close(ending);
  }
  // The report has compared the files with the manifest a moment ago, and added nothing but views.
  return last === 'report' ? summaryOf(folder, readManifest(folder)) : summarize(folder);
}

/** Does one phase; returns the manifest, as it is written then, with its record. */
async function doPhase(
  options: FlowOptions,
  before: Manifest,
  { phase, toCome }: { readonly phase: Phase; readonly toCome: readonly Phase[] },
  lock: RunLock,
  logs: RunLog,
  opened: Opened | undefined,
): Promise<Manifest> {
  const { folder, listener = () => {}, signal, figures = ['svg'], command } = options;
  const { configuration } = before;
  const place = {
    folder,
    manifest: before,
    // What decides nothing can do nothing: phases with the same settings come to the same.
    configuration: asIfUnsaid(withSearchedWidths(before)),
    listener,
    signal,
    figures,
    logs,
    toCome,
    earlierDevices: earlierDevicesOf(before, folder, phase),
  };
  const resumed = existsSync(inFolder(place, files.resume));
  listener({ kind: 'phase-start', phase, title: phaseFacts[phase].title(configuration), resumed });
  const start = performance.now();
  const result = await workThrough(phase, { ...place, ...opened! });
  requireNumbers(folder, phase, result);
  const record: PhaseRecord = {
    settings: settingsOf(withoutSearchedWidths(before), phase, before.inputs),
    files: hashFiles(folder, result.files, opened?.written),
    ...loggedBy(folder, phase),
    stages: [...result.stages],
    ...(result.from ? { from: result.from } : {}),
    ...(result.targets ? { targets: result.targets } : {}),
    ...(result.types ? { types: result.types } : {}),
    ...(result.widths ? { widths: result.widths } : {}),
    ...(result.halvedRate ? { halvedRate: result.halvedRate } : {}),
    ...(result.multipliers ? { multipliers: [...result.multipliers] } : {}),
    seconds: (performance.now() - start) / 1000,
    finished: new Date().toISOString(),
    device: deviceOf(phase, opened, options.device, place.earlierDevices),
    ...(command === undefined ? {} : { command }),
  };
  const manifest = { ...before, phases: { ...before.phases, [phase]: record } };
  lock.check();
  writeManifest(folder, manifest);
  for (const path of Object.keys(before.phases[phase]?.files ?? {})) {
    if (record.files[path] === undefined) removeRunFile(folder, path);
  }
  result.finish?.();
  await logs.done(manifest, phase);
  listener({ kind: 'phase-end', phase, summary: phaseSummary(result) });
  return manifest;
}

/**
 * Does the work of a phase. Training that diverged, from a network that was none the worse for wear, begins anew with
 * half the learning rate, once. A run that is stopped in between does both again, to the same bits: the resume point of
 * the second is for other settings than those of the first.
 */
async function workThrough(
  phase: Phase,
  context: RunContext,
): Promise<PhaseResult & { readonly halvedRate?: number | undefined }> {
  try {
    return await work[phase](context);
  } catch (error) {
    if (!(error instanceof DivergedError) || !isTraining(phase) || phase === 'train') throw error;
    const { configuration, listener } = context;
    const halvedRate = configuration[phase].learningRate / 2;
    const text = `${phase} diverged: ${error.message}; it begins anew with half of it, ${halvedRate}`;
    listener({ kind: 'note', text });
    const halved = { ...configuration, [phase]: { ...configuration[phase], learningRate: halvedRate } };
    const result = await work[phase]({ ...context, configuration: halved }).catch((second: unknown) => {
      if (!(second instanceof DivergedError)) throw second;
      throw new DivergedError(
        `${phase} diverged at the learning rate ${2 * halvedRate} and at half of it: ${second.message}: --${phase}-learning-rate; where the network is broken before training, by few bits or a coarse multiplier, more bits help more`,
      );
    });
    return { ...result, halvedRate };
  }
}

/** What a phase computed with: a view of the folder nothing, and only training computes activations again. */
function deviceOf(
  phase: Phase,
  opened: Opened | undefined,
  options: DeviceOptions = {},
  earlierDevices: readonly number[] = [],
): PhaseRecord['device'] {
  if (!opened || phaseFacts[phase].reads === 'folder') return { name: 'none', detail: 'nothing was computed' };
  const record = deviceRecord(opened.backend, { ...options, recompute: opened.recompute && isTraining(phase) });
  const parts = devicesSoFar({ earlierDevices, backend: opened.backend });
  if (parts.length === 1) return record;
  return { ...record, detail: `${record.detail}; on ${parts.join(', then ')} devices`, parts };
}

/** Of a training phase that goes on from a resume point. */
function earlierDevicesOf(manifest: Manifest, folder: string, phase: Phase): readonly number[] {
  const path = inFolder({ folder }, files.resume);
  if (!isTraining(phase) || !existsSync(path)) return [];
  return devicesOfResumePoint(path, {
    phase,
    settings: settingsOf(withSearchedWidths(manifest), phase, manifest.inputs),
  });
}

function newManifest(): Pick<Manifest, 'format' | 'version' | 'program' | 'created'> & { discarding?: undefined } {
  return {
    format: 'tram-run',
    version: MANIFEST_VERSION,
    program: { tram: version, node: process.version },
    created: new Date().toISOString(),
  };
}

function sourceRun(from: string, folder: string): Manifest {
  if (resolve(from) === resolve(folder)) {
    throw new UserError(`the run to start from and the new one are the same folder, ${folder}; choose another --out`);
  }
  return readManifest(from);
}

/**
 * Those of the phases asked for that the run has, quantisation with what is measured for it; asking for none but such
 * as it has not is a mistake.
 */
function wantedPhases({ folder, phases: asked = phases }: FlowOptions, configuration: Configuration): readonly Phase[] {
  const own = phasesOf(configuration);
  const isAlone = asked.includes('quantize') && !asked.includes('harms');
  const all = isAlone
    ? asked.flatMap((phase) => (phase === 'quantize' ? (['harms', phase] as const) : [phase]))
    : asked;
  const wanted = all.filter((phase) => own.includes(phase));
  if (wanted.length > 0) return wanted;
  throw new UserError(
    `${folder} uses the multiplier ${configuration.map.multiplier}, which is measured on the quantised network: nothing is explored; tram run ${folder} --unset multiplier --redo goes back to a trained one`,
  );
}

/** A result that is not a number is not recorded, and its files do not stay. */
function requireNumbers(folder: string, phase: Phase, { stages, files: written }: PhaseResult): void {
  try {
    for (const { stage, loss, accuracy } of stages)
      requireFinite(loss + accuracy, `the test loss (${stage}) of ${phase}`);
  } catch (error) {
    for (const path of written) removeRunFile(folder, path);
    throw error;
  }
}

function phaseSummary({ stages }: PhaseResult): string {
  return stages
    .map(({ stage, accuracy, power, gateCost }) => {
      const modelled = power === undefined ? '' : ` at power ${fixed(power, 4)}`;
      const cost = gateCost === undefined ? modelled : ` at gate cost ${fixed(gateCost, 4)}`;
      return `${stage} ${percent(accuracy)}${cost}`;
    })
    .join(', ');
}
