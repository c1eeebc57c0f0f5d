import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, expect, test } from 'vitest';
import { readBlif } from '../../src/netlist/blif/read.ts';
import { writeBlif } from '../../src/netlist/blif/write.ts';
import { type Prover, verifyEquivalence } from '../../src/netlist/equivalence.ts';
import { writeNpy } from '../../src/netlist/formats/npy.ts';
import { writeTextTable } from '../../src/netlist/formats/text.ts';
import { generateFromSpec } from '../../src/netlist/generators/registry.ts';
import { Network, relabelled } from '../../src/netlist/network.ts';
import { productOf, simulate } from '../../src/netlist/simulate.ts';
import { writeVerilog } from '../../src/netlist/verilog/write.ts';
import { loadMultiplier } from '../../src/workbench/load.ts';

const folder = mkdtempSync(join(tmpdir(), 'equivalence-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, content: string | Uint8Array) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

const { network } = generateFromSpec('wallace:6x5');
const table = simulate(network);
const forms = [
  'dadda:6x5',
  file('a.blif', writeBlif(network)),
  file('a.v', writeVerilog(network)),
  file('a.npy', writeNpy(table)),
  file('a.txt', writeTextTable(table)),
  file('a.txt.gz', gzipSync(writeTextTable(table))),
  file('noextension', writeBlif(network)),
];

test('a generator, BLIF, Verilog, .npy, text and packed text of one multiplier are equal pair by pair', async () => {
  for (const a of forms) {
    for (const b of forms) {
      const result = await verifyEquivalence(await loadMultiplier(a), await loadMultiplier(b));
      expect(result).toEqual({ equal: true, pairs: 2048, method: 'exhaustive' });
    }
  }
});

test('a difference is shown with its operands and both products', async () => {
  const result = await verifyEquivalence(await loadMultiplier('kulkarni:4x4'), await loadMultiplier('array:4x4'));
  expect(result).toEqual({ equal: false, counterexample: { w: 3, x: 3, a: 7, b: 9 } });
  const signed = await verifyEquivalence(await loadMultiplier('booth:4x4'), await loadMultiplier('array:4x4'));
  expect(signed).toEqual({ equal: false, counterexample: { w: 1, x: -8, a: -8, b: 8 } });
});

test('signed generators agree at 12×12 over all 16 777 216 pairs', async () => {
  const result = await verifyEquivalence(
    await loadMultiplier('booth:12x12'),
    await loadMultiplier('baugh-wooley:12x12'),
  );
  expect(result).toEqual({ equal: true, pairs: 2 ** 24, method: 'exhaustive' });
});

test('beyond enumeration a cheap difference is found by simulation, and adders are proved by algebra', async () => {
  const wallace = await loadMultiplier('wallace:16x16');
  const cut = await verifyEquivalence(wallace, await loadMultiplier('truncated:16x16:columns=4'));
  if (cut.equal) throw new Error('taken as equal');
  const { w, x, a, b } = cut.counterexample;
  expect(a).toBe(w * x);
  expect(b).toBeLessThan(a);
  const equal = await verifyEquivalence(wallace, await loadMultiplier('dadda:16x16'));
  expect(equal).toEqual({ equal: true, pairs: 2 ** 32, method: 'algebra' });
});

test('what algebra does not decide is the prover’s', async () => {
  const [mitchell, other] = [await loadMultiplier('mitchell:16x16'), await loadMultiplier('mitchell:16x16')];
  await expect(verifyEquivalence(mitchell, other)).rejects.toThrow('algebra does not decide: expected a prover (SAT)');
  const agrees: Prover = async () => null;
  expect(await verifyEquivalence(mitchell, other, { prover: agrees })).toEqual({
    equal: true,
    pairs: 2 ** 32,
    method: 'proof',
  });
  const wrong: Prover = async () => ({ w: 3, x: 5 });
  await expect(verifyEquivalence(mitchell, other, { prover: wrong })).rejects.toThrow('internal');
});

test('one product of a wide multiplier is that of its operands', () => {
  const wide = generateFromSpec('dadda:26x26').network;
  expect(productOf(wide, 67_108_863, 67_108_863, false)).toBe(67_108_863 ** 2);
  const signed = generateFromSpec('booth:25x20').network;
  expect(productOf(signed, 2 ** 25 - 3, 2 ** 20 - 7, true)).toBe(21);
});

test.each([
  [['dadda:4x4', 'dadda:4x5'], 'dadda:4x4 is a 4×4 multiplier and dadda:4x5 4×5: expected equal widths'],
  [['dadda:4x4', 'nowhere.blif'], 'cannot read nowhere.blif: no such file or folder; check the path (ENOENT)'],
  [['dadda:4x4', tmpdir()], 'it is a folder, a file was expected'],
  [['dadda:4x4', file('text', 'hello')], 'neither a netlist nor a table'],
  [['dadda:4x4', file('b.npy.gz', 'hello')], 'its gzip data are damaged'],
])('refuses %j', async (names, message) => {
  await expect(async () =>
    verifyEquivalence(await loadMultiplier(names[0]!), await loadMultiplier(names[1]!)),
  ).rejects.toThrow(message);
});

test('a signed product of fewer bits is extended by its sign', async () => {
  const [narrow, wide] = [3, 4].map((bits) => {
    const network = new Network('m');
    const [w0, w1, x0] = ['w[0]', 'w[1]', 'x[0]', 'x[1]'].map((name) => network.addInput(name));
    for (let bit = 0; bit < bits; bit++) network.addOutput(`p[${bit}]`, [w0!, x0!, w1!][Math.min(bit, 2)]!);
    return { kind: 'network', name: `${bits}`, network } as const;
  });
  expect(await verifyEquivalence(narrow!, wide!, { signed: true })).toMatchObject({ equal: true });
  expect(await verifyEquivalence(narrow!, wide!, { signed: false })).toMatchObject({ equal: false });
  // Signed where either says so.
  expect(await verifyEquivalence(narrow!, wide!)).toMatchObject({ equal: false });
  expect(await verifyEquivalence(narrow!, { ...wide!, signed: true })).toMatchObject({ equal: true });
  expect(await verifyEquivalence({ ...narrow!, signed: true }, wide!)).toMatchObject({ equal: true });
});

test('what a prover finds is shown with the weight as the weight', async () => {
  const plain = await loadMultiplier('mitchell:16x16');
  if (plain.kind !== 'network') throw new Error('a generator without a netlist');
  // The same, but for the lowest bit of one product.
  const [w, x] = [12_345, 54_321];
  const bits = (bus: string) => Array.from({ length: 16 }, (_, bit) => `${bus}[${bit}]`);
  const operands = [...bits('w'), ...bits('x')];
  const product = Array.from({ length: 32 }, (_, bit) => `p[${bit}]`);
  const pattern = [...operands.keys()].map((n) => ((n < 16 ? w : x) >> (n % 16)) & 1).join('');
  const names = plain.network.outputs.map(({ name }) => name);
  const pins = [
    ...operands.map((pin) => `${pin}=${pin}`),
    ...names.map((name, bit) => `${name}=${bit === 0 ? 'low' : product[bit]}`),
  ];
  const text = `.model top
.inputs ${operands.join(' ')}
.outputs ${product.join(' ')}
.subckt inner ${pins.join(' ')}
.names ${operands.join(' ')} hit
${pattern} 1
.names low hit p[0]
10 1
01 1
.end
${writeBlif(relabelled(plain.network, 'inner'))}`;
  const other = { kind: 'network', name: 'top', network: readBlif(text).network } as const;
  const found = await verifyEquivalence(plain, other, { prover: async () => ({ w, x }) });
  if (found.equal) throw new Error('taken as equal');
  expect(found.counterexample).toMatchObject({ w, x });
  expect(Math.abs(found.counterexample.a - found.counterexample.b)).toBe(1);
});
