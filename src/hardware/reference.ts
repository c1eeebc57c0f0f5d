// The circuit before mapping, as AND and NOT gates, and the comparison of a mapped netlist with it by simulation.
// Invariant: ports are matched by name and width; up to 2^16 input patterns all are compared, beyond that pseudo-random
// ones (a check against mistakes of the tools, no proof: equivalence.ts proves).

import { differingSample, firstDifferingPattern } from '../netlist/compiled/network.ts';
import { UserError } from '../tensor/errors.ts';
import { Random } from '../tensor/random.ts';
import { parseExpression } from './liberty/expression.ts';
import type { Cell, Library } from './liberty/library.ts';
import type { MappedNetlist } from './mapped.ts';
import { bitFunctions } from './network.ts';

export interface Comparison {
  readonly patterns: number;
  readonly exhaustive: boolean;
}

const EXHAUSTIVE_BITS = 16;
const RANDOM_PATTERNS = 2 ** 16;

/** Yosys' own gates after `aigmap`, as a library without areas. */
export const gateLibrary: Library = {
  name: 'gates',
  voltage: 1,
  skipped: [],
  notes: [],
  cells: new Map([gate('$_AND_', ['A', 'B'], 'A * B'), gate('$_NOT_', ['A'], '!A')].map((cell) => [cell.name, cell])),
};

function gate(name: string, pins: readonly string[], text: string): Cell {
  const parsed = parseExpression(text);
  if ('error' in parsed) throw new Error(`internal: ${parsed.error}`);
  const output = { name: 'Y', function: parsed, maxCapacitance: Number.POSITIVE_INFINITY, timing: [], power: [] };
  const inputs = pins.map((pin) => ({ name: pin, capacitance: 0, power: [] }));
  return { name, area: 0, dontUse: false, timed: false, inputs, outputs: [output], defaultLeakage: 0, leakage: [] };
}

/**
 * An input pattern on which two netlists of the same ports differ, as bits of the input ports in the order of `a`, or
 * null. All patterns are compared up to `exhaustiveBits` input bits.
 */
export function findDifference(
  a: MappedNetlist,
  b: MappedNetlist,
  exhaustiveBits = EXHAUSTIVE_BITS,
): Comparison & { readonly inputs: number[][] | null } {
  checkSamePorts(a, b);
  const [first, second] = [bitFunctions(a), bitFunctions(reordered(b, a))];
  const bits = first.inputs.length;
  const exhaustive = bits <= exhaustiveBits;
  const random = new Random(1, bits);
  const difference = exhaustive
    ? firstDifferingPattern(first, second)
    : differingSample(first, second, RANDOM_PATTERNS, () => random.bits());
  if (!difference) return { patterns: exhaustive ? 2 ** bits : RANDOM_PATTERNS, exhaustive, inputs: null };
  let position = 0;
  const inputPorts = a.ports.filter((port) => port.direction === 'input');
  const inputs = inputPorts.map(({ nets }) => nets.map(() => difference.inputs[position++]!));
  return { patterns: difference.patterns, exhaustive, inputs };
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

function checkSamePorts(a: MappedNetlist, b: MappedNetlist): void {
  const same = a.ports.every((port) => {
    const other = b.ports.find(({ name }) => name === port.name);
    return other?.direction === port.direction && other.nets.length === port.nets.length;
  });
  if (!same || a.ports.length !== b.ports.length) throw differentPorts(a, b);
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
