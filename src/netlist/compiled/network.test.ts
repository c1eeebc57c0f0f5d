import { expect, test } from 'vitest';
import { Random } from '../../tensor/random.ts';
import { generateFromSpec, generators } from '../generators/registry.ts';
import { type GateKind, gateArity, Network, ZERO } from '../network.ts';
import { type MultiplierPorts, multiplierPorts } from '../ports.ts';
import { productOf, Simulator, simulate } from '../simulate.ts';
import { type BitFunctions, differingSample, firstDifferingPattern, PairProducts } from './network.ts';

const gateKinds = Object.keys(gateArity) as GateKind[];

/**
 * Random gates over inputs, constants and earlier gates, as they come: constant, repeated and unused ones among them.
 */
function randomNetwork(
  random: Random,
  [weightBits, activationBits]: readonly [number, number],
  gates: number,
): Network {
  const network = new Network('random');
  for (let bit = 0; bit < weightBits; bit++) network.addInput(`w[${bit}]`);
  for (let bit = 0; bit < activationBits; bit++) network.addInput(`x[${bit}]`);
  for (let n = 0; n < gates; n++) {
    const kind = gateKinds[random.integer(gateKinds.length)]!;
    network.addGate(kind, ...Array.from({ length: gateArity[kind] }, () => random.integer(network.nodes.length)));
  }
  const productBits = 1 + random.integer(weightBits + activationBits);
  for (let bit = 0; bit < productBits; bit++) network.addOutput(`y[${bit}]`, random.integer(network.nodes.length));
  return network;
}

test('200 random networks of 2×2 to 6×6 bits have the table that simulation gate by gate gives, unsigned and signed', () => {
  const random = new Random(3);
  for (let trial = 0; trial < 200; trial++) {
    const widths = [2 + random.integer(5), 2 + random.integer(5)] as const;
    const network = randomNetwork(random, widths, 1 + random.integer(120));
    for (const signed of [false, true]) {
      expect([trial, simulate(network, { signed })]).toEqual([trial, new Simulator(network).table(signed)]);
    }
  }
});

/** Random patterns of both operands, the largest ones first. */
function randomPairs(random: Random, { weight, activation }: MultiplierPorts, count: number): [Int32Array, Int32Array] {
  const draw = (bits: number) =>
    Int32Array.from({ length: count }, (_, n) => (n === 0 ? 2 ** bits - 1 : random.integer(2 ** bits)));
  return [draw(weight.length), draw(activation.length)];
}

test.each(Object.keys(generators))(
  '%s: products of given pairs at eight widths up to 26×26 are those of the gates',
  (kind) => {
    const random = new Random(5);
    for (const widths of ['2x2', '3x5', '8x8', '9x16', '13x13', '16x16', '17x16', '26x26']) {
      // Leading-one multipliers of 26 bits have tens of thousands of gates.
      const few = widths === '26x26' ? 3 : 40;
      const { network, signed } = generateFromSpec(`${kind}:${widths}`);
      const ports = multiplierPorts(network);
      const [ws, xs] = randomPairs(random, ports, few);
      const products = new Float64Array(few);
      new PairProducts(network, ports, signed).evaluate(ws, xs, products);
      expect([widths, ...products]).toEqual([
        widths,
        ...Array.from(ws, (w, n) => productOf(network, w, xs[n]!, signed)),
      ]);
    }
  },
);

test('a network of 60 000 gates, cut into many functions, gives the products of its gates', () => {
  const random = new Random(9);
  const network = randomNetwork(random, [9, 11], 60_000);
  const { data } = simulate(network);
  for (let n = 0; n < 40; n++) {
    const pair = random.integer(data.length);
    expect(data[pair]).toBe(productOf(network, pair >> 11, pair & 2047, false));
  }
});

const functions = (network: Network): BitFunctions => {
  const { weight, activation, product } = multiplierPorts(network);
  return { network, inputs: [...activation, ...weight], outputs: product };
};

/** The exact multiplier but for one pair, for which the lowest product bit is wrong. */
function wrongAt(w: number, x: number, bits: number): Network {
  const { network } = generateFromSpec(`dadda:${bits}x${bits}`);
  const { weight, activation } = multiplierPorts(network);
  const literals = [
    ...weight.map((signal, bit) => ((w >> bit) & 1 ? signal : network.addGate('not', signal))),
    ...activation.map((signal, bit) => ((x >> bit) & 1 ? signal : network.addGate('not', signal))),
  ];
  const here = literals.reduce((all, literal) => network.addGate('and', all, literal));
  const outputs = network.outputs.splice(0);
  for (const [bit, { name, signal }] of outputs.entries()) {
    network.addOutput(name, bit === 0 ? network.addGate('xor', signal, here) : signal);
  }
  return network;
}

test.each([
  [2, 1, 3],
  [2, 3, 3],
  [6, 0, 0],
  [6, 37, 22],
  [10, 1023, 1023],
  [10, 700, 129],
])('%i bits: the one pair %i, %i on which two multipliers differ is found', (bits, w, x) => {
  const [exact, wrong] = [functions(generateFromSpec(`array:${bits}x${bits}`).network), functions(wrongAt(w, x, bits))];
  const pattern = w * 2 ** bits + x;
  const inputs = Array.from({ length: 2 * bits }, (_, bit) => (pattern >> bit) & 1);
  expect(firstDifferingPattern(exact, wrong)).toEqual({ inputs, patterns: pattern + 1 });
  expect(firstDifferingPattern(wrong, wrong)).toBeNull();
});

test('random patterns find a difference of wide multipliers, and none where there is none', () => {
  const random = new Random(1);
  const [wallace, dadda, truncated] = ['wallace:20x20', 'dadda:20x20', 'truncated:20x20:columns=3'].map((spec) =>
    functions(generateFromSpec(spec).network),
  ) as [BitFunctions, BitFunctions, BitFunctions];
  expect(differingSample(wallace, dadda, 2 ** 16, () => random.bits())).toBeNull();
  const { inputs, patterns } = differingSample(dadda, truncated, 2 ** 16, () => random.bits())!;
  expect(patterns).toBeLessThan(100);
  const operand = (bits: readonly number[]) => bits.reduce((sum, bit, n) => sum + bit * 2 ** n, 0);
  const [x, w] = [operand(inputs.slice(0, 20)), operand(inputs.slice(20))];
  expect(productOf(truncated.network, w, x, false)).not.toBe(w * x);
});

test('outputs that are constants or inputs need no gates', () => {
  const network = new Network('wires');
  const bits = ['w[0]', 'w[1]', 'x[0]', 'x[1]'].map((name) => network.addInput(name));
  for (const [n, signal] of [bits[3]!, ZERO, 1, network.addGate('not', bits[0]!)].entries())
    network.addOutput(`y[${n}]`, signal);
  const { data } = simulate(network);
  expect([...data]).toEqual([...data.keys()].map((pair) => ((pair >> 1) & 1) + 4 + 8 * (1 - ((pair >> 2) & 1))));
});
