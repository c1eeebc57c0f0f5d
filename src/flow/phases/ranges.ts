// Ranges of activations that the network bears. The step of the least mean squared error (quant/starts.ts) can be that
// of a few large values: where one in a thousand is fifty times the others, four bits hold those few, and all others
// become 0. A layer by itself cannot tell what it loses by that; the network can. So it is asked: where it names far
// fewer training images right than in float, the ranges are those of a percentile, if that brings it back.
// Invariant: where little is lost, or nothing brings it back, the quantisers stay as calibration left them. Test images
// have no part in it.

import { sampleOf } from '../../data/sample.ts';
import type { Split } from '../../data/split.ts';
import type { Session } from '../../engine/backend.ts';
import type { Histogram } from '../../quant/observers.ts';
import { type Evaluator, evaluateOnce, evaluator } from '../../train/evaluation.ts';
import type { QuantizedArithmetic } from '../../train/task.ts';
import { foldedBatchNorms } from '../multipliers/multipliers.ts';
import type { OpenRun } from '../run/context.ts';
import { layerWidths } from '../settings/layers.ts';
import { calibrate, observeInput } from './calibrate.ts';

type Ranged = Pick<OpenRun, 'configuration' | 'dataset' | 'task' | 'layers'>;

/** What a network must keep of the accuracy that it has in float, as a share. */
const KEPT = 0.9;
/** Shares of the values inside the range, in percent. */
const PERCENTILES = [99.99, 99.9, 99] as const;

/** Accuracies on the same training images, 0 … 1. */
export interface RangesReplaced {
  readonly percentile: number;
  readonly images: number;
  readonly float: number;
  readonly before: number;
  readonly after: number;
}

/** Calibrates, and sees to it that few large activations do not cost the network all others. */
export async function calibrateToBear(
  run: Ranged,
  session: Session,
  arithmetic: QuantizedArithmetic,
): Promise<RangesReplaced | undefined> {
  const { quantizer, observer } = run.configuration.quantize;
  const inputs = await calibrate(run, session, arithmetic);
  if (!inputs || quantizer !== 'steps' || observer !== 'mse') return undefined;
  return await replaceRanges(run, session, arithmetic, inputs);
}

/**
 * Sets the ranges of all layers' activations anew where those of the least squared error break the network; undefined
 * where they stay. `inputs`: what each layer was seen to read.
 */
export async function replaceRanges(
  run: Ranged,
  session: Session,
  arithmetic: QuantizedArithmetic,
  inputs: ReadonlyMap<string, Histogram>,
): Promise<RangesReplaced | undefined> {
  const { configuration, dataset, task } = run;
  const sample = sampleOf(dataset.train, configuration.quantize.images, configuration.seed);
  const quantized = await evaluator(session, task, arithmetic, sample);
  try {
    return await replaceMeasured(run, session, inputs, sample, quantized);
  } finally {
    await quantized.dispose();
  }
}

/** The same with the quantised network's measure on the sample. */
async function replaceMeasured(
  run: Ranged,
  session: Session,
  inputs: ReadonlyMap<string, Histogram>,
  sample: Split,
  quantized: Evaluator<'accuracy'>,
): Promise<RangesReplaced | undefined> {
  const { configuration, layers, task } = run;
  const { quantize } = configuration;
  const before = (await quantized()).metrics.accuracy;
  if (before >= KEPT) return undefined;
  const inFloat = { kind: 'float', folded: foldedBatchNorms(run) } as const;
  const float = (await evaluateOnce(session, task, inFloat, sample)).metrics.accuracy;
  if (before >= KEPT * float) return undefined;
  const widths = layerWidths(configuration, layers);
  const observeAll = (how: Partial<typeof quantize>) => {
    const as = { configuration: { ...configuration, quantize: { ...quantize, ...how } } };
    for (const { name } of layers) {
      observeInput(as, session, { layer: name, bits: widths.get(name)!.activations, seen: inputs.get(name)! });
    }
  };
  const tried: { readonly percentile: number; readonly loss: number; readonly after: number }[] = [];
  for (const percentile of PERCENTILES) {
    observeAll({ observer: 'percentile', percentile });
    const { loss, metrics } = await quantized();
    tried.push({ percentile, loss, after: metrics.accuracy });
  }
  const { percentile, after } = tried.reduce((best, next) => (next.loss < best.loss ? next : best));
  const helps = after >= KEPT * float;
  observeAll(helps ? { observer: 'percentile', percentile } : {});
  return helps ? { percentile, images: sample.count, float, before, after } : undefined;
}
