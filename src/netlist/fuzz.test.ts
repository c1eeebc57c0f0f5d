// The readers of circuits, tables, histograms and generator specs under mutated texts (test/fuzz.ts), and texts made to
// exhaust them.

import { expect, test } from 'vitest';
import { type FuzzSubject, fuzzReaders } from '../../test/fuzz.ts';
import { readHistograms } from '../multiplier/histograms.ts';
import { exactTable } from '../multiplier/table.ts';
import { UserError } from '../tensor/errors.ts';
import { readBlif } from './blif/read.ts';
import { writeBlif } from './blif/write.ts';
import { readCircuit } from './circuit.ts';
import type { Elaborated } from './elaborate.ts';
import { readNpy, writeNpy } from './formats/npy.ts';
import { readTextTable, writeTextTable } from './formats/text.ts';
import { generateFromSpec } from './generators/registry.ts';
import { simulate } from './simulate.ts';
import { readVerilog } from './verilog/read.ts';
import { writeVerilog } from './verilog/write.ts';

const circuits = ['array:3x3', 'booth:3x4', 'mitchell:2x3', 'drum:4x4:bits=2'].map(
  (spec) => generateFromSpec(spec).network,
);
const table = exactTable(3, 3);
const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

const blif = [
  ...circuits.map(writeBlif),
  `.model top # a comment
.inputs a[0] a[1] b[0] \\
 b[1]
.outputs y[0] y[1] y[2] y[3]
.subckt half a=a[0] b=b[0] s=y[0] c=n
.subckt half a=a[1] b=n s=y[1] c=y[2]
.names $false y[3]
.names n a[1] b[1] unused
1-0 0
-11 0
.names $false
.end
.model half
.inputs a b
.outputs s c
.names a b s
10 1
01 1
.names a b c
0- 0
-0 0
.end
`,
];
const verilog = [
  ...circuits.map(writeVerilog),
  `(* top *) module top(a, b, y); // ports
  input [1:0] a, b; output wire [3:0] y;
  wire [1:0] \\n+1 ; /* two
  lines */ wire c;
  assign {c, \\n+1 [0]} = {a[1] & b[1], ~(a[0] ^ b[0])}, \\n+1 [1] = 1'b0;
  part u0 (.p({a, b[1:0]}), .q(y[3:1]), .r());
  assign y[0] = (c | 1'h1) & \\n+1 [0];
endmodule
module part (input [3:0] p, output [2:0] q, output r);
  assign q = p[2:0] ^ 3'd5, r = p[3];
endmodule
`,
];
const simulated = ({ network }: Elaborated) => {
  simulate(network);
  try {
    writeVerilog(network);
    writeBlif(network);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
  }
};

const widths = { weightBits: 2, activationBits: 2, signed: true };
const subjects: FuzzSubject[] = [
  { name: 'BLIF', valid: blif, read: (text) => simulated(readBlif(text)) },
  { name: 'lenient BLIF', valid: blif, read: (text) => simulated(readBlif(text, { lenient: true })) },
  { name: 'Verilog', valid: verilog, read: (text) => simulated(readVerilog(text)) },
  { name: 'lenient Verilog', valid: verilog, read: (text) => simulated(readVerilog(text, { lenient: true })) },
  { name: 'circuit', valid: [...blif, ...verilog], read: (text) => simulated(readCircuit(text, 'a')) },
  { name: 'text table', valid: [writeTextTable(table)], read: (text) => readTextTable(text) },
  { name: '.npy table', valid: [latin1(writeNpy(table))], read: (text) => readNpy(Buffer.from(text, 'latin1')) },
  {
    name: 'histogram',
    valid: ['operand,value,count\nw,1,3\nx,-2,4.5\n', '{"weight": [1, 2, 3, 4], "activation": [0, 1, 0, 2]}'],
    read: (text) => readHistograms(text, 'h', widths),
  },
  {
    name: 'generator spec',
    valid: ['dadda:3x4', 'truncated:4x4:columns=3,compensation=constant', 'compressor:4x3:columns=2,compressor=momeni'],
    read: (text) => simulate(generateFromSpec(text).network),
  },
];

fuzzReaders(subjects);

test.each<[string, string, RegExp]>([
  ['a hierarchy that doubles 40 times', doublingBlif(40), /nests too deeply or too often|more than 1000000 gates/],
  ['a hierarchy of a model with many gates', wideBlif(), /nests too deeply or too often|more than 1000000 gates/],
  ['thousands of wide buses', `module m(output y);\n${manyBuses()}endmodule`, /more than 1000000 nets/],
  [
    'a concatenation of wide buses',
    `module m(output y); wire [4095:0] a; assign y = {${'a,'.repeat(5000)}a}; endmodule`,
    /too wide/,
  ],
  [
    'deep nesting',
    `module m(output y); assign y = ${'~('.repeat(50_000)}1'b0${')'.repeat(50_000)}; endmodule`,
    /nested too deeply/,
  ],
])('%s is refused in bounded time and memory', (_, text, message) => {
  expect(() => readCircuit(text, 'a')).toThrow(message);
});

function doublingBlif(levels: number): string {
  const model = (n: number) =>
    `.model m${n}\n.inputs a\n.outputs y\n.subckt m${n + 1} a=a y=t\n.subckt m${n + 1} a=t y=y\n.end\n`;
  const last = `.model m${levels}\n.inputs a\n.outputs y\n.names a y\n0 1\n.end\n`;
  return `${Array.from({ length: levels }, (_, n) => model(n)).join('')}${last}`;
}

function wideBlif(): string {
  const chain = Array.from({ length: 2000 }, (_, n) => `.names n${n} n${n + 1}\n0 1\n`).join('');
  const leaf = `.model leaf\n.inputs n0\n.outputs n2000\n${chain}.end\n`;
  const calls = Array.from({ length: 3000 }, (_, n) => `.subckt leaf n0=c${n} n2000=c${n + 1}\n`).join('');
  return `.model top\n.inputs c0\n.outputs c3000\n${calls}.end\n${leaf}`;
}

function manyBuses(): string {
  return Array.from({ length: 1100 }, (_, n) => `wire [4095:0] a${n};`).join('\n');
}

test('many ports and a cover of many inputs take time in proportion to the text', () => {
  const inputs = Array.from({ length: 150_000 }, (_, n) => `i${n}`);
  const text = `.model m\n.inputs ${inputs.join(' ')}\n.outputs y\n.names ${inputs.join(' ')} y\n${'1'.repeat(inputs.length)} 1\n.end\n`;
  const start = process.cpuUsage();
  expect(readCircuit(text, 'm.blif').network.inputs).toHaveLength(inputs.length);
  expect(process.cpuUsage(start).user).toBeLessThan(20e6);
});

test('names that could leave their line, file or comment are refused or escaped by the writers', () => {
  const { network } = generateFromSpec('dadda:2x2');
  for (const name of ['a\n.model b', 'a b', '', 'a;`rm`\n', '\u2028', 'é', '*/ x']) {
    const hostile = Object.assign(Object.create(Object.getPrototypeOf(network)), network, { name });
    for (const write of [writeBlif, writeVerilog]) {
      let text: string;
      try {
        text = write(hostile);
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
        continue;
      }
      expect(readCircuit(text, write === writeBlif ? 'a.blif' : 'a.v').network.name).toBe(name);
    }
  }
  const keyword = Object.assign(Object.create(Object.getPrototypeOf(network)), network, { name: 'always' });
  expect(writeVerilog(keyword)).toMatch(/^module \\always +\(/);
});
