// Exhaustive simulation of multiplier netlists: compiled; gate by gate in JavaScript, as searches begin (up to 8×8: all
// values of all gates are held); and by native tools where they are installed: C of the same bit-parallel expressions
// (gcc -O2), Verilator's C++ model, Icarus Verilog. Each gives the table of all products, which is compared with the
// compiled one, by a checksum, before it is timed.
// Run after `npm run build`:  node bench/simulation.mjs [runs]
// The published simulator takes 0.8–1.4 s for one exhaustive simulation at 8×8 bits (released program, two CPU cores,
// as reported).

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorMetrics } from '../dist/multiplier/metrics.js';
import { loadCircuit } from '../dist/netlist/circuit.js';
import { AllProducts } from '../dist/netlist/compiled/network.js';
import { expressions, gateFunctions } from '../dist/netlist/gates.js';
import { generateFromSpec } from '../dist/netlist/generators/registry.js';
import { multiplierPorts } from '../dist/netlist/ports.js';
import { Simulator, simulate } from '../dist/netlist/simulate.js';
import { writeVerilog } from '../dist/netlist/verilog/write.js';
import { optionsOf } from './options.mjs';

const { positionals } = optionsOf(import.meta.url, { allowPositionals: true });
const runs = Number(positionals[0] ?? 15);
if (!Number.isInteger(runs) || runs < 1) {
  console.error(`bench: ${positionals[0]} runs: expected a positive integer`);
  process.exit(2);
}

const published = join(import.meta.dirname, '../../shared/reference/multipliers/resnet18_w8a8_lbd0.3.blif');
const circuits = [
  ...(existsSync(published) ? [['8×8 of the published λ = 0.3', loadCircuit(published).network]] : []),
  ['8×8 array', generateFromSpec('array:8x8').network],
  ['12×12 array', generateFromSpec('array:12x12').network],
];
if (circuits.length < 3) console.log('skipped: the published netlist is not beside the project');

/** sum ← 31 · sum + product over all pairs, in 32 bits. */
function checksum(table) {
  let sum = 0;
  for (let pair = 0; pair < table.length; pair++) sum = (Math.imul(sum, 31) + table[pair]) | 0;
  return sum >>> 0;
}

/** Milliseconds: the median and the least of some runs, and the median of the processor time of all threads. */
function timed(work, count) {
  const times = Array.from({ length: count }, () => {
    const [start, before] = [performance.now(), process.cpuUsage()];
    work();
    const { user, system } = process.cpuUsage(before);
    return [performance.now() - start, (user + system) / 1000];
  });
  const sorted = (k) => times.map((one) => one[k]).sort((a, b) => a - b);
  return { wall: sorted(0)[count >> 1], best: sorted(0)[0], cpu: sorted(1)[count >> 1] };
}

