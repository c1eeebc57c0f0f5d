// Phase 0: post-training calibration of all layers on one batch of training images with the MSE observer, then learned
// clipping takes over the ranges; optionally quantisation-aware training with the exact multiplier. What came with a
// quantised checkpoint is taken as it is instead.

import type { Session } from '../../engine/backend.ts';
import { exactMultiplier } from '../../multiplier/multiplier.ts';
import { findBatchNorms } from '../../quant/fold.ts';
import { stateName, statesOf } from '../../quant/quantized.ts';
import { fixed } from '../../tensor/numbers.ts';
import type { HostTensor } from '../../tensor/tensor.ts';
import { evaluator } from '../../train/evaluation.ts';
import { buildNetwork, type QuantizedArithmetic } from '../../train/task.ts';
import {
  describeQuantizers,
  foldedBatchNorms,
  networkExactPower,
  quantizedArithmetic,
} from '../multipliers/multipliers.ts';
import { loadQuantizers, saveModel } from '../run/checkpoint.ts';
import { type RunContext, requirePhase } from '../run/context.ts';
import { files, inFolder } from '../run/folder.ts';
import { verifiedBytes } from '../run/manifest.ts';
import type { StageResult } from '../run/stages.ts';
import { withLayerBits } from '../settings/layers.ts';
import { loadToQuantize } from './calibrate.ts';
import { MOST_HARM, readHarms } from './harms.ts';
import { calibrateToBear } from './ranges.ts';
import type { PhaseResult } from './result.ts';
import { startPhase } from './start.ts';
import { finishTraining, fitOf, resumePosition, trainPhase } from './training.ts';
import { searchWidths } from './widths.ts';

/** So many batch norms are named. */
const MOST_NAMED = 8;

export async function quantize(asked: RunContext): Promise<PhaseResult> {
  const float = verifiedBytes(asked.folder, requirePhase(asked, 'train'), files.float);
  const widths = await searchWidths(asked, float);
  const context = { ...asked, configuration: withLayerBits(asked.configuration, widths?.layerBits ?? []) };
  const { configuration, dataset, task, layers } = context;
  const { epochs, start: wanted } = configuration.quantize;
  const arithmetic = quantizedArithmetic(context, exactMultiplier);
  const session = await context.backend.openSession();
  try {
    loadToQuantize(context, float, session);
    if (configuration.quantize.foldBatchNorm) noteFolding(context);
    const position = () => (epochs > 0 ? resumePosition(context, 'quantize', session) : undefined);
    // The figures of a start are measured anew on a resumed run too.
    let start = wanted === 'none' ? position() : undefined;
    const given = start ? undefined : givenQuantizers(context);
    for (const [name, tensor] of given ?? []) session.write(name, tensor);
    if (!start && !given) await calibrateAndTell(context, session, arithmetic);
    const started = wanted === 'none' ? [] : await startAndMeasure(context, session, arithmetic);
    if (wanted !== 'none') start = position();
    if (epochs > 0) {
      const fit = { ...fitOf(configuration.quantize), arithmetic };
      await trainPhase(context, { phase: 'quantize', session, fit }, start);
    }
    const evaluate = await evaluator(session, task, arithmetic, dataset.test);
    const { loss, metrics } = await evaluate();
    await saveModel(context, files.quantized, session);
    const power = networkExactPower(configuration, layers);
    return {
      files: [files.quantized],
      ...(widths ? { widths } : {}),
      ...(given && epochs === 0 && wanted === 'none' ? { from: 'checkpoint' as const } : {}),
      stages: [
        ...started.map((stage) => ({ ...stage, power })),
        { stage: 'quantized', accuracy: metrics.accuracy, loss, power },
      ],
      finish: () => finishTraining(context),
    };
  } finally {
    await session.dispose();
  }
}

