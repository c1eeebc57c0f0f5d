// Cases of depthwise and grouped convolutions, which have kernels of their own: channels that fill no vector, strides,
// wide windows, dilation, several outputs per input channel, images of one pixel, odd widths of codes; each for float32
// products and every form of an approximate multiplier, with all gradients.

import { type PerAxis, square } from '../../src/engine/graph/window.ts';
import type { Shape } from '../../src/tensor/tensor.ts';
import { type Case, floats, make } from './cases.ts';
import { approximateCase, type ErrorForm } from './path-cases.ts';

interface Grouped {
  readonly note: string;
  readonly x: Shape;
  readonly w: Shape;
  readonly groups: number;
  readonly stride?: PerAxis;
  readonly padding?: PerAxis;
  readonly dilation?: PerAxis;
  /** Of weights and activations. */
  readonly bits?: readonly [number, number];
}

const grouped: readonly Grouped[] = [
  { note: 'depthwise, 5 channels', x: [2, 7, 9, 5], w: [3, 3, 1, 5], groups: 5, padding: 1, bits: [7, 6] },
  { note: 'depthwise, stride 2 of 12 channels', x: [3, 9, 8, 12], w: [3, 3, 1, 12], groups: 12, stride: 2, padding: 1 },
  { note: 'depthwise 5×5', x: [2, 9, 7, 36], w: [5, 5, 1, 36], groups: 36, padding: 2, bits: [5, 3] },
  { note: 'depthwise 5×5, stride 2', x: [2, 11, 8, 8], w: [5, 5, 1, 8], groups: 8, stride: 2, padding: 2 },
  {
    note: 'depthwise of 40 channels, dilation 2',
    x: [2, 9, 8, 40],
    w: [3, 3, 1, 40],
    groups: 40,
    padding: 2,
    dilation: 2,
  },
  { note: 'two outputs per channel', x: [2, 6, 5, 8], w: [3, 3, 1, 16], groups: 8, padding: 1, bits: [4, 5] },
  { note: 'three outputs per channel', x: [2, 5, 6, 3], w: [3, 2, 1, 9], groups: 3, padding: [1, 0], stride: [1, 2] },
  { note: 'depthwise on one pixel', x: [5, 1, 1, 8], w: [3, 3, 1, 8], groups: 8, padding: 1, bits: [3, 4] },
  { note: 'depthwise on 2×2 pixels', x: [3, 2, 2, 12], w: [3, 3, 1, 12], groups: 12, padding: 1, bits: [8, 2] },
  { note: 'depthwise, stride 3', x: [2, 10, 11, 8], w: [3, 3, 1, 8], groups: 8, stride: 3, padding: 0 },
  { note: 'depthwise 7×7', x: [1, 9, 10, 6], w: [7, 7, 1, 6], groups: 6, padding: 3 },
  { note: 'depthwise, many pixels', x: [3, 24, 20, 32], w: [3, 3, 1, 32], groups: 32, padding: 1 },
  { note: 'groups of 4', x: [2, 6, 7, 12], w: [3, 3, 4, 12], groups: 3, padding: 1, bits: [6, 7] },
  { note: 'groups of 8 with stride 2', x: [2, 9, 8, 24], w: [3, 3, 8, 24], groups: 3, stride: 2, padding: 1 },
];

const forms: readonly ErrorForm[] = ['exact', 'structure', 'truncation', 'table', 'table with slopes'];

export const depthwiseCases: readonly Case[] = grouped.flatMap(({ note, bits = [8, 8], padding = 0, ...shape }) => {
  const { x, w, ...window } = shape;
  const table = approximateCase(`${note}, constant`, { ...shape, padding }, bits, 'table');
  return [
    make('conv2d', note, [floats(x), floats(w)], square({ ...window, padding }), {
      ...{ differentiate: [0, 1], smooth: [0, 1] },
    }),
    ...forms.map((form) => approximateCase(note, { ...shape, padding }, bits, form)),
    { ...table, constants: [6] },
  ];
});
