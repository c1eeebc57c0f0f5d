// Batch normalisation with the statistics of the batch: of the rows that a device has, or of all rows of all devices,
// each of which has as many. Invariant: the statistics of all are the same bits on every device. The variance of all is
// the mean of the devices' variances and of the squares by which their means are off, never a difference of squares.

import type { Value } from '../graph/graph.ts';
import { formula } from './formula.ts';

/** y, batch mean [C], batch variance [C] (biased). */
type Normalised = readonly [y: Value, mean: Value, variance: Value];

export function batchNormOfDevice(x: Value, gamma: Value, beta: Value, epsilon: number): Normalised {
  return x.graph.apply('batchNorm', [x, gamma, beta], { epsilon }) as readonly Value[] as Normalised;
}

export function batchNormOfAll(x: Value, gamma: Value, beta: Value, epsilon: number): Normalised {
  const { graph } = x;
  const [, own, ownVariance] = batchNormOfDevice(x, gamma, beta, epsilon);
  const [mean] = graph.reduced('mean', [own]);
  const [variance] = graph.reduced('mean', [around(ownVariance, own, mean!)]);
  const y = graph.apply1('batchNormInference', [x, gamma, beta, mean!, variance!], { epsilon });
  return [y, mean!, variance!];
}

const around = formula('variance around the mean of all', (variance, own, mean) => {
  const off = own.minus(mean);
  return variance.plus(off.times(off));
});