/** Calibrates, and tells where ranges had to be others than the observer's. */
async function calibrateAndTell(context: RunContext, session: Session, arithmetic: QuantizedArithmetic): Promise<void> {
  const known = context.manifest.phases.harms ? readHarms(context).layers : [];
  const replaced = await calibrateToBear(context, session, arithmetic, { known });
  if (!replaced || replaced.percentiles.size === 0) return;
  const { percentiles, images, before, after } = replaced;
  const of = (distance: number) => (distance < MOST_HARM ? `${fixed(100 * distance, 1)} %` : 'no number');
  const counted = [...new Set(percentiles.values())]
    .toSorted((a, b) => b - a)
    .map((one) => `${one} in ${[...percentiles.values()].filter((other) => other === one).length}`);
  const text = `ranges of activations: a percentile instead of the least squared error, which few large values made too coarse, in ${percentiles.size} of ${context.layers.length} layers (${counted.join(', ')}): the answers to ${images} training images change by ${of(after)} instead of ${of(before)} before training`;
  context.listener({ kind: 'note', text });
}

/** The stages before and after the start; without training behind it, what comes after it is the result. */
async function startAndMeasure(
  context: RunContext,
  session: Session,
  arithmetic: QuantizedArithmetic,
): Promise<readonly StageResult[]> {
  const { configuration, dataset, task } = context;
  const evaluate = await evaluator(session, task, arithmetic, dataset.test);
  const { loss, metrics } = await evaluate();
  const started = await startPhase(context, {
    ...{ phase: 'quantize', session, stage: 'quantization-started', before: metrics.accuracy, evaluate },
    change: { from: arithmetic, to: arithmetic },
  });
  await evaluate.dispose();
  const calibrated: StageResult = { stage: 'calibrated', accuracy: metrics.accuracy, loss };
  return [calibrated, ...(started && configuration.quantize.epochs > 0 ? [started] : [])];
}

/** Names the batch norms that stay: they stand before their layer, or something else reads what lies between. */
function noteFolding({ layers, task, listener }: RunContext): void {
  const { graph } = buildNetwork(task, { kind: 'float' }, 'evaluate', 1);
  const { behind, left } = findBatchNorms(graph, new Set(layers.map(({ name }) => name)));
  const named = left.length > MOST_NAMED ? `${left.slice(0, MOST_NAMED).join(', ')}, …` : left.join(', ');
  const stay = left.length === 0 ? '' : `; ${left.length} cannot be and stay: ${named}`;
  listener({ kind: 'note', text: `batch norm folded into ${behind.size} layers${stay}` });
}

/** The quantisers that came with the network, where they are for the run's widths; they need no calibration. */
function givenQuantizers(context: RunContext): ReadonlyMap<string, HostTensor> | undefined {
  const record = requirePhase(context, 'train');
  if (record.files[files.quantizers] === undefined) return undefined;
  const path = inFolder(context, files.quantizers);
  const { states, arithmetic } = loadQuantizers(verifiedBytes(context.folder, record, files.quantizers), path);
  const isFolded = foldedBatchNorms(context).size > 0;
  if (arithmetic === describeQuantizers(context) && !isFolded) return ofQuantizer(context, states);
  const other = isFolded ? 'a network whose batch norms are not folded' : 'other operand widths or scales';
  const text = `the quantisers of the checkpoint are for ${other}; the network is calibrated anew`;
  context.listener({ kind: 'note', text });
  return undefined;
}

/** Of what came with the network what the run's quantisers have. */
function ofQuantizer(
  { configuration, layers }: RunContext,
  states: ReadonlyMap<string, HostTensor>,
): ReadonlyMap<string, HostTensor> {
  const { quantizer } = configuration.quantize;
  const wanted = (['weight', 'input'] as const).flatMap((operand) =>
    statesOf(quantizer, operand).flatMap((state) => layers.map(({ name }) => stateName(name, operand, state))),
  );
  return new Map([...states].filter(([name]) => wanted.includes(name)));
}
