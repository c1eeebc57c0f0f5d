// Verilog of what multiplies: the multiplier itself, a processing element around it, and the systolic array of those.
// Invariant: the multiplier's module computes its table, by gates where it has some and otherwise by looking the
// products up; an element adds its product, or nothing where the tap does not count, to the sum from above.
// Source: H. T. Kung, "Why systolic architectures?", 1982; weights stand still, activations move to the right, sums
// down.

import { operandValue, type ProductTable } from '../../multiplier/table.ts';
import { Network } from '../../netlist/network.ts';
import { multiplierPorts } from '../../netlist/ports.ts';
import { verilogModules, writeVerilog } from '../../netlist/verilog/write.ts';
import { invariant } from '../../tensor/errors.ts';
import { bitsOf, type MultiplierModules } from './tops.ts';

/** How the products of a multiplier's module are read. */
export interface ProductFormat {
  readonly bits: number;
  /** Two's complement. */
  readonly signed: boolean;
}

/** The module's product: as wide as the netlist's, or as the table's entries need. */
export function productFormat(table: ProductTable, netlist: Network | undefined): ProductFormat {
  if (netlist) return { bits: multiplierPorts(netlist).product.length, signed: table.signed };
  let [low, high] = [0, 0];
  for (const product of table.data) {
    low = Math.min(low, product);
    high = Math.max(high, product);
  }
  return { bits: bitsOf(low, high), signed: low < 0 };
}

/** The multiplier as a module with the inputs w and x and the output p. */
export function multiplierVerilog(
  modules: MultiplierModules,
  table: ProductTable,
  netlist: Network | undefined,
): string {
  return netlist ? gates(modules, netlist) : lookUp(modules, table);
}

function gates(modules: MultiplierModules, netlist: Network): string {
  const { weight, activation, product } = multiplierPorts(netlist);
  const named = new Network(modules.multiplier);
  for (const node of netlist.nodes.slice(named.nodes.length)) named.nodes.push(node);
  named.adders.push(...netlist.adders);
  named.partialProducts.push(...netlist.partialProducts);
  const bus = (name: string, signals: readonly number[]) =>
    signals.map((signal, n) => ({ name: `${name}[${n}]`, signal }));
  named.inputs.push(...bus('w', weight), ...bus('x', activation));
  named.outputs.push(...bus('p', product));
  const [, half, full] = verilogModules(named.name);
  const text = writeVerilog(named)
    .replaceAll(new RegExp(`^( *(?:module )?)${half}\\b`, 'gm'), `$1${modules.halfAdder}`)
    .replaceAll(new RegExp(`^( *(?:module )?)${full}\\b`, 'gm'), `$1${modules.fullAdder}`);
  return `// A multiplier from its netlist, with its half and full adders: p = w * x, approximately or exactly.
// Adders stand in the file of their multiplier, and a multiplier may leave bits of its operands and adders unread.
/* verilator lint_off DECLFILENAME */
/* verilator lint_off UNUSED */
${text}/* verilator lint_on UNUSED */
/* verilator lint_on DECLFILENAME */
`;
}

/** A table without gates: one case per weight that selects a constant of all products with it. */
function lookUp({ multiplier }: MultiplierModules, table: ProductTable): string {
  const { weightBits, activationBits, data } = table;
  const { bits } = productFormat(table, undefined);
  const activations = 2 ** activationBits;
  const digits = Math.ceil(bits / 4);
  const rows = Array.from({ length: 2 ** weightBits }, (_, w) => {
    const entries = Array.from({ length: activations }, (_, x) => {
      const pattern = data[w * activations + x]! & (bits === 32 ? -1 : 2 ** bits - 1);
      return `${bits}'h${(pattern >>> 0).toString(16).padStart(digits, '0')}`;
    });
    const lines = [];
    for (let at = activations; at > 0; at -= 8)
      lines.push(
        entries
          .slice(Math.max(0, at - 8), at)
          .reverse()
          .join(', '),
      );
    return `      ${weightBits}'d${w}: row = {\n        ${lines.join(',\n        ')}\n      };`;
  });
  return `// A multiplier that is known by its products alone: a read-only memory, w selects a row and x the product in it.
module ${multiplier} (
  input      [${weightBits - 1}:0] w,
  input      [${activationBits - 1}:0] x,
  output     [${bits - 1}:0] p
);
  reg [${activations * bits - 1}:0] row;
  always @* begin
    case (w)
${rows.slice(0, -1).join('\n')}
${rows.at(-1)!.replace(`${weightBits}'d${rows.length - 1}:`, 'default:')}
    endcase
  end
  assign p = row[x*${bits} +: ${bits}];
endmodule
`;
}

/** A processing element; SUM_BITS must be larger than the product's width. */
export function elementVerilog(
  { multiplier, element }: MultiplierModules,
  { weightBits, activationBits }: ProductTable,
  product: ProductFormat,
): string {
  const top = product.signed ? `product[${product.bits - 1}]` : `1'b0`;
  return `// A processing element: holds a weight, adds its product with the activation from the left to the sum from above,
// where the tap counts, and hands the activation on to the right.
// SUM_BITS is more than the product's ${product.bits}: as proved for the layer, so that nothing saturates.
module ${element} #(
  parameter SUM_BITS = ${product.bits + 4}
) (
  input                     clk,
  input                     enable,
  input                     load,
  input      [${weightBits - 1}:0]          w_in,
  output reg [${weightBits - 1}:0]          w_out,
  input      [${activationBits - 1}:0]          x_in,
  input                     tap_in, // 0: padding, or no tap
  output reg [${activationBits - 1}:0]          x_out,
  output reg                tap_out,
  input      [SUM_BITS-1:0] sum_in,
  output reg [SUM_BITS-1:0] sum_out
);
  wire [${product.bits - 1}:0] product;
  ${multiplier} multiply (.w(w_out), .x(x_in), .p(product));
  wire [SUM_BITS-1:0] term = {{(SUM_BITS-${product.bits}){${top}}}, product} & {SUM_BITS{tap_in}};
  always @(posedge clk) begin
    if (load) w_out <= w_in;
    if (enable) begin
      x_out   <= x_in;
      tap_out <= tap_in;
      sum_out <= sum_in + term;
    end
  end
endmodule
`;
}

