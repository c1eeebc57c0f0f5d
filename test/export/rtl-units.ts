// Benches of single modules of the layers' Verilog: requantisation over corners and random products, arrays of elements
// with the enable at random, against plain arithmetic.

import { operandValue, type ProductTable } from '../../src/multiplier/table.ts';
import { Random } from '../../src/tensor/random.ts';
import type { LayerBench } from './rtl-bench.ts';
import { productOf, requantised } from './rtl-layers.ts';

export interface RequantiseCase {
  readonly fraction: number;
  readonly low: number;
  readonly high: number;
  readonly valueBits: number;
}

const hex = (value: number, bits: number) => BigInt.asUintN(bits, BigInt(value));

/** Ties of both parities and signs, the largest products, all shifts, and random ones. */
export function requantiseBench(
  name: string,
  { fraction, low, high, valueBits }: RequantiseCase,
  seed: number,
): LayerBench {
  const random = new Random(seed, 9);
  const integer = (bits: number) => Math.floor((random.uniform() * 2 - 1) * 2 ** (bits - 1));
  const most = 2 ** (valueBits - 1) - 1;
  const corners = [0, 1, -1, most, -most, 2 ** (valueBits - 2)];
  const factors = [0, 1, -1, 2 ** 31 - 1, -(2 ** 31 - 1), 2 ** 30, 3 * 2 ** 20];
  const vectors: [number, number, number, number, number][] = [];
  for (const value of corners)
    for (const factor of factors) for (const shift of [1, 2, 31, 62]) vectors.push([value, 0, factor, shift, 0]);
  for (let shift = 1; shift <= 62; shift++) {
    // (2k + 1)·2^(shift − 1) is a half: k odd and even, positive and negative.
    const up = Math.min(shift - 1, 30);
    const own = Math.max(0, shift - 1 - up - fraction);
    for (const k of [-3, -2, -1, 0, 1, 2])
      if (own < valueBits - 4) vectors.push([(2 * k + 1) * 2 ** own, 0, 2 ** up, shift, k]);
  }
  for (let n = 0; n < 400; n++) {
    vectors.push([
      integer(valueBits),
      integer(n % 2 === 0 ? 31 : 8),
      integer(32),
      1 + Math.floor(62 * random.uniform()),
      integer(n % 3 === 0 ? 32 : 8),
    ]);
  }
  const fits = vectors.filter(([value, bias]) => Math.abs(value * 2 ** fraction + bias) < 2 ** 31);
  const bits = valueBits + 32 + 32 + 6 + 32 + 32;
  const words = fits.map(([value, bias, multiplier, shift, offset]) => {
    const by = {
      fraction,
      low,
      high,
      bias: Int32Array.of(bias),
      multiplier: Int32Array.of(multiplier),
      shift: Uint8Array.of(shift),
      offset: Int32Array.of(offset),
    };
    const parts: [number, number][] = [
      [value, valueBits],
      [bias, 32],
      [multiplier, 32],
      [shift, 6],
      [offset, 32],
      [requantised(by, value, 0), 32],
    ];
    return parts.reduce((word, [part, width]) => (word << BigInt(width)) | hex(part, width), 0n);
  });
  const text = `module ${name} (input clk, input rst, output reg done);
  reg [${bits - 1}:0] words [0:${words.length - 1}];
  initial $readmemh("${name}.mem", words);
  integer at = 0, out = 0;
  reg enable = 0, go = 0;
  wire [${bits - 1}:0] word = at < ${words.length} ? words[at] : 0;
  wire [${bits - 1}:0] want = words[out < ${words.length} ? out : 0];
  wire valid, last;
  wire [31:0] result;
  tram_requantise #(
    .VALUE_BITS(${valueBits}), .WIDE_BITS(32), .FRACTION(${fraction}), .LOW(${low < -(2 ** 30) ? "32'sh80000000" : low}), .HIGH(${high}), .RESULT_BITS(32)
  ) module_under_test (
    .clk(clk), .rst(rst), .enable(enable), .in_valid(go && at < ${words.length}), .in_last(1'b0),
    .value(word[${bits - 1} -: ${valueBits}]), .bias(word[133:102]), .multiplier(word[101:70]), .shift(word[69:64]),
    .offset(word[63:32]), .out_valid(valid), .out_last(last), .result(result)
  );
  always @(posedge clk) begin
    enable <= ($random & 3) != 0;
    if (enable && !rst) begin
      go <= ($random & 3) != 0;
      if (go && at < ${words.length}) at <= at + 1;
      if (valid) begin
        if (result !== want[31:0]) begin
          $display("${name}: %h: result %0d, expected %0d", want, $signed(result), $signed(want[31:0]));
          $finish;
        end
        out <= out + 1;
      end
    end
    done <= out == ${words.length};
  end
endmodule
`;
  return {
    module: name,
    files: new Map([
      [`${name}.v`, text],
      [`${name}.mem`, words.map((word) => `${word.toString(16)}\n`).join('')],
    ]),
  };
}

