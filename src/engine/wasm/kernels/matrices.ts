// Products of matrices in batches, and rows picked from a matrix by number.
// A product is formed as a pointwise convolution is: b is packed into panels of 8 columns, [panel][inner][8], times the
// scale, and every 4 rows of a pass over each panel in the register tile of convolution.ts. A part owns a run of rows
// of one batch and packs that batch's panels in its scratch memory; rows of a transposed a are laid out there four at a
// time.

import { multiplyTile } from './convolution';
import { ceilDivide } from './geometry';

@unmanaged
export class MatrixProduct {
  a: usize;
  b: usize;
  out: usize;
  rows: i32;
  columns: i32;
  inner: i32;
  /** 0: neither operand is transposed, 1: a is [inner, rows], 2: b is [columns, inner]. */
  transposed: i32;
  rowsPerPart: i32;
  scale: f32;
}

/** Words of a tile's list: one tap at offset 0 of the panel, and the addresses of four results and four rows. */
const LIST_BYTES: usize = 40;

/** Parts: [batches][runs of rows]. Scratch: a tile's list, four rows of a transposed a, the panels. */
export function matrixProduct(args: MatrixProduct, part: i32, scratch: usize): void {
  const runs = ceilDivide(args.rows, args.rowsPerPart);
  const batch = part / runs;
  const first = (part % runs) * args.rowsPerPart;
  const end = min(args.rows, first + args.rowsPerPart);
  const depthBytes = <usize>args.inner << 2;
  const a = args.a + <usize>(batch * args.rows) * depthBytes;
  const out = args.out + (<usize>(batch * args.rows * args.columns) << 2);
  const rowsOfA = scratch + LIST_BYTES;
  const panels = rowsOfA + (depthBytes << 2);
  packPanels(args, args.b + <usize>(batch * args.columns) * depthBytes, panels);
  store<i32>(scratch, 1);
  store<usize>(scratch, 0, 20);
  for (let row = first; row < end; row += 4) {
    if (args.transposed == 1) layRows(args, a, row, rowsOfA);
    for (let i = 0; i < 4; ++i) {
      // A short last tile repeats its last row.
      const at = min(row + i, end - 1);
      const from = args.transposed == 1 ? rowsOfA + <usize>(at - row) * depthBytes : a + <usize>at * depthBytes;
      store<usize>(scratch + (<usize>i << 2), out + (<usize>(at * args.columns) << 2), 4);
      store<usize>(scratch + (<usize>i << 2), from, 24);
    }
    let panel = panels;
    for (let column = 0; column < args.columns; column += 8) {
      multiplyTile(scratch, panel, depthBytes, 0, <usize>column << 2, args.columns - column);
      panel += depthBytes << 3;
    }
  }
}

/** Four rows of a transposed a, each contiguous. */
function layRows(args: MatrixProduct, a: usize, row: i32, to: usize): void {
  const count = min(4, args.rows - row);
  for (let i = 0; i < count; ++i) {
    let from = a + (<usize>(row + i) << 2);
    for (let k = 0; k < args.inner; ++k) {
      store<f32>(to, load<f32>(from));
      to += 4;
      from += <usize>args.rows << 2;
    }
  }
}

function packPanels(args: MatrixProduct, b: usize, to: usize): void {
  // Between neighbouring columns and between neighbouring inner indices.
  let acrossBytes: usize = 4;
  let downBytes = <usize>args.columns << 2;
  if (args.transposed == 2) {
    acrossBytes = <usize>args.inner << 2;
    downBytes = 4;
  }
  for (let column = 0; column < args.columns; column += 8) {
    const count = min(8, args.columns - column);
    const first = b + <usize>column * acrossBytes;
    for (let k = 0; k < args.inner; ++k) {
      let from = first + <usize>k * downBytes;
      let lane = 0;
      for (; lane < count; ++lane) {
        store<f32>(to + (<usize>lane << 2), args.scale * load<f32>(from));
        from += acrossBytes;
      }
      for (; lane < 8; ++lane) store<f32>(to + (<usize>lane << 2), 0);
      to += 32;
    }
  }
}

@unmanaged
export class RowGather {
  from: usize;
  to: usize;
  /** gatherRows: i32 [rows], which row of `from` each row of `to` is. */
  index: usize;
  /**
   * gatherRowsGradient: i32 [rows + 1], where the rows of `from` that make each row of `to` begin among `sources`.
   */
  starts: usize;
  sources: usize;
  rows: i32;
  columns: i32;
  rowsPerPart: i32;
}

export function gatherRows(args: RowGather, part: i32, scratch: usize): void {
  const end = min(args.rows, (part + 1) * args.rowsPerPart);
  const bytes = <usize>args.columns << 2;
  for (let row = part * args.rowsPerPart; row < end; ++row) {
    const from = args.from + <usize>load<i32>(args.index + (<usize>row << 2)) * bytes;
    const to = args.to + <usize>row * bytes;
    for (let at: usize = 0; at < bytes; at += 4) store<u32>(to + at, load<u32>(from + at));
  }
}

export function gatherRowsGradient(args: RowGather, part: i32, scratch: usize): void {
  const end = min(args.rows, (part + 1) * args.rowsPerPart);
  const bytes = <usize>args.columns << 2;
  for (let row = part * args.rowsPerPart; row < end; ++row) {
    const first = load<i32>(args.starts + (<usize>row << 2));
    const last = load<i32>(args.starts + (<usize>row << 2), 4);
    const to = args.to + <usize>row * bytes;
    for (let at: usize = 0; at < bytes; at += 4) {
      let sum: f32 = 0;
      for (let source = first; source < last; ++source) {
        sum += load<f32>(args.from + <usize>load<i32>(args.sources + (<usize>source << 2)) * bytes + at);
      }
      store<f32>(to + at, sum);
    }
  }
}
