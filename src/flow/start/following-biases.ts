// Biases that follow θ while it trains (quant/following-biases.ts): which layers have one, the means that it follows
// by, and how it becomes an ordinary bias when θ is final.
// Invariant: behind `foldConstants` the network is what its biases and θ alone say, as every later phase reads it.

import type { Session } from '../../engine/backend.ts';
import { removalOf } from '../../multiplier/structure.ts';
import { constantsName } from '../../quant/following-biases.ts';
import { f32 } from '../../tensor/tensor.ts';
import { buildNetwork, followedStructure, type QuantizedArithmetic, type Task } from '../../train/task.ts';
import { type Network, structuredArithmetic } from '../multipliers/multipliers.ts';
import { productsOf } from '../multipliers/products.ts';
import type { OpenRun } from '../run/context.ts';
import { measureLayers, needsBias, partialMeans } from './mean-error.ts';
import type { ArithmeticChange } from './start.ts';

/**
 * The arithmetic of phase 1 while it explores: that of its structures, with biases that follow θ where no batch norm
 * does it for them. Codes that are chosen for θ, and anew while it moves, have their own mean error, which these means
 * do not tell: there biases stay.
 */
export function exploringArithmetic(run: Network & { readonly task: Task }): QuantizedArithmetic {
  const arithmetic = structuredArithmetic(run);
  const { constants, weightCodes } = run.configuration.explore;
  if (constants === 'leave' || weightCodes === 'best') return arithmetic;
  return { ...arithmetic, following: layersWithBias(run.task, arithmetic) };
}

/** Approximated layers with one product each, as nearly all are, that goes into a bias and into no batch norm. */
function layersWithBias(task: Task, arithmetic: QuantizedArithmetic): ReadonlySet<string> {
  const { graph, layers } = buildNetwork(task, arithmetic, 'evaluate', 1);
  const products = productsOf(graph, layers.multiplying);
  const found = products.filter(({ layer, node }) => {
    const isAlone = products.every((other) => other.layer !== layer || other.node === node);
    return isAlone && arithmetic.multiplierOf(layer).kind === 'structure' && needsBias(node.outputs[0]!);
  });
  return new Set(found.map(({ layer }) => layer));
}

/** The structures of the layers whose biases follow θ. */
const followed = (arithmetic: QuantizedArithmetic) =>
  [...(arithmetic.following ?? [])].map((layer) => ({ layer, ...followedStructure(arithmetic, layer) }));

/** Lets biases stay for now, whatever θ is. */
export async function clearConstants(session: Session, arithmetic: QuantizedArithmetic): Promise<void> {
  for (const { layer, structure } of followed(arithmetic)) {
    const { shape } = await session.read(`${layer}.bias`);
    const each = structure.weightBits * structure.activationBits;
    session.write(constantsName(layer), f32([shape[0]!, each], new Float32Array(shape[0]! * each)));
  }
}

/** Measures the means that biases follow θ by, over the run's calibration images in the network that has adapted. */
export async function measureConstants(
  { configuration, dataset, task }: Pick<OpenRun, 'configuration' | 'dataset' | 'task'>,
  session: Session,
  { from, to }: ArithmeticChange,
): Promise<void> {
  const structures = new Map(followed(to).map(({ layer, structure }) => [layer, structure]));
  if (structures.size === 0) return;
  for (const operands of await measureLayers(session, task, from, dataset.train, configuration.quantize.images)) {
    const structure = structures.get(operands.layer);
    if (!structure) continue;
    const { weightBits, activationBits } = structure;
    const means = partialMeans(operands, weightBits);
    session.write(constantsName(operands.layer), f32([operands.units.length, weightBits * activationBits], means));
  }
}

/** Puts what the session's θ takes away on average into the biases for good. */
export async function foldConstants(session: Session, arithmetic: QuantizedArithmetic): Promise<void> {
  for (const { layer, theta, structure } of followed(arithmetic)) {
    const { removed } = removalOf(structure, (await session.read(theta)).data);
    const { data: means } = await session.read(constantsName(layer));
    const { shape, data } = await session.read(`${layer}.bias`);
    const folded = Float32Array.from(data, (bias, output) =>
      removed.reduce((sum, share, at) => sum + share * means[output * removed.length + at]!, bias),
    );
    session.write(`${layer}.bias`, f32(shape, folded));
  }
  await clearConstants(session, arithmetic);
}
