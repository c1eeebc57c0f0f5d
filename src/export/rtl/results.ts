// Verilog of what makes results of sums: constants per output, the correction for zero points, requantisation.
// Invariant: parameters only; tram_requantise computes limit(round_half_even((value·2^FRACTION + bias)·multiplier /
// 2^shift) + offset, LOW, HIGH) for every value whose product has at most 63 bits (integer/network.ts).

export const constants = `// The constants of a tile of outputs: int32 words, for each kind those of all columns. Kinds are bias, multiplier, shift,
// offset, row factor, and the border constant of each class. Read by column and class, a cycle later.
module tram_constants #(
  parameter COLUMNS = 8,
  parameter COLUMN_BITS = 3,
  parameter CLASSES = 1,
  parameter CLASS_BITS = 1,
  parameter FACTOR_BITS = 9,  // of a row factor, signed
  parameter BORDER_BITS = 20  // of a border constant, signed
) (
  input                    clk,
  input                    rst,
  input                    take,  // words are wanted
  input                    valid, // there is one
  input  [31:0]            data,
  output                   done,  // this is the last one
  input                    read,
  input  [COLUMN_BITS-1:0] column,
  input  [CLASS_BITS-1:0]  class_number,
  output [31:0]            bias,
  output [31:0]            multiplier,
  output [5:0]             shift,
  output [31:0]            offset,
  output [FACTOR_BITS-1:0] factor,
  output [BORDER_BITS-1:0] border
);
  localparam [31:0] LAST_COLUMN = COLUMNS - 1;
  localparam [31:0] LAST_CLASS = CLASSES - 1;
  localparam [2:0]  BORDER = 3'd5;
  reg  [2:0]             kind;
  reg  [CLASS_BITS-1:0]  class_in;
  reg  [COLUMN_BITS-1:0] column_in;
  wire                   word = take && valid;
  wire                   row_ends = column_in == LAST_COLUMN[COLUMN_BITS-1:0];
  assign done = word && row_ends && kind == BORDER && class_in == LAST_CLASS[CLASS_BITS-1:0];

  always @(posedge clk) begin
    if (rst || done) begin
      kind      <= 3'd0;
      class_in  <= {CLASS_BITS{1'b0}};
      column_in <= {COLUMN_BITS{1'b0}};
    end else if (word) begin
      column_in <= row_ends ? {COLUMN_BITS{1'b0}} : column_in + 1'b1;
      if (row_ends && kind != BORDER) kind <= kind + 3'd1;
      if (row_ends && kind == BORDER) class_in <= class_in + 1'b1;
    end
  end

  tram_memory #(.WIDTH(32), .DEPTH(COLUMNS), .ADDRESS_BITS(COLUMN_BITS)) biases (
    .clk(clk), .write(word && kind == 3'd0), .write_address(column_in), .write_data(data),
    .read(read), .read_address(column), .read_data(bias)
  );
  tram_memory #(.WIDTH(32), .DEPTH(COLUMNS), .ADDRESS_BITS(COLUMN_BITS)) multipliers (
    .clk(clk), .write(word && kind == 3'd1), .write_address(column_in), .write_data(data),
    .read(read), .read_address(column), .read_data(multiplier)
  );
  tram_memory #(.WIDTH(6), .DEPTH(COLUMNS), .ADDRESS_BITS(COLUMN_BITS)) shifts (
    .clk(clk), .write(word && kind == 3'd2), .write_address(column_in), .write_data(data[5:0]),
    .read(read), .read_address(column), .read_data(shift)
  );
  tram_memory #(.WIDTH(32), .DEPTH(COLUMNS), .ADDRESS_BITS(COLUMN_BITS)) offsets (
    .clk(clk), .write(word && kind == 3'd3), .write_address(column_in), .write_data(data),
    .read(read), .read_address(column), .read_data(offset)
  );
  tram_memory #(.WIDTH(FACTOR_BITS), .DEPTH(COLUMNS), .ADDRESS_BITS(COLUMN_BITS)) factors (
    .clk(clk), .write(word && kind == 3'd4), .write_address(column_in), .write_data(data[FACTOR_BITS-1:0]),
    .read(read), .read_address(column), .read_data(factor)
  );
  tram_memory #(
    .WIDTH(BORDER_BITS), .DEPTH(1 << (CLASS_BITS + COLUMN_BITS)), .ADDRESS_BITS(CLASS_BITS + COLUMN_BITS)
  ) borders (
    .clk(clk), .write(word && kind == BORDER), .write_address({class_in, column_in}), .write_data(data[BORDER_BITS-1:0]),
    .read(read), .read_address({class_number, column}), .read_data(border)
  );
endmodule
`;

