// The Verilog of layers against plain arithmetic: whole tops with stalls on every stream, elements and requantisation
// by themselves, and what linters say of all of it. Needs Icarus Verilog; Verilator where it is there.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { verilogFiles } from '../../src/export/rtl/exporter.ts';
import { elementFigures } from '../../src/export/rtl/figures.ts';
import { layerCycles, utilisation } from '../../src/export/rtl/report.ts';
import { layerTops, type RtlOptions } from '../../src/export/rtl/tops.ts';
import { openYosys } from '../../src/hardware/yosys/choose.ts';
import type { FrozenMultiplier } from '../../src/integer/frozen.ts';
import { exactTable, productTable } from '../../src/multiplier/table.ts';
import { generateFromSpec } from '../../src/netlist/generators/registry.ts';
import { simulate } from '../../src/netlist/simulate.ts';
import { Random } from '../../src/tensor/random.ts';
import { type LayerBench, layerBench, simulationOf } from './rtl-bench.ts';
import { computed, handMade, type LayerRecipe } from './rtl-layers.ts';
import { arrayBench, requantiseBench } from './rtl-units.ts';

const installed = (program: string, flag: string) => spawnSync(program, [flag]).status === 0;
const icarus = installed('iverilog', '-V');
const verilator = installed('verilator', '--version');
const folder = mkdtempSync(join(tmpdir(), 'tram-rtl-'));
const yosys = openYosys('bundled');
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await yosys.close();
});

function generated(spec: string, name: string): FrozenMultiplier {
  const { network, signed = false } = generateFromSpec(spec);
  return { name, table: simulate(network, { signed }), exact: false, netlist: network };
}

/** Exact products with errors, as a table without gates. */
function erring(name: string, weightBits: number, activationBits: number, signed: boolean): FrozenMultiplier {
  const random = new Random(3, 1);
  const data = exactTable(weightBits, activationBits, signed).data.map(
    (p) => p + Math.floor(20 * random.uniform()) - 10,
  );
  return { name, table: productTable(weightBits, activationBits, signed, data), exact: false };
}

const truncated = generated('truncated:8x8:columns=7', 'truncated');
const signedTable = erring('signed_table', 4, 5, true);
const narrow = generated('truncated:4x8:columns=4', 'narrow');
const tiny = erring('tiny', 2, 3, false);

interface Case extends Omit<LayerRecipe, 'table' | 'multiplier'> {
  readonly of: FrozenMultiplier;
  readonly options: RtlOptions;
  readonly images?: number;
}

const cases: readonly Case[] = [
  {
    ...{ name: 'plain', of: truncated, image: [5, 6, 3], outputs: 7, kernel: [3, 3], padding: [1, 1] },
    options: { array: { rows: 4, columns: 4 } },
    images: 2,
  },
  {
    ...{
      name: 'strided',
      of: signedTable,
      image: [7, 5, 2],
      outputs: 5,
      kernel: [3, 2],
      padding: [1, 1],
      stride: [2, 1],
    },
    ...{ limits: [-128, 127], step: 2, options: { array: { rows: 5, columns: 3 }, block: 4 } },
  },
  {
    ...{
      name: 'depthwise',
      of: narrow,
      image: [4, 4, 3],
      outputs: 3,
      kernel: [3, 3],
      padding: [1, 1],
      groups: 3,
      step: 2,
    },
    options: { array: { rows: 2, columns: 2 }, block: 16 },
  },
  {
    ...{
      name: 'grouped',
      of: tiny,
      image: [3, 5, 4],
      outputs: 6,
      kernel: [2, 2],
      dilation: [1, 2],
      groups: 2,
      zeroRow: true,
    },
    options: { array: { rows: 3, columns: 2 }, block: 3 },
    images: 3,
  },
  {
    ...{ name: 'linear', of: signedTable, kind: 'linear', image: [1, 1, 19], outputs: 4, zeroRow: true },
    ...{ limits: [-(2 ** 31), 2 ** 31 - 1], options: { array: { rows: 4, columns: 3 } } },
    images: 2,
  },
  { ...{ name: 'one', of: tiny, image: [2, 2, 2], outputs: 2 }, options: { array: { rows: 1, columns: 1 }, block: 1 } },
];

const layers = cases.map((one, n) => {
  const { of, options, images: count = 1, ...recipe } = one;
  const layer = handMade({ ...recipe, table: of.table, multiplier: of.name }, 20 + n);
  const files = verilogFiles({ multipliers: [of] }, layer.network, options);
  const [top] = layerTops(layer.network, options);
  const random = new Random(n, 3);
  const [low, high] = [layer.network.tensors[0]!.low, layer.network.tensors[0]!.high];
  const size = recipe.image.reduce((a, b) => a * b, 1);
  const images = Array.from({ length: count }, () =>
    Int32Array.from({ length: size }, () => low + Math.floor((high - low + 1) * random.uniform())),
  );
  return { layer, files, top: top!, images };
});

function write(name: string, files: ReadonlyMap<string, string>): string {
  const place = join(folder, name);
  mkdirSync(place, { recursive: true });
  for (const [file, text] of files) writeFileSync(join(place, file), text);
  return place;
}

