// A layer job: what goes into a layer's top module for some images, beat by beat, and what must come out. Written from
// the sentences of ../rtl/interface.ts, of codes and results that the interpreter computed; the generator of the
// modules has no part in it.
// Invariant: every stream has exactly the beats that `streamLengths` says, and any value where any will do is random: a
// module that reads what it must not gives wrong results.

import { invariant } from '../../tensor/errors.ts';
import { Random } from '../../tensor/random.ts';
import { borderClasses, CONSTANT_KINDS, type LayerTop, streamLengths } from '../rtl/interface.ts';
import { bitsOf } from '../rtl/tops.ts';
import { packed, patternOf } from './memory.ts';
import type { LayerSlice } from './slices.ts';

/** Values of a slice for one image, channel last, as an interpreter has them. */
export interface GoldenValues {
  readonly input: ArrayLike<number>;
  readonly sums: ArrayLike<number>;
  readonly output: ArrayLike<number>;
}

export interface LayerJob {
  readonly slice: LayerSlice;
  readonly images: number;
  /** Results of one image along each axis: rows and columns of positions (linear layers: one row), channels. */
  readonly extent: readonly [rows: number, columns: number, channels: number];
  /** The same for each image: beats of C weights; int32 constants. */
  readonly weights: readonly bigint[];
  readonly constants: readonly bigint[];
  /** Of all images: {class, taps, data} with the data lowest. */
  readonly activations: readonly bigint[];
  /** Of all images, RESULT_BITS each; beside each the sum that it is made of. */
  readonly results: readonly bigint[];
  readonly sums: readonly bigint[];
  readonly sumBits: number;
}

/** Bits of a beat of the activations' stream with its taps and class. */
export function activationBeatBits({ size, activationBits, classBits }: LayerTop): number {
  return size.rows * activationBits + size.rows + classBits;
}

export function layerJob(slice: LayerSlice, golden: readonly GoldenValues[]): LayerJob {
  const { top } = slice;
  const streams = new Streams(slice);
  const beats = golden.map((values) => ({
    activations: streams.activations(values.input),
    results: streams.results(values.output, top.resultBits),
    sums: streams.results(values.sums, sumBitsOf(slice)),
  }));
  const job: LayerJob = {
    ...{ slice, images: golden.length, extent: extentOf(slice) },
    weights: streams.weights(),
    constants: streams.constants(),
    activations: beats.flatMap((one) => one.activations),
    results: beats.flatMap((one) => one.results),
    sums: beats.flatMap((one) => one.sums),
    sumBits: sumBitsOf(slice),
  };
  const lengths = streamLengths(top);
  for (const [stream, times] of [
    ['weights', 1],
    ['constants', 1],
    ['activations', golden.length],
    ['results', golden.length],
  ] as const) {
    const { length } = job[stream];
    invariant(length === times * lengths[stream], `${length} beats of ${stream}, not ${times} × ${lengths[stream]}`);
  }
  return job;
}

const sumBitsOf = ({ sums }: LayerSlice) => bitsOf(Math.min(sums.low, -1), sums.high);

function extentOf({ product, sums }: LayerSlice): LayerJob['extent'] {
  const channels = sums.shape.at(-1)!;
  const positions = sums.shape.slice(0, -1).reduce((all, size) => all * size, 1);
  return product.layerKind === 'linear' ? [1, positions, channels] : [sums.shape[0]!, sums.shape[1]!, channels];
}

/** The order of the work, once; each stream takes its part of it. */
class Streams {
  readonly #slice: LayerSlice;
  readonly #top: LayerTop;
  readonly #classes: ReturnType<typeof borderClasses>;
  readonly #random = new Random(29, 0);

  constructor(slice: LayerSlice) {
    const { top } = slice;
    this.#slice = slice;
    this.#top = top;
    this.#classes = borderClasses(slice.product, slice.input.shape, slice.sums.shape);
    const { length } = this.#classes.valid;
    invariant(length === top.classes, `${length} border classes, but the module has ${top.classes}`);
  }

