// The runs and sweeps of a folder as they stand, and what changes in them while they work. It only looks: nothing in
// the folder is ever written. Folders that hold a manifest or the plan of a sweep are found below the served one,
// symbolic links are not followed, and each log has one reader, which reads what was added.
// Watching is by looking again at intervals, which works on every file system; where the system tells of changes in a
// run that works (fs.watch), the look comes at once.

import { type FSWatcher, watch } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, relative, resolve, sep } from 'node:path';
import { stagesOf } from '../flow/results/stages.ts';
import type { MetricRecord } from '../flow/run/events.ts';
import { glanceAt, LOCK_FILE } from '../flow/run/lock.ts';
import { type Manifest, readManifest } from '../flow/run/manifest.ts';
import { METRICS_FILE, metricOf } from '../flow/run/metrics.ts';
import { type Configuration, parseConfiguration } from '../flow/settings/config.ts';
import { isWhole, phasesOf } from '../flow/settings/phases.ts';
import { type Outcome, outcomeOf, readSweep, type SweepPlan, sweepFiles } from '../flow/sweep/folder.ts';
import { oneLine, UserError } from '../tensor/errors.ts';
import type { Epoch, RunList, RunRow, ServerEvent, SweepRow } from './api.ts';
import { differing, settingTexts } from './settings.ts';
import { Tail } from './tail.ts';

/** Something that is asked for and not there. */
export class NotFound extends UserError {}

/** How deep below the served folder runs are looked for, and among how many folders. */
const DEPTH = 6;
const MOST_FOLDERS = 50_000;
/** Milliseconds between two looks at the runs that work, and at everything. */
export interface Pace {
  readonly glance: number;
  readonly scan: number;
}
const usualPace: Pace = { glance: 1000, scan: 4000 };
/** Milliseconds without a heartbeat after which a run on another machine no longer counts as working. */
const PATIENCE = 20_000;
/** Folders that the system is asked to tell about, at most. */
const MOST_WATCHED = 200;

interface RunEntry {
  readonly folder: string;
  /** What the manifest's file looked like when it was read. */
  stamp: string;
  manifest: Manifest | undefined;
  row: RunRow;
  tail: Tail<MetricRecord> | undefined;
  pulse: { readonly text: string; readonly seen: number } | undefined;
  watcher: FSWatcher | undefined;
}

interface SweepEntry {
  readonly folder: string;
  readonly stamp: string;
  readonly row: SweepRow;
  /** Absent where the plan cannot be read. */
  readonly plan?: SweepPlan;
  /** How trials ended, by their names. */
  readonly ended: ReadonlyMap<string, Ending>;
}

/** `damaged`: what says how it ended cannot be read. */
type Ending = Outcome['state'] | 'damaged';

export class Library {
  /** The served folder, absolute. */
  readonly root: string;
  readonly defaults: Readonly<Record<string, string>> = settingTexts(parseConfiguration({}, 'defaults'));
  readonly #pace: Pace;
  readonly #runs = new Map<string, RunEntry>();
  readonly #sweeps = new Map<string, SweepEntry>();
  readonly #listeners = new Set<(event: ServerEvent) => void>();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #busy = new Map<string, Promise<void>>();
  #scanning: Promise<void> | undefined;

  constructor(folder: string, pace: Pace = usualPace) {
    this.root = resolve(folder);
    this.#pace = pace;
  }

