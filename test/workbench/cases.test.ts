// Netlists as people have them: each is an exact 2×2 multiplier written another way, or must be refused with its place.
// The texts are small and stand here; each was made from a kind of file met in public.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { errorMetrics } from '../../src/multiplier/metrics.ts';
import { loadMultiplier, productsOf } from '../../src/workbench/load.ts';
import { tram } from '../cli/program.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-cases-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** Error rate and notes of a text as a file of this name. */
async function read(name: string, text: string, options = {}) {
  const multiplier = await loadMultiplier(file(name, text), options);
  const { errorRate } = errorMetrics(productsOf(multiplier));
  const { weightBits, activationBits } = multiplier;
  return { errorRate, widths: [weightBits, activationBits], notes: multiplier.notes.join('\n') };
}

const header = '.model tiny\n.inputs a[0] a[1] b[0] b[1]\n.outputs p[0] p[1] p[2] p[3]\n';
const p0 = '.names a[0] b[0] p[0]\n11 1\n';
const p1 = '.names a[1] b[0] a[0] b[1] p[1]\n110- 1\n11-0 1\n0-11 1\n-011 1\n';
const p2 = '.names a[1] b[1] a[0] b[0] p[2]\n110- 1\n11-0 1\n';
const p3 = '.names a[1] b[1] a[0] b[0] p[3]\n1111 1\n';
const exact = `${header}${p0}${p1}${p2}${p3}.end\n`;

