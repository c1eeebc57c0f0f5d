// What a file of tensors holds, as plain data: names, types, shapes, and of their values the least, the largest, mean,
// deviation, zeros and what is no number. Values are read a piece at a time, so that memory does not grow with the
// file.

import type { TensorDictionary, TensorFile } from './checkpoint-file.ts';
import { type ElementType, elements } from './elements.ts';
import { type StoredTensor, valuesOf } from './stored.ts';
import { sizeOf } from './tensor.ts';

/** Of the finite values; null where there are none. */
export interface TensorStatistics {
  readonly min: number | null;
  readonly max: number | null;
  readonly mean: number | null;
  /** Standard deviation over all values (not of a sample). */
  readonly deviation: number | null;
  readonly zeros: number;
  readonly nan: number;
  readonly infinite: number;
}

export interface TensorFacts {
  readonly name: string;
  /** The dictionary that it stands in: "" for the file itself. */
  readonly dictionary: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly elements: number;
  /** Of its values; tensors of PyTorch may share them. */
  readonly bytes: number;
  /** Where it was asked for. */
  readonly statistics?: TensorStatistics;
}

/** Facts of the tensors that `wants` accepts, in the order of the file. */
export function* describeTensors(
  { dictionaries }: Pick<TensorFile, 'dictionaries'>,
  wants: (name: string, dictionary: TensorDictionary) => boolean = () => true,
  withStatistics = true,
): Generator<TensorFacts> {
  for (const dictionary of dictionaries) {
    for (const [name, tensor] of dictionary.tensors) {
      if (!wants(name, dictionary)) continue;
      const { type } = tensor.storage;
      const count = sizeOf(tensor.shape);
      yield {
        ...{ name, dictionary: dictionary.path, type, shape: tensor.shape, elements: count },
        bytes: count * elements[type].bytes,
        ...(withStatistics ? { statistics: statisticsOf(tensor) } : {}),
      };
    }
  }
}

/** Mean and deviation by the update of Chan, Golub and LeVeque for parts of a sample, which loses no digits. */
export function statisticsOf(tensor: StoredTensor): TensorStatistics {
  let [count, mean, squares] = [0, 0, 0];
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  let [zeros, nan, infinite] = [0, 0, 0];
  for (const values of valuesOf(tensor)) {
    let [partCount, sum] = [0, 0];
    for (let k = 0; k < values.length; k++) {
      const value = values[k]!;
      if (!Number.isFinite(value)) {
        if (Number.isNaN(value)) nan++;
        else infinite++;
        continue;
      }
      partCount++;
      sum += value;
      if (value === 0) zeros++;
      if (value < min) min = value;
      if (value > max) max = value;
    }
    if (partCount === 0) continue;
    const partMean = sum / partCount;
    let partSquares = 0;
    for (let k = 0; k < values.length; k++) if (Number.isFinite(values[k])) partSquares += (values[k]! - partMean) ** 2;
    const total = count + partCount;
    const step = partMean - mean;
    squares += partSquares + (step * step * count * partCount) / total;
    mean += (step * partCount) / total;
    count = total;
  }
  const of = (value: number) => (count === 0 ? null : value);
  return {
    min: of(min),
    max: of(max),
    mean: of(mean),
    deviation: of(Math.sqrt(squares / count)),
    zeros,
    nan,
    infinite,
  };
}
