// What the training loop knows of data: a split is so many examples, and a batch of them is read when it is asked for.
// What an example is (an image, a text) is the business of its split and of the task that declares the inputs.
// Invariant: what is read depends on the selection alone, so that a batch that is read ahead, late or again has the
// same bits.

import type { Random } from '../tensor/random.ts';
import type { TensorData } from '../tensor/tensor.ts';
import type { AugmentOptions } from './augment.ts';

/** Which examples make a batch. */
export interface Selection {
  /** Their numbers in the split, at least one. */
  readonly numbers: Int32Array;
  /** How they are changed at random, in training: a stream of random numbers that is this batch's own. */
  readonly augmentation?: { readonly options: AugmentOptions; readonly random: Random };
}

/** Examples as a program takes them. */
export interface Batch {
  /** Values of the task's inputs, by their names. */
  readonly inputs: Readonly<Record<string, TensorData>>;
  /** What the loss is a mean over: images that have a label, tokens that have a successor. */
  readonly targets: number;
  /** How many of them each row has; where absent, each example has one, or there is but one device to know. */
  readonly targetsOfRows?: ArrayLike<number>;
}

export interface Split {
  readonly count: number;
  /**
   * Reads a selection as `rows` rows, at least as many as it has examples; those behind the last one are padding that
   * no target belongs to.
   * Reading stops early, with any error, once `signal` says so; nothing goes on behind a promise that is settled.
   */
  read(selection: Selection, rows: number, signal?: AbortSignal): Promise<Batch>;
}