describe('BLIF', () => {
  test.each<[string, string, RegExp | '']>([
    ['offset covers', `${header}.names a[0] b[0] p[0]\n0- 0\n-0 0\n${p1}${p2}${p3}.end\n`, ''],
    [
      'declared constants',
      `${header}.names $false\n.names $true\n1\n.names $undef\n.names $true a[0] b[0] p[0]\n111 1\n${p1}${p2}${p3}.end\n`,
      '',
    ],
    [
      'attributes and parameters',
      `${header}${p0}.cname first\n.attr src "t.v:3"\n.param W 10\n${p1}${p2}${p3}.end\n`,
      /not read \(\.cname, \.attr, \.param\)/,
    ],
    [
      'timing lines',
      `${header}.default_input_arrival 0 0\n.default_output_required 5 5\n.wire_load_slope 0\n.area 12\n.delay 1\n${p0}${p1}${p2}${p3}.end`,
      /not read \(\.default_input_arrival/,
    ],
    ['no .end', `${header}${p0}${p1}${p2}${p3}`, ''],
    [
      'carriage returns and a continued line',
      `.model t\r\n.inputs a[0] a[1] \\\r\nb[0] b[1] # second\r\n.outputs p[0] p[1] p[2] p[3]\r\n${(p0 + p1 + p2 + p3).replaceAll('\n', '\r\n')}.end\r\n`,
      '',
    ],
    ['a byte order mark', `\ufeff${exact}`, ''],
    [
      'an extra bit that is always 0',
      `${exact.replace('p[3]\n', 'p[3] p[4]\n').replace('.end', '.names p[4]\n.end')}`,
      /always 0 were left out: p\[4\]/,
    ],
    [
      'a dead net without a driver',
      exact.replace('.end', '.names nowhere dead\n1 1\n.end'),
      /without a driver that no output needs: left out \(nowhere\)/,
    ],
    [
      'an unused black box',
      `${exact}\n.model ram\n.inputs d\n.outputs q\n.blackbox\n.end\n`,
      /black boxes that nothing uses: left out \(ram\)/,
    ],
    [
      'storage in a model that nothing uses',
      `${exact}.model state\n.inputs d clk\n.outputs q\n.latch d q re clk 0\n.end\n`,
      /2 root-level modules/,
    ],
    ['.conn', `${header}.names a[0] b[0] t\n11 1\n.conn t p[0]\n${p1}${p2}${p3}.end\n`, ''],
    ['external don’t-cares', exact.replace('.end', '.exdc\n.names a[0] p[3]\n0 1\n.end'), /\.exdc\) were not read/],
    ['names with numbers', `${exact.replaceAll(/\[(\d)\]/g, '$1')}`, ''],
    ['gates of Yosys', `${header}.gate $_AND_ A=a[0] B=b[0] Y=p[0]\n${p1}${p2}${p3}.end\n`, ''],
    [
      'unused helper models',
      `${exact}.model ha\n.inputs A B\n.outputs S C\n.names A B C\n11 1\n.names A B S\n10 1\n01 1\n.end\n`,
      /2 root-level modules/,
    ],
  ])('%s: the exact multiplier', async (_, text, note) => {
    const { errorRate, widths, notes } = await read('t.blif', text);
    expect({ errorRate, widths }).toEqual({ errorRate: 0, widths: [2, 2] });
    expect(notes).toMatch(note === '' ? /^$/ : note);
  });

  test.each<[string, string, RegExp]>([
    ['two outputs', `${header}.names a[0] b[0] p[0] p[1]\n11 10\n`, /^t\.blif:5:1: 2 values for the 3 inputs/],
    ['no dot', exact.slice(1), /^t\.blif:1:1: "model" outside of a cover/],
    ['no model', exact.slice(exact.indexOf('\n') + 1), /^t\.blif:1:1: \.inputs outside of a model/],
    ['two models of one name', exact + exact, /^t\.blif:\d+:8: a second model "tiny"/],
    ['storage', exact.replace('.end', '.latch q r 0\n.end'), /^t\.blif:\d+:1: \.latch is a storage element/],
    ['mapped storage', exact.replace('.end', '.mlatch DFF D=q Q=r c 0\n.end'), /\.mlatch is a storage element/],
    [
      'a library cell without its library',
      `${header}.gate and2 A=a[0] B=b[0] Y=p[0]\n${p1}${p2}${p3}.end\n`,
      /^t\.blif:4:7: unknown module "and2".*--liberty FILE/,
    ],
    ['garbage', exact.replace('.names', 'crazyline here\n.names'), /^t\.blif:4:1: "crazyline" outside of a cover/],
    [
      'a pin twice',
      `${header}.subckt g a=a[0] a=a[1] b=b[0] y=p[0]\n${p1}${p2}${p3}.end\n.model g\n.inputs a b\n.outputs y\n.names a b y\n11 1\n.end`,
      /^t\.blif:4:18: port "a" is connected twice/,
    ],
    [
      'two drivers',
      exact.replace('.end', '.names a[1] b[1] p[0]\n11 1\n.end'),
      /net "p\[0\]" is driven twice.*driven already at line 4/,
    ],
    ['a missing model', `${header}.subckt g a=a[0] y=p[0]\n${p1}${p2}${p3}.end`, /^t\.blif:4:9: unknown module "g"/],
    ['a loop', `${header}${p0}${p1}${p2}.names p[3] a[1] p[3]\n11 1\n.end`, /net "p\[3\]" of "tiny" depends on itself/],
    [
      'a needed black box',
      `${header}.subckt g a=a[0] y=p[0]\n${p1}${p2}${p3}.end\n.model g\n.inputs a\n.outputs y\n.blackbox\n.end`,
      /"g" is a black box/,
    ],
    [
      'a needed net without a driver',
      exact.replace('.names a[0] b[0] p[0]', '.names a[0] nowhere p[0]'),
      /net "nowhere" of "tiny" has no driver/,
    ],
    [
      'a name with an escape sequence',
      exact.replace('tiny', 't\x1b]0;owned\x07'),
      /^t\.blif:1:8: a control character in "t\\x1b\]0;owned\\x07"/,
    ],
  ])('%s: refused', async (_, text, message) => {
    await expect(read('t.blif', text)).rejects.toThrow(message);
  });
});

const ports = 'module tiny (a, b, p);\n  input [1:0] a, b;\n  output [3:0] p;\n';
const products = '  wire n = a[1] & b[0];\n  wire m = a[0] & b[1];\n  wire q = a[1] & b[1];\n';
const low = '  assign p[0] = a[0] & b[0];\n  assign p[1] = n ^ m;\n';
const carry = '  wire c = n & m;\n  assign p[2] = q ^ c;\n';
const whole = `${ports}${products}${low}${carry}  assign p[3] = q & c;\nendmodule\n`;

