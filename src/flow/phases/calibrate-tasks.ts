// What calibration computes on several threads: one output of a batch, some channels of a layer's weights.

import { Histogram } from '../../quant/observers.ts';
import { hostTask } from '../host/task.ts';

interface Values {
  readonly values: ArrayLike<number>;
  /** For the UserError where one of them is not a number. */
  readonly name: string;
}

export const countValues = hostTask(import.meta.url, 'countValues', ({ values, name }: Values) =>
  Histogram.countsOf(values, name),
);
