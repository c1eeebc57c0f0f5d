import { expect, test } from 'vitest';
import { Random } from '../tensor/random.ts';
import { compareByAlgebra } from './algebra.ts';
import { readBlif } from './blif/read.ts';
import { writeBlif } from './blif/write.ts';
import type { BitFunctions } from './compiled/network.ts';
import { generateFromSpec } from './generators/registry.ts';
import { Network, ONE, type Signal, ZERO } from './network.ts';
import { multiplierPorts } from './ports.ts';
import { readVerilog } from './verilog/read.ts';
import { writeVerilog } from './verilog/write.ts';

function functionsOf(network: Network): BitFunctions {
  const { weight, activation, product } = multiplierPorts(network);
  return { network, inputs: [...activation, ...weight], outputs: product };
}

const made = (spec: string) => functionsOf(generateFromSpec(spec).network);

test.each([
  ['array:16x16', 'wallace:16x16'],
  ['dadda:26x26', 'array:26x26'],
  ['booth:24x24', 'baugh-wooley:24x24'],
  ['dadda:13x20', 'wallace:13x20'],
])('%s and %s are equal', (a, b) => {
  expect(compareByAlgebra(made(a), made(b))).toBeNull();
});

test('adders of two-input gates, read back from BLIF and Verilog, are rewritten too', () => {
  const { network } = generateFromSpec('array:16x16');
  const blif = functionsOf(readBlif(writeBlif(network)).network);
  const verilog = functionsOf(readVerilog(writeVerilog(generateFromSpec('dadda:16x16').network)).network);
  expect(compareByAlgebra(blif, verilog)).toBeNull();
});

test('a difference in one pair of operands is found, whatever the pair', () => {
  const random = new Random(2);
  for (let trial = 0; trial < 10; trial++) {
    const { network } = generateFromSpec('dadda:14x14');
    const exact = functionsOf(network);
    // Every 0 of the pair doubles the number of monomials.
    const wanted = exact.inputs.map(() => (random.integer(5) === 0 ? 0 : 1));
    const literals = exact.inputs.map((input, n) => (wanted[n] ? input : network.addGate('not', input)));
    const hit = literals.reduce((a, b) => network.addGate('and', a, b));
    const outputs = exact.outputs.map((signal, k) => (k === 0 ? network.addGate('xor', signal, hit) : signal));
    expect(compareByAlgebra({ ...exact, outputs }, made('dadda:14x14'))).toEqual(wanted);
  }
});

test('agrees with the truth tables of 300 pairs of random networks', () => {
  const random = new Random(9);
  const kinds = ['not', 'and', 'or', 'xor', 'xor3', 'maj'] as const;
  const randomFunctions = (): BitFunctions => {
    const network = new Network('random');
    const inputs = ['a', 'b', 'c'].map((name) => network.addInput(name));
    const any = (): Signal => random.integer(network.nodes.length);
    for (let n = 0; n < 6; n++) {
      const kind = kinds[random.integer(kinds.length)]!;
      network.addGate(
        kind,
        ...Array.from({ length: kind === 'not' ? 1 : kind.length > 3 || kind === 'maj' ? 3 : 2 }, any),
      );
    }
    return { network, inputs, outputs: [network.nodes.length - 1, any()] };
  };
  const valuesOf = ({ network, inputs, outputs }: BitFunctions, bits: readonly number[]) => {
    const values: number[] = [];
    network.nodes.forEach(({ kind, fanins }, signal) => {
      const [a = 0, b = 0, c = 0] = fanins.map((fanin) => values[fanin]!);
      if (kind === 'constant') values.push(signal === ONE ? 1 : ZERO);
      else if (kind === 'input') values.push(bits[inputs.indexOf(signal)]!);
      else values.push({ not: 1 - a, and: a & b, or: a | b, xor: a ^ b, xor3: a ^ b ^ c, maj: +(a + b + c > 1) }[kind]);
    });
    return outputs.map((signal) => values[signal]!);
  };
  let equal = 0;
  for (let trial = 0; trial < 300; trial++) {
    const [one, other] = [randomFunctions(), randomFunctions()];
    const patterns = Array.from({ length: 8 }, (_, p) => [p & 1, (p >> 1) & 1, p >> 2]);
    const same = patterns.every((bits) => valuesOf(one, bits).join() === valuesOf(other, bits).join());
    const found = compareByAlgebra(one, other);
    if (same) expect(found).toBeNull();
    else expect(valuesOf(one, found!)).not.toEqual(valuesOf(other, found!));
    if (same) equal++;
  }
  expect(equal).toBeGreaterThan(0);
});