describe('Verilog', () => {
  test.each<[string, string, RegExp | '']>([
    [
      'nested expressions',
      `${ports}assign p = {(a[1]&b[1])&(a[0]&b[0]), (a[1]&b[1])&~(a[0]&b[0]), (a[1]&b[0])^(a[0]&b[1]), a[0]&b[0]};\nendmodule`,
      '',
    ],
    [
      'a header that lists ports',
      `module tiny (input [1:0] a, b, output [3:0] p);\n${products}${low}${carry}  assign p[3] = q & c;\nendmodule`,
      '',
    ],
    [
      'concatenated targets',
      `${ports}${products}${low}  wire c = n & m;\n  assign {p[3], p[2]} = {q & c, q ^ c};\nendmodule`,
      '',
    ],
    ['!', whole.replace('q & c;', '!(!(q & c));'), ''],
    [
      'replication',
      `${ports}  wire [1:0] g = a & {2{b[0]}};\n${products}${low.replace('a[0] & b[0]', 'g[0]')}${carry}  assign p[3] = q & c;\nendmodule`,
      '',
    ],
    [
      'directives and comments',
      `\`timescale 1ns/1ps\n\`default_nettype none // strict\n\`celldefine\n${whole}\`endcelldefine\n`,
      '',
    ],
    [
      'macros and conditions',
      `\`define AND(x, y) ((x) & (y))\n\`define W 2\n${whole.replace('q & c;', '`AND(q, c);').replace('[1:0] a', '[`W-1:0] a')}\`ifdef NOT_THERE\nmodule broken (\n\`endif\n`,
      '',
    ],
    [
      'primitives with names',
      `${ports}  wire n, m, q, c;\n  and g1 (n, a[1], b[0]);\n  and #1 g2 (m, a[0], b[1]), g3 (q, a[1], b[1]);\n  and (p[0], a[0], b[0]), (c, n, m);\n  xor (p[1], n, m), g7 (p[2], q, c);\n  and g8 (p[3], q, c);\nendmodule`,
      '',
    ],
    [
      'connections by position',
      `${ports}${products}  wire c;\n  assign p[0] = a[0] & b[0];\n  ha h1 (n, m, p[1], c), h2 (q, c, p[2], p[3]);\nendmodule\nmodule ha (input x, input y, output s, output co);\n  assign s = x ^ y;\n  assign co = x & y;\nendmodule`,
      '',
    ],
    ['?:', whole.replace('q & c;', "q ? c : 1'b0;"), ''],
    [
      'signed ports',
      `module tiny (input signed [1:0] a, input signed [1:0] b, output signed [3:0] p);\n${products}${low}${carry}  assign p[3] = q & c;\nendmodule`,
      /declared signed, but read as unsigned: a, b, p; --signed/,
    ],
    ['constant expressions in ranges', whole.replace('[1:0] a', '[2-1:0] a').replace('[3:0] p', '[2*2-1:0] p'), ''],
    [
      'wires from the highest bit',
      `${ports}  wire [0:2] t;\n  assign t[0] = a[1] & b[0], t[1] = a[0] & b[1], t[2] = a[1] & b[1];\n  assign p[0] = a[0] & b[0], p[1] = t[0] ^ t[1], p[2] = t[2] ^ (t[0] & t[1]), p[3] = &t;\nendmodule`,
      '',
    ],
    ['+', `${ports}  assign p = {2'b00, a & {b[0], b[0]}} + {1'b0, a & {b[1], b[1]}, 1'b0};\nendmodule`, ''],
    ['*', `${ports}  assign p = a * b;\nendmodule`, ''],
    ['implicit nets', whole.replace('wire c = n & m;', 'assign c = n & m;'), ''],
    ['~^', whole.replace('n ^ m;', '~(n ~^ m);'), ''],
    [
      'escaped names',
      'module \\tiny.mul$1 (\\a[0] , \\a[1] , \\b[0] , \\b[1] , \\p[0] , \\p[1] , \\p[2] , \\p[3] );\n input \\a[0] , \\a[1] , \\b[0] , \\b[1] ;\n output \\p[0] , \\p[1] , \\p[2] , \\p[3] ;\n wire n, m, q, c;\n assign n = \\a[1] & \\b[0] , m = \\a[0] & \\b[1] , q = \\a[1] & \\b[1] , c = n & m;\n assign \\p[0] = \\a[0] & \\b[0] , \\p[1] = n ^ m, \\p[2] = q ^ c, \\p[3] = q & c;\nendmodule',
      '',
    ],
    [
      'always',
      'module tiny (input [1:0] a, input [1:0] b, output reg [3:0] p);\n  always @* p = a * b;\nendmodule',
      '',
    ],
    ['reductions', `${ports}${products}${low}${carry}  wire [1:0] qc = {q, c};\n  assign p[3] = &qc;\nendmodule`, ''],
    ['names with underscores', whole.replaceAll(/\b([abp])\b/g, '_$1'), ''],
    [
      'logic',
      `module tiny (input logic [1:0] a, b, output logic [3:0] p);\n  logic n; assign n = a[1] & b[0];\n  wire m = a[0] & b[1];\n  wire q = a[1] & b[1];\n${low}${carry}  assign p[3] = q & c;\nendmodule`,
      '',
    ],
    [
      'ports from the highest bit, behavioural',
      'module tiny (input [0:1] a, input [0:1] b, output [0:3] p);\n  assign p = a * b;\nendmodule',
      /\[0:n\]\) and read so: a, b, p/,
    ],
    [
      'ports from the highest bit, structural',
      'module tiny (input [0:1] a, b, output [0:3] p);\n wire n = a[0] & b[1], m = a[1] & b[0], q = a[0] & b[0], c = n & m;\n assign p = {q & c, q ^ c, n ^ m, a[1] & b[1]};\nendmodule',
      /\[0:n\]\) and read so: a, b, p/,
    ],
    [
      'ports that do not begin at 0',
      'module tiny (input [2:1] a, b, output [4:1] p);\n wire n = a[2] & b[1], m = a[1] & b[2], q = a[2] & b[2], c = n & m;\n assign p = {q & c, q ^ c, n ^ m, a[1] & b[1]};\nendmodule',
      '',
    ],
    [
      'parameters, generate and functions',
      `module tiny #(parameter N = 2) (input [N-1:0] a, b, output [2*N-1:0] p);\n  wire [2*N-1:0] s [0:N];\n  assign s[0] = 0;\n  genvar i;\n  generate for (i = 0; i < N; i = i + 1) begin : g\n    assign s[i+1] = s[i] + (row(b[i]) << i);\n  end endgenerate\n  function [2*N-1:0] row(input bit_i); row = bit_i ? a : 0; endfunction\n  assign p = s[N];\nendmodule`,
      '',
    ],
    [
      'a table in a case statement',
      `${ports.replace('output', 'output reg')}  always @* case ({a, b})\n${Array.from({ length: 16 }, (_, n) => `    4'd${n}: p = 4'd${(n >> 2) * (n & 3)};\n`).join('')}  endcase\nendmodule`,
      '',
    ],
    [
      'a dead net without a driver, behavioural',
      `${ports}  wire lost;\n  wire dead = lost & a[0];\n  assign p = a * b;\nendmodule`,
      /without a driver that no output needs: left out \(lost\)/,
    ],
    [
      'a product wider than it can be',
      'module tiny (input [1:0] a, b, output [7:0] p);\n  assign p = a * b;\nendmodule',
      /always 0 were left out: p\[4\], p\[5\]/,
    ],
    ['gates of Yosys', whole.replace('assign p[3] = q & c;', '\\$_AND_ u (.A(q), .B(c), .Y(p[3]));'), ''],
    [
      'the order of the header',
      'module tiny (x, y, p);\n  output [3:0] p;\n  input [1:0] y;\n  input [1:0] x;\n  assign p = x * y;\nendmodule',
      '',
    ],
    [
      'a width that Verilog pads',
      "module tiny (input [1:0] a, b, output [3:0] p);\n  assign p = b[1] ? (a << 1) + (b[0] ? a : 2'd0) : b[0] ? a : 2'b0;\nendmodule",
      '',
    ],
  ])('%s: the exact multiplier', async (_, text, note) => {
    const { errorRate, widths, notes } = await read('t.v', text);
    expect({ errorRate, widths }).toEqual({ errorRate: 0, widths: [2, 2] });
    expect(notes).toMatch(note === '' ? /^$/ : note);
  });

  const behavioural = (body: string) => `module tiny (input [1:0] a, b, output reg [3:0] p);\n${body}\nendmodule`;
  test.each<[string, string, RegExp]>([
    [
      'two drivers',
      whole.replace('endmodule', 'assign p[0] = a[1];\nendmodule'),
      /^t\.v:12:8: net "p\[0\]" is driven twice.*driven already at line 7/,
    ],
    [
      'two drivers, behavioural',
      `${ports}  assign p = a * b;\n  assign p[0] = a[1] ^ b[0];\nendmodule`,
      /^t\.v:5:\d+: a net is driven twice: .*by the expression of line 4 and by the expression of line 5/,
    ],
    [
      'a needed net without a driver, behavioural',
      `${ports}  wire lost;\n  assign p = a * b + lost;\nendmodule`,
      /^t\.v:4:8: net "lost" has no driver/,
    ],
    ['a latch', behavioural('  always @* if (a[0]) p = a * b;'), /^t\.v:2:3: a latch/],
    [
      'storage',
      `module tiny (input [1:0] a, b, input c, output reg [3:0] p);\n  always @(posedge c) p <= a * b;\nendmodule`,
      /^t\.v:2:3: the element .*storage/,
    ],
    [
      'a power',
      'module t (input [1:0] a, b, output [3:0] p);\n  assign p = a ** b;\nendmodule',
      /^t\.v:2:\d+: a power \(\*\*\) that is not a shift/,
    ],
    ['an undefined output', behavioural("  always @* p = 4'bx;"), /the output "p\[0\]" is undefined/],
    [
      'a mistake of syntax, structural',
      whole.replace('assign p[3]', 'asign p[3]'),
      /^t\.v:11:3: "asign" \(did you mean "assign"\?\)/,
    ],
    [
      'a mistake of syntax after what only Yosys reads',
      `${ports}  wire [3:0] q = a * b;\n  asign p = q;\nendmodule`,
      /^t\.v:5: syntax error.*says Yosys/,
    ],
    [
      'an unknown module beside behaviour',
      `${ports}  wire t = a < b;\n  foo u (.y(p), .x(t));\nendmodule`,
      /^t\.v:5:\d+: unknown module "foo".*--liberty FILE/,
    ],
    [
      'a black box',
      `(* blackbox *) module t (input [1:0] a, b, output [3:0] p);\n  assign p = a * b;\nendmodule`,
      /^t\.v:1:\d+: "t" is a black box/,
    ],
    [
      'a needed black box',
      `${ports}  box u (.a(a), .p(p));\nendmodule\n(* blackbox *) module box (input [1:0] a, output [3:0] p); endmodule`,
      /"box" is a black box/,
    ],
    [
      'a needed black box beside behaviour',
      `${ports}  wire [3:0] q;\n  box u (.a(a), .p(q));\n  assign p = q + b;\nendmodule\n(* blackbox *) module box (input [1:0] a, output [3:0] p); endmodule`,
      /^t\.v:5:\d+: "box" is a black box/,
    ],
    ['a loop', `${ports}  wire [3:0] q = q + 1;\n  assign p = q;\nendmodule`, /depends on itself/],
    ['another file', `\`include "other.v"\n${whole}`, /^t\.v:1:1: an `include/],
    ['an unknown macro', whole.replace('q & c;', '`AND;'), /^t\.v:\d+:17: the macro "`AND", which is not defined/],
    [
      'macros without end',
      `\`define A \`B \`B\n\`define B \`A \`A\n${whole.replace('q & c;', '`A;')}`,
      /nests too deeply or too often/,
    ],
  ])('%s: refused at its place', async (_, text, message) => {
    await expect(read('t.v', text)).rejects.toThrow(message);
  });

  test('a wrong multiplier is read, and verify finds the difference', async () => {
    const wrong = file('wrong.v', whole.replace('q ^ c', 'q | c'));
    const { code, out } = await tram('verify', wrong, 'array:2x2');
    expect({ code, out }).toEqual({ code: 1, out: expect.stringMatching(/^different at 3 × 3: .* gives 13/) });
  });

  test('an undriven net is 0 in the lenient reading of either reader', async () => {
    const structural = whole.replace('q & c;', 'q & lost;').replace('wire n', 'wire lost, n');
    const { notes } = await read('t.v', structural, { lenient: true });
    expect(notes).toMatch(/Constant-0 drivers added to 1 non-driven nets in network "tiny":\nlost/);
    const behaviour = `${ports}  wire lost;\n  assign p = a * b + lost;\nendmodule`;
    expect(await read('t.v', behaviour, { lenient: true })).toMatchObject({ errorRate: 0, notes: /lost/ });
  });

  test('the operands of a subtraction are in the order of the ports, whoever reads it', async () => {
    for (const value of ['a - b', "{2'b0, a} ^ {2'b0, b} & 4'd1"]) {
      const text = `module t (input [0:1] a, input [2:1] b, output [3:0] p);\n  assign p = ${value};\nendmodule`;
      const table = productsOf(await loadMultiplier(file('order.v', text)));
      const expected = (w: number, x: number) => (value.includes('-') ? (w - x) & 15 : w ^ (x & 1));
      expect([...table.data]).toEqual(Array.from({ length: 16 }, (_, pair) => expected(pair >> 2, pair & 3)));
    }
  });
});

