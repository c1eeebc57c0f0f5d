import { expect, test } from 'vitest';
import { exactTable, firstDifference } from '../../multiplier/table.ts';
import { cleanUp } from '../cleanup.ts';
import { arrayMultiplier } from '../generators/array.ts';
import { generateFromSpec } from '../generators/registry.ts';
import { Network, ONE, ZERO } from '../network.ts';
import { simulate } from '../simulate.ts';
import { unitGateCost } from '../structure.ts';
import { readVerilog } from './read.ts';
import { writeVerilog } from './write.ts';

const ports = 'module m (input [1:0] a, input [1:0] b, output [1:0] y);\n';

/** The output y for the 16 patterns of a and b, from the lowest, as digits. */
function outputs(body: string): string {
  return simulate(readVerilog(`${ports}${body}\nendmodule\n`).network).data.join('');
}

test.each([
  ['assign y = a & b;', '0000010100220123'],
  ['assign y = ~a | b;', '3333232311330123'],
  ['assign y = a ^ b & a | b;', '0123113323233333'],
  ['assign y = (a ^ b) & ~(a | b);', '0000000000000000'],
  ['assign y[0] = a[1]; assign y[1] = b[0];', '0202020213131313'],
  ['assign {y[0], y[1]} = a;', '0000222211113333'],
  ['assign y = {b[0], a[0]};', '0202131302021313'],
  ["assign y = 2'b10; /* a\n constant */", '2222222222222222'],
  ["wire [3:0] n = 4'hd; // 1101\nassign y = n[2:1];", '2222222222222222'],
  ["wire \\odd$name! = a[0] ;\nassign y = {1'd0, \\odd$name! };", '0000111100001111'],
  ['(* keep *) wire [1:0] n; assign n = b; assign y = n;', '0123012301230123'],
  ['wire [0:1] n; assign n = a; assign y = {n[1], n[0]};', '0000222211113333'],
  ['assign y = a[0] ? a : b;', '0123111101233333'],
  ['assign y = {a != b, a == b};', '1222212222122221'],
  ['assign y = {a && b, a || b};', '0111133313331333'],
  ['assign y = {!a, &a};', '2222000000001111'],
  ['\\$_ORNOT_ u (.A(a[0]), .B(b[0]), .Y(y[0])); \\$_ANDNOT_ v (.A(a[0]), .B(b[0]), .Y(y[1]));', '1010313110103131'],
  [
    "\\$_MUX4_ u (.A(a[0]), .B(a[1]), .C(b[0]), .D(b[1]), .S(1'b1), .T(1'b0), .Y(y[0])); \\$_MUX4_ v (.A(a[0]), .B(a[1]), .C(b[0]), .D(b[1]), .S(1'b0), .T(1'b1), .Y(y[1]));",
    '0202020213131313',
  ],
  [
    '\\$_AOI4_ u (.A(a[0]), .B(a[1]), .C(b[0]), .D(b[1]), .Y(y[0])); \\$_OAI4_ v (.A(a[0]), .B(a[1]), .C(b[0]), .D(b[1]), .Y(y[1]));',
    '3332311031102000',
  ],
])('reads %j', (body, expected) => {
  expect(outputs(body)).toBe(expected);
});

test('reads instances by name with buses, open outputs and modules in any order', () => {
  const text = `${ports}
  wire n;
  swap first (.in({a[0], b[0]}), .out(y), .both());
endmodule
module swap (in, out, both);
  input [1:0] in;
  output [1:0] out;
  output both;
  assign out = {in[0], in[1]};
  assign both = in[0] & in[1];
endmodule`;
  const { data } = simulate(readVerilog(text).network);
  data.forEach((product, pair) => {
    expect(product).toBe((((pair >> 2) & 1) | ((pair & 1) << 1)) as number);
  });
});

