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

export function gatherRealTriples(sums: usize, codes: usize, count: i32, table: usize, rowsBytes: usize): void {
  gatherTriples<f32>(sums, codes, count, table, rowsBytes);
}

export function gatherTableTriples(sums: usize, codes: usize, count: i32, table: usize, rowsBytes: usize): void {
  gatherTriples<i32>(sums, codes, count, table, rowsBytes);
}

@inline
function plus<T>(a: v128, b: v128): v128 {
  return isFloat<T>() ? f32x4.add(a, b) : i32x4.add(a, b);
}

/**
 * Three taps side by side at stride 1, 16 outputs: a row holds those of all three, and a pixel adds to three sums that
 * follow each other, the last tap's first. They stay in registers until the pixel after the next. `sums` has two places
 * more than there are pixels; `rowsBytes` are those of the 192-byte rows of a channel. A row is found while the one
 * before is added; the byte behind the last code is read too.
 */
@inline
function gatherTriples<T>(sums: usize, codes: usize, count: i32, table: usize, rowsBytes: usize): void {
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
  let row = table + <usize>load<u8>(codes) * TRIPLE;
  for (let p = 0; p < count; ++p) {
    let rows = table;
    for (const last = codes + 3; codes < last; ) {
      rows += rowsBytes;
      const next = rows + <usize>load<u8>(++codes) * TRIPLE;
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
      row = next;
    }
    const next = table + <usize>load<u8>(++codes) * TRIPLE;
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
    if (row == 4) break;
    row = next;
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

/** Bytes of a pixel's list: how many its entries have, then at most an entry for each of so many channels. */
@inline
export function listBytes(channels: i32): usize {
  return 4 + (<usize>channels << 2);
}

/** For each set of lanes of four, the bytes that bring these lanes to the front. */
// biome-ignore format: a row for each set
const KEPT_FIRST = memory.data<u8>([
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0,
  8, 9, 10, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 1, 2, 3, 8, 9, 10, 11, 0, 0, 0, 0, 0, 0, 0, 0,
  4, 5, 6, 7, 8, 9, 10, 11, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 0, 0, 0,
  12, 13, 14, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 1, 2, 3, 12, 13, 14, 15, 0, 0, 0, 0, 0, 0, 0, 0,
  4, 5, 6, 7, 12, 13, 14, 15, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 0, 0, 0, 0,
  8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 0, 0,
  4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 0, 0,
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
]);

/**
 * For each of `count` pixels and `taps` channels from `codes` on, where the rows of the halves of each code that is
 * not 0 begin in a table of rows by halves, in 16 bits each. Codes of 0 have rows of zeros. What a list has room for
 * behind its last entry may be written to.
 */
export function listCodes(
  codes: usize,
  step: usize,
  count: i32,
  taps: i32,
  pitch: usize,
  list: usize,
  bytes: usize,
): void {
  const shift = ctz(<i32>pitch);
  const next = v128.splat<u32>(<u32>((pitch | (pitch << 16)) << 7));
  const channel = i32x4(0, 1, 2, 3);
  const start = i32x4.add(
    i32x4.splat(<i32>(pitch << 20)),
    i32x4.mul(channel, i32x4.splat(<i32>((pitch | (pitch << 16)) << 5))),
  );
  for (let p = 0; p < count; ++p) {
    const first = list + 4;
    let at = first;
    let rows = start;
    for (let t = 0; t < taps; t += 4) {
      const pairs = i16x8.extend_low_i8x16_u(v128.load32_zero(codes + t));
      const x = v128.and(i32x4.extend_low_i16x8_u(pairs), i32x4.lt_s(channel, i32x4.splat(taps - t)));
      const halves = v128.or(v128.and(x, i32x4.splat(15)), i32x4.shl(v128.and(x, i32x4.splat(240)), 12));
      const entries = i32x4.add(rows, i32x4.shl(halves, shift));
      const kept = i32x4.bitmask(i32x4.gt_s(x, i32x4.splat(0)));
      v128.store(at, i8x16.swizzle(entries, v128.load(KEPT_FIRST + (<usize>kept << 4))));
      at += <usize>popcnt(kept) << 2;
      rows = i32x4.add(rows, next);
    }
    store<u32>(list, at - first);
    list += bytes;
    codes += step;
  }
}

export function gatherHalves(sums: usize, codes: usize, step: usize, count: i32, table: usize, taps: i32): void {
  sumHalves(sums, codes, step, count, table, taps, false);
}

export function gatherListedHalves(sums: usize, lists: usize, step: usize, count: i32, table: usize): void {
  sumHalves(sums, lists, step, count, table, 0, true);
}

@inline
function sumHalves(sums: usize, codes: usize, step: usize, count: i32, table: usize, taps: i32, listed: bool): void {
  for (let p = 0; p < count; ++p) {
    let a = v128.load(sums);
    let b = v128.load(sums, 16);
    let c = v128.load(sums, 32);
    let d = v128.load(sums, 48);
    let rows = table;
    let at = listed ? codes + 4 : codes;
    for (const end = listed ? at + load<u32>(codes) : at + taps; at < end; at += listed ? 4 : 1) {
      const x = listed ? load<u32>(at) : <u32>load<u8>(at);
      const low = listed ? table + (x & 0xffff) : rows + ((x & 15) << 6);
      const high = listed ? table + (x >> 16) : rows + 1024 + ((x >> 4) << 6);
      a = f32x4.add(a, f32x4.add(v128.load(low), v128.load(high)));
      b = f32x4.add(b, f32x4.add(v128.load(low, 16), v128.load(high, 16)));
      c = f32x4.add(c, f32x4.add(v128.load(low, 32), v128.load(high, 32)));
      d = f32x4.add(d, f32x4.add(v128.load(low, 48), v128.load(high, 48)));
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
  sumInteger(sums, codes, step, count, table, taps, false);
}

export function gatherListedInteger(sums: usize, lists: usize, step: usize, count: i32, table: usize): void {
  sumInteger(sums, lists, step, count, table, 0, true);
}

@inline
function sumInteger(sums: usize, codes: usize, step: usize, count: i32, table: usize, taps: i32, listed: bool): void {
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
    let at = listed ? codes + 4 : codes;
    for (const end = listed ? at + load<u32>(codes) : at + taps; at < end; at += listed ? 4 : 1) {
      const x = listed ? load<u32>(at) : <u32>load<u8>(at);
      const low = listed ? table + (x & 0xffff) : rows + ((x & 15) << 6);
      const high = listed ? table + (x >> 16) : rows + 1024 + ((x >> 4) << 6);
      a = i16x8.add(a, v128.load(low));
      b = i16x8.add(b, v128.load(low, 16));
      c = i16x8.add(c, v128.load(low, 32));
      d = i16x8.add(d, v128.load(low, 48));
      highA = i16x8.add(highA, v128.load(high));
      highB = i16x8.add(highB, v128.load(high, 16));
      highC = i16x8.add(highC, v128.load(high, 32));
      highD = i16x8.add(highD, v128.load(high, 48));
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
  sumNarrow(sums, codes, step, count, table, taps, false);
}

export function gatherListedNarrow(sums: usize, lists: usize, step: usize, count: i32, table: usize): void {
  sumNarrow(sums, lists, step, count, table, 0, true);
}

@inline
function sumNarrow(sums: usize, codes: usize, step: usize, count: i32, table: usize, taps: i32, listed: bool): void {
  for (let p = 0; p < count; ++p) {
    let a = i16x8.splat(0);
    let b = a;
    let highA = a;
    let highB = a;
    let rows = table;
    let at = listed ? codes + 4 : codes;
    for (const end = listed ? at + load<u32>(codes) : at + taps; at < end; at += listed ? 4 : 1) {
      const x = listed ? load<u32>(at) : <u32>load<u8>(at);
      const low = listed ? table + (x & 0xffff) : rows + ((x & 15) << 5);
      const high = listed ? table + (x >> 16) : rows + 512 + ((x >> 4) << 5);
      a = i16x8.add(a, v128.load(low));
      b = i16x8.add(b, v128.load(low, 16));
      highA = i16x8.add(highA, v128.load(high));
      highB = i16x8.add(highB, v128.load(high, 16));
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
