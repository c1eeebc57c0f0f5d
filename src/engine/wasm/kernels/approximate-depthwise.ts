// Depthwise convolutions with an approximate multiplier (one input channel per group, few outputs of each), forward and
// gradients. An output sums as few products as the window has taps, so nothing is shared between channels: for each
// channel every tap has a row with an f64 for each activation code, and a product is one look-up.
//   forward: row[x] = (w − wZero)(x − xZero) + E(w, x), whole; sums of integers are exact whatever the zero points
//   structure: row[x] collects the cotangents that meet the code x, from which the planes' gradients H_j are folded
//   slopes: the rows are those of the table of slopes
// Parts: 16 outputs (a cache line of f32) times a run of output rows (forward), a row of taps (gradients of weights),
// or input rows (of activations). Channels of a part take turns on blocks of rows that stay in the cache.
// Alternative: bit planes over vectors of channels take eight masks and additions where a look-up takes one.

import { endMeeting, firstMeeting } from './convolution-depthwise';
import { ceilDivide, endTap, endValid, firstTap, firstValid, Geometry, tapStep } from './geometry';

/** Outputs of a part. */
const LANES = 16;

@unmanaged
export class AxmDepthwise {
  geometry: Geometry;
  x: usize;
  w: usize;
  out: usize;
  xScale: usize;
  xZero: usize;
  wScale: usize;
  wZero: usize;
  /** m: f32 [weightBits][activationBits], or 0. */
  matrix: usize;
  /** E: i32 [2^weightBits][2^activationBits], or 0. */
  errors: usize;
  weightBits: i32;
  activationBits: i32;
  rowsPerPart: i32;
}

/** Scratch: a row per tap. */
export function axmDepthwise(args: AxmDepthwise, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const bundles = ceilDivide(geometry.outputs, LANES);
  const first = (part % bundles) * LANES;
  const end = min(geometry.outputs, first + LANES);
  const row0 = (part / bundles) * args.rowsPerPart;
  const row1 = min(geometry.batch * geometry.outHeight, row0 + args.rowsPerPart);
  const rowBytes = <usize>8 << args.activationBits;
  const taps = geometry.kernelHeight * geometry.kernelWidth;
  const multiplier = geometry.outputs / geometry.channels;
  const step = <usize>(geometry.dilationX * geometry.channels);
  for (let o = first; o < end; ++o) {
    for (let tap = 0; tap < taps; ++tap) makeRow(args, scratch + <usize>tap * rowBytes, tap, o);
    const scale = <f64>load<f32>(args.xScale) * <f64>load<f32>(args.wScale + (<usize>o << 2));
    for (let row = row0; row < row1; ++row) {
      const top = (row % geometry.outHeight) * geometry.strideY - geometry.paddingY;
      const ky0 = firstTap(top, geometry.dilationY);
      const ky1 = endTap(top, geometry.dilationY, geometry.height, geometry.kernelHeight);
      const image = (row / geometry.outHeight) * geometry.height;
      let out = args.out + (<usize>(row * geometry.outWidth * geometry.outputs + o) << 2);
      for (let ox = 0; ox < geometry.outWidth; ++ox) {
        const left = ox * geometry.strideX - geometry.paddingX;
        const kx0 = firstTap(left, geometry.dilationX);
        const kx1 = endTap(left, geometry.dilationX, geometry.width, geometry.kernelWidth);
        let sum: f64 = 0;
        for (let ky = ky0; ky < ky1; ++ky) {
          const pixel = (image + top + ky * geometry.dilationY) * geometry.width + left + kx0 * geometry.dilationX;
          let x = args.x + <usize>(pixel * geometry.channels + o / multiplier);
          let at = scratch + <usize>(ky * geometry.kernelWidth + kx0) * rowBytes;
          if (kx1 - kx0 == 3) {
            const a = load<f64>(at + (<usize>load<u8>(x) << 3));
            const b = load<f64>(at + rowBytes + (<usize>load<u8>(x + step) << 3));
            const c = load<f64>(at + 2 * rowBytes + (<usize>load<u8>(x + 2 * step) << 3));
            sum += a + b + c;
          } else {
            for (let kx = kx0; kx < kx1; ++kx) {
              sum += load<f64>(at + (<usize>load<u8>(x) << 3));
              x += step;
              at += rowBytes;
            }
          }
        }
        store<f32>(out, <f32>(scale * sum));
        out += <usize>geometry.outputs << 2;
      }
    }
  }
}

