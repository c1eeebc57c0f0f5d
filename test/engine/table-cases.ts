// Tables by look-ups, of constant products and of others: each width of the rows that are packed, and so many pixels
// that threads have several.

import { square } from '../../src/engine/graph/window.ts';
import { Random } from '../../src/tensor/random.ts';
import { f32, type Shape, sizeOf, tensor } from '../../src/tensor/tensor.ts';
import { type Case, make } from './cases.ts';
import type { ConvolutionShape } from './path-cases.ts';

function lookedUp(
  note: string,
  { x, w, padding = 1, ...window }: ConvolutionShape,
  [weightBits, activationBits]: readonly [number, number],
  constant = true,
): Case {
  const random = new Random(43, weightBits, activationBits);
  const codes = (shape: Shape, bits: number) =>
    tensor(
      'u8',
      shape,
      Uint8Array.from({ length: sizeOf(shape) }, () => random.integer(2 ** bits)),
    );
  const [pairs, channels] = [[2 ** weightBits, 2 ** activationBits], w.at(-1)!];
  // Products anywhere in 16 bits.
  const error = Int32Array.from(
    { length: sizeOf(pairs) },
    (_, at) => random.integer(2 ** 16) - Math.floor(at / pairs[1]!) * (at % pairs[1]!),
  );
  const per = (low: number, high: number) =>
    f32(
      [channels],
      Float32Array.from({ length: channels }, () => low + (high - low) * random.uniform()),
    );
  return make(
    'axmConv2d',
    `look-ups, w${weightBits}a${activationBits}, ${note}${constant ? ', constant' : ''}`,
    [
      ...[codes(x, activationBits), codes(w, weightBits), f32([], [0.0625]), f32([], [2 ** activationBits - 2])],
      ...[per(0.01, 0.02), f32([channels], new Float32Array(channels).fill(1)), tensor('i32', pairs, error)],
    ],
    {
      ...square({ ...window, padding }),
      weightBits,
      activationBits,
      error: { kind: 'table', emulation: 'table' },
    },
    constant ? { constants: [6] } : {},
  );
}

/** 3500 pixels. */
const many = { x: [5, 27, 26, 5], padding: [1, 0] as const };

export const tableCases: readonly Case[] = [
  lookedUp('11 outputs of many pixels', { ...many, w: [2, 2, 5, 11] }, [8, 8]),
  lookedUp('7 outputs of many pixels', { ...many, w: [2, 2, 5, 7] }, [8, 8], false),
  ...(
    [
      [3, 2],
      [2, 3],
      [8, 4],
      [4, 5],
      [5, 6],
    ] as const
  ).map((bits) => lookedUp('20 channels', { x: [2, 6, 5, 20], w: [3, 3, 20, 18], stride: 2 }, bits)),
];
