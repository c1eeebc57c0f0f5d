// Inner loops of the approximate convolution: for every position of a run, the rows that its codes pick are added to
// its sums. A row is 64 bytes; `sums` has 64 bytes per position (128 for 16-bit rows), `codes` are u8, `step` bytes
// apart from position to position.
// They keep few loads in flight per basic block on purpose: the compiler hoists all loads of a block to its top, and
// more than fifteen live vectors would be spilled. In gatherTriples conditions that no address meets part the blocks;
// they leave the loop, and all sums are stored after it, so that additions are not put off past them.

import { TRIPLE } from './approximate-rows';

export function gatherReal(
  sums: usize,
  codes: usize,
  step: usize,
  count: i32,
  table: usize,
  taps: i32,
  rowsBytes: usize,
): void {
  for (let p = 0; p < count; ++p) {
    let a = v128.load(sums);
    let b = v128.load(sums, 16);
    let c = v128.load(sums, 32);
    let d = v128.load(sums, 48);
    let rows = table;
    for (let code = codes, end = codes + taps; code < end; ++code) {
      const row = rows + (<usize>load<u8>(code) << 6);
      a = f32x4.add(a, v128.load(row));
      b = f32x4.add(b, v128.load(row, 16));
      c = f32x4.add(c, v128.load(row, 32));
      d = f32x4.add(d, v128.load(row, 48));
      rows += rowsBytes;
    }
    v128.store(sums, a);
    v128.store(sums, b, 16);
    v128.store(sums, c, 32);
    v128.store(sums, d, 48);
    sums += 64;
    codes += step;
  }
}

export function gatherRealTriples(
  sums: usize,
  codes: usize,
  step: usize,
  count: i32,
  table: usize,
  taps: i32,
  rowsBytes: usize,
): void {
  gatherTriples<f32>(sums, codes, step, count, table, taps, rowsBytes);
}

export function gatherTableTriples(
  sums: usize,
  codes: usize,
  step: usize,
  count: i32,
  table: usize,
  taps: i32,
  rowsBytes: usize,
): void {
  gatherTriples<i32>(sums, codes, step, count, table, taps, rowsBytes);
}

@inline
function plus<T>(a: v128, b: v128): v128 {
  return isFloat<T>() ? f32x4.add(a, b) : i32x4.add(a, b);
}

/**
 * Three taps side by side at stride 1, 16 outputs: a row holds those of all three, and a pixel adds to three sums that
 * follow each other, the last tap's first. They stay in registers until the pixel after the next. `sums` has two places
 * more than there are pixels; `rowsBytes` are those of the 192-byte rows of a channel.
 */