/** An array whose weights are loaded once; whatever the enable does, the sums of the beats come in order. */
export function arrayBench(
  name: string,
  array: string,
  table: ProductTable,
  rows: number,
  columns: number,
  sumBits: number,
  seed: number,
): LayerBench {
  const random = new Random(seed, 8);
  const { weightBits, activationBits, signed } = table;
  const pattern = (bits: number) => Math.floor(2 ** bits * random.uniform());
  const weights = Array.from({ length: rows }, () => Array.from({ length: columns }, () => pattern(weightBits)));
  const beats = Array.from({ length: 60 }, () =>
    Array.from({ length: rows }, () => ({ x: pattern(activationBits), tap: random.uniform() < 0.8 })),
  );
  const pack = (parts: readonly number[], bits: number) =>
    parts.reduceRight((word, part) => (word << BigInt(bits)) | hex(part, bits), 0n);
  const latency = rows + columns - 1;
  const w = weights.toReversed().map((row) => pack(row, weightBits));
  const x = beats.map(
    (beat) =>
      (pack(
        beat.map(({ tap }) => (tap ? 1 : 0)),
        1,
      ) <<
        BigInt(rows * activationBits)) |
      pack(
        beat.map((one) => one.x),
        activationBits,
      ),
  );
  const sums = beats.map((beat) =>
    pack(
      Array.from({ length: columns }, (_, c) =>
        beat.reduce(
          (sum, one, r) =>
            sum +
            (one.tap
              ? productOf(
                  table,
                  operandValue(weights[r]![c]!, weightBits, signed),
                  operandValue(one.x, activationBits, signed),
                )
              : 0),
          0,
        ),
      ),
      sumBits,
    ),
  );
  const mem = (words: readonly bigint[]) => words.map((word) => `${word.toString(16)}\n`).join('');
  const text = `module ${name} (input clk, input rst, output reg done);
  reg [${columns * weightBits - 1}:0] w_words [0:${rows - 1}];
  reg [${rows * (activationBits + 1) - 1}:0] x_words [0:${beats.length - 1}];
  reg [${columns * sumBits - 1}:0] y_words [0:${beats.length - 1}];
  initial $readmemh("${name}_w.mem", w_words);
  initial $readmemh("${name}_x.mem", x_words);
  initial $readmemh("${name}_y.mem", y_words);
  integer loaded = 0, at = 0;
  reg enable = 0;
  wire load = !rst && loaded < ${rows};
  wire run = enable && !rst && !load;
  wire [${rows * (activationBits + 1) - 1}:0] beat = at < ${beats.length} ? x_words[at] : 0;
  wire [${columns * sumBits - 1}:0] sums;
  ${array} #(.ROWS(${rows}), .COLUMNS(${columns}), .SUM_BITS(${sumBits})) module_under_test (
    .clk(clk), .enable(run), .load(load), .w_data(w_words[load ? loaded : 0]),
    .x_data(beat[${rows * activationBits - 1}:0]), .x_taps(beat[${rows * (activationBits + 1) - 1} -: ${rows}]), .sums(sums)
  );
  always @(posedge clk) begin
    enable <= $random;
    if (load) loaded <= loaded + 1;
    if (run) begin
      at <= at + 1;
      if (at >= ${latency} && at < ${latency + beats.length} && sums !== y_words[at - ${latency}]) begin
        $display("${name}: sums %0d are %h, expected %h", at - ${latency}, sums, y_words[at - ${latency}]);
        $finish;
      end
    end
    done <= at >= ${latency + beats.length};
  end
endmodule
`;
  return {
    module: name,
    files: new Map([
      [`${name}.v`, text],
      [`${name}_w.mem`, mem(w)],
      [`${name}_x.mem`, mem(x)],
      [`${name}_y.mem`, mem(sums)],
    ]),
  };
}
