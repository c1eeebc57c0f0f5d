// Boxes of elements from one place to another (graph/movement.ts), words of 32 bits. The outer axes are counted through
// like the digits of a number; what lies inside is a run that is contiguous in both tensors, or a matrix that is
// transposed. A part is a range of outer positions; its counters are in the scratch memory of the thread.

import { storeTransposed } from './lanes';

@unmanaged
export class Movement {
  /** Where the box begins. */
  to: usize;
  from: usize;
  /** i32 [axes][3] of the outer axes: extent, bytes to the next in the output, in the input. */
  table: usize;
  axes: i32;
  /** Outer positions: combinations of the axes, times the pieces of a run or the bands of a matrix. */
  count: i32;
  perPart: i32;
  /** Elements of the output's contiguous axis. */
  length: i32;
  /** moveRuns: elements of a run that are moved at a time. */
  piece: i32;
  /**
   * moveTransposed: rows of the output, which are contiguous in the input; bytes from one to the next, and between
   * columns in the input.
   */
  rows: i32;
  rowBytes: usize;
  columnBytes: usize;
}

/** Rows of the output that moveTransposed writes side by side: a cache line of the input. */
const BAND = 16;
/**
 * Runs from here on are copied as a whole: a call out of the module takes as long as some hundred elements in vectors.
 */
const LONG = 2048;

/** A run that is too short for that. */
@inline
function copyRun(to: usize, from: usize, bytes: usize): void {
  let at: usize = 0;
  for (; at + 64 <= bytes; at += 64) {
    const a = v128.load(from + at);
    const b = v128.load(from + at, 16);
    const c = v128.load(from + at, 32);
    const d = v128.load(from + at, 48);
    v128.store(to + at, a);
    v128.store(to + at, b, 16);
    v128.store(to + at, c, 32);
    v128.store(to + at, d, 48);
  }
  for (; at + 16 <= bytes; at += 16) v128.store(to + at, v128.load(from + at));
  for (; at < bytes; at += 4) store<u32>(to + at, load<u32>(from + at));
}

/** Sets the counters to a position; the offsets of its place in the output and the input are left behind them. */
@inline
function seek(args: Movement, position: i32, counters: usize): void {
  let rest = position;
  let to: usize = 0;
  let from: usize = 0;
  for (let axis = args.axes - 1; axis >= 0; --axis) {
    const entry = args.table + <usize>(axis * 12);
    const extent = load<i32>(entry);
    const at = rest % extent;
    rest /= extent;
    to += <usize>at * load<usize>(entry, 4);
    from += <usize>at * load<usize>(entry, 8);
    store<i32>(counters + (<usize>axis << 2), at);
  }
  const behind = counters + (<usize>args.axes << 2);
  store<usize>(behind, to);
  store<usize>(behind, from, 4);
}

/** The next position. */
@inline
function advance(args: Movement, counters: usize): void {
  const behind = counters + (<usize>args.axes << 2);
  let to = load<usize>(behind);
  let from = load<usize>(behind, 4);
  for (let axis = args.axes - 1; axis >= 0; --axis) {
    const entry = args.table + <usize>(axis * 12);
    const extent = load<i32>(entry);
    const at = load<i32>(counters + (<usize>axis << 2)) + 1;
    to += load<usize>(entry, 4);
    from += load<usize>(entry, 8);
    if (at < extent) {
      store<i32>(counters + (<usize>axis << 2), at);
      break;
    }
    to -= <usize>extent * load<usize>(entry, 4);
    from -= <usize>extent * load<usize>(entry, 8);
    store<i32>(counters + (<usize>axis << 2), 0);
  }
  store<usize>(behind, to);
  store<usize>(behind, from, 4);
}

export function moveRuns(args: Movement, part: i32, scratch: usize): void {
  const first = part * args.perPart;
  const stop = min(args.count, first + args.perPart);
  const behind = scratch + (<usize>args.axes << 2);
  const pieces = (args.length + args.piece - 1) / args.piece;
  let piece = first % pieces;
  seek(args, first / pieces, scratch);
  let to = load<usize>(behind);
  let from = load<usize>(behind, 4);
  // The innermost of the outer axes is counted in registers.
  const inner = args.table + <usize>((args.axes - 1) * 12);
  const counter = behind - 4;
  const extent = args.axes > 0 ? load<i32>(inner) : i32.MAX_VALUE;
  const toStep = args.axes > 0 ? load<usize>(inner, 4) : 0;
  const fromStep = args.axes > 0 ? load<usize>(inner, 8) : 0;
  let left = args.axes > 0 ? extent - load<i32>(counter) : extent;
  for (let position = first; position < stop; ++position) {
    const begin = piece * args.piece;
    const target = args.to + to + (<usize>begin << 2);
    const source = args.from + from + (<usize>begin << 2);
    const length = min(args.piece, args.length - begin);
    const bytes = <usize>length << 2;
    if (length >= LONG) memory.copy(target, source, bytes);
    else copyRun(target, source, bytes);
    if (++piece < pieces) continue;
    piece = 0;
    if (--left > 0) {
      to += toStep;
      from += fromStep;
    } else if (position + 1 < stop) {
      store<i32>(counter, extent - 1);
      store<usize>(behind, to);
      store<usize>(behind, from, 4);
      advance(args, scratch);
      to = load<usize>(behind);
      from = load<usize>(behind, 4);
      left = extent;
    }
  }
}

/** A band of rows, all columns: whole tiles of 4×4 in vectors, the rest one by one. */
function transposeBand(args: Movement, to: usize, from: usize, rows: i32): void {
  const length = args.length;
  const rowBytes = args.rowBytes;
  const columnBytes = args.columnBytes;
  const wholeRows = rows & ~3;
  let column = 0;
  for (; column + 4 <= length; column += 4) {
    for (let row = 0; row < wholeRows; row += 4) {
      const source = from + <usize>column * columnBytes + (<usize>row << 2);
      const target = to + <usize>row * rowBytes + (<usize>column << 2);
      storeTransposed(
        v128.load(source),
        v128.load(source + columnBytes),
        v128.load(source + 2 * columnBytes),
        v128.load(source + 3 * columnBytes),
        target,
        target + rowBytes,
        target + 2 * rowBytes,
        target + 3 * rowBytes,
      );
    }
    for (let row = wholeRows; row < rows; ++row) {
      for (let c = column; c < column + 4; ++c) moveOne(to, from, row, c, rowBytes, columnBytes);
    }
  }
  for (; column < length; ++column) {
    for (let row = 0; row < rows; ++row) moveOne(to, from, row, column, rowBytes, columnBytes);
  }
}

@inline
function moveOne(to: usize, from: usize, row: i32, column: i32, rowBytes: usize, columnBytes: usize): void {
  const value = load<u32>(from + <usize>column * columnBytes + (<usize>row << 2));
  store<u32>(to + <usize>row * rowBytes + (<usize>column << 2), value);
}

export function moveTransposed(args: Movement, part: i32, scratch: usize): void {
  const first = part * args.perPart;
  const stop = min(args.count, first + args.perPart);
  const behind = scratch + (<usize>args.axes << 2);
  const bands = (args.rows + BAND - 1) / BAND;
  let band = first % bands;
  seek(args, first / bands, scratch);
  for (let position = first; position < stop; ++position) {
    const row = band * BAND;
    const to = args.to + load<usize>(behind) + <usize>row * args.rowBytes;
    const from = args.from + load<usize>(behind, 4) + (<usize>row << 2);
    transposeBand(args, to, from, min(BAND, args.rows - row));
    if (++band == bands) {
      band = 0;
      advance(args, scratch);
    }
  }
}