/** row[x] of one weight, for all codes x: linear in the bits of x but for a table's errors. */
function makeRow(args: AxmDepthwise, row: usize, tap: i32, o: i32): void {
  const weight = <i32>load<u8>(args.w + <usize>(tap * args.geometry.outputs + o));
  const centred = <f64>weight - <f64>load<f32>(args.wZero + (<usize>o << 2));
  store<f64>(row, -<f64>load<f32>(args.xZero) * centred);
  for (let j = 0; j < args.activationBits; ++j) {
    let factor = centred;
    if (args.matrix != 0) {
      for (let i = 0; i < args.weightBits; ++i) {
        if (((weight >> i) & 1) == 0) continue;
        factor -= <f64>load<f32>(args.matrix + (<usize>(i * args.activationBits + j) << 2)) * <f64>(1 << i);
      }
    }
    const bytes = <usize>8 << j;
    const added = factor * <f64>(1 << j);
    if (j == 0) store<f64>(row, load<f64>(row) + added, 8);
    else {
      const both = f64x2.splat(added);
      for (let at: usize = 0; at < bytes; at += 16) {
        v128.store(row + bytes + at, f64x2.add(v128.load(row + at), both));
      }
    }
  }
  if (args.errors == 0) return;
  const codes = <usize>1 << args.activationBits;
  const errors = args.errors + ((<usize>weight << args.activationBits) << 2);
  for (let code: usize = 0; code < codes; ++code) {
    const at = row + (code << 3);
    store<f64>(at, load<f64>(at) + <f64>load<i32>(errors + (code << 2)));
  }
}

@unmanaged
export class AxmDepthwiseGradients {
  geometry: Geometry;
  g: usize;
  x: usize;
  w: usize;
  xScale: usize;
  xZero: usize;
  wScale: usize;
  dw: usize;
  dm: usize;
  /** A share of dm per part: f64 [parts][8][8]. */
  shares: usize;
  weightBits: i32;
  activationBits: i32;
  rowsPerBlock: i32;
}

/** Gradients through a structure, a row of taps of 16 outputs. Scratch: cotangents by code [16][kernelWidth][codes]. */
export function axmDepthwiseGradients(args: AxmDepthwiseGradients, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const kernelWidth = geometry.kernelWidth;
  const first = (part / geometry.kernelHeight) * LANES;
  const ky = part % geometry.kernelHeight;
  const lanes = min(LANES, geometry.outputs - first);
  const rowBytes = <usize>8 << args.activationBits;
  memory.fill(scratch, 0, <usize>(lanes * kernelWidth) * rowBytes);
  for (let row0 = 0; row0 < geometry.batch * geometry.outHeight; row0 += args.rowsPerBlock) {
    for (let lane = 0; lane < lanes; ++lane) {
      collect(args, scratch + <usize>(lane * kernelWidth) * rowBytes, row0, ky, first + lane);
    }
  }
  const share = args.shares + (<usize>part << 9);
  memory.fill(share, 0, 512);
  for (let lane = 0; lane < lanes; ++lane) {
    for (let kx = 0; kx < kernelWidth; ++kx) {
      fold(args, scratch + <usize>(lane * kernelWidth + kx) * rowBytes, ky * kernelWidth + kx, first + lane, share);
    }
  }
}

/** Adds the cotangents of a block of output rows to the rows of the codes that they meet, for one row of taps. */
function collect(args: AxmDepthwiseGradients, rows: usize, row0: i32, ky: i32, o: i32): void {
  const geometry = args.geometry;
  const rowBytes = <usize>8 << args.activationBits;
  const row1 = min(geometry.batch * geometry.outHeight, row0 + args.rowsPerBlock);
  const channel = o / (geometry.outputs / geometry.channels);
  const step = <usize>(geometry.dilationX * geometry.channels);
  for (let row = row0; row < row1; ++row) {
    const iy = (row % geometry.outHeight) * geometry.strideY - geometry.paddingY + ky * geometry.dilationY;
    if (iy < 0 || iy >= geometry.height) continue;
    const line = ((row / geometry.outHeight) * geometry.height + iy) * geometry.width;
    let from = args.g + (<usize>(row * geometry.outWidth * geometry.outputs + o) << 2);
    for (let ox = 0; ox < geometry.outWidth; ++ox) {
      const g = <f64>load<f32>(from);
      from += <usize>geometry.outputs << 2;
      const left = ox * geometry.strideX - geometry.paddingX;
      const kx0 = firstTap(left, geometry.dilationX);
      const kx1 = endTap(left, geometry.dilationX, geometry.width, geometry.kernelWidth);
      let x = args.x + <usize>((line + left + kx0 * geometry.dilationX) * geometry.channels + channel);
      let to = rows + <usize>kx0 * rowBytes;
      for (let kx = kx0; kx < kx1; ++kx) {
        const at = to + (<usize>load<u8>(x) << 3);
        store<f64>(at, load<f64>(at) + g);
        x += step;
        to += rowBytes;
      }
    }
  }
}

