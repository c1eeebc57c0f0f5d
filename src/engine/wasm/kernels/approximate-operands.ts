// Operands of the approximate convolution's gradients, arranged for ./approximate-gradients: codes channel by channel,
// cotangents in tiles of 16 outputs with a halo of zeros, and the gradient H_1 of the all-ones plane. One record serves
// all steps.
// In a tile the cotangent of output row oy stands in row oy + haloOf(…); an input row iy has its list entry in row
// ⌊(iy + padding) / stride⌋ − ⌊padding / stride⌋, and the tap ky finds its output row so many rows below:
// ⌊(kernel − 1)·dilation / stride⌋ − ⌊ky·dilation / stride⌋.

import { ceilDivide, endValid, firstValid, Geometry } from './geometry';

/** Bytes of 16 outputs. */
export const ROW: usize = 64;

@unmanaged
export class AxmGradients {
  geometry: Geometry;
  g: usize;
  x: usize;
  w: usize;
  xScale: usize;
  xZero: usize;
  wScale: usize;
  dw: usize;
  dm: usize;
  /** u8 [channels][batch·height·width]. */
  planar: usize;
  /** f32 [groups·tiles][batch][tileHeight][tileWidth][16]. */
  tiled: usize;
  tileHeight: i32;
  tileWidth: i32;
  /** H_1: f32 [groups·tiles][taps][16]. */
  ones: usize;
  /** One share of dm per part: f32 [parts][64]. */
  structures: usize;
  slices: i32;
  imagesPerBlock: i32;
  pixelsPerPart: i32;
  weightBits: i32;
  activationBits: i32;
  /** Bits by which positions are sorted at once: 8 (by code) or 4 (by half of a code). */
  digitBits: i32;
  /**
   * 1: positions are sorted anew for each tap, without those that the tap links to nothing; 0: once per residue class.
   */
  sortPerTap: i32;
  /** 3 where three taps of a list follow each other in the tile, which are summed together; else 1. */
  tapsPerRow: i32;
}

/** Tiles of 16 outputs per group. */
@inline
export function tilesOf(geometry: Geometry): i32 {
  return ceilDivide(geometry.outputs / geometry.groups, 16);
}

/** Row (column) of a tile that holds output row (column) 0. */
@inline
function haloOf(kernel: i32, stride: i32, padding: i32, dilation: i32): i32 {
  return ((kernel - 1) * dilation) / stride - padding / stride;
}

/** x [pixels, channels] → [channels, pixels]; parts are runs of pixels. */
export function planarCodes(args: AxmGradients, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const channels = geometry.channels;
  const pixels = geometry.batch * geometry.height * geometry.width;
  const first = part * args.pixelsPerPart;
  const end = min(pixels, first + args.pixelsPerPart);
  const squares = first + ((end - first) & ~3);
  let channel = 0;
  for (; channel + 4 <= channels; channel += 4) {
    const to = args.planar + <usize>channel * pixels;
    let from = args.x + <usize>first * channels + channel;
    for (let pixel = first; pixel < squares; pixel += 4) {
      transposeCodes(from, channels, to + pixel, pixels);
      from += <usize>channels << 2;
    }
    for (let c = 0; c < 4; ++c) copyCodes(args, channel + c, squares, end);
  }
  for (; channel < channels; ++channel) copyCodes(args, channel, first, end);
}

/** The codes of one channel from one pixel to another. */
@inline
function copyCodes(args: AxmGradients, channel: i32, first: i32, end: i32): void {
  const channels = args.geometry.channels;
  const row = args.planar + <usize>channel * args.geometry.batch * args.geometry.height * args.geometry.width;
  let from = args.x + <usize>first * channels + channel;
  for (let pixel = first; pixel < end; ++pixel) {
    store<u8>(row + pixel, load<u8>(from));
    from += channels;
  }
}