  /** Looks through the folder once, and from then on watches it until `close`. */
  async open(): Promise<void> {
    await this.scan();
    const glance = () => {
      for (const [name, { row }] of this.#runs) if (row.state === 'running') void this.lookAt(name);
    };
    this.#timers.push(
      setInterval(glance, this.#pace.glance),
      setInterval(() => void this.scan(), this.#pace.scan),
    );
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    for (const entry of this.#runs.values()) entry.watcher?.close();
    this.#listeners.clear();
  }

  listen(listener: (event: ServerEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(event: ServerEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  runs(): RunList {
    return { defaults: this.defaults, runs: [...this.#runs.values()].map(({ row }) => row) };
  }

  sweeps(): SweepRow[] {
    return [...this.#sweeps.values()].map(({ row }) => row);
  }

  /** The folder of a run that was found. */
  runFolder(name: string): string {
    return this.#run(name).folder;
  }

  runRow(name: string): RunRow {
    return this.#run(name).row;
  }

  sweepFolder(name: string): string {
    const entry = this.#sweeps.get(name);
    if (!entry) throw new NotFound(`there is no sweep ${name} in the served folder`);
    return entry.folder;
  }

  hasRun(name: string): boolean {
    return this.#runs.has(name);
  }

  hasSweep(name: string): boolean {
    return this.#sweeps.has(name);
  }

  /** The manifest of a run as it stood at the last look; a UserError where it cannot be read. */
  manifest(name: string): Manifest {
    const { manifest, row } = this.#run(name);
    if (!manifest) throw new UserError(row.problem ?? `${name} cannot be read`);
    return manifest;
  }

  /** The epochs of a run, with what its log has that is none. */
  async metrics(name: string): Promise<{ readonly epochs: readonly MetricRecord[]; readonly faults: number }> {
    const entry = this.#run(name);
    await this.#follow(name, entry);
    return { epochs: entry.tail?.records ?? [], faults: entry.tail?.faults ?? 0 };
  }

  /** Looks at a run again, and tells what is new; looks at one run never overlap. */
  lookAt(name: string): Promise<void> {
    const before = this.#busy.get(name) ?? Promise.resolve();
    const look = before.then(() => this.#lookAt(name)).catch(() => {});
    this.#busy.set(name, look);
    void look.then(() => {
      if (this.#busy.get(name) === look) this.#busy.delete(name);
    });
    return look;
  }

  /** Looks through the whole folder again. */
  scan(): Promise<void> {
    this.#scanning ??= this.#scan().finally(() => {
      this.#scanning = undefined;
    });
    return this.#scanning;
  }

  #run(name: string): RunEntry {
    const entry = this.#runs.get(name);
    if (!entry) throw new NotFound(`there is no run ${name} in the served folder`);
    return entry;
  }

  #nameOf(folder: string): string {
    return relative(this.root, folder).split(sep).join('/') || '.';
  }

  async #scan(): Promise<void> {
    const found = { runs: new Map<string, string>(), sweeps: new Map<string, string>(), folders: 0 };
    await this.#walk(this.root, 0, found);
    for (const name of this.#runs.keys()) {
      if (found.runs.has(name)) continue;
      this.#runs.get(name)?.watcher?.close();
      this.#runs.delete(name);
      this.tell({ kind: 'run-gone', name });
    }
    for (const name of this.#sweeps.keys()) {
      if (found.sweeps.has(name)) continue;
      this.#sweeps.delete(name);
      this.tell({ kind: 'sweep-gone', name });
    }
    for (const [name, folder] of found.sweeps) await this.#lookAtSweep(name, folder);
    for (const [name, folder] of found.runs) {
      if (!this.#runs.has(name)) this.#runs.set(name, newEntry(folder, name));
      await this.lookAt(name);
    }
  }

  async #walk(
    folder: string,
    depth: number,
    found: { runs: Map<string, string>; sweeps: Map<string, string>; folders: number },
  ): Promise<void> {
    if (++found.folders > MOST_FOLDERS) return;
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    const isThere = (name: string) => entries.some((entry) => entry.name === name && entry.isFile());
    if (isThere('manifest.json')) {
      found.runs.set(this.#nameOf(folder), folder);
      return;
    }
    if (isThere(sweepFiles.plan)) found.sweeps.set(this.#nameOf(folder), folder);
    if (depth === DEPTH) return;
    for (const entry of entries) {
      if (!entry.isDirectory() || entry.name.startsWith('.') || entry.name === 'node_modules') continue;
      if (entry.name.endsWith('.claim')) continue;
      await this.#walk(join(folder, entry.name), depth + 1, found);
    }
  }

  async #lookAt(name: string): Promise<void> {
    const entry = this.#runs.get(name);
    if (!entry) return;
    const stamp = await stampOf(join(entry.folder, 'manifest.json'));
    const before = JSON.stringify(entry.row);
    if (stamp !== entry.stamp) {
      entry.stamp = stamp;
      this.#readAgain(name, entry);
    }
    if (entry.manifest) {
      const isRunning = this.#isRunning(entry);
      if (isRunning || entry.tail || this.#isUnfinished(entry)) await this.#follow(name, entry);
      entry.row = await this.#current(entry, isRunning);
      this.#watch(name, entry, isRunning);
    }
    if (JSON.stringify(entry.row) !== before) this.tell({ kind: 'run', run: entry.row });
  }

  #readAgain(name: string, entry: RunEntry): void {
    try {
      const manifest = readManifest(entry.folder);
      const { configuration, created } = manifest;
      entry.manifest = manifest;
      entry.row = {
        ...{ name, state: 'unfinished', data: configuration.data, model: configuration.model, created },
        changed: created,
        settings: differing(settingTexts(configuration), this.defaults),
        stages: stagesOf(manifest),
        donePhases: phasesOf(configuration).filter((phase) => manifest.phases[phase]),
        ...this.#sweepOf(name),
      };
    } catch (error) {
      entry.manifest = undefined;
      entry.row = { ...newEntry(entry.folder, name).row, problem: this.withoutPaths(error) };
    }
  }

  /** What went wrong, in one line that names nothing outside the served folder. */
  withoutPaths(error: unknown): string {
    const text = oneLine(error instanceof Error ? error.message : String(error));
    return text.replaceAll(`${this.root}${sep}`, '').replaceAll(this.root, '.');
  }

  #sweepOf(name: string): Pick<RunRow, 'sweep' | 'isShared'> {
    const parts = name.split('/');
    for (let length = parts.length - 1; length >= 0; length--) {
      const above = parts.slice(0, length).join('/') || '.';
      if (!this.#sweeps.has(above)) continue;
      return parts[length] === sweepFiles.shared ? { sweep: above, isShared: true } : { sweep: above };
    }
    return {};
  }

  #isRunning(entry: RunEntry): boolean {
    const glance = glanceAt(entry.folder);
    if (!glance) {
      entry.pulse = undefined;
      return false;
    }
    if (entry.pulse?.text !== glance.pulse) entry.pulse = { text: glance.pulse, seen: Date.now() };
    return glance.isAlive ?? Date.now() - entry.pulse!.seen < PATIENCE;
  }

  #isUnfinished({ manifest, row }: RunEntry): boolean {
    return manifest !== undefined && !isFinished(manifest, row);
  }

  /** Reads what was added to the log, and tells of it. */
  async #follow(name: string, entry: RunEntry): Promise<void> {
    entry.tail ??= new Tail(join(entry.folder, METRICS_FILE), metricOf);
    const growth = await entry.tail.look();
    if (growth) this.tell({ kind: 'epochs', name, from: growth.from, epochs: growth.records });
  }

  async #current({ row, manifest, tail, folder }: RunEntry, isRunning: boolean): Promise<RunRow> {
    const last = tail?.records.at(-1);
    const isTraining = last && manifest && !manifest.phases[last.phase];
    const { progress: _, ...rest } = row;
    const times = await Promise.all(
      [join(folder, 'manifest.json'), join(folder, METRICS_FILE)].map((path) =>
        stat(path).then(
          ({ mtimeMs }) => mtimeMs,
          () => 0,
        ),
      ),
    );
    return {
      ...rest,
      state: isRunning ? 'running' : manifest && isFinished(manifest, row) ? 'done' : 'unfinished',
      changed: new Date(Math.max(...times)).toISOString(),
      ...(isTraining
        ? { progress: { phase: last.phase, epoch: last.epoch, epochs: epochsOf(manifest.configuration, last.phase) } }
        : {}),
    };
  }

  #watch(name: string, entry: RunEntry, isRunning: boolean): void {
    if (!isRunning) {
      entry.watcher?.close();
      entry.watcher = undefined;
      return;
    }
    if (entry.watcher || [...this.#runs.values()].filter(({ watcher }) => watcher).length >= MOST_WATCHED) return;
    try {
      let isDue = false;
      const watcher = watch(entry.folder, (_, file) => {
        // The heartbeat touches the lock every second; of several changes at once one look is enough.
        if (file === LOCK_FILE || isDue) return;
        isDue = true;
        setTimeout(() => {
          isDue = false;
          void this.lookAt(name);
        }, 40);
      });
      watcher.on('error', () => watcher.close());
      entry.watcher = watcher;
    } catch {
      // No more watches are to be had: the looks at intervals are left.
    }
  }

  async #lookAtSweep(name: string, folder: string): Promise<void> {
    const stamp = await stampOf(join(folder, sweepFiles.plan));
    const old = this.#sweeps.get(name);
    let entry: SweepEntry;
    try {
      const plan = old?.plan && old.stamp === stamp ? old.plan : readSweep(folder);
      const ended = await outcomes(folder, plan, old?.ended);
      const failed = [...ended.values()].filter((state) => state === 'failed' || state === 'damaged').length;
      const row = { name, created: plan.created, trials: plan.trials.length, done: ended.size - failed, failed };
      entry = { folder, stamp, row, plan, ended };
    } catch (error) {
      const row = { ...{ name, problem: this.withoutPaths(error), created: '' }, trials: 0, done: 0, failed: 0 };
      entry = { folder, stamp, row, ended: new Map() };
    }
    this.#sweeps.set(name, entry);
    if (JSON.stringify(entry.row) !== JSON.stringify(old?.row)) this.tell({ kind: 'sweep', sweep: entry.row });
  }
}

function newEntry(folder: string, name: string): RunEntry {
  const row: RunRow = {
    ...{ name, state: 'damaged', data: '', model: '', created: '', changed: '' },
    ...{ settings: {}, stages: [], donePhases: [] },
  };
  return { folder, stamp: '', manifest: undefined, row, tail: undefined, pulse: undefined, watcher: undefined };
}

function isFinished({ configuration, phases: done }: Manifest, { name, isShared }: RunRow): boolean {
  // What trials share is named by the phase that it ends with.
  const last = isShared
    ? phasesOf(configuration).find((phase) => name.slice(name.lastIndexOf('/') + 1).startsWith(`${phase}-`))
    : undefined;
  if (last) return done[last] !== undefined;
  return isWhole(configuration, done);
}

const epochsOf = (configuration: Configuration, phase: MetricRecord['phase']): number => configuration[phase].epochs;

/** How the trials of a sweep ended; one that has ended stays so, unless what says it is gone. */
async function outcomes(
  folder: string,
  { trials }: SweepPlan,
  known: ReadonlyMap<string, Ending> = new Map(),
): Promise<ReadonlyMap<string, Ending>> {
  const there = new Set(await readdir(join(folder, sweepFiles.trials)).catch(() => []));
  const ended = new Map<string, Ending>();
  for (const { name } of trials) {
    if (!there.has(`${name}.json`)) continue;
    const before = known.get(name);
    const state = before && before !== 'damaged' ? before : endingOf(folder, name);
    if (state !== undefined) ended.set(name, state);
  }
  return ended;
}

function endingOf(folder: string, trial: string): Ending | undefined {
  try {
    return outcomeOf(folder, `${sweepFiles.trials}/${trial}`)?.state;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return 'damaged';
  }
}

async function stampOf(path: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(path);
    return `${ino} ${size} ${mtimeMs}`;
  } catch {
    return '';
  }
}

export const withoutTheta = ({ theta: _, ...epoch }: MetricRecord): Epoch => epoch;
