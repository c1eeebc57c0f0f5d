// Verilog of what stands between the systolic array and the results: the sum of a position's row terms (the part of the
// zero points that depends on the activations alone), and the accumulators of a block of positions.
// Invariant: parameters only; sums never leave the widths that were proved for them.

export const rowSum = `// The sum of ROWS terms over the taps that count, each a signed number of ROW_BITS; SUM_BITS is larger.
module tram_row_sum #(
  parameter ROWS = 8,
  parameter ROW_BITS = 9,
  parameter SUM_BITS = 16
) (
  input      [ROWS*ROW_BITS-1:0] rows,
  input      [ROWS-1:0]          taps,
  output reg [SUM_BITS-1:0]      sum
);
  integer r;
  always @* begin
    sum = {SUM_BITS{1'b0}};
    for (r = 0; r < ROWS; r = r + 1) begin
      if (taps[r]) begin
        sum = sum + {{(SUM_BITS-ROW_BITS){rows[r*ROW_BITS+ROW_BITS-1]}}, rows[r*ROW_BITS +: ROW_BITS]};
      end
    end
  end
endmodule
`;

export const accumulators = `// The sums of a block of positions while tiles of taps go by. Positions arrive in order, those of every tile again
// from the first. The first tile is stored, further ones are added to what is there, the last one leaves.
// Two stages: a position's stored sums are read when it arrives and added a cycle later. A position is written before
// it is read again, since the next tile begins when the last position of this one has been retired (tile_done).
module tram_accumulators #(
  parameter COLUMNS = 8,
  parameter SUM_BITS = 20,       // of a column
  parameter REFERENCE_BITS = 16, // of the sum of row terms
  parameter CLASS_BITS = 1,
  parameter BLOCK = 1024,        // positions
  parameter ADDRESS_BITS = 10
) (
  input                         clk,
  input                         rst,
  input                         enable,
  input                         first_tile,
  input                         last_tile,
  input      [ADDRESS_BITS-1:0] last_position,
  input                         in_valid,
  input      [COLUMNS*SUM_BITS-1:0] in_sums,
  input      [REFERENCE_BITS-1:0]   in_reference,
  input      [CLASS_BITS-1:0]       in_class,
  output                        out_valid,
  output                        out_last, // the last position of the block
  output     [COLUMNS*SUM_BITS-1:0] out_sums,
  output     [REFERENCE_BITS-1:0]   out_reference,
  output reg [CLASS_BITS-1:0]       out_class,
  output                        tile_done
);
  localparam WIDTH = COLUMNS*SUM_BITS + REFERENCE_BITS;
  reg  [ADDRESS_BITS-1:0] address;
  reg                     valid;
  reg                     last;
  reg  [ADDRESS_BITS-1:0] position;
  reg  [WIDTH-1:0]        arrived;
  wire [WIDTH-1:0]        stored;
  wire [WIDTH-1:0]        total;

  always @(posedge clk) begin
    if (rst) begin
      address <= {ADDRESS_BITS{1'b0}};
      valid   <= 1'b0;
    end else if (enable) begin
      valid <= in_valid;
      if (in_valid) address <= address == last_position ? {ADDRESS_BITS{1'b0}} : address + 1'b1;
    end
  end
  always @(posedge clk) begin
    if (enable) begin
      position  <= address;
      last      <= address == last_position;
      arrived   <= {in_reference, in_sums};
      out_class <= in_class;
    end
  end

  genvar c;
  generate
    for (c = 0; c < COLUMNS; c = c + 1) begin : column
      assign total[c*SUM_BITS +: SUM_BITS] = arrived[c*SUM_BITS +: SUM_BITS]
        + (first_tile ? {SUM_BITS{1'b0}} : stored[c*SUM_BITS +: SUM_BITS]);
    end
  endgenerate
  assign total[COLUMNS*SUM_BITS +: REFERENCE_BITS] = arrived[COLUMNS*SUM_BITS +: REFERENCE_BITS]
    + (first_tile ? {REFERENCE_BITS{1'b0}} : stored[COLUMNS*SUM_BITS +: REFERENCE_BITS]);

  tram_memory #(.WIDTH(WIDTH), .DEPTH(BLOCK), .ADDRESS_BITS(ADDRESS_BITS)) sums (
    .clk(clk),
    .write(enable && valid && !last_tile), .write_address(position), .write_data(total),
    .read(enable && in_valid), .read_address(address), .read_data(stored)
  );
  assign out_valid = valid && last_tile;
  assign out_last = last;
  assign out_sums = total[0 +: COLUMNS*SUM_BITS];
  assign out_reference = total[COLUMNS*SUM_BITS +: REFERENCE_BITS];
  assign tile_done = enable && valid && last;
endmodule
`;
