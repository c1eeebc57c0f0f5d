// f32 convolution forward and its data gradient: one register-tile product over an implicit im2col.
// Weights are packed once per step into panels of 8 outputs, [group][panel][tap][depth][8], so that a panel streams
// through the cache.
// A part owns a run of rows of the result and a range of panels. It lists, for every 4 positions of its rows, the 4
// source rows of each tap (a zero row where the tap is padding; taps that are padding for all 4 are left out); then
// each panel passes over all positions:
// 4 positions × 8 outputs in registers, `depth` input channels per tap contiguous in memory. Nothing of the im2col is
// materialised.
// The data gradient is the same product with the roles of channels and outputs exchanged: its source is g, and an input
// pixel meets the output (iy + padding − ky·dilation) / stride when that is whole. Its positions are visited residue by
// residue (mod stride), so that the 4 positions of a tile share their taps.
// Of small images a tile is one position of 4 images: they have the same taps, so that none meets padding, and the next
// 4 images have the same lists further on in memory, so that these come with the program.

import { ceilDivide, Geometry } from './geometry';
import { storeLanes } from './lanes';

@unmanaged
export class Convolution {
  geometry: Geometry;
  /** Forward: x; data gradient: g. */
  source: usize;
  w: usize;
  out: usize;
  /** f32 panels, then a row of zeros as long as the depth. */
  panels: usize;
  zeros: usize;
  rowsPerPart: i32;
  panelsPerPart: i32;
  /**
   * Where a tile is one position of 4 images (a part then has whole images), else 0: the list of every position for the
   * first 4 images of a source and a result at 0, then, if the last images are fewer than 4, the same for so many.
   */
  tiles: usize;
}

/** One part per group and panel; part 0 also clears the zero row. */
export function packForward(args: Convolution, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const depth = geometry.channels / geometry.groups;
  const lanes = geometry.outputs / geometry.groups;
  const panels = ceilDivide(lanes, 8);
  const first = (part / panels) * lanes + (part % panels) * 8;
  const count = min(8, lanes - (part % panels) * 8);
  const rows = geometry.kernelHeight * geometry.kernelWidth * depth;
  if (part == 0) memory.fill(args.zeros, 0, <usize>depth << 2);
  let to = args.panels + <usize>part * rows * 32;
  let from = args.w + (<usize>first << 2);
  for (let row = 0; row < rows; ++row) {
    packLanes(to, from, 4, count);
    to += 32;
    from += <usize>geometry.outputs << 2;
  }
}

/** The same for the data gradient: panels of 8 input channels, depth over the outputs of the group. */
export function packTransposed(args: Convolution, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const depth = geometry.outputs / geometry.groups;
  const lanes = geometry.channels / geometry.groups;
  const panels = ceilDivide(lanes, 8);
  const group = part / panels;
  const first = (part % panels) * 8;
  const count = min(8, lanes - first);
  const taps = geometry.kernelHeight * geometry.kernelWidth;
  if (part == 0) memory.fill(args.zeros, 0, <usize>depth << 2);
  let to = args.panels + <usize>part * taps * depth * 32;
  for (let tap = 0; tap < taps; ++tap) {
    for (let o = 0; o < depth; ++o) {
      const from = args.w + (<usize>((tap * lanes + first) * geometry.outputs + group * depth + o) << 2);
      packLanes(to, from, <usize>geometry.outputs << 2, count);
      to += 32;
    }
  }
}

/** Up to 8 f32, `step` bytes apart, and zeros behind them. */
@inline
export function packLanes(to: usize, from: usize, step: usize, count: i32): void {
  let lane = 0;
  for (; lane < count; ++lane) store<f32>(to + (<usize>lane << 2), load<f32>(from + <usize>lane * step));
  for (; lane < 8; ++lane) store<f32>(to + (<usize>lane << 2), 0);
}

export function convolutionForward(args: Convolution, part: i32, scratch: usize): void {
  convolve(args, part, scratch, false);
}

export function convolutionInputGradient(args: Convolution, part: i32, scratch: usize): void {
  convolve(args, part, scratch, true);
}

/** Bytes of one tile's list: the number of taps, four results, then per tap the panel offset and four source rows. */
@inline
function listBytes(taps: i32): usize {
  return <usize>(5 + 5 * taps) << 2;
}

