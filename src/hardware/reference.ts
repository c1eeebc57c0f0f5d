// The circuit before mapping, as AND and NOT gates, and the comparison of a mapped netlist with it by simulation.
// Invariant: ports are matched by name and width; up to 2^16 input patterns all are compared, beyond that pseudo-random ones (a check
// against mistakes of the tools, no proof: equivalence.ts proves).

import { UserError } from '../tensor/errors.ts';
import { Random } from '../tensor/random.ts';
import { parseExpression, type Words } from './liberty/expression.ts';
import type { Cell, Library } from './liberty/library.ts';
import type { MappedNetlist, Net } from './mapped.ts';
import { countingPattern, GateSimulator, outputWords, simulateMapped } from './simulate.ts';

export interface Comparison {
  readonly patterns: number;
  readonly exhaustive: boolean;
}

const EXHAUSTIVE_BITS = 16;
const RANDOM_WORDS = 2048;
const BLOCK_WORDS = 128;

/** Yosys' own gates after `aigmap`, as a library without areas. */
export const gateLibrary: Library = {
  name: 'gates',
  voltage: 1,
  skipped: [],
  cells: new Map([gate('$_AND_', ['A', 'B'], 'A * B'), gate('$_NOT_', ['A'], '!A')].map((cell) => [cell.name, cell])),
};

function gate(name: string, pins: readonly string[], text: string): Cell {
  const parsed = parseExpression(text);
  if ('error' in parsed) throw new Error(`internal: ${parsed.error}`);
  const output = { name: 'Y', function: parsed, maxCapacitance: Number.POSITIVE_INFINITY, timing: [], power: [] };
  const inputs = pins.map((pin) => ({ name: pin, capacitance: 0, power: [] }));
  return { name, area: 0, dontUse: false, inputs, outputs: [output], defaultLeakage: 0, leakage: [] };
}

/**
 * An input pattern on which two netlists of the same ports differ, as bits of the input ports in the order of `a`, or null. All
 * patterns are compared up to `exhaustiveBits` input bits.
 */
export function findDifference(
  a: MappedNetlist,
  b: MappedNetlist,
  exhaustiveBits = EXHAUSTIVE_BITS,
): Comparison & { readonly inputs: number[][] | null } {
  const ports = matchedPorts(a, b);
  const inputs = ports.filter((port) => port.direction === 'input');
  const bits = inputs.reduce((sum, port) => sum + port.a.length, 0);
  const exhaustive = bits <= exhaustiveBits;
  const words = exhaustive ? Math.max(1, 2 ** bits / 32) : RANDOM_WORDS;
  const random = new Random(1, bits);
  const outputsOfA = outputsOf(a);
  const outputsOfB = outputsOf(reordered(b, a));
  for (let firstWord = 0; firstWord < words; firstWord += BLOCK_WORDS) {
    const length = Math.min(BLOCK_WORDS, words - firstWord);
    const [inputsOfA, inputsOfB] = [new Map<Net, Words>(), new Map<Net, Words>()];
    let position = 0;
    for (const port of inputs) {
      port.a.forEach((net, bit) => {
        const values = exhaustive
          ? countingPattern(position, length, firstWord)
          : Int32Array.from({ length }, () => random.bits());
        inputsOfA.set(net, values);
        inputsOfB.set(port.b[bit]!, values);
        position++;
      });
    }
    const wanted = outputsOfA(inputsOfA, length);
    const actual = outputsOfB(inputsOfB, length);
    const differing = new Int32Array(length);
    wanted.forEach((values, k) => {
      const others = actual[k]!;
      for (let n = 0; n < length; n++) differing[n]! |= values[n]! ^ others[n]!;
    });
    for (let n = 0; n < length; n++) {
      const difference = differing[n]!;
      if (difference === 0) continue;
      const lane = 31 - Math.clz32(difference & -difference);
      const pattern = inputs.map((port) => port.a.map((net) => (inputsOfA.get(net)![n]! >>> lane) & 1));
      return { patterns: (firstWord + n) * 32 + lane + 1, exhaustive, inputs: pattern };
    }
  }
  return { patterns: exhaustive ? 2 ** bits : words * 32, exhaustive, inputs: null };
}

function outputsOf(netlist: MappedNetlist): (inputs: ReadonlyMap<Net, Words>, length: number) => Words[] {
  if (netlist.instances.every(({ cell }) => gateLibrary.cells.get(cell.name) === cell)) {
    const simulator = new GateSimulator(netlist, BLOCK_WORDS);
    return (inputs, length) => simulator.outputs(inputs, length);
  }
  return (inputs, length) => outputWords(netlist, simulateMapped(netlist, inputs, length));
}

/** Throws a UserError if a mapped netlist does not compute what its circuit does. */
export function compareMapped(reference: MappedNetlist, mapped: MappedNetlist): Comparison {
  const { patterns, exhaustive, inputs } = findDifference(reference, mapped);
  if (inputs) {
    const bits = inputs.map((port) => [...port].reverse().join(''));
    throw new UserError(
      `the mapped netlist of "${mapped.name}" differs from its circuit for the inputs ${bits.join(', ')}: expected equality; ` +
        'the Liberty functions may be wrong, or this version of Yosys is',
    );
  }
  return { patterns, exhaustive };
}

function matchedPorts(a: MappedNetlist, b: MappedNetlist) {
  if (a.ports.length !== b.ports.length) throw differentPorts(a, b);
  return a.ports.map((port) => {
    const other = b.ports.find(({ name }) => name === port.name);
    if (!other || other.direction !== port.direction || other.nets.length !== port.nets.length)
      throw differentPorts(a, b);
    return { name: port.name, direction: port.direction, a: port.nets, b: other.nets };
  });
}

function differentPorts(a: MappedNetlist, b: MappedNetlist): UserError {
  const list = ({ ports }: MappedNetlist) =>
    ports.map(({ name, direction, nets }) => `${direction} ${name}[${nets.length}]`).join(', ');
  return new UserError(`"${a.name}" has the ports ${list(a)} and "${b.name}" ${list(b)}: expected the same ports`);
}

/** The same netlist with its ports in the order of another's. */
function reordered(netlist: MappedNetlist, order: MappedNetlist): MappedNetlist {
  const ports = order.ports.map((port) => netlist.ports.find(({ name }) => name === port.name)!);
  return { ...netlist, ports };
}
