// Inner loops of the approximate convolution: for every position of a run, the rows that its codes pick are added to
// its sums. A row is 64 bytes; `sums` has 64 bytes per position (128 for 16-bit rows), `codes` are u8, `step` bytes
// apart from position to position.
// They keep few loads in flight per basic block on purpose: the compiler hoists all loads of a block to its top, and
// more than fifteen live vectors would be spilled.

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