function run(place: string, names: readonly string[], top: string): string {
  execFileSync('iverilog', ['-g2001', '-Wall', '-s', top, '-o', 'simulation', ...names], { cwd: place });
  return execFileSync('vvp', ['-n', 'simulation'], { cwd: place, encoding: 'utf8' });
}

describe.skipIf(!icarus)('tops of layers (needs iverilog)', () => {
  it('gives the integers of the format, whoever stalls, and so do arrays and requantisation by themselves', () => {
    const benches: LayerBench[] = layers.map(({ layer, top, images }, n) => {
      const expected = images.map((image) => computed(layer, image));
      const stalls = [
        [0, 0, 0, 0],
        [120, 40, 120, 200],
        [30, 200, 30, 30],
      ][n % 3] as [number, number, number, number];
      return layerBench(top, layer, images, expected, stalls);
    });
    benches.push(
      requantiseBench('codes', { fraction: 0, low: 0, high: 255, valueBits: 32 }, 1),
      requantiseBench('finer', { fraction: 7, low: -(2 ** 31), high: 2 ** 31 - 1, valueBits: 24 }, 2),
      requantiseBench('finest', { fraction: 30, low: -128, high: 127, valueBits: 4 }, 3),
      arrayBench('array_signed', 'signed_table_array', signedTable.table, 3, 2, 13, 4),
      arrayBench('array_gates', 'narrow_array', narrow.table, 2, 5, 15, 5),
      arrayBench('element_alone', 'tiny_array', tiny.table, 1, 1, 9, 6),
    );
    const files = new Map(layers.flatMap(({ files }) => [...files]));
    for (const bench of benches) for (const [name, text] of bench.files) files.set(name, text);
    files.set('simulation.v', simulationOf(benches, 60_000));
    const place = write('tops', files);
    const sources = [...files.keys()].filter((name) => name.endsWith('.v'));
    const said = run(place, sources, 'simulation');
    expect(said).toMatch(/^passed/m);
    // Of the report: what a layer without stalls takes, for two images and until its last result is through.
    const { top, images } = layers[0]!;
    const cycles = Number(/bench_layer_plain took (\d+)/.exec(said)![1]);
    expect(Math.abs(cycles - images.length * layerCycles(top)) / cycles).toBeLessThan(0.02);
    expect(utilisation(top)).toBeGreaterThan(0.3);
  });
});

describe('figures', () => {
  it('cost the logic once and registers by count, beside the exact multiplier', async () => {
    const table = exactTable(3, 3);
    const gates = generateFromSpec('truncated:3x3:columns=2').network;
    const design = { name: 'cut', table: simulate(gates), netlist: gates };
    const random = new Random(2, 2);
    const patterns = (most: number) => Int32Array.from({ length: 256 }, () => Math.floor(most * random.uniform()));
    const activity = { w: patterns(1).fill(5), x: patterns(8), tap: patterns(2), above: patterns(64) };
    const size = { rows: 3, columns: 2 };
    const options = { effort: 'quick', cache: null, yosys } as const;
    const { own, exact, flipFlop, activity: rates } = await elementFigures(design, 8, [size], () => activity, options);
    const registers = 3 + 4 + 8;
    expect(own.element.registers).toBe(registers);
    expect(own.element.area - own.logic.area).toBeCloseTo((registers * flipFlop.area) / 0.1, 6);
    // Rows 0, 1, 2 wait so many cycles for the array, column 0 one for its neighbour.
    expect(own.arrays[0]!.registers).toBe(6 * registers + 3 * 4 + 1 * 8);
    expect(rates.weight).toBe(0);
    expect(own.logic.area).toBeLessThan(exact.logic.area);
    const saved = 1 - own.multiplier.area / exact.multiplier.area;
    expect(1 - own.arrays[0]!.area / exact.arrays[0]!.area).toBeLessThan(saved);
    expect(table.data.length).toBe(64);
  });
});

it('passes the checks of Yosys, and holds no latch', async () => {
  const { top, files } = layers[3]!;
  const sources = Object.fromEntries(top.files.map((name) => [name.replaceAll('_', '-'), files.get(name)!]));
  const script = [
    ...Object.keys(sources).map((name) => `read_verilog ${name}`),
    ...[`hierarchy -check -top ${top.module}`, 'proc', 'select -assert-none t:$dlatch', 'check -assert'],
  ].join('\n');
  const { ok, log } = await yosys.run({ script, files: sources, outputs: [] });
  expect(ok, log.slice(-2000)).toBe(true);
});

describe.skipIf(!verilator)('lint (needs verilator)', () => {
  it.each(layers.map(({ top, files }) => [top.module, top, files] as const))('%s has no warning', (_, top, files) => {
    const place = write(`lint_${top.module}`, files);
    const { status, stderr } = spawnSync(
      'verilator',
      ['--lint-only', '-Wall', '--language', '1364-2001', '--top-module', top.module, '-f', `${top.module}.f`],
      { cwd: place, encoding: 'utf8' },
    );
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });
});
