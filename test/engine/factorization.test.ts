// Factorisations of multipliers that exist: what the mapping searches emit, the generators' families, published tables.
// Each is evaluated here product by product and compared with the table it came from; the numbers of planes are part of
// the contract, because they are the cost.

import { describe, expect, test } from 'vitest';
import { errorByCodes } from '../../src/multiplier/error.ts';
import { type Factorization, factorize, isSigned } from '../../src/multiplier/factorization.ts';
import type { ProductTable } from '../../src/multiplier/table.ts';
import { readTextTable } from '../../src/netlist/formats/text.ts';
import { generateFromSpec } from '../../src/netlist/generators/registry.ts';
import { mapStructure } from '../../src/netlist/mapping/map.ts';
import { simulate } from '../../src/netlist/simulate.ts';
import { Random } from '../../src/tensor/random.ts';
import { describeWithReference, referenceText } from '../shared.ts';

const MOST = 64;

/** Whether a factorisation, written out from its definition, is the error table for every pair of codes. */
function isEqual({ planes, functions, constant }: Factorization, error: Int32Array, activationBits: number): boolean {
  const activations = 2 ** activationBits;
  const operands = planes.map(({ source, mask, at }) =>
    Array.from({ length: activations }, (_, x) => {
      if (source > 0) return functions[source - 1]![x]! * 2 ** (at ?? 0);
      const all = (x & mask) === mask;
      return at === undefined ? x & mask : all ? 2 ** at : 0;
    }),
  );
  return error.every((entry, pair) => {
    const w = Math.floor(pair / activations);
    const x = pair % activations;
    let product = constant[w]!;
    for (let p = 0; p < planes.length; p++) product += planes[p]!.weights[w]! * operands[p]![x]!;
    return product === w * x + entry;
  });
}

/** Factors and checks everything that is promised of a factorisation; returns how many planes and functions it has. */
function check(error: Int32Array, weightBits: number, activationBits: number): { planes: number; functions: number } {
  const found = factorize(error, { weightBits, activationBits }, MOST);
  if ('refused' in found) throw new Error(found.refused);
  expect(error).toHaveLength(2 ** (weightBits + activationBits));
  expect(isEqual(found, error, activationBits)).toBe(true);
  for (const eight of [...found.functions, ...found.planes.map(({ weights }) => weights)]) {
    const [low, high] = isSigned(eight) ? [-128, 127] : [0, 255];
    expect(Math.min(...eight)).toBeGreaterThanOrEqual(low);
    expect(Math.max(...eight)).toBeLessThanOrEqual(high);
  }
  for (const values of found.functions) expect(values[0]).toBe(0);
  for (const { at } of found.planes) expect(at ?? 0).toBeLessThan(8);
  return { planes: found.planes.length, functions: found.functions.length };
}

const checkTable = (table: ProductTable) => check(errorByCodes(table), table.weightBits, table.activationBits);
const generated = (spec: string): ProductTable => {
  const { network, signed } = generateFromSpec(spec);
  return simulate(network, { signed });
};

describe.each(['greedy', 'descent'] as const)('multipliers mapped by %s', (search) => {
  test('have at most 16 planes and no functions, for many structures and widths', () => {
    for (let seed = 0; seed < 8; seed++) {
      const random = new Random(seed, 99);
      const [weightBits, activationBits] = seed < 2 ? [8, 8] : [2 + random.integer(7), 2 + random.integer(7)];
      const columns = Math.min(8, weightBits + activationBits - 2);
      const theta = Array.from({ length: 1 + random.integer(columns) }, () => random.uniform());
      const { planes, functions } = checkTable(mapStructure({ weightBits, activationBits, theta, search }).table);
      expect(planes, `θ = ${theta}`).toBeLessThanOrEqual(16);
      expect(functions).toBe(0);
    }
  });
});

