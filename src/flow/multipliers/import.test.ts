// The operands of a multiplier made elsewhere: which is the weight decides what a layer computes, so the layer's output
// is held against sums written down from the rows of the file.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { Graph } from '../../engine/graph/graph.ts';
import { square } from '../../engine/graph/window.ts';
import { errorByCodes } from '../../multiplier/error.ts';
import { exactTable, type OperandOrder, type ProductTable } from '../../multiplier/table.ts';
import { writeBlif } from '../../netlist/blif/write.ts';
import { writeNpy } from '../../netlist/formats/npy.ts';
import { writeTextTable } from '../../netlist/formats/text.ts';
import { generateFromSpec } from '../../netlist/generators/registry.ts';
import { multiplierPorts } from '../../netlist/ports.ts';
import { productOf } from '../../netlist/simulate.ts';
import { Random } from '../../tensor/random.ts';
import { f32, tensor } from '../../tensor/tensor.ts';
import { importMultiplier, inOrder, possibleOrders, readSource } from '../../workbench/import.ts';
import { openBackend } from '../run/device.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-import-'));
afterAll(() => rmSync(folder, { recursive: true }));

/**
 * a · b, and 1 more where a[0] is 1 and b[1] is 0: not the same with a and b exchanged, and never negative, as an
 * unsigned .npy must be.
 */
function asymmetric(first: number, second: number, signed = false): ProductTable {
  const table = exactTable(first, second, signed);
  const data = table.data.map((product, pair) => {
    const [a, b] = [pair >> second, pair & (2 ** second - 1)];
    return product + (a & ~(b >> 1) & 1);
  });
  return { ...table, data };
}

