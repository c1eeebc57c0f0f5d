// Gradients of the operands through the error of an approximate multiplier, by the slopes of its table:
//   dw[tap][c][o] = xScale·Σ_positions g[position][o]·slope(w[tap][c][o], x[pixel of the tap][c])
//   dx[pixel][c]  = Σ_{tap, o} g[position of the tap][o]·wScale[o]·slope(w[tap][c][o], x[pixel][c])
// As in ./approximate-forward, one weight's slopes become rows: for one tap, 4 channels and a panel of 8 outputs the
// slopes stand as [channel][code][8 outputs], 32 KB with 8-bit activations (first-level cache), and each position picks
// a row per channel by its codes. g is packed once into panels of 8 outputs (./convolution-weight-gradient), zero
// beyond the last output.
// Scratch: rows | the sums of a part.

import { ceilDivide, endValid, firstValid, Geometry } from './geometry';
import { storeLanes, storeTransposed } from './lanes';
import { WeightGradient } from './convolution-weight-gradient';

/** Channels whose rows are used together. */
const CHANNELS: i32 = 4;
/** Bytes of a row: 8 outputs. */
const ROW: usize = 32;
/** Bytes of the rows of a part; a byte that is no code of this part may pick any row, and its sum is dropped. */
const ROWS: usize = 4 * 256 * ROW;

/** The fields before `w` are those of ./convolution-weight-gradient, `dw` being the result. */
@unmanaged
export class AxmSlopes extends WeightGradient {
  w: usize;
  /** xScale [] for the weight's gradient, wScale [O] for the activation's. */
  scale: usize;
  /** f32 [2^weightBits][2^activationBits]. */
  slopes: usize;
  activationBits: i32;
  /** Input rows of a part of the activation's gradient. */
  rowsPerPart: i32;
}

/**
 * Rows of one tap, bundle of channels and panel of outputs: slope(w, code)·scale of the output (1 without `scales`).
 */
function buildSlopes(args: AxmSlopes, rows: usize, group: i32, tap: i32, first: i32, count: i32, panel: i32, scales: usize): void {
  const geometry = args.geometry;
  const channels = geometry.channels / geometry.groups;
  const perGroup = geometry.outputs / geometry.groups;
  const output = group * perGroup + panel * 8;
  const lanes = min(8, perGroup - panel * 8);
  const bytes = ROW << args.activationBits;
  for (let c = 0; c < count; ++c) {
    const weights = args.w + <usize>((tap * channels + first + c) * geometry.outputs + output);
    for (let quad = 0; quad < 8; quad += 4) {
      // Lanes beyond the last output repeat it; their cotangents are zero.
      const l0 = <usize>min(quad, lanes - 1);
      const l1 = <usize>min(quad + 1, lanes - 1);
      const l2 = <usize>min(quad + 2, lanes - 1);
      const l3 = <usize>min(quad + 3, lanes - 1);
      const a = slopesOf(args, weights + l0);
      const b = slopesOf(args, weights + l1);
      const d = slopesOf(args, weights + l2);
      const e = slopesOf(args, weights + l3);
      const base = scales + (<usize>output << 2);
      const sa = f32x4.splat(scales == 0 ? 1 : load<f32>(base + (l0 << 2)));
      const sb = f32x4.splat(scales == 0 ? 1 : load<f32>(base + (l1 << 2)));
      const sd = f32x4.splat(scales == 0 ? 1 : load<f32>(base + (l2 << 2)));
      const se = f32x4.splat(scales == 0 ? 1 : load<f32>(base + (l3 << 2)));
      let at = rows + <usize>c * bytes + (<usize>quad << 2);
      for (let code: usize = 0; code < <usize>4 << args.activationBits; code += 16) {
        storeTransposed(
          f32x4.mul(v128.load(a + code), sa),
          f32x4.mul(v128.load(b + code), sb),
          f32x4.mul(v128.load(d + code), sd),
          f32x4.mul(v128.load(e + code), se),
          at,
          at + ROW,
          at + 2 * ROW,
          at + 3 * ROW,
        );
        at += 4 * ROW;
      }
    }
  }
}

@inline
function slopesOf(args: AxmSlopes, weight: usize): usize {
  return args.slopes + ((<usize>load<u8>(weight) << args.activationBits) << 2);
}