describe('families of multipliers', () => {
  test.each([
    ['dadda:8x8', 1, 0],
    ['booth:8x8', 1, 0],
    ['truncated:8x8:columns=6', 7, 0],
    ['truncated:5x8:columns=4', 5, 0],
    ['broken-array:8x8:rows=3,columns=6', 4, 0],
    ['lower-part-or:8x8:columns=5', 27, 0],
    ['kulkarni:8x8', 5, 0],
    ['compressor:8x8:columns=4', 10, 0],
    ['drum:8x8:bits=4', 1, 1],
    ['drum:4x8:bits=3', 1, 1],
    ['roba:8x8', 2, 1],
    ['roba:5x7', 2, 1],
  ])('%s has %i planes and %i functions', (spec, planes, functions) => {
    expect(checkTable(generated(spec))).toEqual({ planes, functions });
  });

  test.each(['mitchell:8x8', 'lower-part-or:8x8:columns=8'])('%s has none, and the reason is told', (spec) => {
    const { weightBits, activationBits, ...table } = generated(spec);
    const widths = { weightBits, activationBits };
    expect(factorize(errorByCodes({ ...table, ...widths }), widths, MOST)).toEqual({
      refused: 'its error has 247 products of bits and a rank above 8; 64 planes are the most',
    });
  });
});

describe('tables of any kind', () => {
  const widths: [number, number][] = [
    [8, 8],
    [4, 8],
    [8, 4],
    [3, 7],
    [2, 2],
  ];
  test.each(widths)('random sums of products of functions, w%ia%i', (weightBits, activationBits) => {
    for (const rank of [1, 2, 3]) {
      const random = new Random(rank, weightBits, activationBits);
      const values = (bits: number, below: number) =>
        Array.from({ length: 2 ** bits }, () => random.integer(below) - Math.floor(below / 3));
      const [u, v] = [rank, rank].map((count, side) =>
        Array.from({ length: count }, () => values(side === 0 ? weightBits : activationBits, 20)),
      ) as [number[][], number[][]];
      const error = Int32Array.from({ length: 2 ** (weightBits + activationBits) }, (_, pair) =>
        u.reduce((sum, of, r) => sum + of[pair >> activationBits]! * v[r]![pair & (2 ** activationBits - 1)]!, 0),
      );
      const { planes } = check(error, weightBits, activationBits);
      expect(planes).toBeLessThanOrEqual(Math.max(4 * rank + 1, 2 * activationBits));
    }
  });

  test('random sums of products of bits with coefficients of sixteen bits', () => {
    for (let seed = 0; seed < 4; seed++) {
      const random = new Random(seed, 5);
      const masks = Array.from({ length: 6 }, () => random.integer(256));
      const coefficients = masks.map(() => Int32Array.from({ length: 256 }, () => random.integer(20_000) - 12_000));
      const error = Int32Array.from({ length: 65536 }, (_, pair) =>
        masks.reduce((sum, mask, at) => sum + ((pair & mask) === mask ? coefficients[at]![pair >> 8]! : 0), 0),
      );
      check(error, 8, 8);
    }
  });

  test('a table without structure has none', () => {
    const random = new Random(1);
    const error = Int32Array.from({ length: 65536 }, () => random.integer(100));
    expect(factorize(error, { weightBits: 8, activationBits: 8 }, MOST)).toHaveProperty('refused');
  });

  test('a multiplier that always gives the same has no planes', () => {
    const error = Int32Array.from({ length: 4096 }, (_, pair) => 3 - (pair >> 6) * (pair & 63));
    expect(check(error, 6, 6)).toEqual({ planes: 0, functions: 0 });
  });

  test('few planes are a limit', () => {
    const error = errorByCodes(generated('truncated:8x8:columns=6'));
    expect(factorize(error, { weightBits: 8, activationBits: 8 }, 6)).toHaveProperty('refused');
  });
});

describeWithReference('published multipliers', () => {
  test.each([
    ['resnet18_w8a8_lbd0.3.lut.txt.gz', 7],
    ['OPACT1.txt.gz', 52],
    ['mul8s_1KV9.txt.gz', 4],
  ])('%s has %i planes', (file, planes) => {
    const table = readTextTable(referenceText(`multipliers/${file}`), file);
    expect(checkTable(table)).toEqual({ planes, functions: 0 });
  });
});

test('coefficients from −128 to 128 are too many for eight bits', () => {
  // Of x[0]·x[1] alone, by the weight; odd ones among them, so that no power of two is common.
  for (const [most, planes] of [
    [127, 2],
    [128, 3],
  ] as const) {
    const coefficients = [-128, most, 1, 0];
    const error = Int32Array.from({ length: 16 }, (_, pair) => ((pair & 3) === 3 ? coefficients[pair >> 2]! : 0));
    expect(check(error, 2, 2).planes).toBe(planes);
  }
});
