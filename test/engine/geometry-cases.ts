// Cases whose windows differ along the two axes, skip rows or columns, or have distance between their taps: as
// Inception's 1×7 and 7×1 convolutions have them, strides along one axis, and dilation that shares a factor with the
// stride or not. Each for float32 products and for every form of an approximate multiplier, with all gradients.

import { type PerAxis, square, squareWindow } from '../../src/engine/graph/window.ts';
import type { Shape } from '../../src/tensor/tensor.ts';
import { type Case, floats, make } from './cases.ts';
import { approximateCase, type ErrorForm } from './path-cases.ts';

interface Windowed {
  readonly note: string;
  readonly x: Shape;
  readonly w: Shape;
  readonly stride?: PerAxis;
  readonly padding?: PerAxis;
  readonly dilation?: PerAxis;
  readonly groups?: number;
}

const windows: readonly Windowed[] = [
  { note: '1×7', x: [2, 5, 9, 6], w: [1, 7, 6, 9], padding: [0, 3] },
  { note: '7×1', x: [2, 9, 5, 6], w: [7, 1, 6, 9], padding: [3, 0] },
  { note: 'stride 2×1', x: [2, 7, 6, 5], w: [3, 3, 5, 7], stride: [2, 1], padding: 1 },
  { note: 'stride 1×3', x: [2, 6, 10, 4], w: [2, 4, 4, 16], stride: [1, 3], padding: [1, 2] },
  { note: '1×1 with stride 1×2', x: [2, 5, 6, 8], w: [1, 1, 8, 12], stride: [1, 2], padding: 0 },
  { note: '1×1 with padding 0×1', x: [2, 3, 4, 8], w: [1, 1, 8, 6], padding: [0, 1] },
  { note: 'dilation 2', x: [2, 9, 8, 5], w: [3, 3, 5, 7], padding: 2, dilation: 2 },
  { note: 'dilation 3×1', x: [2, 9, 6, 16], w: [3, 3, 16, 16], padding: [3, 1], dilation: [3, 1] },
  { note: 'dilation 2 with stride 2', x: [2, 11, 9, 4], w: [3, 3, 4, 8], stride: 2, padding: 2, dilation: 2 },
  { note: 'dilation 4 with stride 6', x: [1, 25, 21, 4], w: [5, 4, 4, 8], stride: 6, padding: [8, 5], dilation: 4 },
  { note: 'dilation 2×3 with stride 3×2', x: [2, 13, 14, 4], w: [3, 4, 4, 8], stride: [3, 2], dilation: [2, 3] },
  { note: 'dilation beyond the image', x: [2, 3, 4, 3], w: [3, 3, 3, 5], padding: [5, 6], dilation: [5, 6] },
  { note: 'two groups, dilation 1×2', x: [2, 6, 9, 6], w: [3, 3, 3, 8], padding: [1, 2], dilation: [1, 2], groups: 2 },
  { note: 'depthwise 1×5', x: [2, 6, 9, 8], w: [1, 5, 1, 8], padding: [0, 2], groups: 8 },
  { note: 'depthwise, dilation 2', x: [2, 9, 8, 16], w: [3, 3, 1, 16], padding: 2, dilation: 2, groups: 16 },
  {
    ...{ note: 'depthwise, dilation 2×3 with stride 4×2', x: [2, 17, 16, 20], w: [3, 4, 1, 20] },
    ...{ stride: [4, 2] as const, padding: [2, 3] as const, dilation: [2, 3] as const, groups: 20 },
  },
];

const forms: readonly ErrorForm[] = ['exact', 'structure', 'truncation', 'table with slopes'];

const convolutions = windows.flatMap(({ note, x, w, padding = 0, ...window }): Case[] => [
  make('conv2d', note, [floats(x), floats(w)], square({ ...window, padding }), {
    ...{ differentiate: [0, 1], smooth: [0, 1] },
  }),
  ...forms.map((form) => approximateCase(note, { ...window, x, w, padding }, [8, 8], form)),
  approximateCase(note, { ...window, x, w, padding }, [5, 3], 'structure'),
]);

/** Work that is cut, sorted by code, and sorted per tap. */
const dilated = { stride: [1, 2], padding: [2, 1], dilation: [2, 1] } as const;
const sized: readonly Case[] = [
  ...[8, 6, 3].flatMap((bits) => [
    approximateCase(
      'many positions, dilated',
      { ...dilated, x: [16, 16, 16, 8], w: [3, 3, 8, 8] },
      [8, bits],
      'structure',
    ),
    approximateCase(
      'tiny images, dilated',
      { x: [3, 1, 2, 64], w: [3, 3, 64, 64], padding: 2, dilation: 2, stride: [1, 2] },
      [8, bits],
      'structure',
    ),
  ]),
  ...(['truncation', 'table with slopes'] as const).map((form) =>
    approximateCase('many positions, dilated', { ...dilated, x: [16, 16, 16, 8], w: [3, 3, 8, 8] }, [8, 8], form),
  ),
  approximateCase(
    'sorted by code for each tap, dilated',
    { x: [700, 1, 5, 16], w: [1, 3, 1, 1280], padding: 0, dilation: 2, groups: 16 },
    [8, 8],
    'structure',
  ),
];

const pools: readonly Case[] = (
  [
    ['2×3 with stride 1×2', [2, 5, 7, 6], [2, 3], [1, 2], 0],
    ['3×2 with stride 2×1 and padding 1×0', [2, 7, 5, 8], [3, 2], [2, 1], [1, 0]],
    ['1×4 with padding 0×2', [1, 4, 6, 5], [1, 4], 2, [0, 2]],
  ] as [string, Shape, PerAxis, PerAxis, PerAxis][]
).flatMap(([note, x, size, stride, padding]) =>
  (['maxPool', 'averagePool'] as const).map((op) =>
    make(op, note, [floats(x)], squareWindow(size, stride, padding), { differentiate: [0], smooth: [0] }),
  ),
);

export const geometryCases: readonly Case[] = [...convolutions, ...sized, ...pools];
