// Weight gradient of the f32 convolution: dw[tap][channel][output] = Σ_positions x[position shifted by the
// tap][channel]·g[position][output]. g is packed once into panels of 8 outputs,
// [group][panel][batch·outHeight·outWidth][8]. A part owns one tap, 16 input channels and a range of panels of a group;
// it walks blocks of output rows (about `rowsPerBlock`), and per block multiplies 4 channels × 8 outputs in registers
// over all positions of the block that the tap keeps inside the image. The sums of blocks are added in order.

import { ceilDivide, endValid, firstValid, Geometry } from './geometry';
import { storeLanes } from './lanes';

const CHANNELS = 16;

@unmanaged
export class WeightGradient {
  geometry: Geometry;
  x: usize;
  g: usize;
  dw: usize;
  /** f32 panels of g, 8 outputs wide. */
  panels: usize;
  panelsPerPart: i32;
  rowsPerBlock: i32;
  /**
   * Where a block is some whole images, else 0: the positions of each tap, u32 [taps][rowsPerBlock · outWidth][2], made
   * with the panels; those of the next block lie as much further on as its images.
   */
  lists: usize;
}

/** Bytes of the list of a block. */
@inline
function listBytes(args: WeightGradient): usize {
  return <usize>(args.rowsPerBlock * args.geometry.outWidth) << 3;
}

/** One part per run of `rowsPerBlock` output rows; the parts share the lists of the taps. */
export function packCotangent(args: WeightGradient, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const perGroup = geometry.outputs / geometry.groups;
  const panels = ceilDivide(perGroup, 8);
  const positions = geometry.batch * geometry.outHeight * geometry.outWidth;
  const first = part * args.rowsPerBlock * geometry.outWidth;
  const end = min(positions, first + args.rowsPerBlock * geometry.outWidth);
  const parts = ceilDivide(geometry.batch * geometry.outHeight, args.rowsPerBlock);
  const taps = geometry.kernelHeight * geometry.kernelWidth;
  for (let tap = part; args.lists != 0 && tap < taps; tap += parts) {
    listPositions(geometry, tap, 0, args.rowsPerBlock, args.lists + <usize>tap * listBytes(args));
  }
  for (let panel = 0; panel < panels * geometry.groups; ++panel) {
    const output = (panel / panels) * perGroup + (panel % panels) * 8;
    const count = min(8, perGroup - (panel % panels) * 8);
    let to = args.panels + <usize>(panel * positions + first) * 32;
    let from = args.g + (<usize>(first * geometry.outputs + output) << 2);
    for (let position = first; position < end; ++position) {
      if (count == 8) {
        v128.store(to, v128.load(from));
        v128.store(to, v128.load(from, 16), 16);
      } else {
        for (let lane = 0; lane < 8; ++lane) {
          store<f32>(to + (<usize>lane << 2), lane < count ? load<f32>(from + (<usize>lane << 2)) : 0);
        }
      }
      to += 32;
      from += <usize>geometry.outputs << 2;
    }
  }
}

/**
 * Parts: [groups][taps][channels / 16][panel ranges]. Scratch: sums [panels of the part][16 channels][8], then the list
 * of a block.
 */
