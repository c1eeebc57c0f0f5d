// Verilog of a layer's top: the array of its multiplier between the streams of interface.ts, with the widths that this
// layer's weights were proved to need.
// Invariant: every width holds every value, whatever the image; a parameter that would not is an error of this program.

import type { IntegerNetwork, ProductOperation, RequantiseOperation } from '../../integer/network.ts';
import { invariant } from '../../tensor/errors.ts';
import { type BorderClasses, borderClasses, type LayerTop } from './interface.ts';
import { type ProductFormat, rowTerms, zeroRowVerilog } from './multiplier.ts';
import { bitsOf, indexBits, type NetworkModules } from './tops.ts';

/** The widths of a layer's datapath, bits. */
export interface LayerWidths {
  /** Of the sums of products, and whether those are two's complement. */
  readonly sum: number;
  readonly sumSigned: boolean;
  /** The others are signed: a row term, the sum of all of a position. */
  readonly row: number;
  readonly reference: number;
  readonly factor: number;
  readonly border: number;
  /** Between the terms of the corrected sum, and of the corrected sum itself. */
  readonly term: number;
  readonly value: number;
  /** Of value·2^fraction + bias. */
  readonly wide: number;
}

/** Bits of the sums of products that a layer's array forms. */
export function layerSumBits(network: IntegerNetwork, top: LayerTop, format: ProductFormat): number {
  return sumWidth((network.operations[top.product] as ProductOperation).accumulators.products, format).bits;
}

/** More than a product's width, so that an element extends it. */
function sumWidth(sums: Bounds, format: ProductFormat): ProductFormat {
  const signed = sums[0] < 0 || format.signed;
  return { bits: Math.max(signed ? signedBits(sums) : bitsOf(...sums), format.bits + 1), signed };
}

/** Each output's own values fit in an int32, as the format has it; where its multiplier is 0 they do not matter. */
const MOST_WIDE = 32;

type Bounds = readonly [low: number, high: number];

export function layerWidths(
  network: IntegerNetwork,
  product: ProductOperation,
  requantise: RequantiseOperation,
  format: ProductFormat,
): LayerWidths {
  const { activationBits, signed } = network.multipliers[product.multiplier]!.table;
  const [input, output] = [network.tensors[product.inputs[0]!]!, network.tensors[product.output]!];
  const border = borderClasses(product, input.shape, output.shape);
  const [kh, kw, channels] = product.weightShape as readonly [number, number, number];
  const taps = kh * kw * channels;
  const rows = boundsOf([...rowTerms(activationBits, signed, product.zeroRow), 0]);
  const sum = sumWidth(product.accumulators.products, format);
  const row = signedBits(rows);
  const widths = {
    sum: sum.bits,
    sumSigned: sum.signed,
    row,
    reference: Math.max(signedBits([rows[0] * taps, rows[1] * taps]), row + 1),
    factor: signedBits(boundsOf(product.zeroRow ? [1] : product.weightZero)),
    border: signedBits(boundsOf(borderConstants(product, border))),
    value: signedBits([output.low, output.high]),
  };
  const { fraction, bias } = requantise;
  const biases = boundsOf(bias);
  const wide: Bounds = [output.low * 2 ** fraction + biases[0], output.high * 2 ** fraction + biases[1]];
  const terms = [widths.sum + product.step, widths.border, widths.factor + widths.reference, widths.value];
  return { ...widths, term: Math.max(...terms) + 2, wide: Math.min(signedBits(wide), MOST_WIDE) };
}

function boundsOf(values: ArrayLike<number>): Bounds {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let n = 0; n < values.length; n++) {
    low = Math.min(low, values[n]!);
    high = Math.max(high, values[n]!);
  }
  return [low, high];
}

/** Bits of two's complement for all integers from low to high. */
function signedBits([low, high]: Bounds): number {
  return bitsOf(Math.min(low, -1), high);
}

/** What the activations' zero point adds to an output, −activationZero·Σ (step·w − weightZero): [classes][O]. */
export function borderConstants(product: ProductOperation, border: BorderClasses): Int32Array {
  const { weights, weightZero, step, activationZero, weightShape } = product;
  const [kh, kw, channels, outputs] = weightShape as readonly [number, number, number, number];
  const constants = new Int32Array(border.valid.length * outputs);
  border.valid.forEach((valid, number) => {
    for (let o = 0; o < outputs; o++) {
      let sum = 0;
      for (let tap = 0; tap < kh * kw; tap++) {
        if (valid[tap] === 0) continue;
        for (let i = 0; i < channels; i++) sum += step * weights[(tap * channels + i) * outputs + o]! - weightZero[o]!;
      }
      constants[number * outputs + o] = -activationZero * sum;
      invariant(constants[number * outputs + o] === -activationZero * sum || sum === 0, 'a border constant of 33 bits');
    }
  });
  return constants;
}

