// The start of a phase: what is done to a network for the multipliers that it is about to multiply with, before the
// first step. Two treatments, in this order (settings/starts.ts): the mean of what the multipliers do otherwise than
// those the network has adapted to goes into the biases (mean-error.ts), and batch norm's statistics are estimated anew
// (statistics.ts).
// Invariant: done once. Under a batch norm training takes every constant out again by itself, step by step, for it
// normalises by the batch; the running mean follows in some dozens of steps. A bias moves by its learning rate, far too
// slowly, and is moved with θ in the graph instead (following-biases.ts). So neither is repeated when θ moves.

import type { Session } from '../../engine/backend.ts';
import type { Graph } from '../../engine/graph/graph.ts';
import type { Multiplier } from '../../multiplier/multiplier.ts';
import { errorWithCodes } from '../../multiplier/weight-codes.ts';
import type { OperandWidths } from '../../multiplier/widths.ts';
import { stateName } from '../../quant/quantized.ts';
import { type QuantizedArithmetic, widthsIn } from '../../train/task.ts';
import { operandsGraph } from '../multipliers/operands.ts';
import { errorIn, storedCodes } from '../multipliers/weight-codes.ts';
import type { OpenRun } from '../run/context.ts';
import { augmentationOf } from '../settings/augmentation.ts';
import { treatmentsOf } from '../settings/starts.ts';
import { foldMeanErrors, measureLayers } from './mean-error.ts';
import { reestimateStatistics, statisticsGraph } from './statistics.ts';

/** The multipliers that a network has adapted to, and those that it is to multiply with. */
export interface ArithmeticChange {
  readonly from: QuantizedArithmetic;
  readonly to: QuantizedArithmetic;
}

/** What was done; undefined: not asked for. */
export interface StartDone {
  /** Layers whose mean error was taken out, and those with nothing that could take it. */
  readonly biases?: { readonly folded: number; readonly left: readonly string[] };
  /** Batch norms that were estimated anew, 0 in a network without any. */
  readonly statistics?: number;
}

type Treated = Pick<OpenRun, 'configuration' | 'dataset' | 'task' | 'layers'>;

/** The phases that have a start. */
export type StartingPhase = 'quantize' | 'explore' | 'recover';

/** Treats the network of a session as a phase begins; counts and estimates over the run's calibration images. */
export async function startUnder(
  run: Treated,
  session: Session,
  change: ArithmeticChange,
  phase: StartingPhase,
): Promise<StartDone> {
  const treatments = treatmentsOf(run.configuration[phase].start);
  const biases = treatments.includes('biases') ? { biases: await foldChange(run, session, change) } : {};
  const statistics = treatments.includes('statistics')
    ? { statistics: await reestimate(run, session, change.to, phase) }
    : {};
  return { ...biases, ...statistics };
}

/** The graphs that a start may compile. */
export function* startGraphs(
  run: Treated & Pick<OpenRun, 'backend'>,
  { from, to }: ArithmeticChange,
  phase: StartingPhase,
): Generator<Graph> {
  const { configuration, dataset, task } = run;
  const treatments = treatmentsOf(configuration[phase].start);
  const { images } = configuration.quantize;
  if (treatments.includes('biases')) yield operandsGraph(run, task, from, dataset.train, images).graph;
  if (!treatments.includes('statistics')) return;
  const network = statisticsGraph(run, task, to, dataset, { images, augment: augmentationOf(run, phase) });
  if (network) yield network.graph;
}

/** The operands are counted in the network that has adapted: folding keeps it near to that. */
async function foldChange(
  { configuration, dataset, task, layers }: Treated,
  session: Session,
  change: ArithmeticChange,
) {
  const changeOf = errorChange(session, change);
  const changed: string[] = [];
  for (const { name } of layers) if (await changeOf(name)) changed.push(name);
  // The biases that follow θ have it already, as those of the first θ.
  const rest = new Set(changed.filter((layer) => !change.to.following?.has(layer)));
  if (rest.size === 0) return { folded: changed.length, left: [] };
  const operands = await measureLayers(session, task, change.from, dataset.train, configuration.quantize.images);
  const left = await foldMeanErrors(session, operands, (layer) => (rest.has(layer) ? changeOf(layer) : undefined));
  return { folded: changed.length - left.length, left };
}

/**
 * E of the multiplier that a layer is to have less E of the one that it has adapted to, by codes as quantised;
 * undefined where that is 0. θ is that of the session, and so are the codes that weights are stored as.
 */
export function errorChange(
  session: Session,
  { from, to }: ArithmeticChange,
): (layer: string) => Promise<Float64Array | undefined> {
  const known = new Map<Multiplier, Float64Array>();
  const errorOf = async (multiplier: Multiplier, widths: OperandWidths): Promise<Float64Array> => {
    const found = known.get(multiplier);
    if (found) return found;
    const error = await errorIn(session, multiplier, widths);
    // Layers share multipliers, but for the exact one, which is made for each.
    if (multiplier.kind !== 'exact') known.set(multiplier, error);
    return error;
  };
  return async (layer) => {
    const [before, after] = [from.multiplierOf(layer), to.multiplierOf(layer)];
    if (before.kind === 'exact' && after.kind === 'exact') return undefined;
    const widths = widthsIn(to, layer);
    const ofLayer = async (multiplier: Multiplier, arithmetic: QuantizedArithmetic) => {
      const error = await errorOf(multiplier, widths);
      const codes = await storedCodes(session, arithmetic, layer);
      if (!codes) return error;
      const [zero] = (await session.read(stateName(layer, 'input', 'zero_point'))).data;
      return errorWithCodes(error, widths, codes, zero!);
    };
    const adapted = await ofLayer(before, from);
    const change = (await ofLayer(after, to)).map((error, pair) => error - adapted[pair]!);
    return change.some((value) => value !== 0) ? change : undefined;
  };
}

/**
 * Over so many of the images that the phase trains on, changed as there: what a batch norm takes off is a part of what
 * the network has learnt, and it learnt it of images with zeros at a side. Others, seen or not, give other statistics.
 */
export function reestimate(
  run: Pick<Treated, 'configuration' | 'dataset' | 'task'>,
  session: Session,
  arithmetic: QuantizedArithmetic,
  phase: StartingPhase,
): Promise<number> {
  const { seed, quantize } = run.configuration;
  const how = { images: quantize.images, seed, augment: augmentationOf(run, phase) };
  return reestimateStatistics(session, run.task, arithmetic, run.dataset, how);
}

/** So many layers are named. */
const MOST_NAMED = 8;

/** "the mean error of 9 layers went into their biases; the statistics of 9 batch norms were estimated anew". */
export function describeStart({ biases, statistics }: StartDone): string {
  const parts: string[] = [];
  if (biases) {
    const { folded, left } = biases;
    const named = left.length > MOST_NAMED ? [...left.slice(0, MOST_NAMED), '…'] : left;
    const stays = left.length > 0 ? `, nothing takes that of ${named.join(', ')}` : '';
    const none = folded + left.length === 0;
    parts.push(
      none ? 'no mean error to take out' : `the mean error of ${folded} layers went into their biases${stays}`,
    );
  }
  if (statistics !== undefined) {
    const anew = `the statistics of ${statistics} batch norms were estimated anew`;
    parts.push(statistics > 0 ? anew : 'no batch norm whose statistics could be estimated anew');
  }
  return parts.join('; ');
}
