// The ports of a layer's top module and what its streams carry: what whoever drives it (a test bench, a DMA engine, a
// processor) has to know. The generator of the modules and the test benches are both written against this file.
//
// A layer's top computes one product of an IntegerNetwork with the requantisation that follows it. Ports:
//
//     module layer_NAME (
//       input  clk, input rst,                                          // one clock; rst is synchronous, active high
//       input  w_valid, output w_ready, input [C*WEIGHT_BITS-1:0] w_data,
//       input  x_valid, output x_ready, input [R*ACTIVATION_BITS-1:0] x_data, input [R-1:0] x_taps,
//                                       input [CLASS_BITS-1:0] x_class,
//       input  c_valid, output c_ready, input [31:0] c_data,
//       output y_valid, input y_ready,  output [RESULT_BITS-1:0] y_data, output y_last );
//
// A beat passes on a rising edge of clk at which valid and ready are both 1. Valid never waits for ready, data stays as
// it is while valid waits, any side may stall at any time, and the four streams do not wait for each other beyond what
// the order of the work demands: a driver can serve each of them by itself.
//
// Work: outputs o of a group in tiles of C, taps t of an output in tiles of R, positions p in blocks of at most BLOCK.
//
//     for group g, for tile of outputs m:           c: constants of the C outputs
//       for block of positions b:
//         for tile of taps k:                       w: R beats of C weights;  x: one beat of R taps per position of b
//         for position p of b, for output of m:     y: one beat; columns beyond the group's last output have none
//
// Then the next image begins, with the constants of the first tile again: nothing has to be started or cleared.
// y_last is 1 with the last result of an image. Layouts (all bit fields two's complement or unsigned as said):
//   taps      t = (ky·kw + kx)·(I/groups) + i; tile k has t = k·R … k·R + R − 1; input channel g·(I/groups) + i
//   outputs   o = g·(O/groups) + m·C + c; positions p = oy·OW + ox (linear layers: the vectors of the tensor, in order)
//   w_data    stored codes as bit patterns, column 0 in the lowest bits. The weights of a tile come LAST ROW FIRST:
//             beat j holds row R − 1 − j, weights[t = k·R + R − 1 − j, o of column c]. Any value where there is no tap
//             or no output.
//   x_data    codes as bit patterns, row 0 in the lowest bits: x at tap t of position p; any value where x_taps is 0
//   x_taps    bit r is 1 where row r is a tap that exists and lies in the image; 0 for padding and beyond the last tap
//   x_class   number of the position's border class (`borderClasses`), the same in all tiles of taps
//   c_data    int32 words, for each kind in this order the C outputs of the tile, column 0 first; any value beyond the
//             last output:
//               0 bias, 1 multiplier, 2 shift (1 … 62), 3 offset              of the requantisation
//               4 row factor: weightZero[o], or 1 where the product has a zeroRow
//               5 + n: −activationZero·Σ (step·w[t, o] − weightZero[o]) over the valid taps of border class n
//   y_data    the requantised results, RESULT_BITS wide, two's complement where `resultSigned`
//
// Not computed: border constants and the order of streams are the driver's (test benches: src/export/testbench/).

import type { ConvGeometry } from '../../engine/graph/ops.ts';
import type { ProductOperation } from '../../integer/network.ts';
import type { Shape } from '../../tensor/tensor.ts';

/** Processing elements: rows take taps, columns outputs; each 1 … 64. */
export interface ArraySize {
  readonly rows: number;
  readonly columns: number;
}

/** A layer's top module, and the sizes of its work. */
export interface LayerTop {
  /** Of the module; its text is in the file `${module}.v`, the names of all files it needs are in `${module}.f`. */
  readonly module: string;
  /** All files that it needs, in the folder of the form, itself among them. */
  readonly files: readonly string[];
  /** Numbers of the operations in the network: the product, and the requantisation of its sums. */
  readonly product: number;
  readonly requantise: number;
  /** The label of the layer. */
  readonly layer: string;
  /** Name of the multiplier's module (inputs w and x, output p). */
  readonly multiplier: string;
  readonly size: ArraySize;
  readonly groups: number;
  /** Of a group: taps of an output, and outputs. */
  readonly taps: number;
  readonly outputs: number;
  /** Of a group. */
  readonly tapTiles: number;
  readonly outputTiles: number;
  /** Of an image, and how many at most are a block. */
  readonly positions: number;
  readonly block: number;
  readonly classes: number;
  readonly weightBits: number;
  readonly activationBits: number;
  /** Width of x_class: at least 1. */
  readonly classBits: number;
  readonly resultBits: number;
  readonly resultSigned: boolean;
}

/** Beats of each stream for one image. */
export interface StreamLengths {
  readonly weights: number;
  readonly activations: number;
  readonly constants: number;
  readonly results: number;
}

/** Words of `c_data` per output besides those of the border classes. */
export const CONSTANT_KINDS = 5;

export function streamLengths(top: LayerTop): StreamLengths {
  const { groups, outputTiles, tapTiles, positions, block, size } = top;
  const tiles = groups * outputTiles;
  return {
    weights: tiles * Math.ceil(positions / block) * tapTiles * size.rows,
    activations: tiles * tapTiles * positions,
    constants: tiles * (CONSTANT_KINDS + top.classes) * size.columns,
    results: groups * top.outputs * positions,
  };
}

/** Positions of a layer by which taps of the window lie in the image. */
export interface BorderClasses {
  /** Of each position [OH·OW] the number of its class. */
  readonly of: Int32Array;
  /** Of each class: [kh·kw], 1 where the tap lies in the image. Classes are in the order of first appearance. */
  readonly valid: readonly Uint8Array[];
}

/** `input` and `output`: shapes of the product's tensors, [H, W, C] or [...vectors, features]. */
export function borderClasses(product: ProductOperation, input: Shape, output: Shape): BorderClasses {
  const positions = output.slice(0, -1).reduce((all, extent) => all * extent, 1);
  if (product.layerKind === 'linear') return { of: new Int32Array(positions), valid: [Uint8Array.of(1)] };
  const [height, width] = output as readonly [number, number];
  const [kh, kw] = product.weightShape as readonly [number, number];
  const rows = Array.from({ length: height }, (_, y) => insideOf(product.geometry, 0, y, kh, input[0]!));
  const columns = Array.from({ length: width }, (_, x) => insideOf(product.geometry, 1, x, kw, input[1]!));
  const numbers = new Map<string, number>();
  const valid: Uint8Array[] = [];
  const of = Int32Array.from({ length: positions }, (_, p) => {
    const [row, column] = [rows[Math.floor(p / width)]!, columns[p % width]!];
    const key = `${row.join('')} ${column.join('')}`;
    const known = numbers.get(key);
    if (known !== undefined) return known;
    numbers.set(key, valid.length);
    valid.push(Uint8Array.from({ length: kh * kw }, (_, tap) => row[Math.floor(tap / kw)]! & column[tap % kw]!));
    return valid.length - 1;
  });
  return { of, valid };
}

/** Along one axis: 1 for each tap of a window that lies in the image. */
function insideOf(geometry: ConvGeometry, axis: 0 | 1, position: number, taps: number, extent: number): number[] {
  const { stride, padding, dilation } = geometry;
  const first = position * stride[axis]! - padding[axis]!;
  return Array.from({ length: taps }, (_, tap) => {
    const at = first + tap * dilation[axis]!;
    return at >= 0 && at < extent ? 1 : 0;
  });
}