/** Four codes of four pixels, `fromStep` bytes apart, as four pixels of four channels, `toStep` apart. */
@inline
function transposeCodes(from: usize, fromStep: usize, to: usize, toStep: usize): void {
  let codes = v128.load32_zero(from);
  codes = v128.load32_lane(from + fromStep, codes, 1);
  codes = v128.load32_lane(from + 2 * fromStep, codes, 2);
  codes = v128.load32_lane(from + 3 * fromStep, codes, 3);
  codes = v128.shuffle<u8>(codes, codes, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  v128.store32_lane(to, codes, 0);
  v128.store32_lane(to + toStep, codes, 1);
  v128.store32_lane(to + 2 * toStep, codes, 2);
  v128.store32_lane(to + 3 * toStep, codes, 3);
}

/** g [batch, outHeight, outWidth, outputs] → tiles with a halo; one part per image. */
export function tileCotangent(args: AxmGradients, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const perGroup = geometry.outputs / geometry.groups;
  const tiles = tilesOf(geometry);
  const top = haloOf(geometry.kernelHeight, geometry.strideY, geometry.paddingY, geometry.dilationY);
  const left = haloOf(geometry.kernelWidth, geometry.strideX, geometry.paddingX, geometry.dilationX);
  const image = <usize>(args.tileHeight * args.tileWidth) * ROW;
  for (let tile = 0; tile < tiles * geometry.groups; ++tile) {
    const output = (tile / tiles) * perGroup + (tile % tiles) * 16;
    const lanes = min(16, perGroup - (tile % tiles) * 16);
    const to = args.tiled + <usize>(tile * geometry.batch + part) * image;
    memory.fill(to, 0, image);
    for (let oy = max(0, -top); oy < geometry.outHeight && oy + top < args.tileHeight; ++oy) {
      for (let ox = max(0, -left); ox < geometry.outWidth && ox + left < args.tileWidth; ++ox) {
        const position = (part * geometry.outHeight + oy) * geometry.outWidth + ox;
        const from = args.g + (<usize>(position * geometry.outputs + output) << 2);
        const at = to + <usize>((oy + top) * args.tileWidth + ox + left) * ROW;
        copyLanes(at, from, lanes);
      }
    }
  }
}

/** Copies up to 16 f32. */
@inline
function copyLanes(to: usize, from: usize, lanes: i32): void {
  let lane = 0;
  for (; lane + 4 <= lanes; lane += 4) v128.store(to + (<usize>lane << 2), v128.load(from + (<usize>lane << 2)));
  for (; lane < lanes; ++lane) store<f32>(to + (<usize>lane << 2), load<f32>(from + (<usize>lane << 2)));
}

/** H_1 of one tile of outputs, for every tap; nothing when the zero point is 0. One part per tile. */
export function cotangentSums(args: AxmGradients, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  if (load<f32>(args.xZero) == 0) return;
  const perGroup = geometry.outputs / geometry.groups;
  const tiles = tilesOf(geometry);
  const output = (part / tiles) * perGroup + (part % tiles) * 16;
  const lanes = min(16, perGroup - (part % tiles) * 16);
  for (let ky = 0; ky < geometry.kernelHeight; ++ky) {
    const offsetY = ky * geometry.dilationY;
    const y0 = firstValid(offsetY, geometry.strideY, geometry.paddingY);
    const y1 = endValid(offsetY, geometry.strideY, geometry.paddingY, geometry.height, geometry.outHeight);
    for (let kx = 0; kx < geometry.kernelWidth; ++kx) {
      const offsetX = kx * geometry.dilationX;
      const x0 = firstValid(offsetX, geometry.strideX, geometry.paddingX);
      const x1 = endValid(offsetX, geometry.strideX, geometry.paddingX, geometry.width, geometry.outWidth);
      const tap = ky * geometry.kernelWidth + kx;
      for (let lane = 0; lane < lanes; lane += 4) {
        let total = f32x4.splat(0);
        for (let n = 0; n < geometry.batch; ++n) {
          // One sum per row keeps the error of long sums small.
          for (let oy = y0; oy < y1; ++oy) {
            let sum = f32x4.splat(0);
            const position = (n * geometry.outHeight + oy) * geometry.outWidth + x0;
            let from = args.g + (<usize>(position * geometry.outputs + output + lane) << 2);
            for (let ox = x0; ox < x1; ++ox) {
              sum = f32x4.add(sum, v128.load(from));
              from += <usize>geometry.outputs << 2;
            }
            total = f32x4.add(total, sum);
          }
        }
        const taps = geometry.kernelHeight * geometry.kernelWidth;
        v128.store(args.ones + (<usize>((part * taps + tap) * 16 + lane) << 2), total);
      }
    }
  }
}
