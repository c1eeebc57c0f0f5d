// f32 convolutions with a window of 3×3 at stride 1, forward and data gradient, by F(2×2, 3×3) of Winograd's minimal
// filtering (Lavin and Gray, CVPR 2016): four outputs of a channel from 16 products in place of 36.
// With d a square of 4×4 pixels and g the weights of a window: Bᵀ d B ∘ G g Gᵀ, summed over channels, is M, and the
// square of 2×2 outputs is Aᵀ M A.
//   Bᵀ = 1  0 −1  0    G = 1    0   0     Aᵀ = 1  1  1  0
//        0  1  1  0        1/2  1/2 1/2        0  1 −1 −1
//        0 −1  1  0        1/2 −1/2 1/2
//        0  1  0 −1        0    0   1
// Each of the 16 places of a square is a matrix product of squares and weights: the register tiles of ./convolution
// with one tap and 4 squares for positions.
// The data gradient is the convolution of g with the weights turned round, of which the geometry is given; its padding
// may be negative.

import { multiplyTile, packLanes } from './convolution';
import { ceilDivide, Geometry } from './geometry';
import { storeLanes } from './lanes';

/** Bytes of 8 outputs, and of the 16 places of a square with so many. */
const LANES: usize = 32;
const SQUARE: usize = 16 * LANES;
/** Bytes of a list of one tap: what `multiplyTile` reads. */
const LIST: usize = 40;
/** Rows of squares in one place lie this much further apart, so that no two places share lines of the cache. */
const GAP: usize = 64;

@unmanaged
export class Winograd {
  /** Of the forward convolution, or of the one that the data gradient is. */
  geometry: Geometry;
  source: usize;
  /** [3, 3, channels / groups, outputs]; turned: [3, 3, outputs / groups, channels]. */
  w: usize;
  out: usize;
  /** f32 [groups][panels of 8 outputs][16][channels / groups][8]. */
  panels: usize;
  /** Whether the weights are to be turned round, with channels and outputs exchanged. */
  turned: i32;
  /** Rows of squares. */
  rowsPerPart: i32;
}

/** G g Gᵀ of 8 outputs; one part per group and panel. Scratch: the windows of one channel. */
export function packWinograd(args: Winograd, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const depth = geometry.channels / geometry.groups;
  const lanes = geometry.outputs / geometry.groups;
  const panels = ceilDivide(lanes, 8);
  const group = part / panels;
  const first = (part % panels) * 8;
  const count = min(8, lanes - first);
  const turned = args.turned != 0;
  const rowBytes = <usize>(turned ? geometry.channels : geometry.outputs) << 2;
  const placeBytes = <usize>depth * LANES;
  let to = args.panels + <usize>part * 16 * placeBytes;
  for (let c = 0; c < depth; ++c) {
    for (let tap = 0; tap < 9; ++tap) {
      const from = turned
        ? args.w + <usize>((8 - tap) * lanes + first) * rowBytes + (<usize>(group * depth + c) << 2)
        : args.w + <usize>(tap * depth + c) * rowBytes + (<usize>(group * lanes + first) << 2);
      packLanes(scratch + <usize>tap * LANES, from, turned ? rowBytes : 4, count);
    }
    for (let lane: usize = 0; lane < LANES; lane += 16) {
      // Gᵀ from the right, row by row of the window, in place of it; then G from the left.
      for (let row: usize = 0; row < 3; ++row) {
        const at = scratch + row * 3 * LANES + lane;
        spread(v128.load(at), v128.load(at, 32), v128.load(at, 64), scratch + SPREAD + row * 4 * LANES + lane, LANES);
      }
      for (let column: usize = 0; column < 4; ++column) {
        const at = scratch + SPREAD + column * LANES + lane;
        const place = to + column * placeBytes + lane;
        spread(v128.load(at), v128.load(at, 128), v128.load(at, 256), place, 4 * placeBytes);
      }
    }
    to += LANES;
  }
}

/** Where in the scratch memory of `packWinograd` the spread rows of the window are: [3][4][8]. */
const SPREAD: usize = 9 * LANES;

/** G of three values. */
@inline
function spread(a: v128, b: v128, c: v128, to: usize, step: usize): void {
  const half = f32x4.splat(0.5);
  const outer = f32x4.mul(half, f32x4.add(a, c));
  const inner = f32x4.mul(half, b);
  v128.store(to, a);
  v128.store(to + step, f32x4.add(outer, inner));
  v128.store(to + 2 * step, f32x4.sub(outer, inner));
  v128.store(to + 3 * step, c);
}

