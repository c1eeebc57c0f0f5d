// Cases of dropout: elements and groups, blocks of random words that are filled and not, one part and several. All
// backends must draw the same, to the last bit.

import { type Shape, tensor } from '../../src/tensor/tensor.ts';
import { type Case, floatsOf, make } from './cases.ts';

const floats = floatsOf(4);

const each: readonly Shape[] = [[3], [5, 7], [4, 16], [16384], [2, 16384], [3, 11003]];
const groups: readonly (readonly [Shape, number])[] = [
  [[9, 2, 5], 10],
  [[6, 2, 2, 4], 16],
  [[6, 1], 1],
  [[3, 16384], 16384],
  [[2, 2, 16384], 32768],
  [[5, 20001], 20001],
  [[70, 4], 4],
];

const dropCase = (note: string, shape: Shape, group: number, rate: number, stream: number): Case =>
  make(
    'dropout',
    `${note}: ${shape.join('×')}, rate ${rate}`,
    [floats(shape), tensor('i32', [2], Int32Array.of(-1234567, 0x7654321 + stream))],
    { rate, stream, group },
    { differentiate: [0], exact: true, ...(shape.length < 3 && shape.at(-1)! < 20 ? { smooth: [0] } : {}) },
  );

export const dropoutCases: readonly Case[] = [
  ...each.flatMap((shape, at) => [0.1, 0.75].map((rate) => dropCase('elements', shape, 1, rate, at))),
  ...groups.map(([shape, group], at) => dropCase('groups', shape, group, 0.4, 100 + at)),
];