/** The files of a layer of its own: its top, and the look-up of its zeroRow. */
export function layerFiles(
  network: IntegerNetwork,
  modules: NetworkModules,
  top: LayerTop,
  format: ProductFormat,
): Map<string, string> {
  const product = network.operations[top.product]! as ProductOperation;
  const requantise = network.operations[top.requantise]! as RequantiseOperation;
  const widths = layerWidths(network, product, requantise, format);
  const { zeroRow } = modules.layers.get(top.product)!;
  const { array } = modules.multipliers[product.multiplier]!;
  const files = new Map([[`${top.module}.v`, topVerilog(network, top, array, zeroRow, product, requantise, widths)]]);
  if (product.zeroRow) {
    files.set(`${zeroRow}.v`, zeroRowVerilog(zeroRow, top.activationBits, product.zeroRow, widths.row));
  }
  return files;
}

function topVerilog(
  network: IntegerNetwork,
  top: LayerTop,
  array: string,
  zeroRow: string,
  product: ProductOperation,
  requantise: RequantiseOperation,
  widths: LayerWidths,
): string {
  const { weightBits: W, activationBits: X, size } = top;
  const { signed } = network.multipliers[product.multiplier]!.table;
  const sign = signed ? `x_data[r*${X} + ${X - 1}]` : `1'b0`;
  const row = product.zeroRow
    ? `${zeroRow} look_up (.x(x_data[r*${X} +: ${X}]), .row(rows[r*ROW_BITS +: ROW_BITS]));`
    : `assign rows[r*ROW_BITS +: ROW_BITS] = {{(ROW_BITS-${X}){${sign}}}, x_data[r*${X} +: ${X}]};`;
  const columnBits = indexBits(size.columns);
  const addressBits = indexBits(top.block);
  const counted = [size.rows, size.columns, top.groups, top.outputs, top.outputTiles, top.tapTiles, top.positions];
  const counterBits = indexBits(Math.max(...counted) + 1);
  const range = (bits: number) => `[${bits - 1}:0]`.padEnd(14);
  return `// A layer: ${top.groups > 1 ? `${top.groups} groups of ` : ''}${top.taps} taps and ${top.outputs} outputs at ${top.positions} positions, on an array of ${size.rows} x ${size.columns}.
// Streams of weights, activations and constants in, results out; each with valid and ready. Their order:
//   for each group, for each of its ${top.outputTiles} tiles of outputs:
//     constants of ${size.columns} outputs, ${5 + top.classes} kinds;
//     for each block of at most ${top.block} positions, for each of ${top.tapTiles} tiles of taps:
//       ${size.rows} beats of weights, last row first, and a beat of activations for each position;
//     results of the block: for each position those of its outputs.
// What each beat holds, constants and border classes among them: streams.md.
module ${top.module} (
  input                 clk,
  input                 rst,     // synchronous
  input                 w_valid,
  output                w_ready,
  input  ${range(size.columns * W)} w_data,  // a row of weights, column 0 in the lowest bits
  input                 x_valid,
  output                x_ready,
  input  ${range(size.rows * X)} x_data,  // activations, row 0 in the lowest bits
  input  ${range(size.rows)} x_taps,  // rows whose tap exists and lies in the image
  input  ${range(top.classBits)} x_class, // border class: which taps of the window lie in the image
  input                 c_valid,
  output                c_ready,
  input  [31:0]         c_data,
  output                y_valid,
  input                 y_ready,
  output ${range(top.resultBits)} y_data,
  output                y_last   // the last result of an image
);
  localparam ROWS = ${size.rows};
  localparam COLUMNS = ${size.columns};
  localparam COLUMN_BITS = ${columnBits};
  localparam ADDRESS_BITS = ${addressBits};
  localparam CLASS_BITS = ${top.classBits};
  localparam SUM_BITS = ${widths.sum};  // sums of products lie in ${product.accumulators.products.join(' ... ')}
  localparam ROW_BITS = ${widths.row};
  localparam REFERENCE_BITS = ${widths.reference};
  localparam LATENCY = ROWS + COLUMNS - 1;

  // The array advances as a whole, unless finished sums wait for the results.
  wire sums_valid, sums_ready;
  wire advance = !sums_valid || sums_ready;

  wire take_constants, take_weights, take_activations, constants_done, tile_done, settled;
  wire first_tile, last_tile, image_ends;
  wire [ADDRESS_BITS-1:0] last_position;
  wire [COLUMN_BITS-1:0]  last_column;
  assign c_ready = take_constants;
  assign w_ready = take_weights;
  assign x_ready = take_activations && advance;
  wire load = w_valid && w_ready;
  wire enter = x_valid && x_ready;
  tram_sequencer #(
    .ROWS(ROWS), .COLUMNS(COLUMNS), .COLUMN_BITS(COLUMN_BITS), .GROUPS(${top.groups}), .OUTPUTS(${top.outputs}),
    .OUTPUT_TILES(${top.outputTiles}), .TAP_TILES(${top.tapTiles}), .POSITIONS(${top.positions}), .BLOCK(${top.block}),
    .ADDRESS_BITS(ADDRESS_BITS), .COUNTER_BITS(${counterBits})
  ) sequencer (
    .clk(clk), .rst(rst),
    .take_constants(take_constants), .constants_done(constants_done),
    .take_weights(take_weights), .weight_taken(load),
    .take_activations(take_activations), .activation_taken(enter),
    .tile_done(tile_done), .settled(settled), .first_tile(first_tile), .last_tile(last_tile),
    .last_position(last_position), .last_column(last_column), .image_ends(image_ends)
  );

  wire [COLUMNS*SUM_BITS-1:0] sums;
  ${array} #(.ROWS(ROWS), .COLUMNS(COLUMNS), .SUM_BITS(SUM_BITS)) array (
    .clk(clk), .enable(advance), .load(load), .w_data(w_data), .x_data(x_data), .x_taps(x_taps), .sums(sums)
  );

  // Beside the array: which of its stages hold a position, the position's row terms and its border class.
  reg  [LATENCY-1:0] stages;
  wire [LATENCY:0]   filled = {stages, enter};
  always @(posedge clk) begin
    if (rst) stages <= {LATENCY{1'b0}};
    else if (advance) stages <= filled[LATENCY-1:0];
  end
  wire [ROWS*ROW_BITS-1:0]  rows;
  wire [REFERENCE_BITS-1:0] reference_in, reference;
  wire [CLASS_BITS-1:0]     class_number;
  genvar r;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : row
      ${row}
    end
  endgenerate
  tram_row_sum #(.ROWS(ROWS), .ROW_BITS(ROW_BITS), .SUM_BITS(REFERENCE_BITS)) row_sum (
    .rows(rows), .taps(x_taps), .sum(reference_in)
  );
  tram_delay #(.WIDTH(CLASS_BITS + REFERENCE_BITS), .STAGES(LATENCY)) beside (
    .clk(clk), .enable(advance), .d({x_class, reference_in}), .q({class_number, reference})
  );

  wire [COLUMNS*SUM_BITS-1:0] all_sums;
  wire [REFERENCE_BITS-1:0]   all_rows;
  wire [CLASS_BITS-1:0]       their_class;
  wire                        block_ends;
  tram_accumulators #(
    .COLUMNS(COLUMNS), .SUM_BITS(SUM_BITS), .REFERENCE_BITS(REFERENCE_BITS), .CLASS_BITS(CLASS_BITS),
    .BLOCK(${top.block}), .ADDRESS_BITS(ADDRESS_BITS)
  ) accumulators (
    .clk(clk), .rst(rst), .enable(advance), .first_tile(first_tile), .last_tile(last_tile),
    .last_position(last_position), .in_valid(filled[LATENCY]), .in_sums(sums), .in_reference(reference),
    .in_class(class_number), .out_valid(sums_valid), .out_last(block_ends), .out_sums(all_sums),
    .out_reference(all_rows), .out_class(their_class), .tile_done(tile_done)
  );

  tram_results #(
    .COLUMNS(COLUMNS), .COLUMN_BITS(COLUMN_BITS), .SUM_BITS(SUM_BITS), .SUM_SIGNED(${widths.sumSigned ? 1 : 0}),
    .REFERENCE_BITS(REFERENCE_BITS), .CLASSES(${top.classes}), .CLASS_BITS(CLASS_BITS), .FACTOR_BITS(${widths.factor}),
    .BORDER_BITS(${widths.border}), .STEP(${product.step - 1}), .TERM_BITS(${widths.term}), .VALUE_BITS(${widths.value}), .WIDE_BITS(${widths.wide}),
    .FRACTION(${requantise.fraction}), .LOW(${int32(requantise.low)}), .HIGH(${int32(requantise.high)}), .RESULT_BITS(${top.resultBits})
  ) results (
    .clk(clk), .rst(rst), .take_constants(take_constants), .constant_valid(c_valid), .constant(c_data),
    .constants_done(constants_done), .settled(settled), .last_column(last_column),
    .in_valid(sums_valid), .in_ready(sums_ready), .in_last(block_ends && image_ends), .in_sums(all_sums),
    .in_reference(all_rows), .in_class(their_class),
    .out_valid(y_valid), .out_ready(y_ready), .out_last(y_last), .out_data(y_data)
  );
endmodule
`;
}

/** As a literal of 32 bits; the least integer has none in decimal. */
function int32(value: number): string {
  return value === -(2 ** 31) ? "32'sh80000000" : `${value < 0 ? '-' : ''}32'sd${Math.abs(value)}`;
}
