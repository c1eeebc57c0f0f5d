// One multiplier in the quantised network of a run: measured as it is, with its mean error folded into the biases, with
// batch norm's statistics estimated anew, and after retraining. Each treatment stands on the one before it.
// Invariant: the run is only read; every file that is read is checked against the hash in its manifest.

import type { Session } from '../../engine/backend.ts';
import type { Graph } from '../../engine/graph/graph.ts';
import type { OperandHistograms } from '../../multiplier/metrics.ts';
import { exactMultiplier } from '../../multiplier/multiplier.ts';
import { sumOfOperands } from '../../multiplier/operands.ts';
import { exactTable, type ProductTable } from '../../multiplier/table.ts';
import type { WeightCodeChoice } from '../../multiplier/weight-codes.ts';
import { evaluator } from '../../train/evaluation.ts';
import type { QuantizedArithmetic } from '../../train/task.ts';
import type { OperandBits } from '../../workbench/import.ts';
import { multiplierInRun } from '../multipliers/mapped.ts';
import { type Network, quantizedArithmetic, recoveryArithmetic } from '../multipliers/multipliers.ts';
import { measureOperands, slopeOperands } from '../multipliers/operands.ts';
import { activityGraph, proveActive } from '../multipliers/proof.ts';
import { type MetCodes, writeWeightCodes } from '../multipliers/weight-codes.ts';
import { expectedTraining } from '../phases/expected.ts';
import { quantizeAfterTraining } from '../phases/post-training.ts';
import { retrain } from '../phases/retraining.ts';
import { loadModel } from '../run/checkpoint.ts';
import { type OpenRun, requirePhase } from '../run/context.ts';
import { type DeviceOptions, type DeviceRecord, deviceRecord, openBackend } from '../run/device.ts';
import { files, inFolder } from '../run/folder.ts';
import { openTask } from '../run/inputs.ts';
import { readManifest, verifiedBytes } from '../run/manifest.ts';
import { approximateLayers } from '../settings/layers.ts';
import { foldMeanErrors, type LayerOperands, measureLayers } from '../start/mean-error.ts';
import { errorChange, reestimate, startGraphs } from '../start/start.ts';
import type { Measured, Treatment } from './treatments.ts';

/** The three measurements that need no training. */
export interface Untrained {
  readonly plain: Measured;
  readonly folded: Measured;
  readonly reestimated: Measured;
  /** Layers whose mean error has nowhere to go: neither a bias nor a batch norm follows them. */
  readonly unfolded: readonly string[];
}

/** A run that is opened to try multipliers in its quantised network. */
export interface TriedRun extends OpenRun {
  readonly device: Pick<DeviceRecord, 'name' | 'detail'>;
  /** Its checkpoints. */
  readonly quantized: Uint8Array;
  readonly float: Uint8Array;
}

/**
 * Reads a run whose quantisation is done; throws a UserError for any other, and for files that are not those of the
 * run.
 */
export async function openTriedRun(
  folder: string,
  { data, device = {} }: { readonly data?: string; readonly device?: DeviceOptions } = {},
): Promise<TriedRun> {
  const manifest = readManifest(folder);
  const record = requirePhase({ manifest, folder }, 'quantize');
  const quantized = verifiedBytes(folder, record, files.quantized);
  const float = verifiedBytes(folder, requirePhase({ manifest, folder }, 'train'), files.float);
  const configuration = { ...manifest.configuration, ...(data === undefined ? {} : { data }) };
  const { dataset, task, layers } = await openTask(configuration, manifest.inputs);
  approximateLayers(configuration, layers);
  const backend = await openBackend(device);
  const { name, detail } = deviceRecord(backend, device);
  return {
    ...{ folder, manifest, configuration, dataset, task, layers, backend, quantized, float },
    device: { name, detail },
    emulation: device.emulation ?? 'auto',
    recompute: device.recompute ?? false,
  };
}

/** A multiplier for all approximate layers; null is the exact one of these widths. */
export interface Candidate {
  readonly bits: OperandBits;
  readonly table: ProductTable | null;
  /** What weights are stored as; default: as the run says. */
  readonly weightCodes?: WeightCodeChoice | undefined;
}

function arithmeticOf(run: TriedRun, { bits, table, weightCodes }: Candidate): QuantizedArithmetic {
  const multiplier = table === null ? exactMultiplier() : multiplierInRun(run, table);
  const arithmetic = quantizedArithmetic(atWidths(run, bits), () => multiplier);
  return { ...arithmetic, weightCodes: weightCodes ?? run.configuration.map.weightCodes };
}

/** The graphs that measuring a candidate compiles, and retraining with it for so many epochs. */
export function* expectedTrial(run: TriedRun, candidate: Candidate, epochs: number): Generator<Graph> {
  const arithmetic = arithmeticOf(run, candidate);
  const recover = { ...run.configuration.recover, start: 'statistics', epochs } as const;
  const tried = { ...run, configuration: { ...run.configuration, recover } };
  yield activityGraph(run.task, arithmetic).graph;
  yield* startGraphs(tried, { from: arithmetic, to: arithmetic }, 'recover');
  yield* expectedTraining(tried, 'recover', recoveryArithmetic(run.configuration, arithmetic));
}