  weights(): bigint[] {
    const { product } = this.#slice;
    const { size, weightBits, outputs, groups } = this.#top;
    const all = outputs * groups;
    const beats: bigint[] = [];
    for (const { group, tile } of this.#tiles()) {
      for (const _ of this.#blocks()) {
        for (const taps of this.#tapTiles()) {
          for (let row = size.rows - 1; row >= 0; row--) {
            const tap = taps[row];
            const codes = this.#columns(tile, (output) =>
              tap === undefined || output === undefined
                ? undefined
                : product.weights[tap * all + group * outputs + output]!,
            );
            beats.push(packed(this.#filled(codes, weightBits), weightBits));
          }
        }
      }
    }
    return beats;
  }

  constants(): bigint[] {
    const { product, requantise } = this.#slice;
    const { size, outputs, classes } = this.#top;
    const { step, weightZero, activationZero, zeroRow, weights, weightShape } = product;
    const all = weightShape[3]!;
    const depth = weightShape[2]!;
    const of = (values: ArrayLike<number>, output: number) => values[values.length === 1 ? 0 : output]!;
    const border = (output: number, kind: number) => {
      let sum = 0;
      this.#classes.valid[kind]!.forEach((valid, tap) => {
        for (let i = 0; valid && i < depth; i++) {
          sum += step * weights[(tap * depth + i) * all + output]! - of(weightZero, output);
        }
      });
      return -activationZero * sum;
    };
    const kinds: ((output: number) => number)[] = [
      (output) => of(requantise.bias, output),
      (output) => of(requantise.multiplier, output),
      (output) => of(requantise.shift, output),
      (output) => of(requantise.offset, output),
      (output) => (zeroRow ? 1 : of(weightZero, output)),
      ...Array.from({ length: classes }, (_, kind) => (output: number) => border(output, kind)),
    ];
    invariant(kinds.length === CONSTANT_KINDS + classes, 'a kind of constants is missing');
    const beats: bigint[] = [];
    for (const { group, tile } of this.#tiles()) {
      for (const constant of kinds) {
        const words = this.#columns(tile, (output) =>
          output === undefined ? undefined : constant(group * outputs + output),
        );
        for (const word of this.#filled(words, 32)) beats.push(patternOf(word, 32));
      }
    }
    invariant(beats.length % size.columns === 0, 'a tile of constants is not whole');
    return beats;
  }

  activations(codes: ArrayLike<number>): bigint[] {
    const { product, input } = this.#slice;
    const { size, activationBits, classBits } = this.#top;
    const [, kw, depth] = product.weightShape as readonly [number, number, number, number];
    const [height, width] = input.shape.length === 3 ? (input.shape as [number, number, number]) : [1, 1];
    const channels = input.shape.at(-1)!;
    const { stride, padding, dilation } = product.geometry;
    const columns = extentOf(this.#slice)[1];
    const codeAt = (group: number, position: number, tap: number): number | undefined => {
      const channel = group * depth + (tap % depth);
      if (product.layerKind === 'linear') return codes[position * channels + channel]!;
      const window = Math.floor(tap / depth);
      const y = Math.floor(position / columns) * stride[0] - padding[0] + Math.floor(window / kw) * dilation[0];
      const x = (position % columns) * stride[1] - padding[1] + (window % kw) * dilation[1];
      const inside = y >= 0 && y < height && x >= 0 && x < width;
      return inside ? codes[(y * width + x) * channels + channel]! : undefined;
    };
    const beats: bigint[] = [];
    for (const { group } of this.#tiles()) {
      for (const block of this.#blocks()) {
        for (const taps of this.#tapTiles()) {
          for (const position of block) {
            const values = Array.from({ length: size.rows }, (_, row) => {
              const tap = taps[row];
              return tap === undefined ? undefined : codeAt(group, position, tap);
            });
            const data = packed(this.#filled(values, activationBits), activationBits);
            const valid = packed(
              values.map((value) => Number(value !== undefined)),
              1,
            );
            const kind = patternOf(this.#classes.of[position]!, classBits);
            const above = BigInt(size.rows * activationBits);
            beats.push(data | (valid << above) | (kind << (above + BigInt(size.rows))));
          }
        }
      }
    }
    return beats;
  }

  results(values: ArrayLike<number>, bits: number): bigint[] {
    const { outputs, groups } = this.#top;
    const beats: bigint[] = [];
    for (const { group, tile } of this.#tiles()) {
      for (const block of this.#blocks()) {
        for (const position of block) {
          for (const output of this.#columns(tile, (one) => one)) {
            if (output === undefined) continue;
            beats.push(patternOf(values[position * outputs * groups + group * outputs + output]!, bits));
          }
        }
      }
    }
    return beats;
  }

  *#tiles(): Generator<{ readonly group: number; readonly tile: number }> {
    const { groups, outputTiles } = this.#top;
    for (let group = 0; group < groups; group++) {
      for (let tile = 0; tile < outputTiles; tile++) yield { group, tile };
    }
  }

  /** Positions of each block. */
  *#blocks(): Generator<readonly number[]> {
    const { positions, block } = this.#top;
    for (let first = 0; first < positions; first += block) {
      yield Array.from({ length: Math.min(block, positions - first) }, (_, at) => first + at);
    }
  }

  /** Taps of each tile by rows; rows beyond the last tap have none. */
  *#tapTiles(): Generator<readonly (number | undefined)[]> {
    const { tapTiles, taps, size } = this.#top;
    for (let tile = 0; tile < tapTiles; tile++) {
      const first = tile * size.rows;
      yield Array.from({ length: size.rows }, (_, row) => (first + row < taps ? first + row : undefined));
    }
  }

  /** A value for each column of a tile, by the output within its group; undefined beyond the last. */
  #columns<T>(tile: number, value: (output: number | undefined) => T): T[] {
    const { size, outputs } = this.#top;
    return Array.from({ length: size.columns }, (_, column) => {
      const output = tile * size.columns + column;
      return value(output < outputs ? output : undefined);
    });
  }

  #filled(values: readonly (number | undefined)[], bits: number): number[] {
    return values.map((value) => value ?? Math.floor(this.#random.uniform() * 2 ** bits));
  }
}