/** H_j of one weight from its collected cotangents: dw, and its share of dm. The row ends as sums of its halves. */
function fold(args: AxmDepthwiseGradients, row: usize, tap: i32, o: i32, share: usize): void {
  const weight = tap * args.geometry.outputs + o;
  const code = <i32>load<u8>(args.w + weight);
  const scale = <f64>load<f32>(args.wScale + (<usize>o << 2));
  let sum: f64 = 0;
  for (let j = args.activationBits - 1; j >= 0; --j) {
    const bytes = <usize>8 << j;
    let plane: f64 = 0;
    for (let at: usize = 0; at < bytes; at += 8) {
      const upper = load<f64>(row + bytes + at);
      plane += upper;
      store<f64>(row + at, load<f64>(row + at) + upper);
    }
    sum += <f64>(1 << j) * plane;
    for (let i = 0; i < args.weightBits; ++i) {
      if (((code >> i) & 1) == 0) continue;
      const to = share + (<usize>((i << 3) + j) << 3);
      store<f64>(to, load<f64>(to) + scale * plane);
    }
  }
  sum -= <f64>load<f32>(args.xZero) * load<f64>(row);
  store<f32>(args.dw + (<usize>weight << 2), <f32>(<f64>load<f32>(args.xScale) * sum));
}

/** dm from the parts' shares, in the order of the parts. One part. */
export function axmDepthwiseStructure(args: AxmDepthwiseGradients, part: i32, scratch: usize): void {
  const parts = ceilDivide(args.geometry.outputs, LANES) * args.geometry.kernelHeight;
  const xScale = <f64>load<f32>(args.xScale);
  for (let i = 0; i < args.weightBits; ++i) {
    for (let j = 0; j < args.activationBits; ++j) {
      let sum: f64 = 0;
      for (let p = 0; p < parts; ++p) sum += load<f64>(args.shares + (<usize>((p << 6) + (i << 3) + j) << 3));
      store<f32>(args.dm + (<usize>(i * args.activationBits + j) << 2), <f32>(-xScale * <f64>(1 << (i + j)) * sum));
    }
  }
}

@unmanaged
export class AxmDepthwiseSlopes {
  geometry: Geometry;
  g: usize;
  x: usize;
  w: usize;
  /** xScale [], or wScale [outputs]. */
  scale: usize;
  /** f32 [2^weightBits][2^activationBits]. */
  slopes: usize;
  out: usize;
  activationBits: i32;
  rowsPerPart: i32;
}

/** dw = xScale Σ g·slope(w, x), a row of taps of 16 outputs. Scratch: sums, f64 [16][kernelWidth]. */
export function axmDepthwiseErrorWeight(args: AxmDepthwiseSlopes, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const kernelWidth = geometry.kernelWidth;
  const first = (part / geometry.kernelHeight) * LANES;
  const ky = part % geometry.kernelHeight;
  const lanes = min(LANES, geometry.outputs - first);
  const rows = geometry.batch * geometry.outHeight;
  memory.fill(scratch, 0, <usize>(lanes * kernelWidth) << 3);
  for (let row0 = 0; row0 < rows; row0 += args.rowsPerPart) {
    for (let lane = 0; lane < lanes; ++lane) {
      for (let kx = 0; kx < kernelWidth; ++kx) {
        const at = scratch + (<usize>(lane * kernelWidth + kx) << 3);
        store<f64>(at, load<f64>(at) + slopeSum(args, row0, min(rows, row0 + args.rowsPerPart), ky, kx, first + lane));
      }
    }
  }
  const scale = <f64>load<f32>(args.scale);
  for (let lane = 0; lane < lanes; ++lane) {
    for (let kx = 0; kx < kernelWidth; ++kx) {
      const weight = (ky * kernelWidth + kx) * geometry.outputs + first + lane;
      const sum = load<f64>(scratch + (<usize>(lane * kernelWidth + kx) << 3));
      store<f32>(args.out + (<usize>weight << 2), <f32>(scale * sum));
    }
  }
}

