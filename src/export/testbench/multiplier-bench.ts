// A bench of a multiplier alone: every operand pair through the module, against its table in a .mem file.
// Invariant: the module is simulated as it stands in its file; the bench knows nothing of its gates.

import type { ProductTable } from '../../multiplier/table.ts';
import type { ProductFormat } from '../rtl/multiplier.ts';
import { memoryFile, patternOf } from './memory.ts';

/** A multiplier's module: inputs w and x, output p. */
export interface MultiplierModule {
  /** An identifier. */
  readonly module: string;
  readonly format: ProductFormat;
}

/** All products as a memory, by {w, x}. */
export function productMemory(name: string, { data }: ProductTable, { bits, signed }: ProductFormat): string {
  const words = Array.from(data, (product) => patternOf(product, bits));
  return memoryFile(`products of ${name} by {w, x}${signed ? ", two's complement" : ''}`, words, bits);
}

/** The text of `tb_MODULE.v`; it reads `tb_MODULE/products.mem`. */
export function multiplierBench(
  { module, bench, format }: MultiplierModule & { readonly bench: string },
  table: ProductTable,
): string {
  const { weightBits, activationBits, signed } = table;
  const pairs = table.data.length;
  const operand = (name: string) => (signed ? `$signed(${name})` : name);
  const product = (name: string) => (format.signed ? `$signed(${name})` : name);
  return `// Every operand pair of ${module} (${weightBits} x ${activationBits} bits, ${signed ? 'signed' : 'unsigned'}) against its table.
// Prints "PASS ${pairs}", or the first pair whose product differs.
\`timescale 1ns / 1ps

module ${bench};
  reg [${weightBits - 1}:0] w;
  reg [${activationBits - 1}:0] x;
  wire [${format.bits - 1}:0] p;
  reg [${format.bits - 1}:0] products [0:${pairs - 1}];
  integer pair, wrong;

  ${module} dut (.w(w), .x(x), .p(p));

  initial begin
    $readmemh("${bench}/products.mem", products);
    wrong = 0;
    for (pair = 0; pair < ${pairs}; pair = pair + 1) begin
      {w, x} = pair;
      #1;
      if (p !== products[pair]) begin
        if (wrong == 0)
          $display("DIFFERENCE ${module}: w %0d, x %0d: expected %0d, found %0d", ${operand('w')}, ${operand('x')}, ${product('products[pair]')}, ${product('p')});
        wrong = wrong + 1;
      end
    end
    if (wrong == 0) $display("PASS ${pairs}");
    else $display("FAIL %0d of ${pairs} pairs differ", wrong);
    $finish;
  end
endmodule
`;
}
