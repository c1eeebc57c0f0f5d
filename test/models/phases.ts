// A step of phases 0, 1 and 3 of a network, at the least size that it takes: float training, then calibrated operands
// with θ that learns, then a fixed multiplier. The approximation is proved in each layer that has it, forward and in
// the gradients, against the multiplier's table in plain arithmetic, as a run proves it before it trains
// (flow/multipliers).

import { firstExamples } from '../../src/data/batches.ts';
import { datasetOf } from '../../src/data/memory.ts';
import type { Backend } from '../../src/engine/backend.ts';
import {
  powerTerm,
  quantizedArithmetic,
  structuredArithmetic,
  writeInitialTheta,
} from '../../src/flow/multipliers/multipliers.ts';
import { proveActive } from '../../src/flow/multipliers/proof.ts';
import { proveTraining } from '../../src/flow/multipliers/training-proof.ts';
import { calibrate } from '../../src/flow/phases/calibrate.ts';
import { mergeSettings, parseConfiguration } from '../../src/flow/settings/config.ts';
import { approximateLayers, usualLayers } from '../../src/flow/settings/layers.ts';
import { publishedTraining } from '../../src/flow/settings/training.ts';
import { expandTheta } from '../../src/multiplier/structure.ts';
import type { Model } from '../../src/nn/models/model.ts';
import { fromStored, storedShape } from '../../src/nn/parameters.ts';
import { Random } from '../../src/tensor/random.ts';
import { feedOf, writeBatch } from '../../src/train/feed.ts';
import { imageTask } from '../../src/train/images.ts';
import { RATE, trainingStep } from '../../src/train/step.ts';
import { buildNetwork, multiplyingLayers } from '../../src/train/task.ts';
import { referenceTensor } from './reference.ts';

const BATCH = 2;
/**
 * Of all weights together, in the float phase: weights by formula give deep networks a sharp loss, and the first step
 * that lowers it is taken. Up the gradient none would.
 */
const STEP_LENGTHS = [1e-3, 1e-4, 1e-5, 1e-6] as const;
/** As published: a θ per column, which begins with columns removed. */
const configuration = parseConfiguration(mergeSettings(publishedTraining, { explore: { lambda: 1 } }), 'test');
/** Of the table of phase 3: the five lowest columns removed. */
const removed = Float32Array.from(expandTheta([1, 1, 1, 1, 1], 8, 8).removed);

/** Eight images of noise, in two classes. */
function imagesOf(size: number) {
  const random = new Random(7, 0);
  const images = Uint8Array.from({ length: 8 * size * size * 3 }, () => random.integer(256));
  const labels = Array.from({ length: 8 }, (_, at) => at % 2);
  const train = { images, labels };
  return datasetOf({ name: 'noise', height: size, width: size, channels: 3, train, test: train });
}

/** What a step of each phase has shown; all that must hold of it is told by `faultsOf`. */
export interface PhasesTaken {
  /** Layers that multiply, and of these the approximate ones. */
  readonly layers: number;
  readonly approximate: readonly string[];
  /** Loss before and behind a float step. */
  readonly losses: readonly [number, number];
  /** Of phases 1 and 3: the layers in which the approximation was seen, and how many the proof of a step went over. */
  readonly proofs: readonly {
    readonly active: readonly string[];
    readonly layers: number;
    readonly gradients: number;
  }[];
}

/** Takes a step of phases 0, 1 and 3 of a network with two classes, with the weights of the reference files. */
export async function takePhases(model: Model, backend: Backend): Promise<PhasesTaken> {
  // Batch norm over two images of one pixel each has no more to say than a sign.
  const dataset = imagesOf(Math.max(2 * model.minimumSize, 8));
  const task = imageTask(model, dataset);
  const layers = usualLayers(multiplyingLayers(task), model.card);
  const network = { configuration, layers, dataset, task };
  const approximate = approximateLayers(configuration, layers).map((layer) => layer.name);

  const session = await backend.openSession();
  try {
    const { parameters, multiplying } = buildNetwork(task, { kind: 'float' }, 'train', 1).layers;
    const writeWeights = () => {
      for (const { name: tensor, value } of parameters) {
        const stored = referenceTensor(tensor, storedShape(tensor, value.shape, multiplying));
        session.write(tensor, fromStored(tensor, stored, value.shape, multiplying));
      }
    };

    const feed = feedOf(session, task, dataset.train);
    const options = { task, momentum: 0.9, weightDecay: 1e-4 };
    const descent = { ...options, momentum: 0, clipGradient: 1, arithmetic: { kind: 'float' } } as const;
    const program = await session.compile(trainingStep(descent, feed, BATCH).graph);
    writeBatch(program, await feed.read(firstExamples(BATCH), BATCH));
    const lossOfStep = async () => {
      await program.run();
      return Number((await program.read('loss'))[0]);
    };
    let losses: PhasesTaken['losses'] = [Number.NaN, Number.NaN];
    for (const length of STEP_LENGTHS) {
      writeWeights();
      program.write(RATE, Float32Array.of(length));
      losses = [await lossOfStep(), await lossOfStep()];
      if (losses[1] < losses[0]) break;
    }
    await program.dispose();

    const exploring = structuredArithmetic(network);
    await calibrate(network, session, exploring);
    writeInitialTheta(session, network);
    const fit = { ...options, dataset, batchSize: BATCH, seed: 1, firstEpoch: 0 };
    const structure = { power: powerTerm(configuration, layers), learningRate: 0.1, weightDecay: 0 };
    const recovering = quantizedArithmetic(network, () => ({ kind: 'removal', removed }));
    const proofs: PhasesTaken['proofs'][number][] = [];
    for (const [arithmetic, more] of [
      [exploring, { structure }],
      [recovering, {}],
    ] as const) {
      const active = await proveActive(session, task, arithmetic, dataset.test);
      const proof = await proveTraining(session, { ...fit, ...more, arithmetic });
      const seen = active.filter(({ largestEffect }) => largestEffect > 0).map(({ layer }) => layer);
      proofs.push({ active: seen, layers: proof.layers, gradients: proof.gradients });
    }
    return { layers: multiplying.length, approximate, losses, proofs };
  } finally {
    await session.dispose();
  }
}

/** What is wrong with a step of each phase, in words; none where all is as it must be. */
export function faultsOf({ layers, approximate, losses, proofs }: PhasesTaken): string[] {
  const faults: string[] = [];
  if (approximate.length === 0) faults.push('no layer is approximate');
  if (!(losses[1] < losses[0])) faults.push(`the loss went from ${losses[0]} to ${losses[1]}`);
  proofs.forEach((proof, at) => {
    const phase = at === 0 ? 'phase 1' : 'phase 3';
    const missing = approximate.filter((layer) => !proof.active.includes(layer));
    if (missing.length > 0) faults.push(`${phase}: no approximation in ${missing.join(', ')}`);
    if (proof.active.length > approximate.length) faults.push(`${phase}: approximation in more layers than asked`);
    if (proof.layers !== layers) faults.push(`${phase}: ${proof.layers} of ${layers} layers were checked`);
    if (!(proof.gradients > 0)) faults.push(`${phase}: no gradient was checked`);
  });
  if (proofs.length !== 2) faults.push(`${proofs.length} of 2 phases were proved`);
  return faults;
}
