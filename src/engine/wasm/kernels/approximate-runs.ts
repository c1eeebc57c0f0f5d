// Inner loops of the approximate convolution's gradients: runs of a sorted list, summed in registers, and the fold of
// their sums to the gradients of bit planes. A row is 64 bytes, 16 outputs. What a list and its runs are:
// ./approximate-gradients.

import { ROW } from './approximate-operands';

/** The cotangent rows of one digit, block, tap and tile, summed by the value of the digit: `buckets` [2^bits][16]. */
export function sumRuns(cotangent: usize, runs: usize, list: usize, buckets: usize, bits: i32): void {
  let at = list;
  for (let run = runs, end = runs + (8 << bits); run < end; run += 8) {
    const stop = list + load<u32>(run);
    const bucket = buckets + load<u32>(run, 4);
    let a = f32x4.splat(0);
    let b = a;
    let c = a;
    let d = a;
    for (; at + 8 <= stop; at += 8) {
      const row = cotangent + load<u32>(at);
      const next = cotangent + load<u32>(at, 4);
      a = f32x4.add(a, f32x4.add(v128.load(row), v128.load(next)));
      b = f32x4.add(b, f32x4.add(v128.load(row, 16), v128.load(next, 16)));
      c = f32x4.add(c, f32x4.add(v128.load(row, 32), v128.load(next, 32)));
      d = f32x4.add(d, f32x4.add(v128.load(row, 48), v128.load(next, 48)));
    }
    if (at < stop) {
      const row = cotangent + load<u32>(at);
      a = f32x4.add(a, v128.load(row));
      b = f32x4.add(b, v128.load(row, 16));
      c = f32x4.add(c, v128.load(row, 32));
      d = f32x4.add(d, v128.load(row, 48));
      at += 4;
    }
    v128.store(bucket, a);
    v128.store(bucket, b, 16);
    v128.store(bucket, c, 32);
    v128.store(bucket, d, 48);
  }
}

/**
 * The same for three taps side by side at stride 1, whose rows follow each other, the last tap's first: `buckets`
 * [3][2^bits][16]. A step is parted by conditions that no address meets, so that few loads are in flight. A row is
 * found while the one before is added; the word behind the last entry is read too.
 */
export function sumTriples(cotangent: usize, runs: usize, list: usize, buckets: usize, bits: i32): void {
  const tap = ROW << bits;
  let at = list;
  let row = cotangent + load<u32>(at);
  for (let run = runs, end = runs + (8 << bits); run < end; run += 8) {
    const stop = list + load<u32>(run);
    const bucket = buckets + load<u32>(run, 4);
    let a0 = f32x4.splat(0);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    let b0 = a0;
    let b1 = a0;
    let b2 = a0;
    let b3 = a0;
    let c0 = a0;
    let c1 = a0;
    let c2 = a0;
    let c3 = a0;
    while (at < stop) {
      at += 4;
      const next = cotangent + load<u32>(at);
      a0 = f32x4.add(a0, v128.load(row));
      a1 = f32x4.add(a1, v128.load(row, 16));
      a2 = f32x4.add(a2, v128.load(row, 32));
      if (row == 1) break;
      a3 = f32x4.add(a3, v128.load(row, 48));
      b0 = f32x4.add(b0, v128.load(row, 64));
      b1 = f32x4.add(b1, v128.load(row, 80));
      if (row == 2) break;
      b2 = f32x4.add(b2, v128.load(row, 96));
      b3 = f32x4.add(b3, v128.load(row, 112));
      c0 = f32x4.add(c0, v128.load(row, 128));
      if (row == 3) break;
      c1 = f32x4.add(c1, v128.load(row, 144));
      c2 = f32x4.add(c2, v128.load(row, 160));
      c3 = f32x4.add(c3, v128.load(row, 176));
      row = next;
    }
    v128.store(bucket, a0);
    v128.store(bucket, a1, 16);
    v128.store(bucket, a2, 32);
    v128.store(bucket, a3, 48);
    v128.store(bucket + tap, b0);
    v128.store(bucket + tap, b1, 16);
    v128.store(bucket + tap, b2, 32);
    v128.store(bucket + tap, b3, 48);
    v128.store(bucket + 2 * tap, c0);
    v128.store(bucket + 2 * tap, c1, 16);
    v128.store(bucket + 2 * tap, c2, 32);
    v128.store(bucket + 2 * tap, c3, 48);
  }
}

/**
 * planes[j] += Σ_{v: bit j} buckets[v]: the three lowest bits of eight codes at a time, whose sum takes their place;
 * then
 * by halving, the upper half is one plane and then joins the lower half.
 */
export function foldPlanes(planes: usize, buckets: usize, bits: i32): void {
  let codes: usize = 1 << bits;
  let first = planes;
  if (bits > 3) {
    codes >>= 3;
    first += 3 * ROW;
    for (let lane: usize = 0; lane < ROW; lane += 16) {
      let plane0 = v128.load(planes + lane);
      let plane1 = v128.load(planes + lane, 64);
      let plane2 = v128.load(planes + lane, 128);
      let from = buckets + lane;
      let to = from;
      for (let m: usize = 0; m < codes; ++m) {
        const s1 = v128.load(from, 64);
        const s3 = v128.load(from, 192);
        const s5 = v128.load(from, 320);
        const s7 = v128.load(from, 448);
        const s01 = f32x4.add(v128.load(from), s1);
        const s23 = f32x4.add(v128.load(from, 128), s3);
        const s45 = f32x4.add(v128.load(from, 256), s5);
        const s67 = f32x4.add(v128.load(from, 384), s7);
        const upper = f32x4.add(s45, s67);
        plane0 = f32x4.add(plane0, f32x4.add(f32x4.add(s1, s3), f32x4.add(s5, s7)));
        plane1 = f32x4.add(plane1, f32x4.add(s23, s67));
        plane2 = f32x4.add(plane2, upper);
        v128.store(to, f32x4.add(f32x4.add(s01, s23), upper));
        from += 8 * ROW;
        to += ROW;
      }
      v128.store(planes + lane, plane0);
      v128.store(planes + lane, plane1, 64);
      v128.store(planes + lane, plane2, 128);
    }
  }
  let plane: usize = first + ctz(codes) * ROW;
  for (let half = codes >> 1; half > 0; half >>= 1) {
    plane -= ROW;
    for (let lane: usize = 0; lane < ROW; lane += 16) {
      let sum = v128.load(plane + lane);
      let lower = buckets + lane;
      for (let v: usize = 0; v < half; ++v) {
        const upper = v128.load(lower + half * ROW);
        sum = f32x4.add(sum, upper);
        v128.store(lower, f32x4.add(v128.load(lower), upper));
        lower += ROW;
      }
      v128.store(plane + lane, sum);
    }
  }
}
