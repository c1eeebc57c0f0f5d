// The published exact multiplier (TRAM, section 3.2; its released netlist generator): an array of partial products
// reduced by full adders as in a Wallace tree, then by half adders that ripple through the columns. At 8×8 it has 46
// full and 18 half adders.
// Invariant: the order of creation is the published one, for the greedy mapping tries its candidates in that order.

import { checkNetlistBits } from '../../multiplier/widths.ts';
import { invariant } from '../../tensor/errors.ts';
import { Network, type Signal, ZERO } from '../network.ts';

/** Ports `w[i]`, `x[j]` and `y[k]`; bits from 2 to 26 each, y has weightBits + activationBits bits. */
export function arrayMultiplier(weightBits: number, activationBits: number): Network {
  checkNetlistBits(weightBits, activationBits);
  const network = new Network(`mult_${weightBits}x${activationBits}`);
  const w = Array.from({ length: weightBits }, (_, i) => network.addInput(`w[${i}]`));
  const x = Array.from({ length: activationBits }, (_, j) => network.addInput(`x[${j}]`));
  const productBits = weightBits + activationBits;
  const products = emptyColumns(productBits);
  for (let i = 0; i < weightBits; i++) {
    for (let j = 0; j < activationBits; j++) products[i + j]!.push(network.addPartialProduct(i, j, w[i]!, x[j]!));
  }
  const compressed = compress(network, products);
  ripple(network, compressed.columns, compressed.stages);
  compressed.columns.forEach((bits, k) => {
    invariant(bits.length <= 1, `column ${k} kept ${bits.length} bits`);
    network.addOutput(`y[${k}]`, bits[0] ?? ZERO);
  });
  return network;
}

/** The bits of every column, each of weight 2^column. */
type Columns = Signal[][];

function emptyColumns(count: number): Columns {
  return Array.from({ length: count }, () => []);
}

/** Full adders three by three, stage by stage, until no column holds more than two bits. */
function compress(network: Network, start: Columns): { columns: Columns; stages: number } {
  let columns = start;
  let stages = 0;
  while (columns.some((bits) => bits.length > 2)) {
    stages++;
    const carries = emptyColumns(columns.length + 1);
    const remaining = columns.map((bits, column) => {
      const sums: Signal[] = [];
      let next = 0;
      for (; next + 3 <= bits.length; next += 3) {
        const adder = network.addAdder({ stage: stages, column }, [bits[next]!, bits[next + 1]!, bits[next + 2]!]);
        sums.push(adder.sum);
        carries[column + 1]!.push(adder.carry);
      }
      return [...sums, ...bits.slice(next)];
    });
    columns = remaining.map((bits, column) => [...carries[column]!, ...bits]);
  }
  return { columns, stages };
}

/**
 * Passes over the columns, in place, until each holds at most one bit. The carry out of the top column is always 0 and
 * is dropped.
 */
function ripple(network: Network, columns: Columns, stagesBefore: number): void {
  for (let stage = stagesBefore + 1; columns.some((bits) => bits.length > 1); stage++) {
    const halfAdded = pass(network, columns, stage, 2);
    if (!halfAdded) pass(network, columns, stage, 3);
  }
}

/**
 * One adder of `inputs` inputs for every column that holds exactly two bits (half adders) or three and more (full
 * adders).
 */
function pass(network: Network, columns: Columns, stage: number, inputs: 2 | 3): boolean {
  let changed = false;
  columns.forEach((bits, column) => {
    if (inputs === 2 ? bits.length !== 2 : bits.length < 3) return;
    const [a, b, c] = bits.splice(0, inputs) as [Signal, Signal, Signal];
    const { sum, carry } = network.addAdder({ stage, column }, inputs === 2 ? [a, b] : [a, b, c]);
    bits.unshift(sum);
    columns[column + 1]?.push(carry);
    changed = true;
  });
  return changed;
}