/** Scratch: one list per tile of 4 positions. Parts: [groups][row runs][panel ranges]. */
function convolve(args: Convolution, part: i32, scratch: usize, transposed: bool): void {
  const geometry = args.geometry;
  const lanes = (transposed ? geometry.channels : geometry.outputs) / geometry.groups;
  const depth = (transposed ? geometry.outputs : geometry.channels) / geometry.groups;
  const outChannels = lanes * geometry.groups;
  const height = transposed ? geometry.height : geometry.outHeight;
  const width = transposed ? geometry.width : geometry.outWidth;
  const taps = geometry.kernelHeight * geometry.kernelWidth;
  const panels = ceilDivide(lanes, 8);
  const ranges = ceilDivide(panels, args.panelsPerPart);
  const runs = ceilDivide(geometry.batch * height, args.rowsPerPart);
  const group = part / (ranges * runs);
  const firstRow = ((part / ranges) % runs) * args.rowsPerPart;
  const rows = min(args.rowsPerPart, geometry.batch * height - firstRow);
  const firstPanel = (part % ranges) * args.panelsPerPart;
  const endPanel = min(panels, firstPanel + args.panelsPerPart);

  const panelBytes = <usize>taps * depth * 32;
  const depthBytes = <usize>depth << 2;
  const tiles =
    args.tiles != 0 ? height * width : listSources(args, transposed, group, depth, outChannels, width, height, firstRow, rows, scratch);
  const pixels = transposed ? geometry.outHeight * geometry.outWidth : geometry.height * geometry.width;
  const sourceBytes = <usize>(pixels * geometry.groups) * depthBytes;
  const resultBytes = <usize>(height * width * outChannels) << 2;
  for (let panel = firstPanel; panel < endPanel; ++panel) {
    const weights = args.panels + <usize>(group * panels + panel) * panelBytes;
    const lane = <usize>(group * lanes + panel * 8) << 2;
    const left = lanes - panel * 8;
    if (args.tiles == 0) {
      multiplyTiles(scratch, tiles, taps, weights, depthBytes, 0, lane, left);
      continue;
    }
    for (let image = firstRow / height, end = image + rows / height; image < end; image += 4) {
      const source = args.source + <usize>group * depthBytes + <usize>image * sourceBytes;
      const lists = args.tiles + (image + 4 > geometry.batch ? <usize>tiles * listBytes(taps) : 0);
      multiplyTiles(lists, tiles, taps, weights, depthBytes, source, args.out + <usize>image * resultBytes + lane, left);
    }
  }
}

/** The tiles of a run of lists with one panel. */
@inline
function multiplyTiles(
  list: usize,
  tiles: i32,
  taps: i32,
  weights: usize,
  depthBytes: usize,
  source: usize,
  result: usize,
  lanes: i32,
): void {
  for (let tile = 0; tile < tiles; ++tile) {
    multiplyTile(list, weights, depthBytes, source, result, lanes);
    list += listBytes(taps);
  }
}

/** Bytes of a position that waits for its tile: see `listTile`. */
const PLACE: usize = 20;

/** Writes the lists of all tiles of a part and returns their number. A short last tile repeats its last position. */
function listSources(
  args: Convolution,
  transposed: bool,
  group: i32,
  depth: i32,
  outChannels: i32,
  width: i32,
  height: i32,
  firstRow: i32,
  rows: i32,
  scratch: usize,
): i32 {
  const geometry = args.geometry;
  const residues = transposed ? min(geometry.strideX, width) : 1;
  const stride = transposed ? geometry.strideX : 1;
  const bytes = listBytes(geometry.kernelHeight * geometry.kernelWidth);
  const pixels = transposed ? geometry.outHeight * geometry.outWidth : geometry.height * geometry.width;
  const lane = <usize>(group * depth) << 2;
  let tiles = 0;
  let filled: usize = 0;
  const places = scratch + <usize>((rows * width) / 4 + 1) * bytes;
  let image = firstRow / height;
  let y = firstRow % height;
  for (let row = firstRow; row < firstRow + rows; ++row) {
    const source = args.source + (<usize>(image * pixels * depth * geometry.groups) << 2) + lane;
    const first = transposed ? y + geometry.paddingY : y * geometry.strideY - geometry.paddingY;
    for (let residue = 0; residue < residues; ++residue) {
      for (let x = residue; x < width; x += stride) {
        const place = places + filled * PLACE;
        store<usize>(place, args.out + (<usize>((row * width + x) * outChannels) << 2));
        store<usize>(place, source, 4);
        store<i32>(place, first, 8);
        store<i32>(place, transposed ? x + geometry.paddingX : x * geometry.strideX - geometry.paddingX, 12);
        if (++filled == 4) {
          listTile(args, transposed, depth, places, scratch + <usize>tiles * bytes);
          ++tiles;
          filled = 0;
        }
      }
    }
    if (++y == height) {
      y = 0;
      ++image;
    }
  }
  if (filled == 0) return tiles;
  for (; filled < 4; ++filled) memory.copy(places + filled * PLACE, places + (filled - 1) * PLACE, PLACE);
  listTile(args, transposed, depth, places, scratch + <usize>tiles * bytes);
  return tiles + 1;
}