describe('behavioural Verilog', () => {
  // By hand from the language's rules of widths and signs: in a mixed expression all is unsigned.
  const signed = (value: number) => (value >= 8 ? value - 16 : value);
  test.each<[string, string, number, (a: number, b: number) => number]>([
    [
      'comparisons, shifts and signs',
      `module t (input [3:0] a, b, output [7:0] p);
        wire signed [3:0] s = a, u = b;
        assign p = {s < u, a >= b, s == u, s >>> 1 == u, -s + 3 > u, a - b > 5, (a + b) >> 1 != a, s * 3 <= -u};
      endmodule`,
      4,
      (a, b) => {
        const [s, u] = [signed(a), signed(b)];
        const truths = [s < u, a >= b, s === u, s >> 1 === u, -s + 3 > u, (a - b) >>> 0 > 5, ((a + b) % 16) >> 1 !== a];
        return [...truths, s * 3 <= -u].reduce((bits, truth) => 2 * bits + Number(truth), 0);
      },
    ],
    [
      'sums, differences, products and quotients',
      `module t (input signed [4:0] a, input [3:0] b, output [8:0] p);
        assign p = -(a * 9'd3) - b + (a - 9'd1) * (b + 9'd2) - ~a + (b << a[1:0]) + (a % 9'd3) + (b / 9'd5);
      endmodule`,
      5,
      (a, b) => (-(a * 3) - b + (a - 1) * (b + 2) - ~a + (b << (a & 3)) + (a % 3) + Math.floor(b / 5)) & 511,
    ],
    ['a negative', 'module t (input [3:0] a, b, output [7:0] p); assign p = -a; endmodule', 4, (a) => -a & 255],
  ])('%s', async (_, text, bits, expected) => {
    const { data } = productsOf(await loadMultiplier(file('t.v', text), { signed: false }));
    expect([...data]).toEqual(Array.from({ length: 2 ** (bits + 4) }, (_, pair) => expected(pair >> 4, pair & 15)));
  });

  test('a × b of 16×16 bits is full adders, which algebra proves', async () => {
    const path = file('m.v', 'module m (input [15:0] a, b, output [31:0] p); assign p = a * b; endmodule');
    const { code, out } = await tram('verify', path, 'dadda:16x16', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ equal: true, method: 'algebra' });
  });

  test('copies of the sign above a product are left out, as zeros are', async () => {
    const text = (sign: string) =>
      `module t (input ${sign} [3:0] a, b, output ${sign} [9:0] p);\n  assign p = a * b;\nendmodule`;
    const { notes, errorRate } = await read('t.v', text('signed'), { signed: true });
    expect(errorRate).toBe(0);
    expect(notes).toMatch(/repeat its sign were left out: p\[8\], p\[9\]/);
    // As unsigned patterns they say something: ten bits are too many.
    await expect(read('t.v', text('signed'))).rejects.toThrow(/a product of 10 bits: expected at most 8/);
    expect((await read('t.v', text(''))).notes).toMatch(/always 0 were left out: p\[8\], p\[9\]/);
  });
});