const folder = mkdtempSync(join(tmpdir(), 'simulation-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
const file = (name, text) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const run = (program, ...args) => execFileSync(program, args, { cwd: folder, encoding: 'utf8', stdio: 'pipe' });
function version(program, ...args) {
  try {
    return run(program, ...args).split('\n')[0];
  } catch {
    return null;
  }
}

/** The checksum, then the median of `count` runs in milliseconds. */
const MAIN = `
static int compare(const void *a, const void *b) { double d = *(double *)a - *(double *)b; return (d > 0) - (d < 0); }
int main(int argc, char **argv) {
  int count = atoi(argv[1]);
  int32_t *table = (int32_t *)malloc(PAIRS * sizeof(int32_t));
  double *times = (double *)malloc(count * sizeof(double));
  for (int n = 0; n < count; n++) {
    struct timespec a, b;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    simulate(table);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    times[n] = (b.tv_sec - a.tv_sec) * 1e3 + (b.tv_nsec - a.tv_nsec) * 1e-6;
  }
  uint32_t sum = 0;
  for (size_t pair = 0; pair < PAIRS; pair++) sum = sum * 31 + (uint32_t)table[pair];
  qsort(times, count, sizeof(double), compare);
  printf("%u %f\\n", sum, times[count / 2]);
}
`;
const HEADERS =
  '#include <stdint.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <time.h>\n';

/** One C expression per gate on 64 pairs; 8×8 bit matrices are transposed as in Hacker's Delight, section 7-3. */
function cProgram(network) {
  const { weight, activation, product } = multiplierPorts(network);
  const inputs = [...activation, ...weight];
  const lanes = ['0xaaaaaaaaaaaaaaaa', '0xcccccccccccccccc', '0xf0f0f0f0f0f0f0f0', '0xff00ff00ff00ff00'];
  lanes.push('0xffff0000ffff0000', '0xffffffff00000000');
  const lines = ['const uint64_t s0 = 0, s1 = ~(uint64_t)0;'];
  for (const [bit, signal] of inputs.entries()) {
    const value = bit < 6 ? `${lanes[bit]}ull` : `-(uint64_t)((block >> ${bit - 6}) & 1)`;
    lines.push(`const uint64_t s${signal} = ${value};`);
  }
  network.nodes.forEach(({ kind, fanins }, signal) => {
    if (fanins.length > 0)
      lines.push(
        `const uint64_t s${signal} = ${gateFunctions[kind](expressions, ...fanins.map((fanin) => `s${fanin}`))};`,
      );
  });
  lines.push(`const uint64_t planes[] = {${product.map((signal) => `s${signal}`).join(', ')}};`);
  return `${HEADERS}#define PAIRS ((size_t)1 << ${inputs.length})
static uint64_t transpose8(uint64_t x) {
  uint64_t t = (x ^ (x >> 7)) & 0x00aa00aa00aa00aaull; x ^= t ^ (t << 7);
  t = (x ^ (x >> 14)) & 0x0000cccc0000ccccull; x ^= t ^ (t << 14);
  t = (x ^ (x >> 28)) & 0x00000000f0f0f0f0ull; return x ^ t ^ (t << 28);
}
static void simulate(int32_t *table) {
  for (uint64_t block = 0; block < PAIRS / 64; block++) {
    ${lines.join('\n    ')}
    int32_t *out = table + 64 * block;
    for (int byte = 0; byte < 8; byte++) {
      uint64_t groups[3] = {0, 0, 0};
      for (int bit = 0; bit < ${product.length}; bit++) groups[bit >> 3] |= ((planes[bit] >> (8 * byte)) & 255) << (8 * (bit & 7));
      for (int g = 0; g < 3; g++) groups[g] = transpose8(groups[g]);
      for (int lane = 0; lane < 8; lane++) {
        out[8 * byte + lane] = ((groups[0] >> (8 * lane)) & 255) | ((groups[1] >> (8 * lane)) & 255) << 8 | ((groups[2] >> (8 * lane)) & 255) << 16;
      }
    }
  }
}
${MAIN}`;
}

const parse = (text) => {
  const [sum, milliseconds] = text.trim().split(/\s+/).slice(-2).map(Number);
  return { sum, cpu: milliseconds };
};

function gcc(network, count) {
  file('model.c', cProgram(network));
  run('gcc', '-O2', '-o', 'model', 'model.c');
  return parse(run(join(folder, 'model'), String(count)));
}

function verilator(network, count) {
  const { weight, activation } = multiplierPorts(network);
  const pairs = weight.length + activation.length;
  file('model.v', writeVerilog(network));
  file(
    'main.cpp',
    `${HEADERS}#include "Vmodel.h"
#define PAIRS ((size_t)1 << ${pairs})
static Vmodel *model;
static void simulate(int32_t *table) {
  for (size_t pair = 0; pair < PAIRS; pair++) {
    model->${portsOf(network).w} = pair >> ${activation.length};
    model->${portsOf(network).x} = pair & ${2 ** activation.length - 1};
    model->eval();
    table[pair] = model->${portsOf(network).y};
  }
}
${MAIN.replace('int count', 'model = new Vmodel; int count')}`,
  );
  const options = ['--cc', '--exe', '--build', '-O3', '-Wno-fatal', '--prefix', 'Vmodel', '--x-assign', 'fast'];
  run('verilator', ...options, '-CFLAGS', '-O2', 'model.v', 'main.cpp');
  return parse(run(join(folder, 'obj_dir', 'Vmodel'), String(count)));
}

/** The names of the buses in our Verilog. */
function portsOf(network) {
  const [w, x, y] = [...writeVerilog(network).matchAll(/(?:input|output) \[\d+:0\] (\w+)/g)].map(([, name]) => name);
  return { w, x, y };
}

function icarus(network) {
  const { weight, activation, product } = multiplierPorts(network);
  const { w, x, y } = portsOf(network);
  const name = /module (\S+)/.exec(writeVerilog(network))[1];
  const bits = weight.length + activation.length;
  file('model.v', writeVerilog(network));
  file(
    'bench.v',
    `module bench; reg [${bits - 1}:0] pair; wire [${product.length - 1}:0] y; reg [31:0] sum; integer n;
  ${name} model (.${w}(pair[${bits - 1}:${activation.length}]), .${x}(pair[${activation.length - 1}:0]), .${y}(y));
  initial begin sum = 0;
    for (n = 0; n < ${2 ** bits}; n = n + 1) begin pair = n; #1 sum = sum * 31 + y; end
    $display("%0d", sum); end
endmodule\n`,
  );
  run('iverilog', '-o', 'bench.vvp', 'model.v', 'bench.v');
  const start = performance.now();
  const sum = Number(run('vvp', 'bench.vvp').trim());
  return { sum, cpu: performance.now() - start };
}

const tools = [
  ['C of the gates, gcc -O2', gcc, version('gcc', '--version'), 24],
  ['Verilator', verilator, version('verilator', '--version'), 24],
  ['Icarus Verilog', icarus, version('iverilog', '-V'), 16],
];
console.log(`${cpus().length} × ${cpus()[0].model.trim()}, Node.js ${process.versions.node}`);
for (const [name, , found] of tools) console.log(`${name}: ${found ?? 'not installed, skipped'}`);
console.log('');

const cell = (value) => (value === undefined ? '' : value.toFixed(2)).padStart(11);
const line = (name, { wall, best, cpu }, ours) =>
  console.log(`  ${name.padEnd(44)}${cell(wall)}${cell(best)}${cell(cpu)}${(cpu / ours).toFixed(1).padStart(10)}×`);
for (const [name, network] of circuits) {
  const { data } = simulate(network);
  const expected = checksum(data);
  const bits = Math.log2(data.length);
  const byGates = bits <= 16 && (() => new Simulator(network).table().data);
  if (byGates && checksum(byGates()) !== expected) throw new Error(`${name}: compiled and interpreted tables differ`);
  const validated = byGates ? ['gate by gate'] : [];
  const count = bits > 16 ? Math.min(runs, 5) : runs;
  const native = [];
  for (const [tool, work, found, most] of tools) {
    if (found === null || bits > most) continue;
    const { sum, cpu } = work(network, count);
    if (sum !== expected) throw new Error(`${name}: ${tool} gives another table`);
    validated.push(tool);
    native.push([tool, cpu]);
  }
  console.log(
    `${name}: ${network.gateCount} gates, ${data.length} operand pairs; equal tables: ${validated.join(', ')}`,
  );
  const title = `of ${count} runs, ms`.padEnd(44);
  console.log(`  ${title}${['median', 'best', 'processor', 'ratio'].map((text) => text.padStart(11)).join('')}`);
  const compiled = new AllProducts(network, multiplierPorts(network), false);
  for (let n = 0; n < 10; n++) compiled.evaluate(data);
  const running = timed(() => compiled.evaluate(data), count);
  const row = (what, times) => line(what, times, running.cpu);
  row('compiled, running only', running);
  row(
    'compiling and running',
    timed(() => simulate(network), count),
  );
  row(
    'compiling, running, all error metrics',
    timed(() => errorMetrics(simulate(network)), count),
  );
  if (byGates) row('gate by gate in JavaScript', timed(byGates, count));
  for (const [tool, cpu] of native) row(`${tool}, running only`, { cpu });
  if (bits === 16) row('published simulator, as reported, at its best', { cpu: 800 });
  console.log('');
}
