// Phases of adders on small circuits as Yosys writes them, against the fewest inverters over all phases.

import { expect, test } from 'vitest';
import { findAdders } from '../../src/hardware/adders.ts';
import { readLiberty } from '../../src/hardware/liberty/read.ts';
import { dualAdders } from '../../src/hardware/polarity.ts';
import { unitGateLiberty } from '../../src/hardware/technology/unit-gate.ts';
import { invertingAdders } from './inverting.ts';

type Bit = number | string;
type Cells = Record<string, { type: string; connections: Record<string, Bit[]> }>;

const adderOf = (liberty: { name: string; text: string }) => findAdders(readLiberty(liberty).cells.values()).full!;
const inverting = adderOf(invertingAdders);
const plain = adderOf(unitGateLiberty);

const adder = (a: Bit, b: Bit, c: Bit, carry: Bit, sum: Bit) => ({
  type: '$fa',
  connections: { A: [a], B: [b], C: [c], X: [carry], Y: [sum] },
});
const and = (a: Bit, b: Bit, y: Bit) => ({ type: '$_AND_', connections: { A: [a], B: [b], Y: [y] } });

/** Rows of products, added by a carry-save array of adders: `columns` wide, `rows` deep. */
function carrySave(columns: number, rows: number): { cells: Cells; inputs: Bit[]; outputs: Bit[] } {
  const cells: Cells = {};
  let next = 2;
  const inputs = [next++, next++];
  const product = () => {
    cells[`p${next}`] = and(inputs[0]!, inputs[1]!, next);
    return next++;
  };
  let sums = Array.from({ length: columns }, product);
  let carries = Array.from({ length: columns }, product);
  for (let row = 0; row < rows; row++) {
    const [nextSums, nextCarries] = [[] as number[], [] as number[]];
    for (let column = 0; column < columns; column++) {
      const [carry, sum] = [next++, next++];
      cells[`fa${row}_${column}`] = adder(sums[column]!, carries[column]!, product(), carry, sum);
      nextSums.push(sum);
      nextCarries.push(carry);
    }
    [sums, carries] = [nextSums, [product(), ...nextCarries.slice(0, -1)]];
  }
  return { cells, inputs, outputs: [...sums, ...carries] };
}

function moduleText({ cells, inputs, outputs }: { cells: Cells; inputs: Bit[]; outputs: Bit[] }): string {
  const ports = { i: { direction: 'input', bits: inputs }, o: { direction: 'output', bits: outputs } };
  return JSON.stringify({ modules: { test: { ports, cells } } });
}

/** Counted net by net: what is there of each signal, and what is asked for. */
function inverters(circuit: ReturnType<typeof carrySave>, duals: ReadonlySet<string>, inverts: boolean): number {
  const there = new Map<Bit, boolean | 'either'>(circuit.inputs.map((bit) => [bit, true]));
  for (const [name, { type, connections }] of Object.entries(circuit.cells)) {
    if (type === '$_AND_') there.set(connections.Y![0]!, 'either');
    else for (const pin of ['X', 'Y']) there.set(connections[pin]![0]!, duals.has(name) === inverts);
  }
  const wanted: [Bit, boolean][] = circuit.outputs.map((bit) => [bit, true]);
  for (const [name, { type, connections }] of Object.entries(circuit.cells))
    if (type === '$fa') for (const pin of ['A', 'B', 'C']) wanted.push([connections[pin]![0]!, !duals.has(name)]);
  // The complement of an AND gate comes for an inverter less.
  return wanted.filter(([bit, plainly]) => (there.get(bit) === 'either' ? plainly : there.get(bit) !== plainly)).length;
}

test('of all phases those with the fewest inverters, in small carry-save arrays', () => {
  for (const [columns, rows] of [
    [1, 4],
    [2, 2],
    [3, 3],
    [4, 2],
  ] as const) {
    const circuit = carrySave(columns, rows);
    const names = Object.keys(circuit.cells).filter((name) => name.startsWith('fa'));
    const all = Array.from({ length: 2 ** names.length }, (_, set) =>
      inverters(circuit, new Set(names.filter((__, n) => (set >> n) & 1)), true),
    );
    const found = inverters(circuit, new Set(dualAdders(moduleText(circuit), inverting)), true);
    expect(found, `${columns}×${rows}`).toBe(Math.min(...all));
    expect(found).toBeLessThan(all[0]!);
  }
});

test('adders that give what they are asked for are all of one phase', () => {
  const circuit = carrySave(3, 3);
  const duals = new Set(dualAdders(moduleText(circuit), plain));
  expect([0, 9]).toContain(duals.size);
});

test('an adder of two bits has no dual', () => {
  const products = { p: and(2, 3, 8), q: and(3, 2, 9) };
  const cells = { ...products, half: adder(8, 9, '0', 4, 5), full: adder(5, 8, 9, 6, 7) };
  expect(dualAdders(moduleText({ cells, inputs: [2, 3], outputs: [4, 6, 7] }), inverting)).toEqual(['full']);
});
