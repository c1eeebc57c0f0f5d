import { expect, test } from 'vitest';
import { errorMetrics } from '../../multiplier/metrics.ts';
import { exactTable, firstDifference, operandValues, type ProductTable } from '../../multiplier/table.ts';
import { Random } from '../../tensor/random.ts';
import { readBlif } from '../blif/read.ts';
import { writeBlif } from '../blif/write.ts';
import { usedSignals } from '../cleanup.ts';
import { isGate, type Network, type Signal } from '../network.ts';
import { exchangeNetworkOperands } from '../ports.ts';
import { simulate } from '../simulate.ts';
import { unitGateCost } from '../structure.ts';
import { readVerilog } from '../verilog/read.ts';
import { writeVerilog } from '../verilog/write.ts';
import { compressors } from './compressors.ts';
import { compactCost } from './heap.ts';
import { type GeneratedMultiplier, type GenerateOptions, generate, generateFromSpec, generators } from './registry.ts';

function tableOfFormula(one: GeneratedMultiplier, { weightBits, activationBits }: GenerateOptions): ProductTable {
  const { signed } = one;
  const table = exactTable(weightBits, activationBits, signed);
  const activations = operandValues(activationBits, signed);
  let pair = 0;
  for (const w of operandValues(weightBits, signed))
    for (const x of activations) table.data[pair++] = one.formula(w, x);
  return table;
}

/** Gates and outputs of annotated adders that no output of the network needs. */
function unusedGates(network: Network): Signal[] {
  const used = usedSignals(network);
  const cells = network.adders.flatMap(({ sum, carry }) => [sum, carry]).filter((signal) => signal !== null);
  const gates = [...network.nodes.keys()].filter((signal) => isGate(network.nodes[signal]!.kind));
  return [...gates, ...cells].filter((signal) => !used[signal]);
}

const kinds = Object.keys(generators);
const widths = [
  [2, 2],
  [3, 5],
  [5, 4],
  [8, 4],
  [7, 8],
  [8, 8],
] as const;

test.each(kinds)(
  '%s: the netlist equals the formula, and so do its BLIF and Verilog, for all pairs of six widths',
  (kind) => {
    const random = new Random(11);
    const [names, made] = [new Set<string>(), new Set<string>()];
    for (const [weightBits, activationBits] of widths) {
      const options: Record<string, number | string> = {};
      for (const parameter of generators[kind]!.parameters) {
        if (parameter.type === 'choice')
          options[parameter.name] = parameter.values[random.integer(parameter.values.length)]!;
        else {
          const span = parameter.maximum({ weightBits, activationBits }) - parameter.minimum;
          options[parameter.name] = parameter.minimum + random.integer(span + 1);
        }
      }
      for (const given of [{}, options]) {
        const all = { ...given, weightBits, activationBits };
        const one = generate(kind, all);
        const expected = tableOfFormula(one, all);
        const { signed } = one;
        const label = `${kind} ${JSON.stringify(all)}`;
        expect([label, firstDifference(simulate(one.network, { signed }), expected)]).toEqual([label, null]);
        for (const { network } of [readBlif(writeBlif(one.network)), readVerilog(writeVerilog(one.network))]) {
          expect(network.name).toBe(one.name);
          expect(firstDifference(simulate(network, { signed }), expected)).toBeNull();
        }
        expect(one.name).toMatch(/^[a-z][a-z0-9_]*$/);
        expect(unusedGates(one.network)).toEqual([]);
        names.add(one.name);
        if (generators[kind]!.exact) expect(errorMetrics(expected).errorRate).toBe(0);
        made.add(JSON.stringify({ weightBits, activationBits, ...one.parameters }));
      }
    }
    // Every set of parameters has a module name of its own.
    expect(names.size).toBe(made.size);
  },
);

test.each(['momeni', 'venkatachalam'])('the %s compressor in all columns equals its truth table', (compressor) => {
  const options = { weightBits: 6, activationBits: 6, columns: 11, compressor };
  const one = generate('compressor', options);
  expect(firstDifference(simulate(one.network), tableOfFormula(one, options))).toBeNull();
});

/** Each of the four inputs is a partial product of uniform operand bits: 1 with probability 1/4. */
test.each([
  ['momeni', { wrong: 4, probability: 100 / 256, errors: [-1, 1] }],
  ['venkatachalam', { wrong: 5, probability: 37 / 256, errors: [-1] }],
] as const)(
  'the %s compressor has the published error rate, over all inputs and over partial products',
  (name, published) => {
    let [wrong, probability] = [0, 0];
    const errors = new Set<number>();
    for (const [inputs, value] of compressors[name].table.entries()) {
      const ones = [0, 1, 2, 3].filter((bit) => (inputs >> bit) & 1).length;
      if (value === ones) continue;
      wrong++;
      probability += (1 / 4) ** ones * (3 / 4) ** (4 - ones);
      errors.add(value - ones);
    }
    expect({ wrong, probability, errors: [...errors].sort() }).toEqual(published);
  },
);