export function weightGradient(args: WeightGradient, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const channels = geometry.channels / geometry.groups;
  const perGroup = geometry.outputs / geometry.groups;
  const panels = ceilDivide(perGroup, 8);
  const ranges = ceilDivide(panels, args.panelsPerPart);
  const bundles = ceilDivide(channels, CHANNELS);
  const taps = geometry.kernelHeight * geometry.kernelWidth;
  const firstPanel = (part % ranges) * args.panelsPerPart;
  const endPanel = min(panels, firstPanel + args.panelsPerPart);
  const firstChannel = ((part / ranges) % bundles) * CHANNELS;
  const count = min(CHANNELS, channels - firstChannel);
  const tap = (part / (ranges * bundles)) % taps;
  const group = part / (ranges * bundles * taps);

  const x = args.x + (<usize>(group * channels + firstChannel) << 2);
  const rows = geometry.batch * geometry.outHeight;
  const sumBytes = <usize>(endPanel - firstPanel) * CHANNELS * 32;
  const list = args.lists != 0 ? args.lists + <usize>tap * listBytes(args) : scratch + sumBytes;
  const imageBytes = <usize>(geometry.height * geometry.width * geometry.channels) << 2;
  const positions = <usize>positionsOfTap(geometry, tap);
  memory.fill(scratch, 0, sumBytes);

  for (let row0 = 0; row0 < rows; row0 += args.rowsPerBlock) {
    const row1 = min(rows, row0 + args.rowsPerBlock);
    let from = x;
    let end = list;
    if (args.lists == 0) end = listPositions(geometry, tap, row0, row1, list);
    else {
      from += <usize>(row0 / geometry.outHeight) * imageBytes;
      end += (<usize>((row1 - row0) / geometry.outHeight) * positions) << 3;
    }
    let sums = scratch;
    for (let panel = firstPanel; panel < endPanel; ++panel) {
      const cotangent = args.panels + <usize>((group * panels + panel) * rows + row0) * geometry.outWidth * 32;
      for (let c = 0; c < count; c += 4) multiplyColumns(sums + c * 32, from + (<usize>c << 2), cotangent, list, end);
      sums += CHANNELS * 32;
    }
  }

  let sums = scratch;
  for (let panel = firstPanel; panel < endPanel; ++panel) {
    const lanes = perGroup - panel * 8;
    for (let c = 0; c < count; ++c) {
      const at = (tap * channels + firstChannel + c) * geometry.outputs + group * perGroup + panel * 8;
      storeLanes(args.dw + (<usize>at << 2), v128.load(sums + c * 32), lanes);
      storeLanes(args.dw + (<usize>at << 2) + 16, v128.load(sums + c * 32, 16), lanes - 4);
    }
    sums += CHANNELS * 32;
  }
}

/** Positions of an image whose tap falls inside it. */
function positionsOfTap(geometry: Geometry, tap: i32): i32 {
  const offsetY = (tap / geometry.kernelWidth) * geometry.dilationY;
  const offsetX = (tap % geometry.kernelWidth) * geometry.dilationX;
  const rows =
    endValid(offsetY, geometry.strideY, geometry.paddingY, geometry.height, geometry.outHeight) -
    firstValid(offsetY, geometry.strideY, geometry.paddingY);
  const columns =
    endValid(offsetX, geometry.strideX, geometry.paddingX, geometry.width, geometry.outWidth) -
    firstValid(offsetX, geometry.strideX, geometry.paddingX);
  return max(0, rows) * max(0, columns);
}

/**
 * The positions of some output rows whose tap falls inside the image, in order: how far into x the tap is, and how far
 * into the rows' panel g. Returns the end of the list.
 */
function listPositions(geometry: Geometry, tap: i32, row0: i32, row1: i32, list: usize): usize {
  const strideX = geometry.strideX;
  const offsetY = (tap / geometry.kernelWidth) * geometry.dilationY - geometry.paddingY;
  const offsetX = (tap % geometry.kernelWidth) * geometry.dilationX;
  const x0 = firstValid(offsetX, strideX, geometry.paddingX);
  const width = endValid(offsetX, strideX, geometry.paddingX, geometry.width, geometry.outWidth) - x0;
  const xStep = <usize>(strideX * geometry.channels) << 2;
  const ix = x0 * strideX + offsetX - geometry.paddingX;
  let image = row0 / geometry.outHeight;
  let oy = row0 % geometry.outHeight;
  let at = list;
  for (let row = row0; row < row1; ++row) {
    const iy = oy * geometry.strideY + offsetY;
    if (iy >= 0 && iy < geometry.height) {
      let from = <usize>(((image * geometry.height + iy) * geometry.width + ix) * geometry.channels) << 2;
      let g = <usize>((row - row0) * geometry.outWidth + x0) * 32;
      for (let position = 0; position < width; ++position) {
        store<usize>(at, from);
        store<usize>(at, g, 4);
        from += xStep;
        g += 32;
        at += 8;
      }
    }
    if (++oy == geometry.outHeight) {
      oy = 0;
      ++image;
    }
  }
  return at;
}

