// Half and full adders of a library, and the Yosys technology map that puts them in the place of the adders found in a
// circuit.
// A cell counts when its two outputs are sum and carry of its two or three inputs, each possibly inverted (ASAP7's
// adders invert both); the map adds the inverters, which the logic optimiser then absorbs into the neighbours.
// Invariant: cell and pin names enter the map as plain identifiers only; other cells are not considered.

import { truthTable } from './liberty/expression.ts';
import { type Cell, hasPlainNames } from './liberty/library.ts';

export interface AdderOutput {
  readonly pin: string;
  readonly inverted: boolean;
}

export interface LibraryAdder {
  readonly cell: Cell;
  readonly sum: AdderOutput;
  readonly carry: AdderOutput;
}

export interface LibraryAdders {
  /** The smallest of each kind; null where the library has none. */
  readonly half: LibraryAdder | null;
  readonly full: LibraryAdder | null;
}

/** Truth tables over two inputs and over three. */
const SUM = { 2: 0b0110, 3: 0b10010110 } as const;
const CARRY = { 2: 0b1000, 3: 0b11101000 } as const;

export function findAdders(cells: Iterable<Cell>): LibraryAdders {
  let half: LibraryAdder | null = null;
  let full: LibraryAdder | null = null;
  for (const cell of cells) {
    const count = cell.inputs.length;
    if (cell.outputs.length !== 2 || (count !== 2 && count !== 3) || !hasPlainNames(cell)) continue;
    const sum = outputWith(cell, SUM[count]);
    const carry = outputWith(cell, CARRY[count]);
    if (!sum || !carry) continue;
    if (count === 2 && (!half || cell.area < half.cell.area)) half = { cell, sum, carry };
    if (count === 3 && (!full || cell.area < full.cell.area)) full = { cell, sum, carry };
  }
  return { half, full };
}

/** What a full adder is called in whose place its dual is put (polarity.ts). */
export const DUAL_ADDER = 'tram_dual_adder';

/**
 * Verilog that maps Yosys' $fa (A, B, C → sum Y, carry X), and duals of it, to the adders of the library; null when it
 * has no full adder.
 */
export function adderMap({ half, full }: LibraryAdders): string | null {
  if (!full) return null;
  const use = (adder: LibraryAdder, dual = false) => {
    const not = (there: boolean) => (there ? '~' : '');
    const inputs = adder.cell.inputs.map((pin, n) => `.${pin.name}(${not(dual)}${'ABC'[n]}[i])`);
    const pins = [...inputs, `.${adder.sum.pin}(sum)`, `.${adder.carry.pin}(carry)`].join(', ');
    return `begin
      ${adder.cell.name} adder (${pins});
      assign Y[i] = ${not(adder.sum.inverted !== dual)}sum;
      assign X[i] = ${not(adder.carry.inverted !== dual)}carry;
    end`;
  };
  const smaller = half
    ? use(half)
    : `begin
      assign Y[i] = A[i] ^ B[i];
      assign X[i] = A[i] & B[i];
    end`;
  const module = (name: string, cell: string, body: string) => `(* techmap_celltype = "${cell}" *)
module ${name} (A, B, C, X, Y);
  parameter WIDTH = 1;
  parameter _TECHMAP_CONSTMSK_C_ = 0;
  parameter _TECHMAP_CONSTVAL_C_ = 0;
  input [WIDTH-1:0] A, B, C;
  output [WIDTH-1:0] X, Y;
  genvar i;
  generate for (i = 0; i < WIDTH; i = i + 1) begin : bit_of
    wire sum, carry;
    ${body}
  end endgenerate
endmodule
`;
  const plain = `if (_TECHMAP_CONSTMSK_C_[i] && !_TECHMAP_CONSTVAL_C_[i]) ${smaller}
    else ${use(full)}`;
  return module('map_adder', '$fa', plain) + module('map_dual_adder', DUAL_ADDER, use(full, true));
}

function outputWith(cell: Cell, table: number): AdderOutput | null {
  const pins = cell.inputs.map((pin) => pin.name);
  const mask = 2 ** (2 ** pins.length) - 1;
  for (const { name, function: expression } of cell.outputs) {
    const actual = truthTable(expression, pins);
    if (actual === table || actual === (table ^ mask)) return { pin: name, inverted: actual !== table };
  }
  return null;
}
