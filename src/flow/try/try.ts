// Many multipliers in one network: each is read, measured in the quantised network of a run, and set beside exact
// multipliers of fewer bits.
// Invariants: the run is only read; each measurement is kept the moment it is finished and never made twice under the
// same facts; a multiplier that fails has its reason in the report and does not end the rest.

import { basename } from 'node:path';
import { errorMetrics, type OperandHistograms } from '../../multiplier/metrics.ts';
import { asSignedPatterns } from '../../multiplier/operands.ts';
import { exactTable, type OperandOrder } from '../../multiplier/table.ts';
import type { WeightCodeChoice } from '../../multiplier/weight-codes.ts';
import { cleanUp } from '../../netlist/cleanup.ts';
import { writeNpy } from '../../netlist/formats/npy.ts';
import { isGeneratorSpec } from '../../netlist/generators/registry.ts';
import type { Network } from '../../netlist/network.ts';
import { describeStructure } from '../../netlist/structure.ts';
import { svgToPng } from '../../report/png.ts';
import { LostDeviceError, requireWhole, UserError } from '../../tensor/errors.ts';
import { sha256, writeInside, writeJsonInside } from '../../tensor/files.ts';
import { given } from '../../tensor/given.ts';
import { version } from '../../version.ts';
import {
  type ImportedMultiplier,
  inOrder,
  type OperandBits,
  possibleOrders,
  readSource,
} from '../../workbench/import.ts';
import type { LoadOptions } from '../../workbench/load.ts';
import { synthesisedPower, Technology, type TechnologyOptions } from '../../workbench/synthesised-power.ts';
import { synthesisedExact } from '../multipliers/synthesised.ts';
import { exactMultiplierOf, narrowerWidths, widthName } from '../multipliers/widths.ts';
import { tryFolder } from '../results/tried.ts';
import type { DeviceOptions } from '../run/device.ts';
import { lockRun } from '../run/lock.ts';
import { approximateLayers, approximateShare, exactWidths, isExact } from '../settings/layers.ts';
import type { Listener } from './events.ts';
import { requireFolder, tryFiles } from './folder.ts';
import { expandNames } from './names.ts';
import { drawable, tryPicture } from './picture.ts';
import { type FailedMultiplier, type TriedMultiplier, type TryReport, tryCsv } from './report.ts';
import { type Facts, ResultStore } from './store.ts';
import {
  type Candidate,
  expectedTrial,
  measureRun,
  openTriedRun,
  type RunOperands,
  Trial,
  type TriedRun,
} from './trial.ts';

/** What to try, in which run, and where the results go. */
export interface TryOptions {
  /** A run folder whose quantisation is done; it is only read. */
  readonly run: string;
  /**
   * Files (BLIF, Verilog, tables; .gz too), generators such as `drum:8x8`, and patterns of file names; `exact:4x5` is
   * the exact multiplier of these widths, as in `exact`.
   */
  readonly multipliers: readonly string[];
  /** Folder for the results, not inside the run; default: the run's name with `-try` behind it, beside the run. */
  readonly out?: string;
  /** Epochs of retraining with each multiplier; default 0: none. */
  readonly recover?: number;
  /** Default `both`: an asymmetric multiplier is measured in both orders, and the report says which is better. */
  readonly operandOrder?: OperandOrder | 'both';
  /** Exact multipliers to set beside them; default: fewer bits step by step (see narrowerWidths). */
  readonly exact?: readonly OperandBits[];
  /** What weights are stored as; default: as the run says (map.weightCodes). */
  readonly weightCodes?: WeightCodeChoice;
  /** How files are read; `signed` is for those that do not say. */
  readonly reading?: LoadOptions;
  /** Where the run's data are now; default: where the run or the working directory has them. */
  readonly data?: string;
  readonly device?: DeviceOptions;
  /** Synthesises each multiplier so, some seconds each; the picture is then over that power instead of gate cost. */
  readonly technology?: TechnologyOptions;
  readonly listener?: Listener;
  /** Stops between two steps; what is finished is kept, and the same call goes on from there. */
  readonly signal?: AbortSignal;
}

/**
 * Measures all of them and returns the report, which is also in the folder as JSON, CSV and a picture. Throws for what
 * concerns all.
 */
