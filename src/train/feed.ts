// How the images of a split reach a program. A device with memory of its own keeps the whole split when it fits and gathers each batch itself,
// from a few numbers per image; otherwise the host gathers it and writes the pixels, the next batch while the device computes. Both give
// the same bytes.

import { type Batch, gatherImages } from '../data/batches.ts';
import type { ImageSize, Split } from '../data/dataset.ts';
import type { Program, Session } from '../engine/backend.ts';
import type { Graph, Value } from '../engine/graph/graph.ts';
import { tensor } from '../tensor/tensor.ts';

export interface Feed {
  /** Declares the images of a batch in a graph: u8 [batchSize, height, width, channels]. */
  images(graph: Graph, batchSize: number): Value;
  /** Sets a program's images and labels to the valid rows of a batch, or to all its rows. */
  write(program: Program, batch: Batch, rows?: number): void;
}

/** The part of a device's memory that a split may take: two of them leave half of it to the training step. */
const RESIDENT_SHARE = 1 / 4;

export function feedOf({ backend }: Session, split: Split, size: ImageSize): Feed {
  const { ownMemory, memoryBytes } = backend.device;
  const resident = ownMemory && split.images.length <= RESIDENT_SHARE * memoryBytes;
  return resident ? residentFeed(split, size) : hostFeed(split, size);
}

function residentFeed(split: Split, { height, width, channels }: ImageSize): Feed {
  const kept = tensor('u8', [split.count, height, width, channels], split.images);
  return {
    images: (graph, batchSize) =>
      graph.apply1('gatherImages', [graph.constant(kept), graph.input('picks', [batchSize, 4], 'i32')], {}),
    write: (program, { picks, labels, count }, rows = count) => {
      program.write('picks', picks.subarray(0, 4 * rows));
      program.write('labels', labels.subarray(0, rows));
    },
  };
}

function hostFeed(split: Split, size: ImageSize): Feed {
  const length = size.height * size.width * size.channels;
  let pixels = new Uint8Array(0);
  return {
    images: (graph, batchSize) => imagesInput(graph, size, batchSize),
    write: (program, { picks, labels, count }, rows = count) => {
      if (pixels.length !== rows * length) pixels = new Uint8Array(rows * length);
      gatherImages(split, size, picks.subarray(0, 4 * rows), pixels);
      program.write('images', pixels);
      program.write('labels', labels.subarray(0, rows));
    },
  };
}

/** The images of a batch as the input `images` of a graph. */
export function imagesInput(graph: Graph, { height, width, channels }: ImageSize, batchSize: number): Value {
  return graph.input('images', [batchSize, height, width, channels], 'u8');
}