test.each([
  ['', 'm.v:1:1: no module: expected module'],
  ['modul m;', 'm.v:1:1: "modul": expected "module" at the top level of the file; in the line "modul m;"'],
  [`${ports}assign y = a`, 'm.v:2:13: the end of the file: expected ";" at the end of the statement'],
  [`${ports}asign y = a;`, 'm.v:2:1: "asign" (did you mean "assign"?): expected one of endmodule, input'],
  [`${ports}assign y = a + b;`, 'm.v:2:14: "+": expected ";" at the end of the statement'],
  [`${ports}assign y = a[2];`, 'm.v:2:14: "2": expected a bit of "a", an integer up to 1'],
  [
    `${ports}wire total;\nassign y = {a[0], totl};`,
    'm.v:3:19: unknown net "totl" (did you mean "total"?): expected a net',
  ],
  [`${ports}assign y = a[0];`, 'm.v:2:8: 1 bits assigned to 2 bits: expected equal widths'],
  [`${ports}assign y = a & b[1];`, 'm.v:2:14: "&" of 2 and 1 bits: expected equal widths'],
  [`${ports}assign y = 2'b12;`, `m.v:2:12: the number "2'b12": expected digits below 2`],
  [`${ports}assign y = 2'd4;`, `m.v:2:12: the number "2'd4": expected a value of 2 bits`],
  [`${ports}assign y = 2'bxx;`, 'expected a sized constant without x and z'],
  [`${ports}assign y = 3;`, 'm.v:2:12: the number "3": expected a sized constant'],
  [`${ports}assign y = a; assign y[1] = b[0];`, 'm.v:2:22: net "y[1]" is driven twice: expected one driver'],
  [`${ports}assign a = b;`, 'm.v:2:8: net "a[0]" is driven twice'],
  [`${ports}assign y[0] = a[0];\nendmodule`, 'm.v:1:54: net "y[1]" of "m" has no driver'],
  [`${ports}wire n = n;\nassign y = {n, n};\nendmodule`, 'm.v:2:6: net "n" of "m" depends on itself'],
  [`${ports}wire a;`, 'm.v:2:6: "a" of 1 bits: expected 2 bits as the port has'],
  [`${ports}wire [2:1] n; assign y = n[0];`, 'm.v:2:28: "0": expected a bit of "n", an integer from 1'],
  [`${ports}wire [9999:0] n;`, 'm.v:2:7: a range from 9999 to 0: expected indices from 0 to 4095'],
  [`${ports}always @* y = a;`, 'm.v:2:1: "always": expected one of endmodule, input, output, wire'],
  [
    `${ports}add u (a, b);\nendmodule`,
    '"add", which this file does not define, connected by position: expected a module',
  ],
  [
    `${ports}add u (.a(a));\nendmodule`,
    'm.v:2:1: "add", which this file does not define, with 2 bits connected to "a"',
  ],
  [`${ports}add u (.a(a[0]));\nendmodule`, 'm.v:2:1: unknown module "add": expected one defined in this file: m'],
  [`${ports}m u (.a(a), .c(b));\nendmodule`, 'm.v:2:14: "m" has no port "c": expected one of a, b, y'],
  [`${ports}m u (.a(a[0]));\nendmodule`, 'm.v:2:7: 1 bits connected to "a": expected 2 bits'],
  [`${ports}m u (.y(a & b));\nendmodule`, 'm.v:2:7: output "y" connected to an expression: expected a net'],
  [`${ports}m u (.a(a), .b(b), .y(y));\nendmodule`, 'nests too deeply'],
  [`${ports}/* comment`, 'm.v:2:1: a comment without an end'],
  ['module m (a); endmodule', 'm.v:1:11: port "a" has no direction'],
  ['module m (input a); endmodule', 'm.v:1:8: module "m" has no outputs'],
  [`${ports}assign y = ${'('.repeat(1000)}a`, 'an expression nested too deeply'],
  [`${ports}assign y = ${'~'.repeat(100_000)}a`, 'an expression nested too deeply'],
])('a mistake is located and explained (%#)', (text, message) => {
  expect(() => readVerilog(text, { file: 'm.v' })).toThrow(message);
});

test.each([
  [2, 2],
  [3, 5],
  [8, 2],
  [6, 6],
  [8, 8],
])('the exact %i×%i multiplier is the same after writing and reading', (weightBits, activationBits) => {
  for (const network of [
    arrayMultiplier(weightBits, activationBits),
    cleanUp(arrayMultiplier(weightBits, activationBits)),
  ]) {
    const again = readVerilog(writeVerilog(network)).network;
    expect(again.name).toBe(network.name);
    expect(again.inputs.map((port) => port.name)).toEqual(network.inputs.map((port) => port.name));
    expect(again.outputs.map((port) => port.name)).toEqual(network.outputs.map((port) => port.name));
    expect(firstDifference(simulate(again), exactTable(weightBits, activationBits))).toBeNull();
  }
});

test('writes adders as instances, with the small modules they need', () => {
  expect(
    writeVerilog(cleanUp(arrayMultiplier(2, 2))),
  ).toBe(`module mult_2x2 (input [1:0] w, input [1:0] x, output [3:0] y);
  wire p_0_0 = w[0] & x[0];
  wire p_0_1 = w[0] & x[1];
  wire p_1_0 = w[1] & x[0];
  wire p_1_1 = w[1] & x[1];
  // stage 1
  wire ha_s1_c1_0_sum, ha_s1_c1_0_carry;
  mult_2x2_half_adder ha_s1_c1_0 (.a(p_0_1), .b(p_1_0), .sum(ha_s1_c1_0_sum), .carry(ha_s1_c1_0_carry));
  wire ha_s1_c2_1_sum, ha_s1_c2_1_carry;
  mult_2x2_half_adder ha_s1_c2_1 (.a(p_1_1), .b(ha_s1_c1_0_carry), .sum(ha_s1_c2_1_sum), .carry(ha_s1_c2_1_carry));
  assign y[0] = p_0_0;
  assign y[1] = ha_s1_c1_0_sum;
  assign y[2] = ha_s1_c2_1_sum;
  assign y[3] = ha_s1_c2_1_carry;
endmodule

module mult_2x2_half_adder (input a, input b, output sum, output carry);
  assign sum = a ^ b;
  assign carry = a & b;
endmodule
`);
});

test('constants, names that need escaping and outputs that are inputs survive writing and reading', () => {
  const network = new Network('module');
  const inputs = ['$abc$1[0]', '$abc$1[1]', 'assign[0]', 'assign[1]'].map((name) => network.addInput(name));
  const nor = network.addGate('not', network.addGate('or', inputs[0]!, inputs[2]!));
  [ZERO, ONE, inputs[3]!, nor].forEach((signal, bit) => {
    network.addOutput(`y.out[${bit}]`, signal);
  });
  const again = readVerilog(writeVerilog(network)).network;
  expect(again.name).toBe('module');
  expect(again.inputs.map((port) => port.name)).toEqual(network.inputs.map((port) => port.name));
  expect(firstDifference(simulate(again), simulate(network))).toBeNull();
});

test.each([
  ['exact', arrayMultiplier(8, 8)],
  ['truncated', generateFromSpec('truncated:7x6:columns=5').network],
])('an adder that was written and read again costs what it cost: %s', (_, raw) => {
  const network = cleanUp(raw);
  expect(network.adders.some(({ kind }) => kind === 'full')).toBe(true);
  expect(unitGateCost(readVerilog(writeVerilog(network)).network)).toBe(unitGateCost(network));
});
