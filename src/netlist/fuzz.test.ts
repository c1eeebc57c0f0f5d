// Random mutations of valid files, splices of two of them, and noise: a reader either still accepts the text or refuses it with a
// UserError of one line, in bounded time, never anything else. A longer run, of all readers in turn, for a given time and seed:
//   FUZZ_SECONDS=600 FUZZ_SEED=7 npx vitest run src/netlist/fuzz.test.ts

import { expect, test } from 'vitest';
import { UserError } from '../tensor/errors.ts';
import { Random } from '../tensor/random.ts';
import { readBlif } from './blif/read.ts';
import { writeBlif } from './blif/write.ts';
import { readCircuit } from './circuit.ts';
import type { Elaborated } from './elaborate.ts';
import { readNpy, writeNpy } from './formats/npy.ts';
import { readTextTable, writeTextTable } from './formats/text.ts';
import { generateFromSpec } from './generators/registry.ts';
import { readHistograms } from './histograms.ts';
import { simulate } from './simulate.ts';
import { exactTable } from './table.ts';
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

interface Subject {
  readonly name: string;
  readonly valid: readonly string[];
  readonly read: (text: string) => void;
}

const widths = { weightBits: 2, activationBits: 2, signed: true };
const subjects: Subject[] = [
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

const snippets =
  "\n| |\\|#|[|]|(|)|{|}|,|.names|.end|.model|.subckt|.latch|-|0|1|=|'|~|;|\0|é|\ud800|9999999999|1e999|module|assign|wire [4095:0] |/*|(*|:|×".split(
    '|',
  );

function mutant(random: Random, valid: readonly string[]): string {
  let text = valid[random.integer(valid.length)]!;
  if (random.integer(50) === 0) {
    return Array.from({ length: random.integer(300) }, () => String.fromCharCode(random.integer(256))).join('');
  }
  const any = () => valid[random.integer(valid.length)]!;
  for (let edit = random.integer(4); edit >= 0; edit--) {
    const at = random.integer(text.length + 1);
    const end = at + random.integer(random.integer(4) === 0 ? 200 : 4);
    const cut = text.slice(at, end);
    const from = any();
    const inserted = [
      snippets[random.integer(snippets.length)]!,
      '',
      cut + cut,
      from.slice(random.integer(from.length)).slice(0, 1 + random.integer(60)),
      cut.repeat(random.integer(30) === 0 ? 200 : 2),
    ];
    text = text.slice(0, at) + inserted[random.integer(inserted.length)] + text.slice(end);
  }
  return text;
}

/** True when the text was refused. */
function expectRefusedOrRead(subject: Subject, text: string, seed: string): boolean {
  const start = process.cpuUsage();
  const refused = isRefused(subject, text, seed);
  const { user } = process.cpuUsage(start);
  if (user > 5e6) throw new Error(`${subject.name}, ${seed}: ${user / 1e6} s for ${JSON.stringify(text)}`);
  return refused;
}

function isRefused({ read, name }: Subject, text: string, seed: string): boolean {
  try {
    read(text);
    return false;
  } catch (error) {
    if (!(error instanceof UserError)) throw new Error(`${name}, ${seed}: ${JSON.stringify(text)}`, { cause: error });
    expect(error.message).not.toContain('\n');
    if (error.message.length > 2000)
      throw new Error(`${name}, ${seed}: a message of ${error.message.length} characters`, { cause: error });
    return true;
  }
}

const MUTANTS = 400;
const seconds = Number(process.env.FUZZ_SECONDS ?? 0);
const seed = Number(process.env.FUZZ_SEED ?? 1);

test.each(subjects)(`${MUTANTS} mutants of a valid $name are read or refused with a UserError`, (subject) => {
  const random = new Random(1);
  let refused = 0;
  for (let n = 0; n < MUTANTS; n++) {
    if (expectRefusedOrRead(subject, mutant(random, subject.valid), `mutant ${n}`)) refused++;
  }
  expect(refused).toBeGreaterThan(MUTANTS / 5);
});

test.runIf(seconds > 0)(
  `mutants for ${seconds} s from seed ${seed}`,
  () => {
    const end = Date.now() + 1000 * seconds;
    let count = 0;
    for (; Date.now() < end; count++) {
      const subject = subjects[count % subjects.length]!;
      expectRefusedOrRead(subject, mutant(new Random(seed, count), subject.valid), `seed ${seed}, mutant ${count}`);
    }
    console.info(`${count} mutants`);
    expect(count).toBeGreaterThan(0);
  },
  1000 * seconds + 60_000,
);

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