/** Parts: [groups][taps][channels / 4][panels]. */
export function axmErrorWeight(args: AxmSlopes, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const strideX = geometry.strideX;
  const paddingX = geometry.paddingX;
  const channels = geometry.channels / geometry.groups;
  const perGroup = geometry.outputs / geometry.groups;
  const panels = ceilDivide(perGroup, 8);
  const bundles = ceilDivide(channels, CHANNELS);
  const taps = geometry.kernelHeight * geometry.kernelWidth;
  const panel = part % panels;
  const first = ((part / panels) % bundles) * CHANNELS;
  const count = min(CHANNELS, channels - first);
  const tap = (part / (panels * bundles)) % taps;
  const group = part / (panels * bundles * taps);
  const offsetY = (tap / geometry.kernelWidth) * geometry.dilationY - geometry.paddingY;
  const offsetX = (tap % geometry.kernelWidth) * geometry.dilationX;
  const x0 = firstValid(offsetX, strideX, paddingX);
  const width = endValid(offsetX, strideX, paddingX, geometry.width, geometry.outWidth) - x0;
  const positions = geometry.batch * geometry.outHeight * geometry.outWidth;
  const cotangent = args.panels + <usize>((group * panels + panel) * positions) * ROW;
  const sums = scratch + ROWS;
  buildSlopes(args, scratch, group, tap, first, count, panel, 0);
  memory.fill(sums, 0, 4 * ROW);

  for (let row = 0; row < geometry.batch * geometry.outHeight; ++row) {
    const iy = (row % geometry.outHeight) * geometry.strideY + offsetY;
    if (iy < 0 || iy >= geometry.height) continue;
    const ix = x0 * strideX + offsetX - paddingX;
    const pixel = ((row / geometry.outHeight) * geometry.height + iy) * geometry.width + ix;
    const codes = args.x + <usize>(pixel * geometry.channels + group * channels + first);
    const g = cotangent + <usize>(row * geometry.outWidth + x0) * ROW;
    slopeColumns(sums, codes, <usize>(strideX * geometry.channels), g, width, scratch, ROW << args.activationBits);
  }

  const scale = f32x4.splat(load<f32>(args.scale));
  const lanes = perGroup - panel * 8;
  for (let c = 0; c < count; ++c) {
    const at = args.dw + (<usize>((tap * channels + first + c) * geometry.outputs + group * perGroup + panel * 8) << 2);
    const sum = sums + <usize>c * ROW;
    storeLanes(at, f32x4.mul(scale, v128.load(sum)), lanes);
    storeLanes(at + 16, f32x4.mul(scale, v128.load(sum, 16)), lanes - 4);
  }
}

/** sums [4 channels][8] += Σ over `count` positions of g·row of the code. */
export function slopeColumns(sums: usize, codes: usize, step: usize, g: usize, count: i32, rows: usize, bytes: usize): void {
  let a0 = v128.load(sums);
  let a1 = v128.load(sums, 16);
  let b0 = v128.load(sums, 32);
  let b1 = v128.load(sums, 48);
  let c0 = v128.load(sums, 64);
  let c1 = v128.load(sums, 80);
  let d0 = v128.load(sums, 96);
  let d1 = v128.load(sums, 112);
  const rowsB = rows + bytes;
  const rowsC = rowsB + bytes;
  const rowsD = rowsC + bytes;
  for (const end = g + <usize>count * ROW; g < end; g += ROW) {
    const g0 = v128.load(g);
    const g1 = v128.load(g, 16);
    const x = load<u32>(codes);
    const a = rows + <usize>(x & 255) * ROW;
    const b = rowsB + <usize>((x >> 8) & 255) * ROW;
    const c = rowsC + <usize>((x >> 16) & 255) * ROW;
    const d = rowsD + <usize>(x >> 24) * ROW;
    a0 = f32x4.add(a0, f32x4.mul(g0, v128.load(a)));
    a1 = f32x4.add(a1, f32x4.mul(g1, v128.load(a, 16)));
    b0 = f32x4.add(b0, f32x4.mul(g0, v128.load(b)));
    b1 = f32x4.add(b1, f32x4.mul(g1, v128.load(b, 16)));
    c0 = f32x4.add(c0, f32x4.mul(g0, v128.load(c)));
    c1 = f32x4.add(c1, f32x4.mul(g1, v128.load(c, 16)));
    d0 = f32x4.add(d0, f32x4.mul(g0, v128.load(d)));
    d1 = f32x4.add(d1, f32x4.mul(g1, v128.load(d, 16)));
    codes += step;
  }
  v128.store(sums, a0);
  v128.store(sums, a1, 16);
  v128.store(sums, b0, 32);
  v128.store(sums, b1, 48);
  v128.store(sums, c0, 64);
  v128.store(sums, c1, 80);
  v128.store(sums, d0, 96);
  v128.store(sums, d1, 112);
}