/**
 * Parts: [groups][runs of rows of squares]. Scratch: a list per place | four rows of the source with their padding |
 * Bᵀ d B [16][squares][channels] | M of a panel [squares][16][8].
 */
export function convolveWinograd(args: Winograd, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const depth = geometry.channels / geometry.groups;
  const lanes = geometry.outputs / geometry.groups;
  const panels = ceilDivide(lanes, 8);
  const across = ceilDivide(geometry.outWidth, 2);
  const down = ceilDivide(geometry.outHeight, 2);
  const runs = ceilDivide(geometry.batch * down, args.rowsPerPart);
  const group = part / runs;
  const firstRow = (part % runs) * args.rowsPerPart;
  const rows = min(args.rowsPerPart, geometry.batch * down - firstRow);
  const squares = rows * across;
  const fours = ceilDivide(squares, 4);
  const pixelBytes = <usize>ceilDivide(depth, 4) << 4;
  const placeBytes = <usize>(fours * 4) * pixelBytes + GAP;

  const patch = scratch + 16 * LIST;
  const values = patch + <usize>(8 * (across + 1)) * pixelBytes;
  const sums = values + 16 * placeBytes;
  for (let row = 0; row < rows; ++row) {
    const image = (firstRow + row) / down;
    const y = ((firstRow + row) % down) * 2;
    copyPatch(args, group * depth, image, y, patch, pixelBytes);
    transformSquares(patch, across, pixelBytes, values + <usize>(row * across) * pixelBytes, placeBytes);
  }
  for (let place: usize = 0; place < 16; ++place) {
    const list = scratch + place * LIST;
    store<i32>(list, 1);
    store<usize>(list, place * <usize>depth * LANES, 20);
    for (let p: usize = 0; p < 4; ++p) {
      store<usize>(list + (p << 2), p * SQUARE + place * LANES, 4);
      store<usize>(list + (p << 2), place * placeBytes + p * pixelBytes, 24);
    }
  }
  for (let panel = 0; panel < panels; ++panel) {
    const weights = args.panels + <usize>(group * panels + panel) * 16 * <usize>depth * LANES;
    for (let place: usize = 0; place < 16; ++place) {
      for (let four: usize = 0; four < <usize>fours; ++four) {
        const from = values + four * 4 * pixelBytes;
        multiplyTile(scratch + place * LIST, weights, <usize>depth << 2, from, sums + four * 4 * SQUARE, 8);
      }
    }
    const first = group * lanes + panel * 8;
    for (let row = 0; row < rows; ++row) {
      const image = (firstRow + row) / down;
      const y = ((firstRow + row) % down) * 2;
      writeSquares(args, image, y, first, lanes - panel * 8, sums + <usize>(row * across) * SQUARE);
    }
  }
}

/** The four rows of the source that a row of squares reads, from `channel` on, with zeros where there is no pixel. */
function copyPatch(args: Winograd, channel: i32, image: i32, y: i32, patch: usize, pixelBytes: usize): void {
  const geometry = args.geometry;
  const columns = 2 * ceilDivide(geometry.outWidth, 2) + 2;
  const step = <usize>geometry.channels << 2;
  let to = patch;
  for (let row = y - geometry.paddingY; row < y - geometry.paddingY + 4; ++row) {
    const exists = row >= 0 && row < geometry.height;
    const first = <usize>((image * geometry.height + row) * geometry.width - geometry.paddingX);
    let from = args.source + first * step + (<usize>channel << 2);
    for (let column = -geometry.paddingX; column < columns - geometry.paddingX; ++column) {
      if (exists && column >= 0 && column < geometry.width) {
        for (let c: usize = 0; c < pixelBytes; c += 16) v128.store(to + c, v128.load(from + c));
      } else memory.fill(to, 0, pixelBytes);
      to += pixelBytes;
      from += step;
    }
  }
}

/** Bᵀ d B of a row of squares, four channels at a time. */
function transformSquares(patch: usize, squares: i32, pixelBytes: usize, to: usize, placeBytes: usize): void {
  const rowBytes = <usize>(2 * squares + 2) * pixelBytes;
  for (let square = 0; square < squares; ++square) {
    for (let c: usize = 0; c < pixelBytes; c += 16) {
      const first = patch + c;
      const second = first + rowBytes;
      const third = second + rowBytes;
      difference(first, third, pixelBytes, to + c, placeBytes);
      sumAndDifference(second, third, pixelBytes, to + c + 4 * placeBytes, placeBytes);
      difference(second, third + rowBytes, pixelBytes, to + c + 12 * placeBytes, placeBytes);
    }
    patch += 2 * pixelBytes;
    to += pixelBytes;
  }
}