@inline
function gatherTriples<T>(sums: usize, codes: usize, step: usize, count: i32, table: usize, taps: i32, rowsBytes: usize): void {
  let a0 = v128.load(sums, 128);
  let a1 = v128.load(sums, 144);
  let a2 = v128.load(sums, 160);
  let a3 = v128.load(sums, 176);
  let b0 = v128.load(sums, 64);
  let b1 = v128.load(sums, 80);
  let b2 = v128.load(sums, 96);
  let b3 = v128.load(sums, 112);
  let c0 = v128.load(sums);
  let c1 = v128.load(sums, 16);
  let c2 = v128.load(sums, 32);
  let c3 = v128.load(sums, 48);
  for (let p = 0; p < count; ++p) {
    let row = table + <usize>load<u8>(codes) * TRIPLE;
    a0 = plus<T>(a0, v128.load(row));
    a1 = plus<T>(a1, v128.load(row, 16));
    a2 = plus<T>(a2, v128.load(row, 32));
    if (row == 1) break;
    a3 = plus<T>(a3, v128.load(row, 48));
    b0 = plus<T>(b0, v128.load(row, 64));
    b1 = plus<T>(b1, v128.load(row, 80));
    if (row == 2) break;
    b2 = plus<T>(b2, v128.load(row, 96));
    b3 = plus<T>(b3, v128.load(row, 112));
    c0 = plus<T>(c0, v128.load(row, 128));
    if (row == 3) break;
    c1 = plus<T>(c1, v128.load(row, 144));
    c2 = plus<T>(c2, v128.load(row, 160));
    c3 = plus<T>(c3, v128.load(row, 176));
    if (taps > 1) {
      row = table + rowsBytes + <usize>load<u8>(codes, 1) * TRIPLE;
      a0 = plus<T>(a0, v128.load(row));
      a1 = plus<T>(a1, v128.load(row, 16));
      a2 = plus<T>(a2, v128.load(row, 32));
      if (row == 1) break;
      a3 = plus<T>(a3, v128.load(row, 48));
      b0 = plus<T>(b0, v128.load(row, 64));
      b1 = plus<T>(b1, v128.load(row, 80));
      if (row == 2) break;
      b2 = plus<T>(b2, v128.load(row, 96));
      b3 = plus<T>(b3, v128.load(row, 112));
      c0 = plus<T>(c0, v128.load(row, 128));
      if (row == 3) break;
      c1 = plus<T>(c1, v128.load(row, 144));
      c2 = plus<T>(c2, v128.load(row, 160));
      c3 = plus<T>(c3, v128.load(row, 176));
      if (taps > 2) {
        row = table + 2 * rowsBytes + <usize>load<u8>(codes, 2) * TRIPLE;
        a0 = plus<T>(a0, v128.load(row));
        a1 = plus<T>(a1, v128.load(row, 16));
        a2 = plus<T>(a2, v128.load(row, 32));
        if (row == 1) break;
        a3 = plus<T>(a3, v128.load(row, 48));
        b0 = plus<T>(b0, v128.load(row, 64));
        b1 = plus<T>(b1, v128.load(row, 80));
        if (row == 2) break;
        b2 = plus<T>(b2, v128.load(row, 96));
        b3 = plus<T>(b3, v128.load(row, 112));
        c0 = plus<T>(c0, v128.load(row, 128));
        if (row == 3) break;
        c1 = plus<T>(c1, v128.load(row, 144));
        c2 = plus<T>(c2, v128.load(row, 160));
        c3 = plus<T>(c3, v128.load(row, 176));
        if (taps > 3) {
          row = table + 3 * rowsBytes + <usize>load<u8>(codes, 3) * TRIPLE;
          a0 = plus<T>(a0, v128.load(row));
          a1 = plus<T>(a1, v128.load(row, 16));
          a2 = plus<T>(a2, v128.load(row, 32));
          if (row == 1) break;
          a3 = plus<T>(a3, v128.load(row, 48));
          b0 = plus<T>(b0, v128.load(row, 64));
          b1 = plus<T>(b1, v128.load(row, 80));
          if (row == 2) break;
          b2 = plus<T>(b2, v128.load(row, 96));
          b3 = plus<T>(b3, v128.load(row, 112));
          c0 = plus<T>(c0, v128.load(row, 128));
          if (row == 3) break;
          c1 = plus<T>(c1, v128.load(row, 144));
          c2 = plus<T>(c2, v128.load(row, 160));
          c3 = plus<T>(c3, v128.load(row, 176));
        }
      }
    }
    v128.store(sums, c0);
    v128.store(sums, c1, 16);
    v128.store(sums, c2, 32);
    v128.store(sums, c3, 48);
    c0 = b0;
    b0 = a0;
    a0 = v128.load(sums, 192);
    c1 = b1;
    b1 = a1;
    a1 = v128.load(sums, 208);
    c2 = b2;
    b2 = a2;
    a2 = v128.load(sums, 224);
    c3 = b3;
    b3 = a3;
    a3 = v128.load(sums, 240);
    sums += 64;
    codes += step;
  }
  v128.store(sums, c0);
  v128.store(sums, c1, 16);
  v128.store(sums, c2, 32);
  v128.store(sums, c3, 48);
  v128.store(sums, b0, 64);
  v128.store(sums, a0, 128);
  v128.store(sums, b1, 80);
  v128.store(sums, a1, 144);
  v128.store(sums, b2, 96);
  v128.store(sums, a2, 160);
  v128.store(sums, b3, 112);
  v128.store(sums, a3, 176);
}

export function gatherHalves(sums: usize, codes: usize, step: usize, count: i32, table: usize, taps: i32): void {
  for (let p = 0; p < count; ++p) {
    let a = v128.load(sums);
    let b = v128.load(sums, 16);
    let c = v128.load(sums, 32);
    let d = v128.load(sums, 48);
    let rows = table;
    for (let code = codes, end = codes + taps; code < end; ++code) {
      const x = <usize>load<u8>(code);
      const low = rows + ((x & 15) << 6);
      const high = rows + ((x >> 4) << 6);
      a = f32x4.add(a, f32x4.add(v128.load(low), v128.load(high, 1024)));
      b = f32x4.add(b, f32x4.add(v128.load(low, 16), v128.load(high, 1040)));
      c = f32x4.add(c, f32x4.add(v128.load(low, 32), v128.load(high, 1056)));
      d = f32x4.add(d, f32x4.add(v128.load(low, 48), v128.load(high, 1072)));
      rows += 2048;
    }
    v128.store(sums, a);
    v128.store(sums, b, 16);
    v128.store(sums, c, 32);
    v128.store(sums, d, 48);
    sums += 64;
    codes += step;
  }
}

