// Phase 0: post-training calibration of all layers on one batch of training images with the MSE observer, then learned
// clipping takes over the ranges; optionally quantisation-aware training with the exact multiplier. What came with a
// quantised checkpoint is taken as it is instead.

import { noAugmentation } from '../../data/augment.ts';
import { trainingBatches } from '../../data/batches.ts';
import type { Session } from '../../engine/backend.ts';
import { exactMultiplier } from '../../multiplier/multiplier.ts';
import { exactPower } from '../../multiplier/power.ts';
import { clipLogit, type OperandName, stateName } from '../../quant/quantized.ts';
import { f32, type HostTensor, sizeOf } from '../../tensor/tensor.ts';
import { evaluator } from '../../train/evaluation.ts';
import { feedOf, writeBatch } from '../../train/feed.ts';
import { type Arithmetic, buildNetwork } from '../../train/task.ts';
import { describeQuantizers, quantizedArithmetic } from '../multipliers/multipliers.ts';
import { loadQuantizers, saveModel } from '../run/checkpoint.ts';
import { type OpenRun, type RunContext, requirePhase, sessionFrom } from '../run/context.ts';
import { files, inFolder } from '../run/folder.ts';
import { verifiedBytes } from '../run/manifest.ts';
import type { PhaseResult } from './result.ts';
import { finishTraining, resumePosition, trainPhase } from './training.ts';

export async function quantize(context: RunContext): Promise<PhaseResult> {
  const { configuration, dataset, task, layers } = context;
  const { images, range: _, layerBits: __, ...training } = configuration.quantize;
  const arithmetic = quantizedArithmetic(context, exactMultiplier);
  const session = await sessionFrom(context, 'train', files.float);
  try {
    const start = training.epochs > 0 ? resumePosition(context, 'quantize', session) : undefined;
    const given = start ? undefined : givenQuantizers(context);
    for (const [name, tensor] of given ?? []) session.write(name, tensor);
    if (!start && !given) await calibrate(context, session, arithmetic, images);
    if (training.epochs > 0) {
      await trainPhase(context, { phase: 'quantize', session, fit: { ...training, arithmetic } }, start);
    }
    const evaluate = await evaluator(session, task, arithmetic, dataset.test);
    const { loss, metrics } = await evaluate();
    await saveModel(inFolder(context, files.quantized), session, layers);
    const { weights, activations } = configuration.bits;
    return {
      files: [files.quantized],
      ...(given && training.epochs === 0 ? { from: 'checkpoint' as const } : {}),
      stages: [{ stage: 'quantized', accuracy: metrics.accuracy, loss, power: exactPower(weights, activations) }],
      finish: () => finishTraining(context),
    };
  } finally {
    await session.dispose();
  }
}

/** The quantisers that came with the network, where they are for the run's widths; they need no calibration. */
function givenQuantizers(context: RunContext): ReadonlyMap<string, HostTensor> | undefined {
  const record = requirePhase(context, 'train');
  if (record.files[files.quantizers] === undefined) return undefined;
  const path = inFolder(context, files.quantizers);
  const { states, arithmetic } = loadQuantizers(verifiedBytes(context.folder, record, files.quantizers), path);
  if (arithmetic === describeQuantizers(context)) return states;
  const text =
    'the quantisers of the checkpoint are for other operand widths or scales; the network is calibrated anew';
  context.listener({ kind: 'note', text });
  return undefined;
}

/**
 * One pass over `images` training images sets scales, zero points and ranges; the clip factors start where the search
 * ended.
 */
export async function calibrate(
  context: Pick<OpenRun, 'configuration' | 'dataset' | 'task' | 'layers'>,
  session: Session,
  arithmetic: Arithmetic,
  images: number,
): Promise<void> {
  const { configuration, dataset, task, layers } = context;
  const batchSize = Math.min(images, dataset.train.count);
  const feed = feedOf(session, task, dataset.train);
  const { graph } = buildNetwork(task, arithmetic, 'calibrate', batchSize, feed);
  const program = await session.compile(graph);
  const sample = trainingBatches(dataset, {
    seed: configuration.seed,
    epoch: 0,
    batchSize,
    augment: noAugmentation,
  });
  writeBatch(program, await feed.read(sample.next().value!, batchSize));
  await program.run();
  for (const { name } of layers) {
    for (const operand of ['weight', 'input'] as const satisfies readonly OperandName[]) {
      const factor = (await program.read(stateName(name, operand, 'clip_upper')))[0]!;
      const { shape } = await session.read(stateName(name, operand, 'scale'));
      const start = f32(shape, new Float32Array(sizeOf(shape)).fill(clipLogit(factor)));
      session.write(stateName(name, operand, 'clip_upper'), start);
      session.write(stateName(name, operand, 'clip_lower'), start);
    }
  }
  await program.dispose();
}