/**
 * sums [4 channels][8] += Σ over the listed positions, x `lane` bytes further on; reads four channels even where fewer
 * are wanted.
 */
export function multiplyColumns(sums: usize, lane: usize, g: usize, list: usize, end: usize): void {
  let a0 = v128.load(sums);
  let a1 = v128.load(sums, 16);
  let b0 = v128.load(sums, 32);
  let b1 = v128.load(sums, 48);
  let c0 = v128.load(sums, 64);
  let c1 = v128.load(sums, 80);
  let d0 = v128.load(sums, 96);
  let d1 = v128.load(sums, 112);
  // Two positions at a time, parted by a condition that no address meets: more loads at once would spill.
  for (const last = list + ((end - list) & ~15); list < last; list += 16) {
    let x = load<usize>(list) + lane;
    let from = g + load<usize>(list, 4);
    let g0 = v128.load(from);
    let g1 = v128.load(from, 16);
    let va = v128.load32_splat(x);
    a0 = f32x4.add(a0, f32x4.mul(va, g0));
    a1 = f32x4.add(a1, f32x4.mul(va, g1));
    let vb = v128.load32_splat(x, 4);
    b0 = f32x4.add(b0, f32x4.mul(vb, g0));
    b1 = f32x4.add(b1, f32x4.mul(vb, g1));
    let vc = v128.load32_splat(x, 8);
    c0 = f32x4.add(c0, f32x4.mul(vc, g0));
    c1 = f32x4.add(c1, f32x4.mul(vc, g1));
    let vd = v128.load32_splat(x, 12);
    d0 = f32x4.add(d0, f32x4.mul(vd, g0));
    d1 = f32x4.add(d1, f32x4.mul(vd, g1));
    if (list == 1) break;
    x = load<usize>(list, 8) + lane;
    from = g + load<usize>(list, 12);
    g0 = v128.load(from);
    g1 = v128.load(from, 16);
    va = v128.load32_splat(x);
    a0 = f32x4.add(a0, f32x4.mul(va, g0));
    a1 = f32x4.add(a1, f32x4.mul(va, g1));
    vb = v128.load32_splat(x, 4);
    b0 = f32x4.add(b0, f32x4.mul(vb, g0));
    b1 = f32x4.add(b1, f32x4.mul(vb, g1));
    vc = v128.load32_splat(x, 8);
    c0 = f32x4.add(c0, f32x4.mul(vc, g0));
    c1 = f32x4.add(c1, f32x4.mul(vc, g1));
    vd = v128.load32_splat(x, 12);
    d0 = f32x4.add(d0, f32x4.mul(vd, g0));
    d1 = f32x4.add(d1, f32x4.mul(vd, g1));
  }
  if (list < end) {
    const x = load<usize>(list) + lane;
    const from = g + load<usize>(list, 4);
    const g0 = v128.load(from);
    const g1 = v128.load(from, 16);
    const va = v128.load32_splat(x);
    a0 = f32x4.add(a0, f32x4.mul(va, g0));
    a1 = f32x4.add(a1, f32x4.mul(va, g1));
    const vb = v128.load32_splat(x, 4);
    b0 = f32x4.add(b0, f32x4.mul(vb, g0));
    b1 = f32x4.add(b1, f32x4.mul(vb, g1));
    const vc = v128.load32_splat(x, 8);
    c0 = f32x4.add(c0, f32x4.mul(vc, g0));
    c1 = f32x4.add(c1, f32x4.mul(vc, g1));
    const vd = v128.load32_splat(x, 12);
    d0 = f32x4.add(d0, f32x4.mul(vd, g0));
    d1 = f32x4.add(d1, f32x4.mul(vd, g1));
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