/**
 * A place: result, image in the source, and the source row and column that the window's first tap meets (transposed:
 * times the stride); then, for the window's row of the moment, the source row, or 0 for padding.
 */
function listTile(args: Convolution, transposed: bool, depth: i32, places: usize, list: usize): void {
  const geometry = args.geometry;
  const pixelBytes = <usize>(depth * geometry.groups) << 2;
  const panelBytes = <usize>depth * 32;
  for (let p: usize = 0; p < 4; ++p) store<usize>(list + (p << 2), load<usize>(places + p * PLACE), 4);
  let count = 0;
  let entry = list + 20;
  let panel: usize = 0;
  for (let ky = 0; ky < geometry.kernelHeight; ++ky) {
    let any: usize = 0;
    for (let p: usize = 0; p < 4; ++p) {
      const place = places + p * PLACE;
      const y = transposed
        ? resultOf(load<i32>(place, 8) - ky * geometry.dilationY, geometry.strideY, geometry.outHeight)
        : within(load<i32>(place, 8) + ky * geometry.dilationY, geometry.height);
      const rowBytes = pixelBytes * (transposed ? geometry.outWidth : geometry.width);
      const row: usize = y < 0 ? 0 : load<usize>(place, 4) + <usize>y * rowBytes;
      store<usize>(place, row, 16);
      any |= row;
    }
    if (any == 0) {
      panel += <usize>geometry.kernelWidth * panelBytes;
      continue;
    }
    for (let kx = 0; kx < geometry.kernelWidth; ++kx) {
      let met = false;
      for (let p: usize = 0; p < 4; ++p) {
        const place = places + p * PLACE;
        const x = transposed
          ? resultOf(load<i32>(place, 12) - kx * geometry.dilationX, geometry.strideX, geometry.outWidth)
          : within(load<i32>(place, 12) + kx * geometry.dilationX, geometry.width);
        const row = load<usize>(place, 16);
        const meets = x >= 0 && row != 0;
        store<usize>(entry + (p << 2), meets ? row + <usize>x * pixelBytes : args.zeros, 4);
        met = met || meets;
      }
      if (met) {
        store<usize>(entry, panel);
        entry += 20;
        ++count;
      }
      panel += panelBytes;
    }
  }
  store<i32>(list, count);
}

/** A pixel's number along an axis, or −1 for padding. */
@inline
function within(at: i32, extent: i32): i32 {
  return <u32>at < <u32>extent ? at : -1;
}

/** The position of g along an axis that lies `at` pixels into the padded input, or −1 where there is none. */
@inline
function resultOf(at: i32, stride: i32, extent: i32): i32 {
  if (stride == 1) return within(at, extent);
  if (at < 0) return -1;
  const position = <i32>(<u32>at / <u32>stride);
  return position * stride == at && position < extent ? position : -1;
}