describe('the top module', () => {
  const other = (name: string, value: string) =>
    `module ${name} (input [1:0] a, b, output [3:0] y);\n  assign y = ${value};\nendmodule\n`;
  const both = (values: readonly [string, string]) => other('t', values[0]) + other('s', values[1]);
  const structural = both(["{4{1'b0}}", "{2'b0, a ^ b}"]);
  const mixed = both(["4'd0", 'a * b']);

  test.each(['simulate', 'synth', 'table', 'draw'])('%s refuses two roots and names them', async (command) => {
    for (const [name, text] of [
      ['structural.v', structural],
      ['mixed.v', mixed],
    ] as const) {
      const { code, err } = await tram(command, file(name, text));
      expect(code).toBe(2);
      expect(err).toMatch(/2 modules that no other instantiates: t, s: expected one, or --top NAME/);
    }
  });

  test('--top names one, and a row of a table is about it alone', async () => {
    for (const [name, text] of [
      ['structural.v', structural],
      ['mixed.v', mixed],
    ] as const) {
      const run = async (top: string) =>
        (await tram('table', file(name, text), '--top', top, '--synth', '--effort', 'quick', '--format', 'csv')).out;
      const [constant, logic] = [await run('t'), await run('s')];
      const area = (csv: string) => {
        const [head, row] = csv.split('\n').map((line) => line.split(','));
        return Number(row![head!.findIndex((title) => title.startsWith('area'))]);
      };
      expect(area(constant), name).toBe(0);
      expect(area(logic), name).toBeGreaterThan(0);
      const { err } = await tram('simulate', file(name, text), '--top', 'nobody');
      expect(err).toMatch(/no module "nobody": expected one of t, s/);
    }
  });

  test('--top is what is simulated, whoever reads it', async () => {
    const path = file('mixed.v', mixed);
    const errorRate = async (top: string) =>
      JSON.parse((await tram('simulate', path, '--top', top, '--json')).out).errorRate;
    expect([await errorRate('t'), await errorRate('s')]).toEqual([9 / 16, 0]);
  });

  test('helper cells that nothing uses are no second circuit', async () => {
    const helper = 'module HA (input A, B, output S, C);\n  assign S = A ^ B, C = A & B;\nendmodule\n';
    for (const value of ["{4{1'b0}}", 'a * b']) {
      const { code, err } = await tram('synth', file('helper.v', helper + other('t', value)), '--effort', 'quick');
      expect({ code, err }).toEqual({ code: 0, err: expect.stringMatching(/root-level modules/) });
    }
  });
});

