// Benches of the layers' Verilog, for its own tests: every stream from a file, stalls at random on all of them, results
// compared as they come. Several layers share one simulation.

import { borderClasses, CONSTANT_KINDS, type LayerTop, streamLengths } from '../../src/export/rtl/interface.ts';
import type { HandMade } from './rtl-layers.ts';

/** Files of a bench: one hexadecimal word per line. */
export interface LayerBench {
  readonly module: string;
  readonly files: ReadonlyMap<string, string>;
}

/** `stalls`: of 256 cycles so many in which a side does not take part: of weights, activations, constants, results. */
export function layerBench(
  top: LayerTop,
  layer: HandMade,
  images: readonly Int32Array[],
  expected: readonly Int32Array[],
  stalls: readonly [number, number, number, number],
): LayerBench {
  const module = `bench_${top.module}`;
  const beats = { w: [] as bigint[], x: [] as bigint[], c: [] as bigint[], y: [] as bigint[] };
  images.forEach((image, n) => {
    drive(top, layer, image, expected[n]!, beats);
  });
  const lengths = streamLengths(top);
  const wanted = [lengths.weights, lengths.activations, lengths.constants, lengths.results].map(
    (one) => one * images.length,
  );
  const found = [beats.w, beats.x, beats.c, beats.y].map((one) => one.length);
  if (wanted.join() !== found.join()) throw new Error(`streams of ${found}: expected ${wanted}`);
  const { rows, columns } = top.size;
  const widths = {
    w: columns * top.weightBits,
    x: rows * top.activationBits + rows + top.classBits,
    c: 32,
    y: top.resultBits + 1,
  };
  const files = new Map<string, string>();
  for (const stream of ['w', 'x', 'c', 'y'] as const) {
    files.set(`${module}_${stream}.mem`, beats[stream].map((word) => `${word.toString(16)}\n`).join(''));
  }
  const memory = (stream: 'w' | 'x' | 'c' | 'y') =>
    `  reg [${widths[stream] - 1}:0] ${stream}_words [0:${beats[stream].length - 1}];
  integer ${stream}_at = 0;
  reg ${stream}_go = 0;
  initial $readmemh("${module}_${stream}.mem", ${stream}_words);`;
  const source = (stream: 'w' | 'x' | 'c', chance: number) => `
  // Valid stays once it is given; data means nothing without it.
  wire ${stream}_valid = ${stream}_go;
  wire [${widths[stream] - 1}:0] ${stream}_word = ${stream}_go ? ${stream}_words[${stream}_at] : {${widths[stream]}{1'bx}};
  always @(posedge clk) begin
    if (${stream}_valid && ${stream}_ready) ${stream}_at <= ${stream}_at + 1;
    if (!rst && (!${stream}_valid || ${stream}_ready))
      ${stream}_go <= (${stream}_at + (${stream}_valid ? 1 : 0) < ${beats[stream].length}) && ($random & 255) >= ${chance};
  end`;
  const text = `module ${module} (input clk, input rst, output reg done);
${(['w', 'x', 'c', 'y'] as const).map(memory).join('\n')}
  wire w_ready, x_ready, c_ready, y_valid, y_last;
  wire [${top.resultBits - 1}:0] y_data;
${source('w', stalls[0])}${source('x', stalls[1])}${source('c', stalls[2])}
  wire y_ready = y_go;
  reg held = 0;
  reg [${top.resultBits}:0] before;
  always @(posedge clk) begin
    y_go <= ($random & 255) >= ${stalls[3]};
    held <= !rst && y_valid && !y_ready;
    before <= {y_last, y_data};
    if (held && (!y_valid || before !== {y_last, y_data})) begin
      $display("${module}: a result that waited has changed");
      $finish;
    end
    if (!rst && y_valid && y_ready) begin
      if ({y_last, y_data} !== y_words[y_at]) begin
        $display("${module}: result %0d is %h, expected %h", y_at, {y_last, y_data}, y_words[y_at]);
        $finish;
      end
      y_at <= y_at + 1;
    end
  end
  integer cycle = 0;
  always @(posedge clk) begin
    done <= !rst && y_at == ${beats.y.length};
    if (!rst) cycle <= cycle + 1;
    if (!rst && y_valid && y_ready && y_at == ${beats.y.length - 1}) $display("${module} took %0d cycles", cycle);
  end
  ${top.module} top (.clk(clk), .rst(rst),
    .w_valid(w_valid), .w_ready(w_ready), .w_data(w_word),
    .x_valid(x_valid), .x_ready(x_ready), .x_data(x_word[${rows * top.activationBits - 1}:0]),
    .x_taps(x_word[${rows * top.activationBits} +: ${rows}]), .x_class(x_word[${widths.x - 1} -: ${top.classBits}]),
    .c_valid(c_valid), .c_ready(c_ready), .c_data(c_word),
    .y_valid(y_valid), .y_ready(y_ready), .y_data(y_data), .y_last(y_last));
endmodule
`;
  files.set(`${module}.v`, text);
  return { module, files };
}