/** 4 positions × 8 outputs over all listed taps; what is listed lies `source` and `result` bytes further on. */
export function multiplyTile(
  list: usize,
  weights: usize,
  depthBytes: usize,
  source: usize,
  result: usize,
  lanes: i32,
): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let d0 = a0;
  let d1 = a0;
  let entry = list + 20;
  for (let end = entry + load<u32>(list) * 20; entry < end; entry += 20) {
    let panel = weights + load<u32>(entry);
    let a = source + load<usize>(entry, 4);
    let b = source + load<usize>(entry, 8);
    let c = source + load<usize>(entry, 12);
    let d = source + load<usize>(entry, 16);
    const stop = a + depthBytes;
    // Four channels at a time, parted by conditions that no address meets: more loads at once would spill.
    for (const last = a + (depthBytes & ~15); a < last; a += 16) {
      let w0 = v128.load(panel);
      let w1 = v128.load(panel, 16);
      let va = v128.load32_splat(a);
      a0 = f32x4.add(a0, f32x4.mul(va, w0));
      a1 = f32x4.add(a1, f32x4.mul(va, w1));
      let vb = v128.load32_splat(b);
      b0 = f32x4.add(b0, f32x4.mul(vb, w0));
      b1 = f32x4.add(b1, f32x4.mul(vb, w1));
      let vc = v128.load32_splat(c);
      c0 = f32x4.add(c0, f32x4.mul(vc, w0));
      c1 = f32x4.add(c1, f32x4.mul(vc, w1));
      let vd = v128.load32_splat(d);
      d0 = f32x4.add(d0, f32x4.mul(vd, w0));
      d1 = f32x4.add(d1, f32x4.mul(vd, w1));
      if (panel == 1) break;
      w0 = v128.load(panel, 32);
      w1 = v128.load(panel, 48);
      va = v128.load32_splat(a, 4);
      a0 = f32x4.add(a0, f32x4.mul(va, w0));
      a1 = f32x4.add(a1, f32x4.mul(va, w1));
      vb = v128.load32_splat(b, 4);
      b0 = f32x4.add(b0, f32x4.mul(vb, w0));
      b1 = f32x4.add(b1, f32x4.mul(vb, w1));
      vc = v128.load32_splat(c, 4);
      c0 = f32x4.add(c0, f32x4.mul(vc, w0));
      c1 = f32x4.add(c1, f32x4.mul(vc, w1));
      vd = v128.load32_splat(d, 4);
      d0 = f32x4.add(d0, f32x4.mul(vd, w0));
      d1 = f32x4.add(d1, f32x4.mul(vd, w1));
      if (panel == 2) break;
      w0 = v128.load(panel, 64);
      w1 = v128.load(panel, 80);
      va = v128.load32_splat(a, 8);
      a0 = f32x4.add(a0, f32x4.mul(va, w0));
      a1 = f32x4.add(a1, f32x4.mul(va, w1));
      vb = v128.load32_splat(b, 8);
      b0 = f32x4.add(b0, f32x4.mul(vb, w0));
      b1 = f32x4.add(b1, f32x4.mul(vb, w1));
      vc = v128.load32_splat(c, 8);
      c0 = f32x4.add(c0, f32x4.mul(vc, w0));
      c1 = f32x4.add(c1, f32x4.mul(vc, w1));
      vd = v128.load32_splat(d, 8);
      d0 = f32x4.add(d0, f32x4.mul(vd, w0));
      d1 = f32x4.add(d1, f32x4.mul(vd, w1));
      if (panel == 3) break;
      w0 = v128.load(panel, 96);
      w1 = v128.load(panel, 112);
      va = v128.load32_splat(a, 12);
      a0 = f32x4.add(a0, f32x4.mul(va, w0));
      a1 = f32x4.add(a1, f32x4.mul(va, w1));
      vb = v128.load32_splat(b, 12);
      b0 = f32x4.add(b0, f32x4.mul(vb, w0));
      b1 = f32x4.add(b1, f32x4.mul(vb, w1));
      vc = v128.load32_splat(c, 12);
      c0 = f32x4.add(c0, f32x4.mul(vc, w0));
      c1 = f32x4.add(c1, f32x4.mul(vc, w1));
      vd = v128.load32_splat(d, 12);
      d0 = f32x4.add(d0, f32x4.mul(vd, w0));
      d1 = f32x4.add(d1, f32x4.mul(vd, w1));
      panel += 128;
      b += 16;
      c += 16;
      d += 16;
    }
    for (; a < stop; a += 4) {
      const w0 = v128.load(panel);
      const w1 = v128.load(panel, 16);
      const va = v128.load32_splat(a);
      a0 = f32x4.add(a0, f32x4.mul(va, w0));
      a1 = f32x4.add(a1, f32x4.mul(va, w1));
      const vb = v128.load32_splat(b);
      b0 = f32x4.add(b0, f32x4.mul(vb, w0));
      b1 = f32x4.add(b1, f32x4.mul(vb, w1));
      const vc = v128.load32_splat(c);
      c0 = f32x4.add(c0, f32x4.mul(vc, w0));
      c1 = f32x4.add(c1, f32x4.mul(vc, w1));
      const vd = v128.load32_splat(d);
      d0 = f32x4.add(d0, f32x4.mul(vd, w0));
      d1 = f32x4.add(d1, f32x4.mul(vd, w1));
      panel += 32;
      b += 4;
      c += 4;
      d += 4;
    }
  }
  storePair(result + load<usize>(list, 4), a0, a1, lanes);
  storePair(result + load<usize>(list, 8), b0, b1, lanes);
  storePair(result + load<usize>(list, 12), c0, c1, lanes);
  storePair(result + load<usize>(list, 16), d0, d1, lanes);
}

@inline
function storePair(at: usize, first: v128, second: v128, lanes: i32): void {
  storeLanes(at, first, lanes);
  storeLanes(at + 16, second, lanes - 4);
}
