import { expect, test } from 'vitest';
import { exactTable, firstDifference, operandValue } from '../multiplier/table.ts';
import { arrayMultiplier } from './generators/array.ts';
import { type GateKind, gateArity, Network, ONE, type Signal, ZERO } from './network.ts';
import { groupBuses, splitPortName } from './ports.ts';
import { Simulator, simulate } from './simulate.ts';

const functions: Record<GateKind, (a: number, b: number, c: number) => number> = {
  not: (a) => 1 - a,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  xor3: (a, b, c) => a ^ b ^ c,
  maj: (a, b, c) => (a + b + c >= 2 ? 1 : 0),
};

test.each(Object.entries(functions))('%s has its truth table, with fewer than 32 pairs too', (kind, value) => {
  const network = new Network(kind);
  const bits = ['w0', 'w1', 'x0', 'x1'].map((name) => network.addInput(name)) as [Signal, Signal, Signal, Signal];
  network.addOutput('y', network.addGate(kind as GateKind, ...bits.slice(0, gateArity[kind as GateKind])));
  const { data } = simulate({ ...network, outputs: [{ name: 'y0', signal: network.outputs[0]!.signal }] } as Network);
  expect([...data]).toEqual([...data.keys()].map((pair) => value((pair >> 2) & 1, (pair >> 3) & 1, pair & 1)));
});

/** The slow way: one pair at a time, one node at a time. */
function productOf(network: Network, w: number, x: number, substitutions = new Map<Signal, Signal>()): number {
  const values: number[] = [];
  const { ports } = new Simulator(network);
  network.nodes.forEach((node, signal) => {
    const bit = ports.weight.indexOf(signal);
    const other = ports.activation.indexOf(signal);
    const [a, b, c] = node.fanins.map((fanin) => values[fanin]!);
    if (substitutions.has(signal)) values[signal] = values[substitutions.get(signal)!]!;
    else if (signal <= ONE) values[signal] = signal;
    else if (bit >= 0) values[signal] = (w >> bit) & 1;
    else if (other >= 0) values[signal] = (x >> other) & 1;
    else values[signal] = functions[node.kind as GateKind](a!, b!, c!);
  });
  return ports.product.reduce((sum, signal, bit) => sum + values[signal]! * 2 ** bit, 0);
}

test('incremental simulation agrees with evaluating each pair anew after every accepted and discarded change', () => {
  const network = arrayMultiplier(3, 4);
  const simulator = new Simulator(network);
  const substitutions = new Map<Signal, Signal>();
  network.adders.forEach((adder, n) => {
    const signal = n % 2 ? adder.sum! : adder.carry!;
    const replacement = n % 3 === 0 ? ONE : n % 3 === 1 ? ZERO : adder.inputs[0]!;
    const changes = simulator.propose(signal, replacement);
    for (const { before, after } of changes) expect(before).not.toEqual(after);
    if (n % 4 === 3) simulator.discard();
    else {
      simulator.accept();
      substitutions.set(signal, replacement);
    }
    const expected = Array.from({ length: 128 }, (_, pair) => productOf(network, pair >> 4, pair & 15, substitutions));
    expect([...simulator.table().data]).toEqual(expected);
  });
  expect(simulator.accepted).toEqual(substitutions);
});

test('a signed product is read as two’s complement', () => {
  const network = new Network('identity');
  const x = [0, 1].map((bit) => network.addInput(`x[${bit}]`));
  for (const bit of [0, 1]) network.addInput(`w[${bit}]`);
  x.forEach((signal, bit) => {
    network.addOutput(`y[${bit}]`, signal);
  });
  const { data } = simulate(network, { signed: true });
  expect([...data]).toEqual([0, 1, 2, 3].flatMap((pattern) => Array(4).fill(operandValue(pattern, 2, true))));
});

test('what is no multiplier is refused with the buses that were found', () => {
  const network = new Network('adder');
  for (const name of ['a[0]', 'a[1]', 'b[0]', 'b[1]', 'carry']) network.addInput(name);
  network.addOutput('y[0]', ZERO);
  expect(() => simulate(network)).toThrow(
    '"adder" is not a multiplier: its inputs form the buses a (2), b (2), carry (1) and its outputs y (1)',
  );
});

test('bits of a bus may be named in any usual way and come in any order', () => {
  expect(splitPortName('IN1[3]')).toEqual({ base: 'IN1', index: 3 });
  expect(splitPortName('A<12>')).toEqual({ base: 'A', index: 12 });
  expect(splitPortName('b_7')).toEqual({ base: 'b', index: 7 });
  expect(splitPortName('A7')).toEqual({ base: 'A', index: 7 });
  expect(splitPortName('carry')).toEqual({ base: 'carry', index: null });
  const ports = ['A[1]', 'B0', 'A[0]', 'B2'].map((name, signal) => ({ name, signal }));
  expect(groupBuses(ports).map((bus) => [bus.name, bus.ports.map((port) => port.name)])).toEqual([
    ['A', ['A[0]', 'A[1]']],
    ['B0', ['B0']],
    ['B2', ['B2']],
  ]);
});

test('tables differ first where their first different product is', () => {
  const table = exactTable(3, 2);
  const other = { ...table, data: table.data.slice() };
  expect(firstDifference(table, other)).toBeNull();
  other.data[5 * 4 + 3]!++;
  expect(firstDifference(table, other)).toEqual({ w: 5, x: 3 });
});
