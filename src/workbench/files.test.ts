// The multipliers of a run whose layers have one each must serve together: in one design, in one call of a tool.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BundledYosys } from '../hardware/yosys/bundled.ts';
import { firstDifference, type ProductTable } from '../multiplier/table.ts';
import { readBlif } from '../netlist/blif/read.ts';
import { readNpy } from '../netlist/formats/npy.ts';
import { readTextTable } from '../netlist/formats/text.ts';
import { generateFromSpec } from '../netlist/generators/registry.ts';
import { mapStructure } from '../netlist/mapping/map.ts';
import { simulate } from '../netlist/simulate.ts';
import { readVerilog } from '../netlist/verilog/read.ts';
import { checkModuleNames, moduleName, writeImported, writeMultiplier } from './files.ts';
import { inOrder, type SourceMultiplier } from './import.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-multipliers-'));
afterAll(() => rmSync(folder, { recursive: true }));

const tables = new Map<string, ProductTable>();
const textOf = (name: string) => readFileSync(join(folder, name), 'utf8');

beforeAll(() => {
  for (const [layer, theta] of [
    ['conv1', [1, 0, 0]],
    ['layer1.0.conv1', [1, 1, 0]],
    ['layer1.0.conv2', [1, 1, 0.5]],
  ] as const) {
    const name = `multiplier-${layer}`;
    const mapped = mapStructure({ weightBits: 3, activationBits: 3, theta, search: 'greedy' });
    writeMultiplier(folder, mapped, name);
    tables.set(name, mapped.table);
  }
  const { network } = generateFromSpec('dadda:3x3');
  const source = { source: 'dadda:3x3', network, table: simulate(network), notes: [] };
  const exact = inOrder({ ...source, usual: 'weight-activation' }, { weights: 3, activations: 3 });
  writeImported(folder, exact, 'multiplier-fc');
  tables.set('multiplier-fc', exact.table);
});

const all = (extension: string) =>
  readdirSync(folder)
    .filter((name) => name.endsWith(extension))
    .map(textOf)
    .join('\n');

test('modules are named after their files', () => {
  expect(moduleName('multiplier-layer1.0.conv1')).toBe('multiplier_layer1_0_conv1');
  expect(textOf('multiplier-layer1.0.conv1.v')).toContain('\nmodule multiplier_layer1_0_conv1 (');
  expect(textOf('multiplier-layer1.0.conv1.blif')).toContain('.model multiplier_layer1_0_conv1\n');
  expect(textOf('multiplier-fc.v')).toMatch(/^\/\/ weight: w, activation: x\nmodule multiplier_fc /);
});

test('no module of one file is in another', () => {
  for (const [text, pattern] of [
    [all('.v'), /^module (\S+)/gm],
    [all('.blif'), /^\.model (\S+)/gm],
  ] as const) {
    const names = [...text.matchAll(pattern)].map(([, name]) => name);
    expect(names.length).toBeGreaterThanOrEqual(4);
    expect(new Set(names).size).toBe(names.length);
  }
});

test.each(['multiplier-conv1', 'multiplier-layer1.0.conv1', 'multiplier-layer1.0.conv2', 'multiplier-fc'])(
  'in one text with all the others %s is what it is alone',
  (chosen) => {
    const names = [...tables.keys()];
    const verilog = names.map((name, k) => {
      const net = name === chosen ? 'product' : `unused${k}`;
      return `  wire [5:0] unused${k};\n  ${moduleName(name)} u${k} (.w(a), .x(b), .y(${net}));`;
    });
    const top = `module design (input [2:0] a, input [2:0] b, output [5:0] product);\n${verilog.join('\n')}\nendmodule\n`;
    expect(firstDifference(simulate(readVerilog(top + all('.v')).network), tables.get(chosen)!)).toBeNull();

    const pins = (name: string, bits: number, net: string) =>
      Array.from({ length: bits }, (_, bit) => `${name}[${bit}]=${net}[${bit}]`).join(' ');
    const blif = names.map((name, k) => {
      const net = name === chosen ? 'product' : `unused${k}`;
      return `.subckt ${moduleName(name)} ${pins('w', 3, 'a')} ${pins('x', 3, 'b')} ${pins('y', 6, net)}`;
    });
    const ports = (name: string, bits: number) => Array.from({ length: bits }, (_, bit) => `${name}[${bit}]`).join(' ');
    const model = `.model design\n.inputs ${ports('a', 3)} ${ports('b', 3)}\n.outputs ${ports('product', 6)}\n`;
    const text = `${model}${blif.join('\n')}\n.end\n${all('.blif')}`;
    expect(firstDifference(simulate(readBlif(text).network), tables.get(chosen)!)).toBeNull();
  },
);