export const requantise = `// limit(round((value * 2^FRACTION + bias) * multiplier / 2^shift) + offset, LOW, HIGH), halves to even, in five stages:
// bias, product, rounding, shift, offset and limit. The product of the largest values must fit in 63 bits.
// Halves to even by one addition: (p + half - 1 + odd) >>> shift, where half is 2^(shift-1) and odd is bit shift of p.
module tram_requantise #(
  parameter VALUE_BITS = 20,            // of the value, signed
  parameter WIDE_BITS = 32,             // of value * 2^FRACTION + bias, signed
  parameter FRACTION = 0,               // 0 ... 30
  parameter signed [31:0] LOW = 0,
  parameter signed [31:0] HIGH = 255,
  parameter RESULT_BITS = 8
) (
  input                    clk,
  input                    rst,
  input                    enable,
  input                    in_valid,
  input                    in_last,
  input  [VALUE_BITS-1:0]  value,
  input  [31:0]            bias,
  input  [31:0]            multiplier,
  input  [5:0]             shift,       // 1 ... 62
  input  [31:0]            offset,
  output                   out_valid,
  output                   out_last,
  output [RESULT_BITS-1:0] result
);
  localparam SUM_BITS = (VALUE_BITS + FRACTION > 32 ? VALUE_BITS + FRACTION : 32) + 1;
  localparam signed [63:0] LEAST = {{32{LOW[31]}}, LOW};
  localparam signed [63:0] MOST = {{32{HIGH[31]}}, HIGH};
  reg [4:0] valid;
  reg [4:0] last;
  always @(posedge clk) begin
    if (rst) valid <= 5'd0;
    else if (enable) valid <= {valid[3:0], in_valid};
    if (enable) last <= {last[3:0], in_last};
  end

  // 1: the bias. Bits above WIDE_BITS repeat its sign.
  wire [SUM_BITS-1:0] biased = ({{(SUM_BITS-VALUE_BITS){value[VALUE_BITS-1]}}, value} << FRACTION)
    + {{(SUM_BITS-32){bias[31]}}, bias};
  reg signed [WIDE_BITS-1:0] wide;
  reg signed [31:0]          multiplier_1;
  reg        [5:0]           shift_1;
  reg        [31:0]          offset_1;
  // 2: the product
  reg signed [63:0]          product;
  reg        [5:0]           shift_2;
  reg        [31:0]          offset_2;
  // 3: what rounding adds
  wire [63:0]                halved = product >>> shift_2;
  wire [63:0]                less_than_half = ~(~64'd0 << (shift_2 - 6'd1));
  reg signed [63:0]          rounded;
  reg        [5:0]           shift_3;
  reg        [31:0]          offset_3;
  // 4: the shift
  reg signed [63:0]          quotient;
  reg        [31:0]          offset_4;
  // 5: offset and limit
  wire signed [63:0]         shifted = quotient + {{32{offset_4[31]}}, offset_4};
  wire        [63:0]         limited = shifted < LEAST ? LEAST : shifted > MOST ? MOST : shifted;
  reg        [RESULT_BITS-1:0] limited_5;

  always @(posedge clk) begin
    if (enable) begin
      wide         <= biased[WIDE_BITS-1:0];
      multiplier_1 <= multiplier;
      shift_1      <= shift;
      offset_1     <= offset;
      // Operands of two widths: a signed product is as wide as both together.
      /* verilator lint_off WIDTH */
      product      <= wide * multiplier_1;
      /* verilator lint_on WIDTH */
      shift_2      <= shift_1;
      offset_2     <= offset_1;
      rounded      <= product + less_than_half + {63'd0, halved[0]};
      shift_3      <= shift_2;
      offset_3     <= offset_2;
      quotient     <= rounded >>> shift_3;
      offset_4     <= offset_3;
      limited_5    <= limited[RESULT_BITS-1:0];
    end
  end
  assign out_valid = valid[4];
  assign out_last = last[4];
  assign result = limited_5;
  // Sign bits that the proved widths make superfluous.
  wire unused = &{1'b0, biased, halved, limited};
endmodule
`;

