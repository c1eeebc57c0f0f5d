// The gates of a .names cover: a sum of cubes, or its complement. Covers of up to three inputs that are an exclusive or
// or a majority (the sum and carry of adders) become that gate; every other cover becomes AND, OR and NOT gates, which
// clean-up simplifies.

import { type Network, ONE, type Signal, ZERO } from '../network.ts';

/** One character per input: 0, 1 or - (don't care). */
export type Cube = string;

const XOR: Readonly<Record<number, number>> = { 2: 0b0110, 3: 0b1001_0110 };
const MAJORITY = 0b1110_1000;

/** Returns the function that adds the cover's gates; `onSet` false means that the cubes list where the output is 0. */
export function coverBuilder(
  inputs: number,
  cubes: readonly Cube[],
  onSet: boolean,
): (network: Network, signals: readonly Signal[]) => Signal {
  return (network, signals) => {
    const invert = (signal: Signal) => network.addGate('not', signal);
    if (inputs === 2 || inputs === 3) {
      const rows = 2 ** inputs;
      const listed = truthTable(inputs, cubes);
      const known = onSet ? listed : 2 ** rows - 1 - listed;
      const parity = XOR[inputs]!;
      const kind = inputs === 2 ? 'xor' : 'xor3';
      if (known === parity) return network.addGate(kind, ...signals);
      if (known === 2 ** rows - 1 - parity) return invert(network.addGate(kind, ...signals));
      if (inputs === 3 && known === MAJORITY) return network.addGate('maj', ...signals);
    }
    const inverted = new Map<Signal, Signal>();
    const literal = (signal: Signal, value: string) => {
      if (value === '1') return signal;
      const known = inverted.get(signal) ?? invert(signal);
      inverted.set(signal, known);
      return known;
    };
    const terms = cubes.map((cube) => {
      const literals = signals.flatMap((signal, n) => (cube[n] === '-' ? [] : [literal(signal, cube[n]!)]));
      return literals.length === 0 ? ONE : literals.reduce((a, b) => network.addGate('and', a, b));
    });
    const sum = terms.length === 0 ? ZERO : terms.reduce((a, b) => network.addGate('or', a, b));
    return onSet ? sum : invert(sum);
  };
}

/** Bit r is set when a cube contains the row r; input n is bit n of r. */
function truthTable(inputs: number, cubes: readonly Cube[]): number {
  let table = 0;
  for (let row = 0; row < 2 ** inputs; row++) {
    const contains = (cube: Cube) => [...cube].every((value, n) => value === '-' || Number(value) === ((row >> n) & 1));
    if (cubes.some(contains)) table |= 1 << row;
  }
  return table >>> 0;
}
