// Verilog of the control of a layer: which tile it is at, and which stream is wanted.
// Invariant: the order is that of interface.ts; the array is empty when weights change, the results no longer need the
// constants when those change.

export const sequencer = `// Counts through a layer: groups, tiles of outputs, blocks of positions, tiles of taps; then begins again.
// Flags of a tile are steady from its weights until its last position is retired (tile_done).
module tram_sequencer #(
  parameter ROWS = 8,
  parameter COLUMNS = 8,
  parameter COLUMN_BITS = 3,
  parameter GROUPS = 1,
  parameter OUTPUTS = 8,       // of a group
  parameter OUTPUT_TILES = 1,  // of a group
  parameter TAP_TILES = 1,
  parameter POSITIONS = 64,    // of an image
  parameter BLOCK = 64,        // positions of a block, at most
  parameter ADDRESS_BITS = 6,
  parameter COUNTER_BITS = 7   // for each of the numbers above
) (
  input                     clk,
  input                     rst,
  output                    take_constants,
  input                     constants_done,
  output                    take_weights,
  input                     weight_taken,
  output                    take_activations,
  input                     activation_taken,
  input                     tile_done,
  input                     settled,      // the results do not need the constants any more
  output                    first_tile,   // of taps
  output                    last_tile,
  output [ADDRESS_BITS-1:0] last_position,
  output [COLUMN_BITS-1:0]  last_column,
  output                    image_ends    // the last tile of outputs and the last block
);
  localparam [2:0] CONSTANTS = 3'd0, WEIGHTS = 3'd1, STREAM = 3'd2, DRAIN = 3'd3, SETTLE = 3'd4;
  localparam [COUNTER_BITS-1:0] NONE = 0;
  localparam [COUNTER_BITS-1:0] WHOLE_BLOCK = BLOCK;
  localparam [COUNTER_BITS-1:0] LAST_ROW = ROWS - 1;
  localparam [COUNTER_BITS-1:0] LAST_TAP_TILE = TAP_TILES - 1;
  localparam [COUNTER_BITS-1:0] LAST_OUTPUT_TILE = OUTPUT_TILES - 1;
  localparam [COUNTER_BITS-1:0] LAST_GROUP = GROUPS - 1;
  localparam [COUNTER_BITS-1:0] LAST_BASE = ((POSITIONS - 1) / BLOCK) * BLOCK;
  localparam [COUNTER_BITS-1:0] FULL_BLOCK = BLOCK - 1;
  localparam [COUNTER_BITS-1:0] REST_BLOCK = (POSITIONS - 1) % BLOCK;
  localparam [COUNTER_BITS-1:0] FULL_TILE = COLUMNS - 1;
  localparam [COUNTER_BITS-1:0] REST_TILE = (OUTPUTS - 1) % COLUMNS;
  reg [2:0] state;
  reg [COUNTER_BITS-1:0] count; // beats of the stream that is taken
  reg [COUNTER_BITS-1:0] tap_tile, output_tile, group, base;

  wire last_block = base == LAST_BASE;
  wire last_output_tile = output_tile == LAST_OUTPUT_TILE;
  wire [COUNTER_BITS-1:0] position_limit = last_block ? REST_BLOCK : FULL_BLOCK;
  wire [COUNTER_BITS-1:0] column_limit = last_output_tile ? REST_TILE : FULL_TILE;
  assign take_constants = state == CONSTANTS;
  assign take_weights = state == WEIGHTS;
  assign take_activations = state == STREAM;
  assign first_tile = tap_tile == NONE;
  assign last_tile = tap_tile == LAST_TAP_TILE;
  assign last_position = position_limit[ADDRESS_BITS-1:0];
  assign last_column = column_limit[COLUMN_BITS-1:0];
  assign image_ends = last_block && last_output_tile && group == LAST_GROUP;

  always @(posedge clk) begin
    if (rst) begin
      state       <= CONSTANTS;
      count       <= NONE;
      tap_tile    <= NONE;
      output_tile <= NONE;
      group       <= NONE;
      base        <= NONE;
    end else begin
      case (state)
        CONSTANTS: if (constants_done) state <= WEIGHTS;
        WEIGHTS:
          if (weight_taken) begin
            count <= count == LAST_ROW ? NONE : count + 1'b1;
            if (count == LAST_ROW) state <= STREAM;
          end
        STREAM:
          if (activation_taken) begin
            count <= count == position_limit ? NONE : count + 1'b1;
            if (count == position_limit) state <= DRAIN;
          end
        DRAIN:
          if (tile_done) begin
            tap_tile <= last_tile ? NONE : tap_tile + 1'b1;
            if (last_tile) base <= last_block ? NONE : base + WHOLE_BLOCK;
            state <= last_tile && last_block ? SETTLE : WEIGHTS;
          end
        default: // SETTLE
          if (settled) begin
            output_tile <= last_output_tile ? NONE : output_tile + 1'b1;
            if (last_output_tile) group <= group == LAST_GROUP ? NONE : group + 1'b1;
            state <= CONSTANTS;
          end
      endcase
    end
  end
  // Limits that are smaller than their counters.
  wire unused = &{1'b0, position_limit, column_limit};
endmodule
`;