function save(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const small = asymmetric(4, 4);
const saved = {
  text: save('t.lut.txt', writeTextTable(small)),
  npy: save('t.npy', writeNpy(small)),
};

const shape = { x: [2, 3, 4, 3], w: [2, 2, 3, 5] } as const;
const scales = { x: 0.125, xZero: 3 };

/** A 2×2 convolution on a device, with the error table as the flow makes it of the import. */
async function layerOutput(device: 'reference' | 'wasm', table: ProductTable, x: Uint8Array, w: Uint8Array) {
  const { weightBits, activationBits } = table;
  const graph = new Graph();
  const constants = [
    tensor('u8', shape.x, x),
    tensor('u8', shape.w, w),
    f32([], Float32Array.of(scales.x)),
    f32([], Float32Array.of(scales.xZero)),
    f32([5], Float32Array.of(0.5, 0.25, 1, 2, 0.75)),
    f32([5], Float32Array.of(1, 4, 7, 2, 5)),
    tensor('i32', [2 ** weightBits, 2 ** activationBits], errorByCodes(table)),
  ];
  const geometry = { ...square(), weightBits, activationBits };
  const [y] = graph.apply(
    'axmConv2d',
    constants.map((constant) => graph.constant(constant)),
    { ...geometry, error: { kind: 'table' } },
  );
  graph.output('y', y!);
  const session = await (await openBackend({ name: device })).openSession();
  try {
    const program = await session.compile(graph);
    await program.run();
    return Array.from(await program.read('y'));
  } finally {
    await session.dispose();
  }
}

/** s_x s_w (Σ product(x, w) − z_x Σ w − z_w Σ x + n z_x z_w), as the published program sums it over unfolded images. */
function layerByHand(product: (x: number, w: number) => number, x: Uint8Array, w: Uint8Array): number[] {
  const [images, height, width, inputs] = shape.x;
  const [kh, kw, , outputs] = shape.w;
  const [wScale, wZero] = [
    [0.5, 0.25, 1, 2, 0.75],
    [1, 4, 7, 2, 5],
  ];
  const found: number[] = [];
  for (let n = 0; n < images; n++)
    for (let oy = 0; oy + kh <= height; oy++)
      for (let ox = 0; ox + kw <= width; ox++)
        for (let o = 0; o < outputs; o++) {
          let sum = 0;
          for (let ky = 0; ky < kh; ky++)
            for (let kx = 0; kx < kw; kx++)
              for (let i = 0; i < inputs; i++) {
                const a = x[((n * height + oy + ky) * width + ox + kx) * inputs + i]!;
                const b = w[((ky * kw + kx) * inputs + i) * outputs + o]!;
                sum += product(a, b) - scales.xZero * b - wZero![o]! * a + scales.xZero * wZero![o]!;
              }
          found.push(scales.x * wScale![o]! * sum);
        }
  return found;
}

function codes(count: number, bits: number, stream: number): Uint8Array {
  const random = new Random(5, stream);
  return Uint8Array.from({ length: count }, () => random.integer(2 ** bits));
}

const size = (dimensions: readonly number[]) => dimensions.reduce((product, n) => product * n, 1);

/** The rows `a b product` of a text as a function of the two numbers. */
function rowsOf(text: string): (a: number, b: number) => number {
  const rows = text.slice(text.indexOf('LUT for')).split('\n').slice(1);
  const products = new Map(rows.map((row) => [row.replace(/ \S+$/, ''), Number(row.split(' ')[2])]));
  return (a, b) => products.get(`${a} ${b}`)!;
}

describe('a layer multiplies in the order that was asked for', () => {
  const x = codes(size(shape.x), 4, 1);
  const w = codes(size(shape.w), 4, 2);
  const rows = rowsOf(writeTextTable(small));
  const bits = { weights: 4, activations: 4 };

  test.each([
    ['text', undefined, 'activation-weight'],
    ['text', 'activation-weight', 'activation-weight'],
    ['text', 'weight-activation', 'weight-activation'],
    ['npy', undefined, 'weight-activation'],
    ['npy', 'activation-weight', 'activation-weight'],
    ['npy', 'weight-activation', 'weight-activation'],
  ] as const)('%s, order %s', async (form, asked, order) => {
    const imported = await importMultiplier(saved[form], bits, asked ? { operandOrder: asked } : {});
    expect(imported.operandOrder).toBe(order);
    const byHand = layerByHand(order === 'activation-weight' ? (a, b) => rows(a, b) : (a, b) => rows(b, a), x, w);
    const other = layerByHand(order === 'activation-weight' ? (a, b) => rows(b, a) : (a, b) => rows(a, b), x, w);
    expect(byHand).not.toEqual(other);
    for (const device of ['reference', 'wasm'] as const) {
      const found = await layerOutput(device, imported.table, x, w);
      found.forEach((value, at) => {
        expect(value).toBeCloseTo(byHand[at]!, 4);
      });
    }
  });
});

describe('the order', () => {
  const read = (first: number, second: number, usual: OperandOrder = 'weight-activation') => ({
    ...{ source: 'm.npy', network: null, table: asymmetric(first, second), usual, notes: [] },
  });

  test('is decided by the widths where only one fits, and that is said', () => {
    const imported = inOrder(read(4, 6), { weights: 6, activations: 4 });
    expect(imported.operandOrder).toBe('activation-weight');
    expect(imported.table).toMatchObject({ weightBits: 6, activationBits: 4 });
    expect(imported.notes).toEqual([
      'm.npy is taken in the order activation-weight, the only one in which its 4×6 bits fit',
    ]);
    expect(inOrder(read(4, 6), { weights: 4, activations: 6 }).notes).toEqual([]);
  });

  test('that does not fit is refused with the one that does', () => {
    expect(() => inOrder(read(4, 6), { weights: 6, activations: 4 }, 'weight-activation')).toThrow(
      /m\.npy multiplies 4×6 bits, which in the order weight-activation does not fit.*choose --operand-order activation-weight/,
    );
    expect(() => inOrder(read(4, 6), { weights: 8, activations: 8 })).toThrow(/multiplies 4×6 bits, .* have 8×8/);
  });

  test('is one where exchanging the operands changes nothing, else both', () => {
    const bits = { weights: 4, activations: 4 };
    expect(possibleOrders(read(4, 4, 'activation-weight'), bits)).toEqual(['activation-weight', 'weight-activation']);
    expect(possibleOrders({ ...read(4, 4), table: exactTable(4, 4) }, bits)).toEqual(['weight-activation']);
    expect(possibleOrders(read(4, 6), { weights: 6, activations: 4 })).toEqual(['activation-weight']);
  });

  test('that a text says itself is believed, and another one asked for counts the rows of the file', async () => {
    const text = writeTextTable(small, undefined, { operands: 'activation-weight' });
    const path = save('said.lut.txt', text);
    const bits = { weights: 4, activations: 4 };
    const rows = rowsOf(text);
    const at = (imported: { table: ProductTable }, w: number, x: number) => imported.table.data[w * 16 + x];
    const believed = await importMultiplier(path, bits);
    expect(believed.operandOrder).toBe('activation-weight');
    expect(at(believed, 1, 4)).toBe(rows(4, 1));
    const asked = await importMultiplier(path, bits, { operandOrder: 'weight-activation' });
    expect(at(asked, 1, 4)).toBe(rows(1, 4));
    expect(rows(4, 1)).not.toBe(rows(1, 4));
  });
});

test('of a netlist the order says which port is the weight, and the result has the weight first', async () => {
  const bits = { weights: 8, activations: 8 };
  const source = await readSource('broken-array:8x8:rows=3,columns=2');
  const [plain, turned] = (['weight-activation', 'activation-weight'] as const).map((order) =>
    inOrder(source, bits, order),
  );
  for (const [w, x] of [
    [3, 200],
    [201, 7],
    [255, 254],
  ] as const) {
    const product = productOf(source.network!, x, w, false);
    expect(turned!.table.data[w * 256 + x]).toBe(product);
    expect(productOf(turned!.network!, w, x, false)).toBe(product);
    expect(plain!.table.data[w * 256 + x]).toBe(productOf(source.network!, w, x, false));
  }
  // The ports of a generator say what they are, and still do.
  expect(turned!.network!.inputs[0]!.name).toBe('w[0]');
  expect(multiplierPorts(turned!.network!).weight).toEqual(multiplierPorts(source.network!).activation);
});

const published = join(import.meta.dirname, '../../../../shared/reference/multipliers');

describe.skipIf(!existsSync(published))('the published tables', () => {
  test.each([
    ['mul8u_0AB', 54_832],
    ['OPACT1', 3_636],
    ['mul8s_1KV9', 0],
  ])('%s differs on %i pairs with its operands exchanged, and its rows are activations', async (name, pairs) => {
    const path = join(published, `${name}.txt.gz`);
    const imported = await importMultiplier(path, { weights: 8, activations: 8 });
    expect(imported.operandOrder).toBe('activation-weight');
    const rows = rowsOf(gunzipSync(readFileSync(path)).toString());
    const value = (code: number) => (imported.table.signed && code >= 128 ? code - 256 : code);
    let [wrong, asymmetricPairs] = [0, 0];
    for (let w = 0; w < 256; w++) {
      for (let x = 0; x < 256; x++) {
        const product = imported.table.data[w * 256 + x];
        if (product !== rows(value(x), value(w))) wrong++;
        if (product !== rows(value(w), value(x))) asymmetricPairs++;
      }
    }
    expect({ wrong, asymmetricPairs, file: basename(path) }).toEqual({
      ...{ wrong: 0, asymmetricPairs: pairs, file: `${name}.txt.gz` },
    });
  });
});

test('a netlist that looks signed is told, as a table is', async () => {
  const file = save('signed.blif', writeBlif(generateFromSpec('baugh-wooley:4x4').network));
  const unsigned = await readSource(file);
  expect(unsigned.notes.join()).toMatch(/read as unsigned the mean error is .*is it a signed multiplier/);
  expect((await readSource(file, { signed: true })).notes).toEqual([]);
  expect((await readSource('drum:4x4:bits=2')).notes).toEqual([]);
});