interface Beats {
  readonly w: bigint[];
  readonly x: bigint[];
  readonly c: bigint[];
  readonly y: bigint[];
}

/** The streams of one image; what has no meaning is filled with ones. */
function drive(
  top: LayerTop,
  { network, product, requantise }: HandMade,
  image: Int32Array,
  expected: Int32Array,
  beats: Beats,
) {
  const { rows, columns } = top.size;
  const border = borderClasses(product, network.tensors[0]!.shape, network.tensors[1]!.shape);
  const [, kw, channels, all] = product.weightShape as readonly [number, number, number, number];
  const shape = network.tensors[0]!.shape;
  const width = product.layerKind === 'linear' ? 1 : shape[1]!;
  const outputWidth = product.layerKind === 'linear' ? 1 : network.tensors[1]!.shape[1]!;
  const { stride, padding, dilation } = product.geometry;
  const pattern = (value: number, bits: number) => BigInt.asUintN(bits, BigInt(value));
  for (let group = 0; group < top.groups; group++) {
    for (let tile = 0; tile < top.outputTiles; tile++) {
      const outputOf = (c: number) => {
        const o = tile * columns + c;
        return o < top.outputs ? group * top.outputs + o : -1;
      };
      for (let kind = 0; kind < CONSTANT_KINDS + top.classes; kind++) {
        for (let c = 0; c < columns; c++) {
          const o = outputOf(c);
          beats.c.push(o < 0 ? 0xffffffffn : pattern(constant(kind, o), 32));
        }
      }
      for (let base = 0; base < top.positions; base += top.block) {
        const end = Math.min(top.positions, base + top.block);
        for (let k = 0; k < top.tapTiles; k++) {
          for (let j = 0; j < rows; j++) {
            const t = k * rows + rows - 1 - j;
            let word = 0n;
            for (let c = 0; c < columns; c++) {
              const w = t < top.taps && outputOf(c) >= 0 ? product.weights[t * all + outputOf(c)]! : -1;
              word |= pattern(w, top.weightBits) << BigInt(c * top.weightBits);
            }
            beats.w.push(word);
          }
          for (let p = base; p < end; p++) {
            let [data, taps] = [0n, 0n];
            for (let r = 0; r < rows; r++) {
              const t = k * rows + r;
              const tap = Math.floor(t / channels);
              const there = t < top.taps && border.valid[border.of[p]!]![tap] === 1;
              const y = Math.floor(p / outputWidth) * stride[0] - padding[0] + Math.floor(tap / kw) * dilation[0];
              const x = (p % outputWidth) * stride[1] - padding[1] + (tap % kw) * dilation[1];
              const at = product.layerKind === 'linear' ? p * shape.at(-1)! : (y * width + x) * shape[2]!;
              const code = there ? image[at + group * channels + (t % channels)]! : -1;
              data |= pattern(code, top.activationBits) << BigInt(r * top.activationBits);
              if (there) taps |= 1n << BigInt(r);
            }
            const bits = BigInt(rows * top.activationBits);
            beats.x.push(data | (taps << bits) | (BigInt(border.of[p]!) << (bits + BigInt(rows))));
          }
        }
        for (let p = base; p < end; p++) {
          for (let c = 0; c < columns && outputOf(c) >= 0; c++) {
            beats.y.push(pattern(expected[p * all + outputOf(c)]!, top.resultBits));
          }
        }
      }
    }
  }
  beats.y[beats.y.length - 1]! |= 1n << BigInt(top.resultBits);

  function constant(kind: number, o: number): number {
    const of = [requantise.bias, requantise.multiplier, requantise.shift, requantise.offset][kind];
    if (of) return of[o]!;
    if (kind === 4) return product.zeroRow ? 1 : product.weightZero[o]!;
    let sum = 0;
    product.weights.forEach((w, at) => {
      if (at % all === o && border.valid[kind - 5]![Math.floor(at / all / channels)] === 1)
        sum += product.step * w - product.weightZero[o]!;
    });
    return -product.activationZero * sum;
  }
}

/** One simulation of all benches: prints `passed` when every one is done. */
export function simulationOf(benches: readonly LayerBench[], limit: number): string {
  return `module simulation;
  reg clk = 0, rst = 1;
  integer cycle = 0;
  wire [${benches.length - 1}:0] done;
${benches.map(({ module }, n) => `  ${module} bench_${n} (.clk(clk), .rst(rst), .done(done[${n}]));`).join('\n')}
  always #5 clk = !clk;
  always @(posedge clk) begin
    cycle <= cycle + 1;
    if (cycle == 3) rst <= 0;
    if (&done) begin
      $display("passed after %0d cycles", cycle);
      $finish;
    end
    if (cycle == ${limit}) begin
      $display("not done after %0d cycles: %b", cycle, done);
      $finish;
    end
  end
endmodule
`;
}
