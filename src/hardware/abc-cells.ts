// The cells of a library as Yosys and ABC get them. Both want names that are plain identifiers, and ABC a buffer: cells
// with other names are called otherwise on the way there, and a library without a buffer lends them one that is taken
// out again.
// Invariant: every instance that comes back is of a cell of the library; the buffer is none of them.

import { renamedExpression, truthTable } from './liberty/expression.ts';
import { type Cell, hasPlainNames } from './liberty/library.ts';
import type { MappedNetlist } from './mapped.ts';

const BUFFER = 'tram_lent_buffer';
/** Times the area of the largest cell: nothing is mapped to it that need not be. */
const BUFFER_AREA = 10;

export interface AbcCells {
  /** With plain names; the lent buffer is one of them. */
  readonly cells: readonly Cell[];
  /** By their plain names, for reading what comes back. */
  readonly byName: ReadonlyMap<string, Cell>;
  /** Verilog that takes the lent buffer out again (a Yosys technology map); null where none was lent. */
  readonly withoutBuffer: string | null;
}

export function abcCells(library: readonly Cell[]): AbcCells & { restore(netlist: MappedNetlist): void } {
  const originals = new Map<string, Cell>();
  const cells = library.map((cell, n) => {
    const plain = hasPlainNames(cell) ? cell : renamed(cell, `tram_cell_${n}`);
    originals.set(plain.name, cell);
    return plain;
  });
  const inverter = cells.find(isInverter);
  const lent = inverter && !cells.some(isBuffer) ? [bufferLike(inverter, cells)] : [];
  return {
    cells: [...cells, ...lent],
    byName: new Map(cells.map((cell) => [cell.name, cell])),
    withoutBuffer: lent.length === 0 ? null : `module ${BUFFER} (input A, output Y); assign Y = A; endmodule\n`,
    /** Gives the instances of a netlist their cells' own names and pins. */
    restore: ({ instances }) => {
      for (const instance of instances) instance.cell = originals.get(instance.cell.name) ?? instance.cell;
    },
  };
}

export function isInverter(cell: Cell): boolean {
  return functionOfOne(cell) === 0b01;
}

function isBuffer(cell: Cell): boolean {
  return functionOfOne(cell) === 0b10;
}

/** With inverters it makes every function: a gate of two inputs that is 1 for one or three of their four values. */
export function isAndLike({ inputs, outputs }: Cell): boolean {
  if (inputs.length !== 2 || outputs.length !== 1) return false;
  const table = truthTable(
    outputs[0]!.function,
    inputs.map(({ name }) => name),
  );
  return [0b0001, 0b0010, 0b0100, 0b1000].some((one) => table === one || table === (one ^ 0b1111));
}

function functionOfOne({ inputs, outputs }: Cell): number | null {
  if (inputs.length !== 1 || outputs.length !== 1) return null;
  return truthTable(outputs[0]!.function, [inputs[0]!.name]);
}

function renamed(cell: Cell, name: string): Cell {
  const pins = new Map([
    ...cell.inputs.map((pin, n) => [pin.name, `i${n}`] as const),
    ...cell.outputs.map((pin, n) => [pin.name, `o${n}`] as const),
  ]);
  const rename = (pin: string) => pins.get(pin)!;
  return {
    ...cell,
    name,
    inputs: cell.inputs.map((pin) => ({ ...pin, name: rename(pin.name), power: [] })),
    outputs: cell.outputs.map((pin) => ({
      ...pin,
      name: rename(pin.name),
      function: renamedExpression(pin.function, rename),
      timing: pin.timing.map((arc) => ({ ...arc, relatedPin: rename(arc.relatedPin) })),
      power: [],
    })),
    leakage: [],
  };
}

/** As slow as the inverter, and too large to be wanted. */
function bufferLike(inverter: Cell, cells: readonly Cell[]): Cell {
  const [input, output] = [inverter.inputs[0]!, inverter.outputs[0]!];
  const area = BUFFER_AREA * cells.reduce((most, cell) => Math.max(most, cell.area), 1);
  return {
    ...inverter,
    name: BUFFER,
    area,
    inputs: [{ ...input, name: 'A' }],
    outputs: [
      {
        ...output,
        name: 'Y',
        function: { text: 'A', pins: ['A'], program: [{ kind: 'pin', pin: 'A' }] },
        timing: output.timing.map((arc) => ({ ...arc, relatedPin: 'A', sense: 'positive' })),
      },
    ],
  };
}
