// Counts of bits of layers whose channels do not fill a packed pixel, so that windows are packed in their place
// (src/engine/cuda/lower/approximate-bits.ts): of one piece of 64 codes, of two, three and many, filled or not, two at
// once, and of single taps.

import { columnStructure, productStructure } from '../../src/multiplier/structure.ts';
import type { Case } from './cases.ts';
import { approximateCase, type ConvolutionShape, structureCase } from './path-cases.ts';

const image = { x: [2, 9, 11, 3], w: [3, 3, 3, 64] };
const large = { x: [2, 11, 13, 3], w: [7, 7, 3, 70], stride: 2, padding: 3 };
const windows: readonly (readonly [string, ConvolutionShape])[] = [
  ['27 codes', image],
  ['27 codes, stride 2', { x: [5, 9, 11, 3], w: [3, 3, 3, 10], stride: 2 }],
  ['27 codes, several tiles of a block', { x: [6, 16, 15, 3], w: [3, 3, 3, 130] }],
  ['32 codes, none of them padded', { x: [3, 8, 12, 8], w: [2, 2, 8, 33], stride: [1, 2], padding: 0 }],
  ['64 codes, none of them padded', { x: [3, 8, 12, 4], w: [4, 4, 4, 64], stride: 4, padding: 0 }],
  ['100 codes, dilated', { x: [2, 9, 10, 20], w: [5, 1, 20, 12], padding: [4, 1], dilation: [2, 1] }],
  ['147 codes, stride 2', large],
  ['250 codes', { x: [2, 7, 8, 10], w: [5, 5, 10, 31], padding: 2 }],
  ['one tap of 96', { x: [3, 7, 9, 96], w: [1, 1, 96, 65], padding: 0 }],
  ['one tap of 900', { x: [2, 5, 9, 900], w: [1, 1, 900, 10], stride: 2, padding: 0 }],
];

const bits = { weightBits: 8, activationBits: 8 };
const fewBits = [
  { weightBits: 4, activationBits: 4 },
  { weightBits: 8, activationBits: 5 },
] as const;

/** Rounds of the loop of single pairs have as many as there are bits of w, where these are four to eight. */
const inRounds = [4, 5, 6, 7].flatMap((weightBits) => [
  { weightBits, activationBits: 5 },
  { weightBits, activationBits: 8 },
]);
const filled = { x: [2, 6, 9, 64], w: [3, 3, 64, 70] };

export const windowedBitCases: readonly Case[] = [
  ...inRounds.flatMap((widths) => {
    const { weightBits, activationBits } = widths;
    const all = productStructure(widths, weightBits + activationBits - 1);
    return [
      structureCase(`bits: rounds of ${weightBits} of ${activationBits}, by products`, filled, all),
      structureCase(`bits: rounds of ${weightBits} of ${activationBits}, windows, by products`, large, all),
    ];
  }),
  ...windows.flatMap(([note, shape]) => [
    ...(['structure', 'truncation'] as const).map((form) =>
      approximateCase(`bits: windows of ${note}`, shape, [8, 8], form),
    ),
    structureCase(`bits: windows of ${note}, by columns`, shape, columnStructure(bits, 8)),
    structureCase(`bits: windows of ${note}, by products`, shape, productStructure(bits, 15)),
  ]),
  ...fewBits.flatMap((widths) =>
    [image, large].flatMap((shape) => {
      const { weightBits, activationBits } = widths;
      const note = `bits: windows of ${shape === image ? 27 : 147} codes`;
      return [
        approximateCase(note, shape, [weightBits, activationBits], 'truncation'),
        structureCase(`${note}, by columns`, shape, columnStructure(widths, 4)),
        structureCase(`${note}, by products`, shape, productStructure(widths, 6)),
      ];
    }),
  ),
];