test('Yosys reads all files of a run in one call', async () => {
  const yosys = new BundledYosys();
  const names = [...tables.keys()];
  const files = Object.fromEntries(names.map((name, k) => [`m${k}.v`, textOf(`${name}.v`)]));
  const script = `read_verilog ${Object.keys(files).join(' ')}\nhierarchy -check\n`;
  const { ok, log } = await yosys.run({ script, files, outputs: [] });
  await yosys.close();
  expect(ok, log).toBe(true);
});

test('names that would share a module are refused before anything is written', () => {
  expect(() => checkModuleNames(['multiplier-a.b', 'multiplier-a_c'])).not.toThrow();
  expect(() => checkModuleNames(['multiplier-a.b', 'multiplier-a_b'])).toThrow(
    /multiplier-a\.b and multiplier-a_b would both have a module multiplier_a_b;/,
  );
  expect(() => checkModuleNames(['multiplier-a', 'multiplier-a_half_adder'])).toThrow(/multiplier_a_half_adder;/);
});

test('whatever the order of the source, the files of a run agree on the weight, and the text is read back as it was written', () => {
  const { network } = generateFromSpec('broken-array:4x3:rows=2,columns=1');
  const source: SourceMultiplier = {
    ...{ source: 'bam.v', network, table: simulate(network), notes: [] },
    usual: 'weight-activation',
  };
  // Its first operand has four bits: of a network with three-bit weights that is the activation.
  const turned = inOrder(source, { weights: 3, activations: 4 });
  expect(turned.operandOrder).toBe('activation-weight');
  expect(turned.notes).toEqual([
    'bam.v is taken in the order activation-weight, the only one in which its 4×3 bits fit',
  ]);
  const { certificate, files } = writeImported(folder, turned, 'turned');
  expect(certificate.forms).toEqual(['netlist', 'blif', 'verilog', 'table']);
  expect(files).toContain('turned.v');
  const { table } = turned;
  expect(firstDifference(simulate(readVerilog(textOf('turned.v')).network), table)).toBeNull();
  expect(firstDifference(readNpy(readFileSync(join(folder, 'turned.npy'))), table)).toBeNull();
  const text = textOf('turned.lut.txt');
  expect(firstDifference(readTextTable(text), table)).toBeNull();
  // Rows a b product: the published program looks up lut[activation][weight].
  const row = text.split('\n').find((line) => line.startsWith('11 5 '));
  expect(row).toBe(`11 5 ${table.data[5 * 16 + 11]}`);
});

test('of a table alone only the table is certified and written', () => {
  const table = tables.get('multiplier-conv1')!;
  const source: SourceMultiplier = { source: 't.npy', network: null, table, usual: 'weight-activation', notes: [] };
  const { certificate, files } = writeImported(folder, inOrder(source, { weights: 3, activations: 3 }), 'alone');
  expect(certificate.forms).toEqual(['table']);
  expect(files).toEqual(['alone.lut.txt', 'alone.npy', 'alone.errors.json']);
  expect(JSON.parse(textOf('alone.errors.json')).certificate.forms).toEqual(['table']);
});