export async function tryMultipliers(options: TryOptions): Promise<TryReport> {
  const { listener = () => {}, signal } = options;
  const out = options.out ?? tryFolder(options.run);
  requireWhole('recover', options.recover ?? 0, 0);
  const run = await openTriedRun(options.run, {
    ...(options.data === undefined ? {} : { data: options.data }),
    ...(options.device ? { device: options.device } : {}),
  });
  requireFolder(out, options.run);
  const lock = await lockRun(out, { signal, onWait: (text) => listener({ kind: 'note', text }) });
  try {
    return await new Work(run, out, options).all();
  } finally {
    lock.release();
    await run.backend.close?.();
  }
}

/** A row that is to be measured. */
type Row = Omit<TriedMultiplier, 'results' | 'measured' | 'better' | 'synthesised'>;

interface PlannedTrial extends Candidate {
  readonly row: Row;
  readonly histograms: OperandHistograms | null;
  readonly network: Network | null;
}

class Work {
  readonly #run: TriedRun;
  readonly #out: string;
  readonly #options: TryOptions;
  readonly #store: ResultStore;
  readonly #listener: Listener;
  readonly #rows: TriedMultiplier[] = [];
  readonly #failed: FailedMultiplier[] = [];
  #operands: RunOperands | undefined;
  readonly #technology: Technology | undefined;

  constructor(run: TriedRun, out: string, options: TryOptions) {
    this.#run = run;
    this.#out = out;
    this.#options = options;
    this.#listener = options.listener ?? (() => {});
    this.#store = new ResultStore(out);
    this.#technology = options.technology && new Technology(options.technology);
  }

  async all(): Promise<TryReport> {
    try {
      return await this.#all();
    } finally {
      await this.#technology?.close();
    }
  }

  async #all(): Promise<TryReport> {
    const { bits } = this.#run.configuration;
    const names = this.#options.multipliers;
    const sources = expandNames(names.filter((name) => !isExact(name)));
    const narrower = await this.#exactBeside(names.filter(isExact));
    const of = 1 + sources.length + narrower.length;
    this.#operands = await measureRun(this.#run);
    let at = 0;
    await this.#exact(bits, ++at, of);
    for (const { name, reason } of sources) {
      at++;
      if (reason === undefined) await this.#attempt(name, () => this.#tried(name, at, of));
      else this.#fail(name, reason);
      this.#write(false);
    }
    for (const width of narrower) {
      const source = `exact ${widthName(width)}`;
      at++;
      await this.#attempt(source, () => this.#exact(width, at, of));
      this.#write(false);
    }
    const library = (await this.#technology?.reference())?.library;
    const report = this.#write(true, library);
    await this.#draw(report);
    return report;
  }

