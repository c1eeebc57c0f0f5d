// Windows of three taps to a row, which kernels may sum side by side, at paddings other than one: the least, the most
// that such a row can have and one more, on images down to a width of one pixel. Kept behind all other cases, whose
// values depend on what was drawn before them.

import type { PerAxis } from '../../src/engine/graph/window.ts';
import type { Shape } from '../../src/tensor/tensor.ts';
import type { Case } from './cases.ts';
import { approximateCase } from './path-cases.ts';

const windows: readonly [x: Shape, size: number, padding: PerAxis][] = [
  [[2, 4, 5, 7], 3, 0],
  [[2, 3, 4, 6], 3, [0, 2]],
  [[3, 2, 1, 4], 1, [0, 2]],
  [[2, 3, 4, 3], 3, [1, 3]],
];

/** Codes of so few bits that a row of real shares is made per code on small images too. */
export const windowCases: readonly Case[] = windows.flatMap(([x, size, padding]) => {
  const shape = { x, w: [size, 3, x[3]!, 17], padding };
  const note = `${size}×3 with padding ${padding} on ${x[2]} columns`;
  return [
    approximateCase(note, shape, [8, 4], 'structure'),
    approximateCase(note, shape, [5, 6], 'structure'),
    approximateCase(note, shape, [5, 4], 'table with slopes'),
  ];
});
