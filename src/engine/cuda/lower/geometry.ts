// Host side of the kernels' geometry: the structure they take, division constants, tile shapes and the cutting of long
// sums. Pure functions of shapes and of the number of multiprocessors, so that a result depends on neither timing nor
// the state of the device.

import { invariant } from '../../../tensor/errors.ts';
import type { Shape } from '../../../tensor/tensor.ts';
import type { ConvGeometry } from '../../graph/ops.ts';
import { COUNTS, oneOrSeveral } from '../../graph/paths.ts';
import { type Argument, integers, struct } from './launch.ts';

export interface Convolution extends ConvGeometry {
  readonly n: number;
  readonly h: number;
  readonly w: number;
  /** Input channels of all groups. */
  readonly c: number;
  readonly oh: number;
  readonly ow: number;
  /** Output channels of all groups. */
  readonly o: number;
  readonly kh: number;
  readonly kw: number;
  /** Per group. */
  readonly inputs: number;
  readonly outputs: number;
  /** Output pixels, and products per output element. */
  readonly pixels: number;
  readonly inner: number;
}

/** The three products of a convolution, numbered as kernels/convolution.cu does. */
export const FORWARD = 0;
export const INPUT_GRADIENT = 1;
export const WEIGHT_GRADIENT = 2;
export type Mode = typeof FORWARD | typeof INPUT_GRADIENT | typeof WEIGHT_GRADIENT;

/** Geometry from the shapes of x [n,h,w,c], the weights [kh,kw,c/groups,o] and the output [n,oh,ow,o]. */
export function convolutionOf(x: Shape, weights: Shape, y: Shape, geometry: ConvGeometry): Convolution {
  const [n, h, w, c] = x as [number, number, number, number];
  const [kh, kw, inputs, o] = weights as [number, number, number, number];
  const [, oh, ow] = y as [number, number, number];
  const { stride, padding, groups } = geometry;
  // A single tap has no distance to the next.
  const dilation = [kh === 1 ? 1 : geometry.dilation[0], kw === 1 ? 1 : geometry.dilation[1]] as const;
  return {
    ...{ n, h, w, c, oh, ow, o, kh, kw, stride, padding, dilation, groups, inputs },
    outputs: o / groups,
    pixels: n * oh * ow,
    inner: kh * kw * inputs,
  };
}

/** Constants with which q = (mulhi(n, factor) + n) >> shift is n / divisor for every n below 2^31. */
export function dividerOf(divisor: number): { divisor: number; factor: number; shift: number } {
  invariant(divisor >= 1 && divisor < 2 ** 31, `a divisor of ${divisor}`);
  const shift = Math.ceil(Math.log2(divisor));
  const factor = Number((2n ** 32n * (2n ** BigInt(shift) - BigInt(divisor))) / BigInt(divisor)) + 1;
  return { divisor, factor, shift };
}

/** The kernels' `Divider`. */
export const dividerArgument = (divisor: number): Argument => struct(integers(dividerOf(divisor)));

/** The kernels' `Geometry`. */
export function geometryArgument(g: Convolution): Argument {
  const { n, h, w, c, oh, ow, o, kh, kw, groups } = g;
  const [strideY, strideX] = g.stride;
  const [paddingY, paddingX] = g.padding;
  const [dilationY, dilationX] = g.dilation;
  return struct({
    ...integers({ n, h, w, c, oh, ow, o, kh, kw }),
    ...integers({ strideY, strideX, paddingY, paddingX, dilationY, dilationX, groups }),
    byImage: dividerArgument(oh * ow),
    byRow: dividerArgument(ow),
  });
}

export const ceilDivide = (a: number, b: number): number => Math.ceil(a / b);
export const roundUp = (a: number, b: number): number => Math.ceil(a / b) * b;

/** A block's share of a matrix product and the warps that it is divided among. */
export interface Tile {
  readonly rows: number;
  readonly columns: number;
  readonly warpsM: number;
  readonly warpsN: number;
}

/** The tile that finishes first: the rounds of blocks over the multiprocessors times the work of a block. */
export function chooseTile<T extends Tile>(
  tiles: readonly T[],
  rows: number,
  columns: number,
  groups: number,
  multiprocessors: number,
): T {
  const cost = (tile: T): number => {
    const blocks = ceilDivide(rows, tile.rows) * ceilDivide(columns, tile.columns) * groups;
    // Loading the operands costs in proportion to the sides of the tile.
    return ceilDivide(blocks, multiprocessors) * (tile.rows * tile.columns + 24 * (tile.rows + tile.columns));
  };
  return tiles.reduce((best, tile) => (cost(tile) < cost(best) ? tile : best));
}

/**
 * Work of tiles × stages cut into equal shares, as kernels/approximate-plane-gradients.cu does; `parts`: the number of
 * shares that each tile is in.
 */
export function sharesOf(tiles: number, stages: number, most: number) {
  const units = tiles * stages;
  invariant(most < 256, `${most} shares`);
  const blocks = Math.min(most, units);
  const blockOf = (unit: number) => Math.floor(((unit + 1) * blocks - 1) / units);
  const partsOf = (tile: number) => blockOf((tile + 1) * stages - 1) - blockOf(tile * stages) + 1;
  const parts = Uint8Array.from({ length: tiles }, (_, tile) => partsOf(tile));
  return { tiles, stages, blocks, parts };
}

/**
 * What of a geometry makes kernels step otherwise: several pixels from one position of the window, or from one tap, to
 * the next.
 */
export const steps = { stride: COUNTS, dilation: COUNTS } as const;
export const stepsOf = ({ stride, dilation }: ConvGeometry) => ({
  stride: oneOrSeveral(Math.max(...stride)),
  dilation: oneOrSeveral(Math.max(...dilation)),
});