export const results = `// Sums of a position to results, a column per cycle: correction for the zero points, then requantisation.
//   value = sum * 2^STEP + border constant - row factor * sum of row terms
module tram_results #(
  parameter COLUMNS = 8,
  parameter COLUMN_BITS = 3,
  parameter SUM_BITS = 20,
  parameter SUM_SIGNED = 0,      // whether sums are two's complement
  parameter REFERENCE_BITS = 16, // of the sum of row terms, signed
  parameter CLASSES = 1,
  parameter CLASS_BITS = 1,
  parameter FACTOR_BITS = 9,
  parameter BORDER_BITS = 20,
  parameter STEP = 0,            // 1 where sums are counted in halves
  parameter TERM_BITS = 28,      // more than any term above needs
  parameter VALUE_BITS = 20,     // of the value, less than TERM_BITS
  parameter WIDE_BITS = 32,
  parameter FRACTION = 0,
  parameter signed [31:0] LOW = 0,
  parameter signed [31:0] HIGH = 255,
  parameter RESULT_BITS = 8
) (
  input                         clk,
  input                         rst,
  input                         take_constants,
  input                         constant_valid,
  input  [31:0]                 constant,
  output                        constants_done,
  output                        settled, // constants are not needed any more
  input  [COLUMN_BITS-1:0]      last_column,
  input                         in_valid,
  output                        in_ready,
  input                         in_last,
  input  [COLUMNS*SUM_BITS-1:0] in_sums,
  input  [REFERENCE_BITS-1:0]   in_reference,
  input  [CLASS_BITS-1:0]       in_class,
  output                        out_valid,
  input                         out_ready,
  output                        out_last,
  output [RESULT_BITS-1:0]      out_data
);
  wire result_valid, result_ready, result_last;
  wire [RESULT_BITS-1:0] result;
  wire enable = !result_valid || result_ready;

  // A position's sums, of which the lowest leaves.
  reg                        full;
  reg                        ends;
  reg [COLUMNS*SUM_BITS-1:0] sums;
  reg [REFERENCE_BITS-1:0]   reference;
  reg [CLASS_BITS-1:0]       class_number;
  reg [COLUMN_BITS-1:0]      column;
  reg [COLUMN_BITS-1:0]      final_column;
  wire                       leaves = enable && column == final_column;
  assign in_ready = !full || leaves;
  always @(posedge clk) begin
    if (rst) full <= 1'b0;
    else if (in_ready) full <= in_valid;
    if (in_ready) begin
      ends         <= in_last;
      sums         <= in_sums;
      reference    <= in_reference;
      class_number <= in_class;
      column       <= {COLUMN_BITS{1'b0}};
      final_column <= last_column;
    end else if (enable) begin
      sums   <= sums >> SUM_BITS;
      column <= column + 1'b1;
    end
  end

  wire [31:0]            bias_1, multiplier_1, offset_1;
  wire [5:0]             shift_1;
  wire [FACTOR_BITS-1:0] factor_1;
  wire [BORDER_BITS-1:0] border_1;
  tram_constants #(
    .COLUMNS(COLUMNS), .COLUMN_BITS(COLUMN_BITS), .CLASSES(CLASSES), .CLASS_BITS(CLASS_BITS),
    .FACTOR_BITS(FACTOR_BITS), .BORDER_BITS(BORDER_BITS)
  ) constants (
    .clk(clk), .rst(rst), .take(take_constants), .valid(constant_valid), .data(constant), .done(constants_done),
    .read(enable && full), .column(column), .class_number(class_number),
    .bias(bias_1), .multiplier(multiplier_1), .shift(shift_1), .offset(offset_1),
    .factor(factor_1), .border(border_1)
  );

  // Stage 1: the constants are there. 2: the terms. 3: the value.
  reg  [2:0]                valid;
  reg  [2:0]                last;
  reg  [SUM_BITS-1:0]       sum_1;
  reg  [REFERENCE_BITS-1:0] reference_1;
  wire                      sign = SUM_SIGNED != 0 && sum_1[SUM_BITS-1];
  wire [TERM_BITS-1:0]      products = {{(TERM_BITS-SUM_BITS){sign}}, sum_1} << STEP;
  reg  [TERM_BITS-1:0]      positive_2;
  reg signed [TERM_BITS-1:0] negative_2;
  reg  [VALUE_BITS-1:0]     value_3;
  wire [TERM_BITS-1:0]      value_2 = positive_2 - negative_2;
  reg  [31:0]               bias_2, multiplier_2, offset_2, bias_3, multiplier_3, offset_3;
  reg  [5:0]                shift_2, shift_3;
  wire signed [FACTOR_BITS-1:0]    factor = factor_1;
  wire signed [REFERENCE_BITS-1:0] row_terms = reference_1;
  always @(posedge clk) begin
    if (rst) valid <= 3'd0;
    else if (enable) valid <= {valid[1:0], full};
    if (enable) begin
      last         <= {last[1:0], ends && column == final_column};
      sum_1        <= sums[SUM_BITS-1:0];
      reference_1  <= reference;
      positive_2   <= products + {{(TERM_BITS-BORDER_BITS){border_1[BORDER_BITS-1]}}, border_1};
      // Operands of two widths: a signed product, which fits.
      /* verilator lint_off WIDTH */
      negative_2   <= factor * row_terms;
      /* verilator lint_on WIDTH */
      bias_2       <= bias_1;
      multiplier_2 <= multiplier_1;
      shift_2      <= shift_1;
      offset_2     <= offset_1;
      value_3      <= value_2[VALUE_BITS-1:0];
      bias_3       <= bias_2;
      multiplier_3 <= multiplier_2;
      shift_3      <= shift_2;
      offset_3     <= offset_2;
    end
  end
  assign settled = !full && !valid[0];

  tram_requantise #(
    .VALUE_BITS(VALUE_BITS), .WIDE_BITS(WIDE_BITS), .FRACTION(FRACTION), .LOW(LOW), .HIGH(HIGH),
    .RESULT_BITS(RESULT_BITS)
  ) requantise (
    .clk(clk), .rst(rst), .enable(enable), .in_valid(valid[2]), .in_last(last[2]),
    .value(value_3), .bias(bias_3), .multiplier(multiplier_3), .shift(shift_3), .offset(offset_3),
    .out_valid(result_valid), .out_last(result_last), .result(result)
  );
  tram_skid #(.WIDTH(RESULT_BITS + 1)) slice (
    .clk(clk), .rst(rst), .in_valid(result_valid), .in_ready(result_ready), .in_data({result_last, result}),
    .out_valid(out_valid), .out_ready(out_ready), .out_data({out_last, out_data})
  );
  // Sign bits that the proved widths make superfluous.
  wire unused = &{1'b0, value_2};
endmodule
`;