  /** What goes wrong with one is told and does not end the rest; being stopped does. */
  async #attempt(source: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof UserError) || error instanceof LostDeviceError) throw error;
      this.#fail(source, error.message);
    }
  }

  #fail(source: string, reason: string): void {
    this.#failed.push({ source, reason });
    this.#listener({ kind: 'failed', name: source, reason });
  }

  /** The widths of exact multipliers beside that of the run's own: those named, then those to set beside them. */
  async #exactBeside(named: readonly string[]): Promise<readonly OperandBits[]> {
    const { bits } = this.#run.configuration;
    const found: OperandBits[] = [];
    for (const name of named) {
      await this.#attempt(name, async () => {
        found.push(exactWidths(name, 'MULTIPLIERS') ?? bits);
      });
    }
    const all = [...found, ...(this.#options.exact ?? narrowerWidths(bits))];
    const others = new Map(all.map((one) => [widthName(one), one]));
    others.delete(widthName(bits));
    return [...others.values()];
  }

  async #exact(bits: OperandBits, at: number, of: number): Promise<void> {
    const { source, unitGates, gateCost } = exactMultiplierOf(bits);
    const table = exactTable(bits.weights, bits.activations);
    const row: Row = {
      name: `exact ${widthName(bits)}`,
      source,
      group: 'exact',
      form: 'netlist',
      bits,
      signed: false,
      operandOrder: null,
      unitGates,
      gateCost,
      sha256: sha256(writeNpy(table)),
      uniform: errorMetrics(table),
      notes: [],
    };
    const own = widthName(bits) === widthName(this.#run.configuration.bits);
    const histograms = own ? this.#operands!.histograms : null;
    this.#rows.push(await this.#measure({ bits, table: null, row, histograms, network: null }, at, of, true));
  }

  /** In the order asked for, or in both where that makes a difference; only the better one is retrained. */
  async #tried(source: string, at: number, of: number): Promise<void> {
    const { reading = {}, operandOrder = 'both' } = this.#options;
    const { bits } = this.#run.configuration;
    const { signed: _, ...readingGenerators } = reading;
    const read = await readSource(source, isGeneratorSpec(source) ? readingGenerators : reading);
    const orders = operandOrder === 'both' ? possibleOrders(read, bits) : [operandOrder];
    // Where none fits, the usual one says so.
    const imported = (orders.length > 0 ? orders : [undefined]).map((order) => inOrder(read, bits, order));
    const tasks = imported.map((one) => this.#taskOf(one, imported.length > 1));
    if (tasks.length === 1) {
      this.#rows.push(await this.#measure(tasks[0]!, at, of, true));
      return;
    }
    const measured: TriedMultiplier[] = [];
    for (const task of tasks) measured.push(await this.#measure(task, at, of, false));
    const best = betterOf(measured);
    for (const [k, row] of measured.entries()) {
      const better = row === best;
      const recovered = better ? await this.#recovered(tasks[k]!) : undefined;
      this.#rows.push({ ...row, better, results: { ...row.results, ...(recovered ? { recovered } : {}) } });
    }
  }

  #taskOf({ source, network, table, operandOrder, notes }: ImportedMultiplier, both: boolean): PlannedTrial {
    const { bits } = this.#run.configuration;
    const cost = network ? describeStructure(cleanUp(network)) : undefined;
    const name = shortName(source, this.#rows) + (both ? ` (${operandOrder})` : '');
    const row: Row = {
      name,
      source,
      group: 'tried',
      form: network ? 'netlist' : 'table',
      bits,
      signed: table.signed,
      operandOrder,
      unitGates: cost?.unitGateCost ?? null,
      gateCost: cost?.gateCost ?? null,
      sha256: sha256(writeNpy(table)),
      uniform: errorMetrics(table),
      notes,
    };
    const { histograms } = this.#operands!;
    return { bits, table, row, network, histograms: table.signed ? asSignedPatterns(histograms) : histograms };
  }

  async #measure(task: PlannedTrial, at: number, of: number, retrain: boolean): Promise<TriedMultiplier> {
    const { row, bits, histograms } = task;
    const { name } = row;
    this.#listener({ kind: 'begin', name, at, of });
    const table = task.table ?? exactTable(bits.weights, bits.activations);
    let untrained = this.#store.find('untrained', this.#facts(task));
    if (untrained) this.#listener({ kind: 'kept', name });
    else {
      this.#options.signal?.throwIfAborted();
      const epochs = retrain ? (this.#options.recover ?? 0) : 0;
      this.#run.backend.expect?.(expectedTrial(this.#run, { ...task, weightCodes: this.#weightCodes }, epochs));
      untrained = await this.#with(task, (trial) =>
        trial.untrained((treatment, measured) => {
          this.#listener({ kind: 'measured', name, treatment, ...measured });
          this.#options.signal?.throwIfAborted();
        }),
      );
      this.#store.keep('untrained', this.#facts(task), untrained);
    }
    const recovered = retrain ? await this.#recovered(task) : undefined;
    const { unfolded, ...results } = untrained;
    const left = unfolded.length === 0 ? [] : [`nothing takes the mean error of ${unfolded.join(', ')}`];
    const priced = await this.#synthesised(task);
    return {
      ...row,
      ...given({ synthesised: priced?.relative }),
      notes: [...row.notes, ...left, ...(priced?.problem ?? [])],
      measured: histograms ? errorMetrics(table, histograms) : null,
      results: { ...results, ...(recovered ? { recovered } : {}) },
    };
  }

  /** Its cost in cells, where that was asked for; what cannot be synthesised has none, and a note. */
  async #synthesised({ network, table, bits }: PlannedTrial) {
    if (!this.#technology) return undefined;
    if (table === null) return { relative: (await synthesisedExact(bits, this.#technology)).relative };
    if (!network) return { relative: null };
    try {
      return { relative: (await synthesisedPower(network, this.#technology)).relative };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return { relative: null, problem: [`not synthesised: ${error.message}`] };
    }
  }

  /** After retraining, where that was asked for. */
  async #recovered(task: PlannedTrial) {
    const { recover: epochs = 0, signal } = this.#options;
    if (epochs === 0) return undefined;
    const { name } = task.row;
    const { epochs: _, start: __, ...settings } = this.#run.configuration.recover;
    const facts = { ...this.#facts(task), recover: { ...settings, epochs } };
    const known = this.#store.find('recovered', facts);
    if (known) return known;
    signal?.throwIfAborted();
    const measured = await this.#with(task, async (trial) => {
      await trial.prepare();
      return trial.recover(
        epochs,
        (epoch, reached) => this.#listener({ kind: 'epoch', name, epoch, epochs, ...reached }),
        signal,
      );
    });
    this.#listener({ kind: 'measured', name, treatment: 'recovered', ...measured });
    this.#store.keep('recovered', facts, measured);
    return measured;
  }

  async #with<T>(candidate: Candidate, work: (trial: Trial) => Promise<T>): Promise<T> {
    const weightCodes = this.#weightCodes;
    const trial = await Trial.open(this.#run, { ...candidate, weightCodes }, this.#operands!);
    try {
      return await work(trial);
    } finally {
      await trial.dispose();
    }
  }

  get #weightCodes(): WeightCodeChoice {
    return this.#options.weightCodes ?? this.#run.configuration.map.weightCodes;
  }

  /** Everything that the measurements without training depend on. */
  #facts({ table, bits, row }: PlannedTrial): Facts {
    const { manifest, configuration, device } = this.#run;
    const { channelwise, approximate, exactLayers, seed, model, quantize } = configuration;
    return {
      tram: version,
      multiplier: table === null ? 'exact' : row.sha256,
      signed: row.signed,
      bits,
      network: table === null ? manifestHash(this.#run, bits) : sha256(this.#run.quantized),
      data: manifest.inputs.data.sha256,
      ...{ model, seed, channelwise, approximate, exactLayers, quantize, device: device.name },
      ...(table === null || this.#weightCodes === 'nearest' ? {} : { weightCodes: this.#weightCodes }),
    };
  }

  /** The report of what is there, written as JSON and CSV. */
  #write(complete: boolean, library?: string): TryReport {
    const { folder, configuration, device, quantized, dataset, layers } = this.#run;
    const { model, data, seed, bits, quantize } = configuration;
    const approximate = new Set(approximateLayers(configuration, layers).map(({ name }) => name));
    const exact = layers.filter(({ name }) => !approximate.has(name));
    const { products } = this.#run.manifest.inputs;
    const report: TryReport = {
      ...{ format: 'tram-try', version: 1, program: { tram: version, node: process.version } },
      run: {
        ...{ folder, model, data, seed, testImages: dataset.test.count, bits },
        exactLayers: exact.map(({ name }) => name),
        exactShare: 1 - approximateShare(configuration, { layers, products }),
        quantized: sha256(quantized),
      },
      ...given({ library }),
      ...(this.#weightCodes === 'nearest' ? {} : { weightCodes: this.#weightCodes }),
      ...{ recoverEpochs: this.#options.recover ?? 0, images: quantize.images, device },
      ...{ multipliers: [...this.#rows], failed: [...this.#failed], complete },
    };
    writeJsonInside(this.#out, tryFiles.json, report);
    writeInside(this.#out, tryFiles.csv, tryCsv(report));
    return report;
  }

  async #draw(report: TryReport): Promise<void> {
    if (drawable(report).length === 0) return;
    const svg = await tryPicture(report);
    writeInside(this.#out, tryFiles.svg, svg);
    try {
      writeInside(this.#out, tryFiles.png, await svgToPng(svg));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.#listener({ kind: 'note', text: error.message });
    }
  }
}

/** At the run's widths its quantised network, at others what post-training quantisation makes of its float model. */
function manifestHash(run: TriedRun, bits: OperandBits): string {
  return widthName(bits) === widthName(run.configuration.bits) ? sha256(run.quantized) : sha256(run.float);
}

/** The higher accuracy after the last treatment without training; the lower loss where it is the same. */
export function betterOf<T extends Pick<TriedMultiplier, 'results'>>(rows: readonly T[]): T {
  return rows.reduce((best, row) => {
    const [a, b] = [best.results.reestimated, row.results.reestimated];
    return b.accuracy > a.accuracy || (b.accuracy === a.accuracy && b.loss < a.loss) ? row : best;
  });
}

/** A generator as it is, of a file its name; the whole path where another has that name. */
function shortName(source: string, rows: readonly TriedMultiplier[]): string {
  if (isGeneratorSpec(source)) return source;
  const name = basename(source);
  return rows.some((row) => row.name.startsWith(name) && row.source !== source) ? source : name;
}
