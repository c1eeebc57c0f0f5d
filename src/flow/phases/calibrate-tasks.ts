// What calibration computes on several threads: one output of a batch, some channels of a layer's weights.

import { scaleOfRange } from '../../engine/reference/quantization.ts';
import { Histogram, observedRange, type Range } from '../../quant/observers.ts';
import { type Start, weightStart } from '../../quant/starts.ts';
import { hostTask } from '../host/task.ts';
import type { Configuration } from '../settings/config.ts';

interface Values {
  readonly values: ArrayLike<number>;
  /** For the UserError where one of them is not a number. */
  readonly name: string;
}

export const countValues = hostTask(import.meta.url, 'countValues', ({ values, name }: Values) =>
  Histogram.countsOf(values, name),
);

/** Channels of a layer's weights, one behind the other, and how they are quantised. */
interface Channels extends Values {
  readonly values: Float32Array;
  readonly channels: number;
  readonly bits: number;
  readonly quantize: Configuration['quantize'];
}

export interface Chosen {
  readonly chosen: Range;
  /** What training begins from: its clip factors are the shares of it that were chosen. */
  readonly extremes: Range;
}

/** Quantisers as they are stored. */
export const weightStarts = hostTask(import.meta.url, 'weightStarts', (all: Channels) =>
  ofEach(all, (seen): Start => {
    const { quantizer, weightObserver, weightZero } = all.quantize;
    if (quantizer === 'steps') return weightStart(weightObserver, seen, optionsOf(all), weightZero);
    const { min, max } = observedRange(weightObserver, seen, optionsOf(all));
    return scaleOfRange(min, max, all.bits);
  }),
);

/** Ranges that clips are learnt from. */
export const weightRanges = hostTask(import.meta.url, 'weightRanges', (all: Channels) =>
  ofEach(
    all,
    (seen): Chosen => ({
      chosen: observedRange(all.quantize.weightObserver, seen, optionsOf(all)),
      extremes: observedRange('min-max', seen, optionsOf(all)),
    }),
  ),
);

const optionsOf = ({ bits, quantize: { percentile, range } }: Channels) => ({
  percentile,
  holdsZero: range === 'with-zero',
  bits,
});

/** One after the other, since their histograms together are larger than they are. */
function ofEach<T>({ values, channels, name }: Channels, what: (seen: Histogram) => T): T[] {
  const length = values.length / channels;
  return Array.from({ length: channels }, (_, channel) => {
    const histogram = new Histogram();
    histogram.add(values.subarray(channel * length, (channel + 1) * length), name);
    return what(histogram);
  });
}
