// Readers take time in proportion to the text, whatever it is made of, and stop at limits that they state. What is
// measured is how the work grows when the text doubles, so that a slow machine changes nothing.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, expect, test } from 'vitest';
import { readBlif } from '../../src/netlist/blif/read.ts';
import { readVerilog } from '../../src/netlist/verilog/read.ts';
import { UserError } from '../../src/tensor/errors.ts';
import { loadMultiplier } from '../../src/workbench/load.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-scaling-'));
afterAll(() => rmSync(folder, { recursive: true }));

const pins = (count: number) => Array.from({ length: count }, (_, n) => `.p${n}(a[0])`).join(',');
const wide = (count: number) => Array.from({ length: count }, (_, n) => `p${n}`).join(',');
const module = (body: string) => `module m (input [1:0] a, output y);\n${body}\nendmodule\n`;
const cover = (rows: number) =>
  `.model m\n.inputs ${Array.from({ length: 24 }, (_, n) => `i${n}`).join(' ')}\n.outputs y\n.names ${Array.from({ length: 24 }, (_, n) => `i${n}`).join(' ')} y\n${Array.from({ length: rows }, (_, n) => `${n.toString(2).padStart(24, '0')} 1\n`).join('')}.end\n`;

const texts: readonly [string, (n: number) => string, number][] = [
  [
    'an instance of many pins',
    (n) => `${module(`sub u (${pins(n)}, .y(y));`)}module sub (input ${wide(n)}, output y); assign y = p0; endmodule`,
    5_000,
  ],
  ['an instance of many unknown pins', (n) => module(`sub u (${pins(n)});`), 10_000],
  ['a decimal constant of many digits', (n) => module(`assign y = 4'd${'1'.repeat(n)};`), 10_000],
  ['a binary constant of many digits', (n) => module(`assign y = 4'b${'1'.repeat(n)};`), 10_000],
  ['attributes without an end', (n) => module('(* '.repeat(n)), 10_000],
  ['parentheses that look like attributes', (n) => module('(*) '.repeat(n)), 10_000],
  ['comments', (n) => module('/* * */ // x\n'.repeat(n)), 20_000],
  ['strings without an end', (n) => module('"'.repeat(n)), 10_000],
  ['backslashes', (n) => module('\\ '.repeat(n)), 10_000],
  ['macros', (n) => `\`define A(x) (x)\n${module(`assign y = ${'`A(a[0]) | '.repeat(n)}a[1];`)}`, 5_000],
  ['conditions', (n) => '`ifdef A\n`else\n'.repeat(n) + module('assign y = a[0];') + '`endif\n'.repeat(n), 10_000],
  [
    'implicit nets',
    (n) => module(`${Array.from({ length: n }, (_, k) => `assign w${k} = a[0];`).join('\n')}assign y = a[1];`),
    10_000,
  ],
  [
    'many instances',
    (n) =>
      module(`${Array.from({ length: n }, (_, k) => `sub u${k} (.x(a[0]), .y(w${k}));`).join('\n')} assign y = w0;`) +
      'module sub (input x, output y); assign y = x; endmodule',
    5_000,
  ],
  ['newlines', (n) => module(`${'\n'.repeat(n)}assign y = a[0];`), 1_000_000],
];

function work(run: () => void): number {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 2; round++) {
    const start = process.cpuUsage();
    try {
      run();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
    }
    const { user, system } = process.cpuUsage(start);
    least = Math.min(least, user + system);
  }
  return least;
}

test.each(texts)('%s: twice the Verilog is about twice the work', (_, text, n) => {
  const [once, twice] = [text(n), text(2 * n)];
  work(() => readVerilog(once));
  // 40 ms of slack: what the machine does beside it.
  expect(work(() => readVerilog(twice))).toBeLessThan(4 * work(() => readVerilog(once)) + 40e3);
});

test.each<[string, (n: number) => string, number]>([
  ['rows of a cover', cover, 10_000],
  ['newlines', (n) => `.model m\n.inputs a\n.outputs y\n${'\n'.repeat(n)}.names a y\n1 1\n.end\n`, 1_000_000],
  ['continued lines', (n) => `.model m\n.inputs ${'\\\n'.repeat(n)} a\n.outputs y\n.names a y\n1 1\n.end\n`, 10_000],
  ['blanks', (n) => `.model m\n.inputs ${' '.repeat(n)} a\n.outputs y\n.names a y\n1 1\n.end\n`, 500_000],
  [
    'chains',
    (n) =>
      `.model m\n.inputs n0\n.outputs n${n}\n${Array.from({ length: n }, (_, k) => `.names n${k} n${k + 1}\n0 1\n`).join('')}.end\n`,
    10_000,
  ],
])('%s: twice the BLIF is about twice the work', (_, text, n) => {
  const [once, twice] = [text(n), text(2 * n)];
  work(() => readBlif(once));
  expect(work(() => readBlif(twice))).toBeLessThan(4 * work(() => readBlif(once)) + 40e3);
});

test('a cover of more values than gates are allowed is refused at the row that is too much', () => {
  expect(() => readBlif(cover(60_000), { file: 'm.blif' })).toThrow(
    /^m\.blif:4167\d:1: more than 1000000 values in a cover/,
  );
});

test.each(['m.v', 'm.blif'])(
  'a packed %s that unpacks to more than the limit is refused at the limit, which it states',
  async (name) => {
    const path = join(folder, `${name}.gz`);
    writeFileSync(path, gzipSync(Buffer.alloc(300 * 2 ** 20, 10)));
    const before = process.memoryUsage().rss;
    await expect(loadMultiplier(path)).rejects.toThrow(/it unpacks to more than 64 MiB, the most that is read/);
    expect(process.memoryUsage().rss - before).toBeLessThan(250 * 2 ** 20);
  },
);

test('a text that is longer than the limit is refused before it is read', async () => {
  const path = join(folder, 'long.v');
  writeFileSync(path, Buffer.alloc(2 ** 26 + 1, 10));
  await expect(loadMultiplier(path)).rejects.toThrow(
    /^cannot read .+: it has more than 64 MiB, at most 64 MiB are read$/,
  );
});
