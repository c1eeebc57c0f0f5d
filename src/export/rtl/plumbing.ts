// Verilog of the small modules that every layer uses and that know nothing of multiplying: registers in a row, skewed
// registers, a memory, a register slice for a stream.
// Invariant: parameters only, no generated text; one clock, synchronous reset, no latches.

export const delay = `// A row of STAGES registers (1 or more): q is d, STAGES enabled cycles later.
module tram_delay #(
  parameter WIDTH = 8,
  parameter STAGES = 1
) (
  input              clk,
  input              enable,
  input  [WIDTH-1:0] d,
  output [WIDTH-1:0] q
);
  wire [WIDTH*(STAGES+1)-1:0] chain;
  assign chain[0 +: WIDTH] = d;
  genvar n;
  generate
    for (n = 0; n < STAGES; n = n + 1) begin : stage
      reg [WIDTH-1:0] value;
      always @(posedge clk) if (enable) value <= chain[n*WIDTH +: WIDTH];
      assign chain[(n+1)*WIDTH +: WIDTH] = value;
    end
  endgenerate
  assign q = chain[STAGES*WIDTH +: WIDTH];
endmodule
`;

export const skew = `// Delays lane n by n enabled cycles, or, REVERSED, by LANES - 1 - n: into a systolic array, and out of it.
module tram_skew #(
  parameter LANES = 8,
  parameter WIDTH = 8,
  parameter REVERSED = 0
) (
  input                    clk,
  input                    enable,
  input  [LANES*WIDTH-1:0] d,
  output [LANES*WIDTH-1:0] q
);
  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      if ((REVERSED != 0 ? LANES - 1 - n : n) == 0) begin : through
        assign q[n*WIDTH +: WIDTH] = d[n*WIDTH +: WIDTH];
      end else begin : delayed
        tram_delay #(.WIDTH(WIDTH), .STAGES(REVERSED != 0 ? LANES - 1 - n : n)) registers (
          .clk(clk), .enable(enable), .d(d[n*WIDTH +: WIDTH]), .q(q[n*WIDTH +: WIDTH])
        );
      end
    end
    if (LANES == 1) begin : single
      // One lane has no registers.
      wire unused = &{1'b0, clk, enable};
    end
  endgenerate
endmodule
`;

export const memory = `// A memory with one port to write and one to read; what is read comes a cycle later and stays until the next read.
// Reading and writing one address in the same cycle reads the old word; no user of it does.
module tram_memory #(
  parameter WIDTH = 8,
  parameter DEPTH = 16,
  parameter ADDRESS_BITS = 4
) (
  input                         clk,
  input                         write,
  input      [ADDRESS_BITS-1:0] write_address,
  input      [WIDTH-1:0]        write_data,
  input                         read,
  input      [ADDRESS_BITS-1:0] read_address,
  output reg [WIDTH-1:0]        read_data
);
  reg [WIDTH-1:0] words [0:DEPTH-1];
  always @(posedge clk) begin
    if (write) words[write_address] <= write_data;
    if (read) read_data <= words[read_address];
  end
endmodule
`;

export const skid = `// A register slice for a stream: two words deep, so that no path leads from out_ready to in_ready and none is lost.
module tram_skid #(
  parameter WIDTH = 8
) (
  input                  clk,
  input                  rst,
  input                  in_valid,
  output                 in_ready,
  input      [WIDTH-1:0] in_data,
  output reg             out_valid,
  input                  out_ready,
  output reg [WIDTH-1:0] out_data
);
  reg             spare_valid;
  reg [WIDTH-1:0] spare;
  assign in_ready = !spare_valid;
  always @(posedge clk) begin
    if (rst) begin
      out_valid   <= 1'b0;
      spare_valid <= 1'b0;
    end else if (out_ready || !out_valid) begin
      out_valid   <= spare_valid || in_valid;
      spare_valid <= 1'b0;
    end else if (in_valid && in_ready) begin
      spare_valid <= 1'b1;
    end
  end
  always @(posedge clk) begin
    if (out_ready || !out_valid) out_data <= spare_valid ? spare : in_data;
    if (in_ready) spare <= in_data;
  end
endmodule
`;