/** Four places from one pixel row less another. */
@inline
function difference(a: usize, b: usize, pixelBytes: usize, to: usize, placeBytes: usize): void {
  const v0 = f32x4.sub(v128.load(a), v128.load(b));
  const v1 = f32x4.sub(v128.load(a + pixelBytes), v128.load(b + pixelBytes));
  const v2 = f32x4.sub(v128.load(a + 2 * pixelBytes), v128.load(b + 2 * pixelBytes));
  const v3 = f32x4.sub(v128.load(a + 3 * pixelBytes), v128.load(b + 3 * pixelBytes));
  storePlaces(v0, v1, v2, v3, to, placeBytes);
}

/** Four places from the sum of two pixel rows, and four from the second less the first. */
@inline
function sumAndDifference(a: usize, b: usize, pixelBytes: usize, to: usize, placeBytes: usize): void {
  const a0 = v128.load(a);
  const a1 = v128.load(a + pixelBytes);
  const a2 = v128.load(a + 2 * pixelBytes);
  const a3 = v128.load(a + 3 * pixelBytes);
  const b0 = v128.load(b);
  const b1 = v128.load(b + pixelBytes);
  const b2 = v128.load(b + 2 * pixelBytes);
  const b3 = v128.load(b + 3 * pixelBytes);
  storePlaces(f32x4.add(a0, b0), f32x4.add(a1, b1), f32x4.add(a2, b2), f32x4.add(a3, b3), to, placeBytes);
  const next = to + 4 * placeBytes;
  storePlaces(f32x4.sub(b0, a0), f32x4.sub(b1, a1), f32x4.sub(b2, a2), f32x4.sub(b3, a3), next, placeBytes);
}

/** The values of a row of places, B of four pixels. */
@inline
function storePlaces(a: v128, b: v128, c: v128, d: v128, to: usize, placeBytes: usize): void {
  v128.store(to, f32x4.sub(a, c));
  v128.store(to + placeBytes, f32x4.add(b, c));
  v128.store(to + 2 * placeBytes, f32x4.sub(c, b));
  v128.store(to + 3 * placeBytes, f32x4.sub(b, d));
}

/** Aᵀ M A of a row of squares, as far as there are outputs. */
function writeSquares(args: Winograd, image: i32, y: i32, first: i32, lanes: i32, sums: usize): void {
  const geometry = args.geometry;
  const pixelBytes = <usize>geometry.outputs << 2;
  const rowBytes = <usize>geometry.outWidth * pixelBytes;
  let out = args.out + <usize>(image * geometry.outHeight + y) * rowBytes + (<usize>first << 2);
  const both = y + 1 < geometry.outHeight;
  for (let x = 0; x < geometry.outWidth; x += 2) {
    const right = x + 1 < geometry.outWidth;
    for (let lane = 0; lane < 8; lane += 4) {
      const at = sums + (<usize>lane << 2);
      const to = out + (<usize>lane << 2);
      const a0 = upperOf(at);
      const a1 = upperOf(at + LANES);
      const a2 = upperOf(at + 2 * LANES);
      const a3 = upperOf(at + 3 * LANES);
      storeLanes(to, f32x4.add(a0, f32x4.add(a1, a2)), lanes - lane);
      if (right) storeLanes(to + pixelBytes, f32x4.sub(f32x4.sub(a1, a2), a3), lanes - lane);
      if (!both) continue;
      const b0 = lowerOf(at);
      const b1 = lowerOf(at + LANES);
      const b2 = lowerOf(at + 2 * LANES);
      const b3 = lowerOf(at + 3 * LANES);
      storeLanes(to + rowBytes, f32x4.add(b0, f32x4.add(b1, b2)), lanes - lane);
      if (right) storeLanes(to + rowBytes + pixelBytes, f32x4.sub(f32x4.sub(b1, b2), b3), lanes - lane);
    }
    sums += SQUARE;
    out += 2 * pixelBytes;
  }
}

/** The first row of Aᵀ with a column of places. */
@inline
function upperOf(at: usize): v128 {
  return f32x4.add(v128.load(at), f32x4.add(v128.load(at, 128), v128.load(at, 256)));
}

/** The second row. */
@inline
function lowerOf(at: usize): v128 {
  return f32x4.sub(f32x4.sub(v128.load(at, 128), v128.load(at, 256)), v128.load(at, 384));
}
