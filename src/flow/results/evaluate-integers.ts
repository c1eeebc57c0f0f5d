// `tram evaluate --integer`: the network of a run as integers, run by the interpreter on test images, beside the
// float-scaled network on the same images.

import { evaluationBatches } from '../../data/batches.ts';
import { Comparison, type IntegerFigures } from '../../integer/compare.ts';
import { lower } from '../../integer/lower.ts';
import { requireWhole } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { openBackend, requireOneDevice } from '../run/device.ts';
import { type FreezeOptions, freezeRun } from './frozen.ts';
import type { FrozenStage } from './frozen-stages.ts';

export interface EvaluateIntegersOptions extends FreezeOptions {
  readonly folder: string;
  /** Test images, from the first on; default: all. */
  readonly images?: number;
  /** Bits of values in fixed point between layers, 12 … 31; default 28. */
  readonly streamBits?: number;
  /** Called with the number of images of each batch. */
  readonly onImages?: (images: number) => void;
}

export interface IntegerEvaluation extends IntegerFigures {
  readonly stage: FrozenStage;
}

const READ_AT_ONCE = 32;

/** Measures the network of a run as integers; the run is only read. Throws a UserError. */
export async function evaluateIntegers(options: EvaluateIntegersOptions): Promise<IntegerEvaluation> {
  const { folder, images, streamBits, onImages, ...asked } = options;
  if (images !== undefined) requireWhole('images', images, 1);
  requireOneDevice(options.device, 'the network as integers is run on the processor, beside one device');
  const { frozen, stage, dataset } = await freezeRun(folder, asked);
  const backend = await openBackend(options.device);
  const comparison = await Comparison.open(frozen, lower(frozen, given({ streamBits })), backend);
  try {
    const { test } = dataset;
    for (const selection of evaluationBatches({ count: Math.min(images ?? test.count, test.count) }, READ_AT_ONCE)) {
      const { numbers } = selection;
      const pixels = (await test.read(selection, numbers.length)).inputs.images as Uint8Array;
      const length = pixels.length / numbers.length;
      for (const [k, number] of numbers.entries()) {
        await comparison.add(pixels.subarray(k * length, (k + 1) * length), test.labels[number]!);
      }
      onImages?.(numbers.length);
    }
    return { stage, ...comparison.figures() };
  } finally {
    await comparison.dispose();
  }
}