export function gatherInteger(sums: usize, codes: usize, step: usize, count: i32, table: usize, taps: i32): void {
  for (let p = 0; p < count; ++p) {
    let a = i16x8.splat(0);
    let b = a;
    let c = a;
    let d = a;
    let highA = a;
    let highB = a;
    let highC = a;
    let highD = a;
    let rows = table;
    for (let code = codes, end = codes + taps; code < end; ++code) {
      const x = <usize>load<u8>(code);
      const low = rows + ((x & 15) << 6);
      const high = rows + ((x >> 4) << 6);
      a = i16x8.add(a, v128.load(low));
      b = i16x8.add(b, v128.load(low, 16));
      c = i16x8.add(c, v128.load(low, 32));
      d = i16x8.add(d, v128.load(low, 48));
      highA = i16x8.add(highA, v128.load(high, 1024));
      highB = i16x8.add(highB, v128.load(high, 1040));
      highC = i16x8.add(highC, v128.load(high, 1056));
      highD = i16x8.add(highD, v128.load(high, 1072));
      rows += 2048;
    }
    widen(sums, a, highA);
    widen(sums + 32, b, highB);
    widen(sums + 64, c, highC);
    widen(sums + 96, d, highD);
    sums += 128;
    codes += step;
  }
}

/** The same of up to 16 outputs, in rows of half the length; those beyond are not summed. */
export function gatherNarrow(sums: usize, codes: usize, step: usize, count: i32, table: usize, taps: i32): void {
  for (let p = 0; p < count; ++p) {
    let a = i16x8.splat(0);
    let b = a;
    let highA = a;
    let highB = a;
    let rows = table;
    for (let code = codes, end = codes + taps; code < end; ++code) {
      const x = <usize>load<u8>(code);
      const low = rows + ((x & 15) << 5);
      const high = rows + ((x >> 4) << 5);
      a = i16x8.add(a, v128.load(low));
      b = i16x8.add(b, v128.load(low, 16));
      highA = i16x8.add(highA, v128.load(high, 512));
      highB = i16x8.add(highB, v128.load(high, 528));
      rows += 1024;
    }
    widen(sums, a, highA);
    widen(sums + 32, b, highB);
    sums += 128;
    codes += step;
  }
}

/** sums += low + 16·high, eight unsigned 16-bit lanes into 32 bits. */
@inline
function widen(sums: usize, low: v128, high: v128): void {
  const first = i32x4.add(i32x4.extend_low_i16x8_u(low), i32x4.shl(i32x4.extend_low_i16x8_u(high), 4));
  const second = i32x4.add(i32x4.extend_high_i16x8_u(low), i32x4.shl(i32x4.extend_high_i16x8_u(high), 4));
  v128.store(sums, i32x4.add(v128.load(sums), first));
  v128.store(sums, i32x4.add(v128.load(sums, 16), second), 16);
}

export function gatherTable(
  sums: usize,
  codes: usize,
  step: usize,
  count: i32,
  table: usize,
  taps: i32,
  rowsBytes: usize,
): void {
  for (let p = 0; p < count; ++p) {
    let a = v128.load(sums);
    let b = v128.load(sums, 16);
    let c = v128.load(sums, 32);
    let d = v128.load(sums, 48);
    let rows = table;
    for (let code = codes, end = codes + taps; code < end; ++code) {
      const row = rows + (<usize>load<u8>(code) << 6);
      a = i32x4.add(a, v128.load(row));
      b = i32x4.add(b, v128.load(row, 16));
      c = i32x4.add(c, v128.load(row, 32));
      d = i32x4.add(d, v128.load(row, 48));
      rows += rowsBytes;
    }
    v128.store(sums, a);
    v128.store(sums, b, 16);
    v128.store(sums, c, 32);
    v128.store(sums, d, 48);
    sums += 64;
    codes += step;
  }
}