test('known figures: Kulkarni gives 7 for 3·3, DRUM is exact on short operands, Mitchell by at most 1/9', () => {
  expect(generate('kulkarni', { weightBits: 4, activationBits: 4 }).formula(15, 15)).toBe(7 * 25);
  const drum = generate('drum', { weightBits: 8, activationBits: 8, bits: 4 });
  expect(drum.formula(15, 15)).toBe(225);
  expect(drum.formula(255, 16)).toBe(240 * 18);
  const table = simulate(generate('mitchell', { weightBits: 8, activationBits: 8 }).network);
  table.data.forEach((product, pair) => {
    const exact = (pair >> 8) * (pair & 255);
    expect(product <= exact && product >= (exact * 8) / 9 - 1e-9).toBe(true);
  });
});

test('a constant for what truncation leaves out makes the mean error vanish', () => {
  const options = { weightBits: 8, activationBits: 8, columns: 7 };
  const plain = errorMetrics(simulate(generate('truncated', options).network));
  const compensated = errorMetrics(simulate(generate('truncated', { ...options, compensation: 'constant' }).network));
  expect(plain.meanError).toBeLessThan(-100);
  expect(Math.abs(compensated.meanError)).toBeLessThanOrEqual(0.5);
  expect(compensated.meanSquareError).toBeLessThan(plain.meanSquareError / 2);
});

test('the upper bits of operands are multiplied as the exact multiplier of as many bits does, with as many gates', () => {
  const options = { weightBits: 8, activationBits: 8, weights: 4, activations: 5 };
  const { network, formula } = generate('upper', options);
  expect(formula(0b1011_1111, 0b10101_111)).toBe(0b1011 * 0b10101 * 2 ** 7);
  expect(formula(15, 255)).toBe(0);
  const exact = generate('dadda', { weightBits: 4, activationBits: 5 }).network;
  expect(unitGateCost(network)).toBe(unitGateCost(exact));
  const compensated = errorMetrics(simulate(generate('upper', { ...options, compensation: 'constant' }).network));
  expect(errorMetrics(simulate(network)).meanError).toBeLessThan(-1000);
  expect(Math.abs(compensated.meanError)).toBeLessThanOrEqual(0.5);
});

test('a Dadda tree at 8×8 has 35 full and 7 half adders before its final adder, Booth half as many rows', () => {
  const { network } = generate('dadda', { weightBits: 8, activationBits: 8 });
  const last = Math.max(...network.adders.map(({ stage }) => stage));
  const tree = network.adders.filter(({ stage }) => stage < last);
  expect(tree.filter(({ kind }) => kind === 'full')).toHaveLength(35);
  expect(tree.filter(({ kind }) => kind === 'half')).toHaveLength(7);
});

test('a spec names kind, widths and parameters', () => {
  const one = generateFromSpec('truncated:8x4:columns=3,compensation=constant');
  const name = 'truncated_8x4_columns3_compensation_constant';
  expect(one).toMatchObject({ kind: 'truncated', name, signed: false });
  expect(one.parameters).toEqual({ columns: 3, compensation: 'constant' });
});

test.each([
  ['dada:8x8', 'unknown generator "dada" (did you mean "dadda"?): expected one of array, wallace, dadda'],
  ['toString:8x8', 'cannot read the generator'],
  ['exact:8x8', 'unknown generator "exact" (those that are exact: array, wallace, dadda, compact, '],
  ['constructor:8x8', 'unknown generator "constructor"'],
  ['dadda:8x8:columns=2', 'dadda has no parameter "columns": expected none'],
  ['truncated:8x8:colums=2', 'truncated has no parameter "colums" (did you mean "columns"?)'],
  ['truncated:8x8:columns=99', 'truncated: columns is "99": expected an integer from 0 to 15 at 8×8'],
  ['truncated:8x8:compensation=some', 'compensation is "some": expected one of none, constant'],
  ['dadda:8x99', 'a multiplier with 99 activation bits: expected an integer from 2 to 26'],
  ['dadda', 'cannot read the generator "dadda": expected kind:8x8'],
])('refuses %s', (spec, message) => {
  expect(() => generateFromSpec(spec)).toThrow(message);
});

test('a broken array lacks rows of the activation, and exchanged it lacks them of the weight', () => {
  const { network, formula } = generate('broken-array', { weightBits: 4, activationBits: 4, rows: 2, columns: 1 });
  expect([formula(15, 3), formula(3, 15), formula(15, 15)]).toEqual([0, 36, 180]);
  expect(network.partialProducts.map(({ j }) => j).every((j) => j >= 2)).toBe(true);
  const exchanged = exchangeNetworkOperands(network);
  expect(exchanged.partialProducts.map(({ i }) => i).every((i) => i >= 2)).toBe(true);
  expect(simulate(exchanged).data[3 * 16 + 15]).toBe(0);
});

test('the cost of a compact tree: full adders 7, half adders 3 also with a constant, in the top column the sums alone', () => {
  // Three bits: a full adder; its carry meets a bit in the top column: 2.
  expect(compactCost([3, 1], 0)).toBe(7 + 2);
  // Two bits and a constant 1: no more than a half adder.
  expect(compactCost([2, 1], 1)).toBe(3 + 2);
  expect(compactCost([2, 1], 0)).toBe(3 + 2);
});
