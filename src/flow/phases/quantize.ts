// Phase 0: post-training calibration of all layers on one batch of training images with the MSE observer, then learned
// clipping takes over the ranges; optionally quantisation-aware training with the exact multiplier.

import { exactMultiplier } from '../../multiplier/multiplier.ts';
import { exactPower } from '../../multiplier/power.ts';
import { findBatchNorms } from '../../quant/fold.ts';
import { evaluator } from '../../train/evaluation.ts';
import { buildNetwork } from '../../train/task.ts';
import { quantizedArithmetic } from '../multipliers/multipliers.ts';
import { saveModel } from '../run/checkpoint.ts';
import { type RunContext, requirePhase } from '../run/context.ts';
import { files, inFolder } from '../run/folder.ts';
import { verifiedBytes } from '../run/manifest.ts';
import { calibrate, loadToQuantize } from './calibrate.ts';
import type { PhaseResult } from './result.ts';
import { finishTraining, resumePosition, trainPhase } from './training.ts';

/** So many batch norms are named. */
const MOST_NAMED = 8;

export async function quantize(context: RunContext): Promise<PhaseResult> {
  const { configuration, dataset, task, layers } = context;
  const { epochs, batchSize, learningRate, momentum, weightDecay, schedule } = configuration.quantize;
  const training = { epochs, batchSize, learningRate, momentum, weightDecay, schedule };
  const arithmetic = quantizedArithmetic(context, exactMultiplier);
  const float = verifiedBytes(context.folder, requirePhase(context, 'train'), files.float);
  const session = await context.backend.openSession();
  try {
    loadToQuantize(context, float, session);
    if (configuration.quantize.foldBatchNorm) noteFolding(context);
    const start = epochs > 0 ? resumePosition(context, 'quantize', session) : undefined;
    if (!start) await calibrate(context, session, arithmetic);
    if (epochs > 0) {
      await trainPhase(context, { phase: 'quantize', session, fit: { ...training, arithmetic } }, start);
    }
    const evaluate = await evaluator(session, task, arithmetic, dataset.test);
    const { loss, metrics } = await evaluate();
    await saveModel(inFolder(context, files.quantized), session, layers);
    const { weights, activations } = configuration.bits;
    return {
      files: [files.quantized],
      stages: [{ stage: 'quantized', accuracy: metrics.accuracy, loss, power: exactPower(weights, activations) }],
      finish: () => finishTraining(context),
    };
  } finally {
    await session.dispose();
  }
}

/** Names the batch norms that stay: they stand before their layer, or something else reads what lies between. */
function noteFolding({ layers, task, listener }: RunContext): void {
  const { graph } = buildNetwork(task, { kind: 'float' }, 'evaluate', 1);
  const { behind, left } = findBatchNorms(graph, new Set(layers.map(({ name }) => name)));
  const named = left.length > MOST_NAMED ? `${left.slice(0, MOST_NAMED).join(', ')}, …` : left.join(', ');
  const stay = left.length === 0 ? '' : `; ${left.length} cannot be and stay: ${named}`;
  listener({ kind: 'note', text: `batch norm folded into ${behind.size} layers${stay}` });
}
