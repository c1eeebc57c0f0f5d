// Ranges of activations that the network bears. The step of the least mean squared error (quant/starts.ts) can be that
// of a few large values: where one in a thousand is fifty times the others, four bits hold those few, and all others
// become 0. A layer by itself cannot tell what it loses by that; the network can. So it is asked for each layer:
// where it names far fewer training images right than in float, a layer's range is the one that changes answers least.
// Invariant: where little is lost, or the network as a whole is no nearer to the float one by it, the quantisers stay
// as calibration left them. Test images have no part in it.

import { sampleOf } from '../../data/sample.ts';
import type { Session } from '../../engine/backend.ts';
import type { Histogram } from '../../quant/observers.ts';
import { type Evaluator, evaluateOnce, evaluator } from '../../train/evaluation.ts';
import type { QuantizedArithmetic } from '../../train/task.ts';
import { foldedBatchNorms } from '../multipliers/multipliers.ts';
import type { OpenRun } from '../run/context.ts';
import { layerWidths } from '../settings/layers.ts';
import { calibrate, observedInputs, observeWeight, setObserved } from './calibrate.ts';
import { HarmMeter, mayReplaceRanges, type RangeChoice, setRange } from './harm.ts';

type Ranged = Pick<OpenRun, 'configuration' | 'dataset' | 'task' | 'layers'>;

/** What a network must keep of the accuracy that it has in float, as a share. */
const KEPT = 0.9;

/** Accuracies on the same training images, 0 … 1. */
export interface RangesReplaced {
  /** The percentiles of those layers whose range is no longer the observer's. */
  readonly percentiles: ReadonlyMap<string, number>;
  readonly images: number;
  readonly float: number;
  readonly before: number;
  readonly after: number;
}

/**
 * Calibrates, and sees to it that few large activations do not cost the network all others. `meter`: what was measured
 * of the float network in the session before; the result does not depend on it.
 */
export async function calibrateToBear(
  run: Ranged,
  session: Session,
  arithmetic: QuantizedArithmetic,
  meter?: HarmMeter,
): Promise<RangesReplaced | undefined> {
  if (!mayReplaceRanges(run)) {
    await calibrate(run, session, arithmetic);
    return undefined;
  }
  const inputs = meter?.inputs ?? (await observedInputs(run, session));
  await setObserved(run, session, inputs);
  return await replaceRanges(run, session, arithmetic, inputs, meter);
}

/**
 * Sets the ranges of layers' activations anew where those of the least squared error break the network; undefined
 * where they stay. `inputs`: what each layer was seen to read.
 */
export async function replaceRanges(
  run: Ranged,
  session: Session,
  arithmetic: QuantizedArithmetic,
  inputs: ReadonlyMap<string, Histogram>,
  meter?: HarmMeter,
): Promise<RangesReplaced | undefined> {
  const { configuration, dataset, task } = run;
  const sample = sampleOf(dataset.train, configuration.quantize.images, configuration.seed);
  const quantized = await evaluator(session, task, arithmetic, sample);
  try {
    const before = (await quantized()).metrics.accuracy;
    if (before >= KEPT) return undefined;
    const inFloat = { kind: 'float', folded: foldedBatchNorms(run) } as const;
    const float = (await evaluateOnce(session, task, inFloat, sample)).metrics.accuracy;
    if (before >= KEPT * float) return undefined;
    const percentiles = await nearerByPercentiles(
      run,
      session,
      arithmetic,
      meter ?? (await HarmMeter.open(run, session, inputs)),
    );
    if (percentiles.size === 0) return undefined;
    return { percentiles, images: sample.count, float, before, after: await accuracyOf(quantized) };
  } finally {
    await quantized.dispose();
  }
}

const accuracyOf = async (quantized: Evaluator<'accuracy'>) => (await quantized()).metrics.accuracy;

/** Each layer's range of least harm, where all of them together bring the network nearer to the float one. */
async function nearerByPercentiles(
  run: Ranged,
  session: Session,
  arithmetic: QuantizedArithmetic,
  meter: HarmMeter,
): Promise<ReadonlyMap<string, number>> {
  const widths = layerWidths(run.configuration, run.layers);
  const { inputs } = meter;
  const asCalibrated = await meter.ofAll(arithmetic);
  const chosen = new Map<string, RangeChoice>();
  for (const { name } of run.layers) {
    chosen.set(name, (await meter.ofInput(name, widths.get(name)!.activations)).range);
  }
  const setAll = async (rangeOf: (layer: string) => RangeChoice) => {
    for (const { name } of run.layers) {
      const { weights, activations: bits } = widths.get(name)!;
      setRange(run, session, { layer: name, bits, seen: inputs.get(name)!, range: rangeOf(name) });
      await observeWeight(run, session, { layer: name, bits: weights });
    }
  };
  await setAll((layer) => chosen.get(layer)!);
  const isNearer = (await meter.ofAll(arithmetic)) < asCalibrated;
  if (isNearer) return new Map([...chosen].filter((one): one is [string, number] => one[1] !== 'observer'));
  await setAll(() => 'observer');
  return new Map();
}