/** The array of such elements, of any size. */
export function arrayVerilog(
  { element, array }: MultiplierModules,
  { weightBits, activationBits }: ProductTable,
  product: ProductFormat,
): string {
  return `// A weight-stationary systolic array. A beat of x_data enters all rows at once and its sums leave all columns at once,
// ROWS + COLUMNS - 1 enabled cycles later; the registers that skew it are inside. While load is 1 weights move down.
module ${array} #(
  parameter ROWS = 8,
  parameter COLUMNS = 8,
  parameter SUM_BITS = ${product.bits + 4}
) (
  input                           clk,
  input                           enable,
  input                           load,
  input  [COLUMNS*${weightBits}-1:0]          w_data,
  input  [ROWS*${activationBits}-1:0]             x_data,
  input  [ROWS-1:0]               x_taps,
  output [COLUMNS*SUM_BITS-1:0]   sums
);
  // What moves down: weights and sums, above each row and below the last.
  wire [(ROWS+1)*COLUMNS*${weightBits}-1:0] weights;
  wire [(ROWS+1)*COLUMNS*SUM_BITS-1:0] down;
  // What moves right: each activation with its tap bit, before each column and behind the last.
  localparam ACROSS = ${activationBits + 1};
  wire [ROWS*ACROSS-1:0] entering;
  wire [ROWS*ACROSS-1:0] skewed;
  wire [ROWS*(COLUMNS+1)*ACROSS-1:0] across;
  assign weights[0 +: COLUMNS*${weightBits}] = w_data;
  assign down[0 +: COLUMNS*SUM_BITS] = {(COLUMNS*SUM_BITS){1'b0}};

  genvar r, c;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : row
      assign entering[r*ACROSS +: ACROSS] = {x_taps[r], x_data[r*${activationBits} +: ${activationBits}]};
      assign across[r*(COLUMNS+1)*ACROSS +: ACROSS] = skewed[r*ACROSS +: ACROSS];
      for (c = 0; c < COLUMNS; c = c + 1) begin : column
        ${element} #(.SUM_BITS(SUM_BITS)) element (
          .clk(clk), .enable(enable), .load(load),
          .w_in(weights[(r*COLUMNS + c)*${weightBits} +: ${weightBits}]),
          .w_out(weights[((r+1)*COLUMNS + c)*${weightBits} +: ${weightBits}]),
          .x_in(across[(r*(COLUMNS+1) + c)*ACROSS +: ${activationBits}]),
          .tap_in(across[(r*(COLUMNS+1) + c)*ACROSS + ${activationBits}]),
          .x_out(across[(r*(COLUMNS+1) + c + 1)*ACROSS +: ${activationBits}]),
          .tap_out(across[(r*(COLUMNS+1) + c + 1)*ACROSS + ${activationBits}]),
          .sum_in(down[(r*COLUMNS + c)*SUM_BITS +: SUM_BITS]),
          .sum_out(down[((r+1)*COLUMNS + c)*SUM_BITS +: SUM_BITS])
        );
      end
    end
  endgenerate
  tram_skew #(.LANES(ROWS), .WIDTH(ACROSS)) skew_in (.clk(clk), .enable(enable), .d(entering), .q(skewed));
  tram_skew #(.LANES(COLUMNS), .WIDTH(SUM_BITS), .REVERSED(1)) skew_out (
    .clk(clk), .enable(enable), .d(down[ROWS*COLUMNS*SUM_BITS +: COLUMNS*SUM_BITS]), .q(sums)
  );
  // Nothing stands behind the last column and below the last row.
  wire unused = &{1'b0, weights, across};
endmodule
`;
}

/** The values of a zeroRow as a look-up: what is taken off for an activation of each bit pattern. */
export function zeroRowVerilog(module: string, activationBits: number, zeroRow: Int32Array, rowBits: number): string {
  invariant(zeroRow.length === 2 ** activationBits, `a zero row of ${zeroRow.length} for ${activationBits} bits`);
  const entries = Array.from(zeroRow, (value, x) => {
    const sign = value < 0 ? '-' : '';
    return `      ${activationBits}'d${x}: row = ${sign}${rowBits}'sd${Math.abs(value)};`;
  });
  const last = entries.pop()!.replace(/^ *\d+'d\d+:/, '      default:');
  return `// What is taken off for the weights' zero point at an activation: the multiplier's own product with it.
module ${module} (
  input      [${activationBits - 1}:0] x,
  output reg [${rowBits - 1}:0] row
);
  always @* begin
    case (x)
${[...entries, last].join('\n')}
    endcase
  end
endmodule
`;
}

/** The row terms of all activations: weightZero·x needs x itself, a zeroRow its entries. */
export function rowTerms(activationBits: number, signed: boolean, zeroRow: Int32Array | undefined): number[] {
  return zeroRow
    ? Array.from(zeroRow)
    : Array.from({ length: 2 ** activationBits }, (_, x) => operandValue(x, activationBits, signed));
}