/** Σ g·slope(w, x) of one weight over a block of output rows. */
function slopeSum(args: AxmDepthwiseSlopes, row0: i32, row1: i32, ky: i32, kx: i32, o: i32): f64 {
  const geometry = args.geometry;
  const weight = <usize>load<u8>(args.w + <usize>((ky * geometry.kernelWidth + kx) * geometry.outputs + o));
  const slopes = args.slopes + ((weight << args.activationBits) << 2);
  const channel = o / (geometry.outputs / geometry.channels);
  const offsetX = kx * geometry.dilationX;
  const x0 = firstValid(offsetX, geometry.strideX, geometry.paddingX);
  const x1 = endValid(offsetX, geometry.strideX, geometry.paddingX, geometry.width, geometry.outWidth);
  const step = <usize>(geometry.strideX * geometry.channels);
  let sum: f64 = 0;
  for (let row = row0; row < row1; ++row) {
    const iy = (row % geometry.outHeight) * geometry.strideY - geometry.paddingY + ky * geometry.dilationY;
    if (iy < 0 || iy >= geometry.height) continue;
    const line = ((row / geometry.outHeight) * geometry.height + iy) * geometry.width;
    const left = x0 * geometry.strideX + offsetX - geometry.paddingX;
    let x = args.x + <usize>((line + left) * geometry.channels + channel);
    let g = args.g + (<usize>((row * geometry.outWidth + x0) * geometry.outputs + o) << 2);
    for (let ox = x0; ox < x1; ++ox) {
      sum += <f64>load<f32>(g) * <f64>load<f32>(slopes + (<usize>load<u8>(x) << 2));
      x += step;
      g += <usize>geometry.outputs << 2;
    }
  }
  return sum;
}

/** dx = Σ g·wScale·slope(w, x), a run of input rows of 16 channels. Scratch: sums of a row, f64 [width]. */
export function axmDepthwiseErrorInput(args: AxmDepthwiseSlopes, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const bundles = ceilDivide(geometry.channels, LANES);
  const first = (part % bundles) * LANES;
  const end = min(geometry.channels, first + LANES);
  const row0 = (part / bundles) * args.rowsPerPart;
  const row1 = min(geometry.batch * geometry.height, row0 + args.rowsPerPart);
  const stepY = tapStep(geometry.strideY, geometry.dilationY);
  for (let channel = first; channel < end; ++channel) {
    for (let row = row0; row < row1; ++row) {
      const y = (row % geometry.height) + geometry.paddingY;
      const ky0 = firstMeeting(y, geometry.strideY, geometry.dilationY, stepY, geometry.kernelHeight);
      const ky1 = endMeeting(y, geometry.dilationY, geometry.kernelHeight);
      const codes = args.x + <usize>(row * geometry.width * geometry.channels + channel);
      memory.fill(scratch, 0, <usize>geometry.width << 3);
      for (let ky = ky0; ky < ky1; ky += stepY) {
        const oy = (y - ky * geometry.dilationY) / geometry.strideY;
        if (oy >= geometry.outHeight) continue;
        const line = ((row / geometry.height) * geometry.outHeight + oy) * geometry.outWidth;
        for (let kx = 0; kx < geometry.kernelWidth; ++kx) {
          addSlopes(args, scratch, codes, line, ky * geometry.kernelWidth + kx, kx * geometry.dilationX, channel);
        }
      }
      let out = args.out + (<usize>(row * geometry.width * geometry.channels + channel) << 2);
      for (let ix = 0; ix < geometry.width; ++ix) {
        store<f32>(out, <f32>load<f64>(scratch + (<usize>ix << 3)));
        out += <usize>geometry.channels << 2;
      }
    }
  }
}

/** Adds to the sums of an input row what one tap of an output row gives for one channel. */
function addSlopes(
  args: AxmDepthwiseSlopes,
  sums: usize,
  codes: usize,
  line: i32,
  tap: i32,
  offsetX: i32,
  channel: i32,
): void {
  const geometry = args.geometry;
  const outputs = geometry.outputs;
  const multiplier = outputs / geometry.channels;
  const x0 = firstValid(offsetX, geometry.strideX, geometry.paddingX);
  const x1 = endValid(offsetX, geometry.strideX, geometry.paddingX, geometry.width, geometry.outWidth);
  const left = x0 * geometry.strideX + offsetX - geometry.paddingX;
  const step = <usize>(geometry.strideX * geometry.channels);
  for (let o = channel * multiplier; o < (channel + 1) * multiplier; ++o) {
    const weight = <usize>load<u8>(args.w + <usize>(tap * outputs + o));
    const slopes = args.slopes + ((weight << args.activationBits) << 2);
    const scale = <f64>load<f32>(args.scale + (<usize>o << 2));
    let x = codes + <usize>(left * geometry.channels);
    let sum = sums + (<usize>left << 3);
    let g = args.g + (<usize>((line + x0) * outputs + o) << 2);
    for (let ox = x0; ox < x1; ++ox) {
      const slope = scale * <f64>load<f32>(slopes + (<usize>load<u8>(x) << 2));
      store<f64>(sum, load<f64>(sum) + <f64>load<f32>(g) * slope);
      x += step;
      sum += <usize>geometry.strideX << 3;
      g += <usize>outputs << 2;
    }
  }
}
