// The bench of a layer job in Verilog, for Icarus and any other simulator of Verilog-2001. It drives each stream by
// itself, stalls each by a pseudo-random pattern, and compares every result as it comes.
// Invariant: it passes only when every result of every image was equal, nothing came behind the last, y_last stood at
// the last of each image and there alone, no result changed while it waited, and all beats were taken. What a stream
// carries while it is not valid is x, so that a module that reads it then gives x.

import { type BenchNames, sizesOf } from './bench.ts';
import type { LayerJob } from './job.ts';
import type { MultiplierModule } from './multiplier-bench.ts';

/** The text of `tb_NAME.v`. */
export function icarusBench(job: LayerJob, names: BenchNames, multiplier: MultiplierModule): string {
  const { slice, sumBits } = job;
  const { top } = slice;
  const { title, bench, source, stalls, products } = names;
  const operand = (text: string) => (slice.multiplier.table.signed ? `$signed(${text})` : text);
  const outcome = (text: string) => (multiplier.format.signed ? `$signed(${text})` : text);
  const result = (text: string) => (top.resultSigned ? `$signed(${text})` : text);
  const sizes = Object.entries(sizesOf(job, multiplier.format.bits)).map(([key, value]) => `${key} = ${value}`);
  return `// Self-checking bench of the layer ${title}: ${job.images} image(s), ${job.results.length} results.
// Prints "PASS n", or the first difference with the operands of its sum and "FAIL". Streams stall by a pseudo-random
// pattern: +seed=N has another one, +full none. Files are opened from the folder in which the simulation is started.
\`timescale 1ns / 1ps

module ${bench};
  localparam ${wrapped(sizes)};

  reg clk, rst, full;
  wire w_valid, w_ready, x_valid, x_ready, c_valid, c_ready, y_valid, y_last, w_done, x_done, c_done;
  wire [C*WB-1:0] w_data;
  wire [BEAT-1:0] x_beat;
  wire [31:0] c_data;
  wire [YB-1:0] y_data;
  reg y_ready;

  ${source} #(.WIDTH(C*WB), .BEATS(WEIGHTS), .TOTAL(IMAGES*WEIGHTS), .SALT(1))
    weights (.clk(clk), .rst(rst), .full(full), .valid(w_valid), .ready(w_ready), .data(w_data), .done(w_done));
  ${source} #(.WIDTH(BEAT), .BEATS(IMAGES*ACTIVATIONS), .TOTAL(IMAGES*ACTIVATIONS), .SALT(2))
    activations (.clk(clk), .rst(rst), .full(full), .valid(x_valid), .ready(x_ready), .data(x_beat), .done(x_done));
  ${source} #(.WIDTH(32), .BEATS(CONSTANTS), .TOTAL(IMAGES*CONSTANTS), .SALT(3))
    constants (.clk(clk), .rst(rst), .full(full), .valid(c_valid), .ready(c_ready), .data(c_data), .done(c_done));

  ${top.module} dut (
    .clk(clk), .rst(rst),
    .w_valid(w_valid), .w_ready(w_ready), .w_data(w_data),
    .x_valid(x_valid), .x_ready(x_ready), .x_data(x_beat[R*XB-1:0]), .x_taps(x_beat[R*XB+R-1:R*XB]),
    .x_class(x_beat[BEAT-1:R*XB+R]),
    .c_valid(c_valid), .c_ready(c_ready), .c_data(c_data),
    .y_valid(y_valid), .y_ready(y_ready), .y_data(y_data), .y_last(y_last));

  // The multiplier by itself: which product of a wrong sum is wrong.
  reg [WB-1:0] weight;
  reg [XB-1:0] activation;
  wire [PB-1:0] product;
  ${multiplier.module} alone (.w(weight), .x(activation), .p(product));

  reg [YB-1:0] results [0:IMAGES*RESULTS-1];
  reg [${sumBits - 1}:0] sums [0:IMAGES*RESULTS-1];
  reg [PB-1:0] products [0:(1<<(WB+XB))-1];

  integer seed, y_next, idle;
  wire y_go;
  reg waited, held_last;
  reg [YB-1:0] held;
  ${stalls} #(.SALT(4)) y_stalls (.clk(clk), .full(full), .go(y_go));

  initial begin
    $readmemh("${bench}/weights.mem", weights.memory);
    $readmemh("${bench}/activations.mem", activations.memory);
    $readmemh("${bench}/constants.mem", constants.memory);
    $readmemh("${bench}/results.mem", results);
    $readmemh("${bench}/sums.mem", sums);
    $readmemh("${products}", products);
    full = $test$plusargs("full") != 0;
    if ($value$plusargs("seed=%d", seed) == 0) seed = 0;
    weights.stalls.noise = weights.stalls.noise ^ seed;
    activations.stalls.noise = activations.stalls.noise ^ (seed << 8);
    constants.stalls.noise = constants.stalls.noise ^ (seed << 16);
    y_stalls.noise = y_stalls.noise ^ (seed << 24) ^ seed;
    clk = 0;
    rst = 1;
    y_ready = 0;
    waited = 0;
    y_next = 0;
    idle = 0;
    #22 rst = 0;
  end
  always #5 clk = !clk;

  always @(posedge clk) if (!rst) begin
    y_ready <= y_go;
    if (y_valid !== 1'b0 && y_valid !== 1'b1) fail("y_valid is unknown");
    if (waited && (y_valid !== 1'b1 || y_data !== held || y_last !== held_last))
      fail("a result changed or went away before it was taken");
    waited = y_valid && !y_ready;
    held = y_data;
    held_last = y_last;
    idle = idle + 1;
    if (y_valid && y_ready) begin
      idle = 0;
      if (y_next == IMAGES*RESULTS) fail("a result came behind the last one");
      if (y_data !== results[y_next]) difference;
      if (y_last !== (y_next % RESULTS == RESULTS - 1)) fail("y_last does not stand at the last result of an image alone");
      y_next = y_next + 1;
    end
    if (y_next == IMAGES*RESULTS && idle == 200) begin
      if (!(w_done && x_done && c_done)) fail("beats were left when all results had come");
      $display("PASS %0d", y_next);
      $finish;
    end
    if (idle == PATIENCE) fail("no result for a long time");
  end

  task fail(input [8*64-1:0] what);
    begin
      $display("FAIL ${title}: %0s (after %0d of %0d results; beats given: weights %0d of %0d, activations %0d of %0d, constants %0d of %0d)",
        what, y_next, IMAGES*RESULTS, weights.next, IMAGES*WEIGHTS, activations.next, IMAGES*ACTIVATIONS,
        constants.next, IMAGES*CONSTANTS);
      $finish;
      // Nothing more of this simulation counts.
      forever #1000000;
    end
  endtask

  // Where the result stands, and every product of its sum: by the table, and by the multiplier's module.
  task difference;
    integer image, n, g, m, columns, p, c, b, length, k, r, t, x_at, w_at, wrong;
    begin
      image = y_next / RESULTS;
      n = y_next % RESULTS;
      g = n / (OUTPUTS*POSITIONS);
      n = n % (OUTPUTS*POSITIONS);
      m = n / (C*POSITIONS);
      n = n % (C*POSITIONS);
      columns = OUTPUTS - m*C < C ? OUTPUTS - m*C : C;
      p = n / columns;
      c = n % columns;
      b = p / BLOCK;
      length = POSITIONS - b*BLOCK < BLOCK ? POSITIONS - b*BLOCK : BLOCK;
      $display("DIFFERENCE ${title}: image %0d, position (%0d, %0d), channel %0d: expected %0d, found %0d; expected sum %0d",
        image, p / COLUMNS, p % COLUMNS, g*OUTPUTS + m*C + c, ${result('results[y_next]')}, ${result('y_data')}, $signed(sums[y_next]));
      wrong = 0;
      for (t = 0; t < TAPS; t = t + 1) begin
        k = t / R;
        r = t % R;
        x_at = image*ACTIVATIONS + ((g*OUTPUT_TILES + m)*POSITIONS + b*BLOCK)*TAP_TILES + k*length + p % BLOCK;
        w_at = (((g*OUTPUT_TILES + m)*BLOCKS + b)*TAP_TILES + k)*R + R - 1 - r;
        if (activations.memory[x_at][R*XB + r]) begin
          weight = weights.memory[w_at][c*WB +: WB];
          activation = activations.memory[x_at][r*XB +: XB];
          #1;
          if (product !== products[{weight, activation}]) wrong = wrong + 1;
          $display("%0s (%0d, %0d), channel %0d: w %0d, x %0d: product %0d, the module has %0d",
            product === products[{weight, activation}] ? "  tap" : "WRONG", t / DEPTH / WINDOW, t / DEPTH % WINDOW,
            g*DEPTH + t % DEPTH, ${operand('weight')}, ${operand('activation')}, ${outcome('products[{weight, activation}]')}, ${outcome('product')});
        end
      end
      if (wrong == 0)
        fail("all products of the sum are right: look behind the multipliers");
      else fail("products of the sum are wrong: look at the multiplier");
    end
  endtask
endmodule

// Beats of a memory, again from its beginning until TOTAL were given. A beat stands until it is taken.
module ${source} #(parameter WIDTH = 1, BEATS = 1, TOTAL = 1, SALT = 1) (
    input clk, input rst, input full, output reg valid, input ready, output reg [WIDTH-1:0] data, output done);
  reg [WIDTH-1:0] memory [0:BEATS-1];
  integer next;
  wire go;
  ${stalls} #(.SALT(SALT)) stalls (.clk(clk), .full(full), .go(go));
  assign done = next == TOTAL && !valid;
  always @(posedge clk)
    if (rst) begin
      valid <= 0;
      next <= 0;
      data <= {WIDTH{1'bx}};
    end else if (!valid || ready === 1'b1) begin
      valid <= next < TOTAL && go;
      data <= next < TOTAL && go ? memory[next % BEATS] : {WIDTH{1'bx}};
      if (next < TOTAL && go) next <= next + 1;
    end
endmodule

// When to go on: phases of 64 cycles without stalls, with some, with many and with half (xorshift, 32 bits).
module ${stalls} #(parameter SALT = 1) (input clk, input full, output go);
  reg [31:0] noise;
  reg [7:0] cycle;
  wire [31:0] a = noise ^ (noise << 13);
  wire [31:0] b = a ^ (a >> 17);
  initial begin
    noise = 32'h9e3779b9 * (2*SALT + 1);
    cycle = 37*SALT;
  end
  always @(posedge clk) begin
    noise <= b ^ (b << 5);
    cycle <= cycle + 1;
  end
  assign go = full || (cycle[7:6] == 0) || (cycle[7:6] == 1 && noise[3:2] != 0) || (cycle[7:6] == 2 && noise[4:2] == 0)
    || (cycle[7:6] == 3 && noise[2]);
endmodule
`;
}

/** Definitions on lines of about a hundred characters. */
function wrapped(items: readonly string[]): string {
  const lines: string[] = [];
  for (const item of items) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + item.length < 100) lines[lines.length - 1] = `${last}, ${item}`;
    else lines.push(item);
  }
  return lines.join(',\n    ');
}
