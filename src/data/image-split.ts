// A split of labelled images: in memory, or read one by one when a batch asks for them. Inputs of a batch are `images`,
// u8 [rows, height, width, channels], and `labels`, i32 [rows]; rows behind the last image are black and have the label
// −1. A device with memory of its own may keep a split that is in memory and gather batches itself, from `picksOf`:
// both give the same bytes.

import { invariant, UserError } from '../tensor/errors.ts';
import { copyShifted, drawShift } from './augment.ts';
import type { ImageSize } from './image.ts';
import { type Alteration, alter, drawAlteration } from './pixels.ts';
import type { Batch, Selection, Split } from './split.ts';

export interface ImageSplit extends Split {
  /** One class number per image, 0 … classes − 1. */
  readonly labels: Int32Array;
  /** Raw 8-bit values, [count, height, width, channels], where all of them are in memory. */
  readonly images?: Uint8Array;
}

/** Images and their labels as plain arrays. */
export interface ImageArrays {
  readonly count: number;
  readonly images: Uint8Array;
  readonly labels: Int32Array;
}

export interface MemorySplit extends ImageSplit {
  readonly images: Uint8Array;
}

export function memorySplit({ count, images, labels }: ImageArrays, size: ImageSize): MemorySplit {
  const { height, width, channels } = size;
  const length = height * width * channels;
  invariant(images.length === count * length, `${images.length} raw values for ${count} images`);
  invariant(labels.length === count, `${labels.length} labels for ${count} images`);
  const read = async (selection: Selection, rows: number): Promise<Batch> => {
    const pixels = new Uint8Array(rows * length);
    gatherImages(images, size, picksOf(selection, rows), pixels);
    selection.numbers.forEach((_, k) => {
      const alteration = drawAlteration(selection.augmentation);
      if (alteration) alter(pixels.subarray(k * length, (k + 1) * length), size, alteration);
    });
    return {
      inputs: { images: pixels, labels: labelsOf(labels, selection, rows) },
      targets: selection.numbers.length,
    };
  };
  return { count, images, labels, read };
}

/** How single images are had, from wherever they are. `View` says what of an image is to be seen: a crop, say. */
export interface ImageReader<View = undefined> {
  readonly labels: Int32Array;
  /** Names an image in messages. */
  readonly nameOf: (number: number) => string;
  /** Draws the view of one image; called for the images of a batch in their order. */
  readonly draw: (augmentation: Selection['augmentation']) => View;
  /** Writes an image, [height, width, channels], into `target`. */
  readonly read: (number: number, view: View, target: Uint8Array, signal: AbortSignal) => Promise<void>;
}

/**
 * A split whose images, u8 [height, width, channels], are read when a batch asks for them, those of a batch side by
 * side; an error names the image.
 */
export function streamedSplit<View>(reader: ImageReader<View>, size: ImageSize): ImageSplit {
  const { labels, nameOf, draw } = reader;
  const length = size.height * size.width * size.channels;
  const read = async (selection: Selection, rows: number, signal?: AbortSignal): Promise<Batch> => {
    const { numbers, augmentation } = selection;
    const failed = new AbortController();
    const stop = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
    const pixels = new Uint8Array(rows * length);
    const one = async (number: number, view: View, alteration: Alteration | undefined, target: Uint8Array) => {
      try {
        stop.throwIfAborted();
        await reader.read(number, view, target, stop);
        if (alteration) alter(target, size, alteration);
      } catch (error) {
        if (stop.aborted || !(error instanceof Error)) throw error;
        throw new UserError(`cannot read the image ${nameOf(number)}: ${error.message}`);
      }
    };
    // The view is the reader's; what it shows may change colour, or turn.
    const seen = augmentation && { ...augmentation, options: { ...augmentation.options, resizedCrop: 0 } };
    // All views first, as where images are in memory: the same draws make the same bytes.
    const views = Array.from(numbers, () => draw(augmentation));
    const alterations = views.map(() => drawAlteration(seen));
    const reading = views.map((view, k) =>
      one(numbers[k]!, view, alterations[k], pixels.subarray(k * length, (k + 1) * length)),
    );
    try {
      await Promise.all(reading);
    } catch (error) {
      failed.abort();
      await Promise.allSettled(reading);
      throw error;
    }
    return { inputs: { images: pixels, labels: labelsOf(labels, selection, rows) }, targets: numbers.length };
  };
  return { count: labels.length, labels, read };
}

/** Some images of a split, by their numbers, with labels of their own. */
export function pickedSplit(split: ImageSplit, numbers: Int32Array, labels: Int32Array): ImageSplit {
  return {
    count: numbers.length,
    labels,
    read: async (selection, rows, signal) => {
      const there = { ...selection, numbers: selection.numbers.map((number) => numbers[number]!) };
      const { inputs, targets } = await split.read(there, rows, signal);
      return { inputs: { ...inputs, labels: labelsOf(labels, selection, rows) }, targets };
    },
  };
}

/** The labels of a batch: −1 behind the last image. */
export function labelsOf(labels: Int32Array, { numbers }: Selection, rows: number): Int32Array {
  const found = new Int32Array(rows).fill(-1);
  numbers.forEach((number, k) => {
    found[k] = labels[number]!;
  });
  return found;
}

/**
 * For each row the number of its image in the split, dy, dx, and 1 where it is mirrored (see gatherImages in
 * engine/graph/ops.ts); number −1 behind the last image. [rows, 4]
 */
export function picksOf({ numbers, augmentation }: Selection, rows: number): Int32Array {
  const picks = new Int32Array(4 * rows);
  numbers.forEach((number, k) => {
    picks[4 * k] = number;
    if (augmentation) drawShift(picks, 4 * k + 1, augmentation.options, augmentation.random);
  });
  for (let k = numbers.length; k < rows; k++) picks[4 * k] = -1;
  return picks;
}

/**
 * Gathers the images of `picks` into `target`, [picks, height, width, channels]: the operation `gatherImages` on the
 * host.
 */
export function gatherImages(images: Uint8Array, size: ImageSize, picks: Int32Array, target: Uint8Array): void {
  const length = size.height * size.width * size.channels;
  for (let k = 0; 4 * k < picks.length; k++) {
    const [number, dy, dx, mirrored] = picks.subarray(4 * k, 4 * k + 4) as unknown as [number, number, number, number];
    if (number < 0) target.fill(0, k * length, (k + 1) * length);
    else copyShifted(images, number * length, target, k * length, size, dy, dx, mirrored === 1);
  }
}