const liberty = `library (tiny) { delay_model : table_lookup; time_unit : "1ps"; capacitive_load_unit (1, ff); voltage_unit : "1V";
  leakage_power_unit : "1nW"; nom_voltage : 1;
  cell (and2) { area : 2; pin (A) { direction : input; capacitance : 1; } pin (B) { direction : input; capacitance : 1; }
    pin (Y) { direction : output; function : "A * B"; } }
  cell (AND2_X1) { area : 2; pin (A1) { direction : input; capacitance : 1; } pin (A2) { direction : input; capacitance : 1; }
    pin (ZN) { direction : output; function : "A1 A2"; } }
  cell (DFF_X1) { area : 9; ff (IQ, IQN) { next_state : "D"; clocked_on : "C"; } pin (D) { direction : input; }
    pin (C) { direction : input; } pin (Q) { direction : output; function : "IQ"; } }
}`;

describe('library cells', () => {
  const library = () => [file('tiny.lib', liberty)];
  test('are read by their functions with --liberty, in BLIF and both kinds of Verilog', async () => {
    const gate = `${header}.gate and2 A=a[0] B=b[0] Y=p[0]\n${p1}${p2}${p3}.end\n`;
    const cell = whole.replace('assign p[3] = q & c;', 'AND2_X1 u (.A1(q), .A2(c), .ZN(p[3]));');
    const behaviour = `${ports}  wire z;\n  AND2_X1 u (.A1(a[0]), .A2(b[0]), .ZN(z));\n  wire [3:0] q = a * b;\n  assign p = {q[3:1], z};\nendmodule`;
    for (const [name, text] of [
      ['t.blif', gate],
      ['t.v', cell],
      ['t.v', behaviour],
    ] as const) {
      expect(await read(name, text, { liberty: library() })).toMatchObject({ errorRate: 0, notes: '' });
      await expect(read(name, text)).rejects.toThrow(/--liberty FILE/);
    }
  });

  test('that are misspelled, hold storage or lack a pin are named', async () => {
    const cell = (text: string) => read('t.v', whole.replace('assign p[3] = q & c;', text), { liberty: library() });
    await expect(cell('AND2_X2 u (.A1(q), .A2(c), .ZN(p[3]));')).rejects.toThrow(
      /unknown cell "AND2_X2" \(did you mean "AND2_X1"\?\)/,
    );
    await expect(cell('DFF_X1 u (.D(q), .C(c), .Q(p[3]));')).rejects.toThrow(/"DFF_X1" of tiny has no function/);
    await expect(cell('AND2_X1 u (.A1(q), .B(c), .ZN(p[3]));')).rejects.toThrow(/"AND2_X1" has no port "B"/);
    await expect(cell('AND2_X1 u (.A1(q), .ZN(p[3]));')).rejects.toThrow(/input "A2" of "AND2_X1" is not connected/);
  });

  test('of the built-in technology are known, unless the pins are those of another library', async () => {
    const cell = (pins: string) => read('t.v', whole.replace('assign p[3] = q & c;', `AND2_X1 u (${pins});`));
    const { errorRate, notes } = await cell('.A(q), .B(c), .Y(p[3])');
    expect(errorRate).toBe(0);
    expect(notes).toMatch(/^t\.v: cells of the built-in technology, .*: AND2_X1; --liberty FILE/);
    await expect(cell('.A1(q), .A2(c), .ZN(p[3])')).rejects.toThrow(
      /"AND2_X1" with a pin "A1", which that of the built-in technology does not have.*--liberty/,
    );
  });

  test('the files of synth --out are read back, packed too, also by synth', async () => {
    const out = join(folder, 'mapped');
    expect((await tram('synth', 'dadda:3x3', '--effort', 'quick', '--out', out)).code).toBe(0);
    for (const form of ['v', 'blif']) {
      const { code, out: text } = await tram('verify', join(out, `dadda-3x3.mapped.${form}`), 'dadda:3x3');
      expect({ code, text }).toEqual({ code: 0, text: 'equal over all 64 operand pairs\n' });
    }
    const packed = file(
      'packed.v.gz',
      gzipSync(await import('node:fs').then((fs) => fs.readFileSync(join(out, 'dadda-3x3.mapped.v')))),
    );
    expect((await tram('synth', packed, '--effort', 'quick')).code).toBe(0);
  });
});

test('every command of the workbench reads behavioural Verilog, packed, with histograms', async () => {
  const path = file('star.v.gz', gzipSync(`${ports}  assign p = a * b;\nendmodule\n`));
  const histograms = file('h.csv', 'w,1,3\nw,2,1\nx,3,1\n');
  for (const args of [
    ['simulate', path, '--histograms', histograms],
    ['verify', path, 'dadda:2x2'],
    ['draw', path, '--out', join(folder, 'figures')],
    ['table', path, '--synth', '--effort', 'quick', '--histograms', histograms],
    ['synth', path, '--effort', 'quick', '--histograms', histograms],
  ]) {
    const { code, err } = await tram(...args);
    expect({ args, code, err }).toEqual({ args, code: 0, err: '' });
  }
});
