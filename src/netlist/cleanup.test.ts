import { expect, test } from 'vitest';
import { exactTable, firstDifference } from '../multiplier/table.ts';
import { cleanUp, countGates, usedSignals } from './cleanup.ts';
import { arrayMultiplier } from './generators/array.ts';
import { type GateKind, gateArity, Network, ONE, ZERO } from './network.ts';
import { Simulator, simulate } from './simulate.ts';

/** Uniform integers below n from a fixed seed. */
function randomIntegers(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

const kinds = Object.keys(gateArity) as GateKind[];

/** A 4×4-bit network of random gates over inputs, constants and earlier gates. */
function randomNetwork(seed: number): Network {
  const random = randomIntegers(seed);
  const network = new Network('random');
  for (const bus of ['w', 'x']) for (let bit = 0; bit < 4; bit++) network.addInput(`${bus}[${bit}]`);
  for (let n = 0; n < 60; n++) {
    const kind = kinds[random(kinds.length)]!;
    const inputs = Array.from({ length: 3 }, () => random(network.nodes.length)) as [number, number, number];
    if (random(4) === 0) network.addAdder({ stage: 1, column: n }, inputs);
    else network.addGate(kind, ...inputs.slice(0, gateArity[kind]));
  }
  for (let bit = 0; bit < 8; bit++) network.addOutput(`y[${bit}]`, random(network.nodes.length));
  return network;
}

/** The checks that hold for every cleaned-up network. */
function expectClean(network: Network): void {
  const used = usedSignals(network);
  network.nodes.forEach((node, signal) => {
    if (node.kind !== 'constant' && node.kind !== 'input') {
      expect(used[signal]).toBe(1);
      expect(node.fanins).not.toContain(ZERO);
      expect(node.fanins).not.toContain(ONE);
    }
  });
  const gates = network.nodes.filter((node) => node.fanins.length > 0);
  expect(new Set(gates.map((node) => `${node.kind} ${node.fanins}`)).size).toBe(gates.length);
  for (const cell of network.adders) {
    const outputs = [cell.sum, cell.carry].filter((signal) => signal !== null);
    expect(outputs.length).toBeGreaterThan(0);
    for (const output of outputs) {
      expect(used[output]).toBe(1);
      const node = network.nodes[output]!;
      const gate = cell.plusOne && output === cell.sum ? network.nodes[node.fanins[0]!]! : node;
      expect(gate.fanins).toEqual(cell.inputs);
    }
  }
}

test('keeps the function of 100 random networks and leaves no unused, constant-fed or repeated gate', () => {
  for (let seed = 1; seed <= 100; seed++) {
    const network = randomNetwork(seed);
    const clean = cleanUp(network);
    expect(firstDifference(simulate(clean), simulate(network))).toBeNull();
    expectClean(clean);
  }
});

test('substitutions give the function that the simulator gives them', () => {
  const random = randomIntegers(7);
  for (let trial = 0; trial < 40; trial++) {
    const network = trial % 2 ? arrayMultiplier(4, 5) : randomNetwork(trial);
    const simulator = new Simulator(network);
    for (let n = 0; n < 5; n++) {
      const signal = 10 + random(network.nodes.length - 10);
      simulator.propose(signal, random(3) === 0 ? random(signal) : random(2));
      simulator.accept();
    }
    const clean = cleanUp(network, simulator.accepted);
    expect(firstDifference(simulate(clean), simulator.table())).toBeNull();
    expectClean(clean);
  }
});

test('a full adder that loses an input is a half adder, one that loses two is gone', () => {
  const network = arrayMultiplier(3, 3);
  const full = network.adders.find((adder) => adder.kind === 'full')!;
  const one = cleanUp(network, new Map([[full.inputs[0]!, ZERO]]));
  expect(one.adders.find((adder) => adder.id === full.id)).toMatchObject({
    kind: 'half',
    column: full.column,
    stage: 1,
  });
  const two = cleanUp(
    network,
    new Map([
      [full.inputs[0]!, ZERO],
      [full.inputs[1]!, ZERO],
    ]),
  );
  expect(two.adders.some((adder) => adder.id === full.id)).toBe(false);
});

test('keeps all 46 full adders of the exact multiplier and its product', () => {
  const clean = cleanUp(arrayMultiplier(8, 8));
  expect(clean.adders.filter((adder) => adder.kind === 'full')).toHaveLength(46);
  // 64 partial products and the carries of the 16 half adders below the top column, which has no carry out.
  expect(countGates(clean)).toEqual({ not: 0, and: 64 + 16, or: 0, xor: 18, xor3: 46, maj: 46 });
  expect(firstDifference(simulate(clean), exactTable(8, 8))).toBeNull();
});
