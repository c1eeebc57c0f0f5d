// A flip-flop where synthesis is combinational: what a D flip-flop of a library costs, told by its simplest gates. The
// cells with storage of a library are not read (liberty/library.ts), so registers are counted and each costs this.
// Invariant: all of it follows from the library's smallest NAND2 and inverter, so that a comparison of circuits with
// the same registers depends on it only as a common share; the rule is told beside every figure (`rule`).
// Source: D flip-flops of standard cell libraries: 4.5 to 6 NAND2 in area (ASAP7: DFFHQNx1 0.2916 µm², five of the
// smallest NAND2); Weste and Harris, "CMOS VLSI Design", 4th edition, section 10.4: overhead of a master-slave
// flip-flop, setup and clock to output together, three to five FO4 delays.

import { UserError } from '../tensor/errors.ts';
import { isInverter } from './abc-cells.ts';
import { truthTable } from './liberty/expression.ts';
import type { Cell, Library } from './liberty/library.ts';

export interface FlipFlop {
  /** µm² */
  readonly area: number;
  /** Setup and clock to output, ps: what a cycle has besides the logic between two registers. */
  readonly overheadPs: number;
  /** fJ of every cycle, whether its value changes or not, and of a change besides. */
  readonly clockEnergy: number;
  readonly changeEnergy: number;
  /** nW */
  readonly leakage: number;
}

const GATES = 5;
const FO4_DELAYS = 4;
/** Gate inputs that the clock moves up and down in a cycle, and that a change of the value moves once each. */
const CLOCKED_INPUTS = 6;
const CHANGED_INPUTS = 12;

/** How a flip-flop was counted, as a sentence. */
export const registerRule =
  `A flip-flop counts as ${GATES} of the smallest NAND2 in area and leakage, ${FO4_DELAYS} FO4 delays for setup and clock ` +
  `to output, and an energy of ${CLOCKED_INPUTS}·C·V² per cycle and ${CHANGED_INPUTS}·½·C·V² per change of its value, C the input ` +
  'capacitance of that NAND2; the tree of the clock is not counted.';

/** Throws a UserError for a library without NAND2, inverter or supply voltage. */
export function flipFlopOf(library: Library): FlipFlop {
  const { voltage } = library;
  const cells = [...library.cells.values()].filter((cell) => cell.timed && !cell.dontUse);
  const smallest = (fits: (cell: Cell) => boolean) =>
    cells
      .filter(fits)
      .reduce<Cell | undefined>((best, cell) => (best && best.area <= cell.area ? best : cell), undefined);
  const [nand, inverter] = [smallest(isNand), smallest(isInverter)];
  if (!nand || !inverter || voltage === null) {
    throw new UserError(
      `${library.name} has no NAND2, no inverter or no supply voltage: expected all three, for registers`,
    );
  }
  const energy = nand.inputs[0]!.capacitance * voltage * voltage;
  return {
    area: GATES * nand.area,
    overheadPs: FO4_DELAYS * fanoutOfFour(inverter),
    clockEnergy: CLOCKED_INPUTS * energy,
    changeEnergy: (CHANGED_INPUTS * energy) / 2,
    leakage: GATES * nand.defaultLeakage,
  };
}

function isNand(cell: Cell): boolean {
  const [output, ...others] = cell.outputs;
  const pins = cell.inputs.map(({ name }) => name);
  return (
    pins.length === 2 && output !== undefined && others.length === 0 && truthTable(output.function, pins) === 0b0111
  );
}

/** ps of an inverter that drives four of its kind, in a chain of such: its input has the slew of its output. */
function fanoutOfFour(inverter: Cell): number {
  const load = 4 * inverter.inputs[0]!.capacitance;
  const arc = inverter.outputs[0]!.timing[0]!;
  let slew = 10;
  for (let n = 0; n < 20; n++) slew = (arc.transition.rise.at(slew, load) + arc.transition.fall.at(slew, load)) / 2;
  return (arc.delay.rise.at(slew, load) + arc.delay.fall.at(slew, load)) / 2;
}