/** The quantised network of the run, or at other widths the float model after post-training quantisation to them. */
async function sessionOf(run: TriedRun, bits: OperandBits): Promise<Session> {
  const { layers } = run;
  const session = await run.backend.openSession();
  const own = isOwn(run, bits);
  if (own) loadModel(run.quantized, inFolder(run, files.quantized), session, layers);
  else await quantizeAfterTraining({ ...run, ...atWidths(run, bits) }, run.float, session);
  return session;
}

/** The run's network with multipliers of other widths. */
function atWidths({ configuration, layers }: TriedRun, bits: OperandBits): Network {
  return { configuration: { ...configuration, bits }, layers };
}

function isOwn({ configuration }: TriedRun, { weights, activations }: OperandBits): boolean {
  return configuration.bits.weights === weights && configuration.bits.activations === activations;
}

/**
 * The operands that the run's quantised network multiplies, over its calibration images: by layer, and of all
 * approximate layers.
 */
export interface RunOperands {
  readonly layers: readonly LayerOperands[];
  readonly byLayer: MetCodes;
  readonly histograms: OperandHistograms;
}

export async function measureRun(run: TriedRun): Promise<RunOperands> {
  const { configuration, task, dataset } = run;
  const session = await sessionOf(run, configuration.bits);
  try {
    const arithmetic = quantizedArithmetic(run, exactMultiplier);
    const over = [session, task, arithmetic, dataset.train, configuration.quantize.images] as const;
    const byLayer = await measureOperands(...over);
    const approximate = approximateLayers(configuration, run.layers).map(({ name }) => byLayer.get(name)!);
    return { layers: await measureLayers(...over), byLayer, histograms: sumOfOperands(approximate) };
  } finally {
    await session.dispose();
  }
}

/** A multiplier in the network, ready to be measured; dispose of it at the end. */
export class Trial {
  readonly #run: TriedRun;
  readonly #operands: RunOperands;
  readonly #arithmetic: QuantizedArithmetic;
  readonly #session: Session;

  private constructor(run: TriedRun, candidate: Candidate, operands: RunOperands, session: Session) {
    this.#run = run;
    this.#operands = operands;
    this.#arithmetic = arithmeticOf(run, candidate);
    this.#session = session;
  }

  static async open(run: TriedRun, candidate: Candidate, operands: RunOperands): Promise<Trial> {
    const session = await sessionOf(run, candidate.bits);
    try {
      const trial = new Trial(run, candidate, operands, session);
      await writeWeightCodes(session, trial.#arithmetic, operands.byLayer);
      // What is measured is what the table says: a kernel that computes something else is found here.
      await proveActive(session, run.task, trial.#arithmetic, run.dataset.test);
      return trial;
    } catch (error) {
      await session.dispose();
      throw error;
    }
  }

  async untrained(listener: (treatment: Treatment, measured: Measured) => void): Promise<Untrained> {
    const measure = await evaluator(this.#session, this.#run.task, this.#arithmetic, this.#run.dataset.test);
    const told = async (treatment: Treatment): Promise<Measured> => {
      const { loss, metrics } = await measure();
      const measured = { accuracy: metrics.accuracy, loss };
      listener(treatment, measured);
      return measured;
    };
    const plain = await told('plain');
    const unfolded = await this.#fold();
    const folded = await told('folded');
    await this.#reestimate();
    const reestimated = await told('reestimated');
    await measure.dispose();
    return { plain, folded, reestimated, unfolded };
  }

  /** As `untrained`, without measuring. */
  async prepare(): Promise<void> {
    await this.#fold();
    await this.#reestimate();
  }

  #fold(): Promise<readonly string[]> {
    const change = { from: quantizedArithmetic(this.#run, exactMultiplier), to: this.#arithmetic };
    return foldMeanErrors(this.#session, this.#operands.layers, errorChange(this.#session, change));
  }

  async #reestimate(): Promise<void> {
    await reestimate(this.#run, this.#session, this.#arithmetic, 'recover');
  }

  /** Retrains with the settings of the run's recovery, for so many epochs. */
  async recover(
    epochs: number,
    onEpoch: (epoch: number, measured: Measured) => void,
    signal?: AbortSignal,
  ): Promise<Measured> {
    const [run, session] = [this.#run, this.#session];
    const met = await slopeOperands(run, session, this.#arithmetic);
    const arithmetic = recoveryArithmetic(run.configuration, this.#arithmetic, met);
    return retrain(run, { session, arithmetic, epochs, onEpoch, signal });
  }

  dispose(): Promise<void> {
    return this.#session.dispose();
  }
}

/** The table of a candidate: its own, or the exact products. */
export function tableOf({ bits, table }: Candidate): ProductTable {
  return table ?? exactTable(bits.weights, bits.activations);
}