/**
 * Parts: [runs of rowsPerPart input rows][groups][channels / 4]. Sums: one vector of 4 channels per pixel of the run.
 */
export function axmErrorInput(args: AxmSlopes, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const strideY = geometry.strideY;
  const strideX = geometry.strideX;
  const width = geometry.width;
  const channels = geometry.channels / geometry.groups;
  const panels = ceilDivide(geometry.outputs / geometry.groups, 8);
  const bundles = ceilDivide(channels, CHANNELS);
  const first = (part % bundles) * CHANNELS;
  const count = min(CHANNELS, channels - first);
  const group = (part / bundles) % geometry.groups;
  const firstRow = (part / (bundles * geometry.groups)) * args.rowsPerPart;
  const rows = min(args.rowsPerPart, geometry.batch * geometry.height - firstRow);
  const positions = geometry.batch * geometry.outHeight * geometry.outWidth;
  const channel = group * channels + first;
  const sums = scratch + ROWS;
  memory.fill(sums, 0, <usize>(rows * width) << 4);

  for (let ky = 0; ky < geometry.kernelHeight; ++ky) {
    for (let kx = 0; kx < geometry.kernelWidth; ++kx) {
      const offsetY = ky * geometry.dilationY - geometry.paddingY;
      const offsetX = kx * geometry.dilationX;
      const x0 = firstValid(offsetX, strideX, geometry.paddingX);
      const columns = endValid(offsetX, strideX, geometry.paddingX, width, geometry.outWidth) - x0;
      for (let panel = 0; panel < panels; ++panel) {
        const cotangent = args.panels + <usize>((group * panels + panel) * positions) * ROW;
        buildSlopes(args, scratch, group, ky * geometry.kernelWidth + kx, first, count, panel, args.scale);
        for (let r = 0; r < rows; ++r) {
          const row = firstRow + r;
          const y = (row % geometry.height) - offsetY;
          if (y < 0 || y % strideY != 0 || y / strideY >= geometry.outHeight) continue;
          const position = ((row / geometry.height) * geometry.outHeight + y / strideY) * geometry.outWidth + x0;
          const ix = x0 * strideX + offsetX - geometry.paddingX;
          const codes = args.x + <usize>((row * width + ix) * geometry.channels + channel);
          const at = sums + (<usize>(r * width + ix) << 4);
          const g = cotangent + <usize>position * ROW;
          slopeRows(at, strideX, codes, strideX * geometry.channels, g, columns, scratch, ROW << args.activationBits);
        }
      }
    }
  }

  let to = args.dw + (<usize>(firstRow * width * geometry.channels + channel) << 2);
  for (let pixel = 0; pixel < rows * width; ++pixel) {
    storeLanes(to, v128.load(sums + (<usize>pixel << 4)), count);
    to += <usize>geometry.channels << 2;
  }
}

/** sums [count, every `stride`-th][4 channels] += g·row of the code, over the 8 outputs. */
export function slopeRows(
  sums: usize,
  stride: usize,
  codes: usize,
  step: usize,
  g: usize,
  count: i32,
  rows: usize,
  bytes: usize,
): void {
  const rowsB = rows + bytes;
  const rowsC = rowsB + bytes;
  const rowsD = rowsC + bytes;
  for (const end = g + <usize>count * ROW; g < end; g += ROW) {
    const g0 = v128.load(g);
    const g1 = v128.load(g, 16);
    const x = load<u32>(codes);
    const a = product(g0, g1, rows + <usize>(x & 255) * ROW);
    const b = product(g0, g1, rowsB + <usize>((x >> 8) & 255) * ROW);
    const c = product(g0, g1, rowsC + <usize>((x >> 16) & 255) * ROW);
    const d = product(g0, g1, rowsD + <usize>(x >> 24) * ROW);
    // Each lane of ab and cd holds half of one channel's sum.
    const ab = f32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
    const cd = f32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
    const sum = f32x4.add(v128.shuffle<i64>(ab, cd, 0, 2), v128.shuffle<i64>(ab, cd, 1, 3));
    v128.store(sums, f32x4.add(v128.load(sums), sum));
    sums += stride << 4;
    codes += step;
  }
}

@inline
function product(g0: v128, g1: v128, row: usize): v128 {
  return f32x4.add(f32x4.mul(g0, v128.load(row)), f32x4.mul(g1, v128.load(row, 16)));
}
