// What a processing element and an array of them cost in the cells of a library, with a multiplier and with the exact
// one of the same widths: the saving that is left once adders and registers are counted.
// How: the logic between registers (multiplier, mask, adder) is synthesised as one circuit by the program's own flow
// and its power taken from what elements really meet (stimulus.ts); registers are counted, each with what a flip-flop
// of the library costs (hardware/registers.ts). An array is its elements and the registers that skew it; wires, the
// tree of the clock, accumulators, memories and requantisation are not in it.
// Invariant: both multipliers are synthesised with the same settings, widths and operands.

import { type LibertyText, readLiberties } from '../../hardware/liberty/read.ts';
import { type FlipFlop, flipFlopOf } from '../../hardware/registers.ts';
import { synthesizeOnce } from '../../hardware/synthesis-cache.ts';
import type { Synthesis } from '../../hardware/synthesize.ts';
import { unitGateLiberty, unitGateUnits } from '../../hardware/technology/unit-gate.ts';
import { libraryUnits, type Units } from '../../hardware/units.ts';
import { withYosys, type YosysChoice } from '../../hardware/yosys/choose.ts';
import type { Yosys } from '../../hardware/yosys/tool.ts';
import type { ProductTable } from '../../multiplier/table.ts';
import { cheapestExactFor } from '../../netlist/exact-cost.ts';
import { generate } from '../../netlist/generators/registry.ts';
import type { Network } from '../../netlist/network.ts';
import { simulate } from '../../netlist/simulate.ts';
import { given } from '../../tensor/given.ts';
import { userCacheFolder } from '../../tensor/user-cache.ts';
import type { ArraySize } from './interface.ts';
import { multiplierVerilog, productFormat } from './multiplier.ts';
import type { ElementActivity } from './stimulus.ts';

export interface FigureOptions {
  /** Liberty texts of one corner; default: the built-in gates. */
  readonly liberty?: readonly LibertyText[];
  /** Of the cycle, ps or FO4 delays: logic of an element together with what its flip-flops need. */
  readonly cycleTarget?: number;
  readonly clockMHz?: number;
  readonly effort?: 'quick' | 'best';
  readonly cache?: string | null;
  /** Default: the bundled one, for as long as it takes. */
  readonly yosys?: YosysChoice;
}

/** Area, cycle and power in the units of the library. */
export interface Cost {
  readonly area: number;
  /** The shortest cycle of the netlist that was kept; for a multiplier alone its delay. */
  readonly cycle: number;
  readonly power: number;
}

export interface ArrayCost extends Cost {
  readonly size: ArraySize;
  readonly registers: number;
}

export interface MultiplierFigures {
  readonly name: string;
  /** The multiplier alone. */
  readonly multiplier: Cost;
  /** Multiplier, mask and adder. */
  readonly logic: Cost;
  /** With its registers. */
  readonly element: Cost & { readonly registers: number };
  readonly arrays: readonly ArrayCost[];
  /** How the netlist of the logic was compared with its circuit. */
  readonly verified: Synthesis['verified'];
}

export interface Figures {
  readonly library: string;
  readonly units: Pick<Units, 'area' | 'delay' | 'power'>;
  readonly clockMHz: number;
  readonly cycleTarget: number;
  readonly sumBits: number;
  readonly flipFlop: FlipFlop;
  /** Changes of an element's registers per cycle and bit: of the activation with its tap bit, the sum, the weight. */
  readonly activity: { readonly across: number; readonly sum: number; readonly weight: number };
  readonly own: MultiplierFigures;
  readonly exact: MultiplierFigures;
  readonly notes: readonly string[];
}

export interface ElementDesign {
  readonly name: string;
  readonly table: ProductTable;
  /** Its gates; without any the products are looked up. */
  readonly netlist: Network | undefined;
}

export const DEFAULT_CYCLE = { ps: 1000, gates: 40 } as const;
const DEFAULT_CLOCK = 100;

/** Synthesises elements with the multiplier and with the exact one of its widths. Throws a UserError. */
export async function elementFigures(
  design: ElementDesign,
  sumBits: number,
  sizes: readonly ArraySize[],
  /** What elements meet, by the products of a table. */
  activityOf: (table: ProductTable) => ElementActivity,
  options: FigureOptions = {},
): Promise<Figures> {
  const library = readLiberties(options.liberty ?? [unitGateLiberty]);
  const units = options.liberty ? libraryUnits : unitGateUnits;
  const flipFlop = flipFlopOf(library);
  const flow = { units, flipFlop, sumBits, sizes, options };
  return withYosys(options.yosys ?? 'bundled', async (yosys) => {
    const activity = activityOf(design.table);
    const own = await figuresOf(yosys, design, activity, flow);
    let exact: MultiplierFigures | undefined;
    for (const one of exactDesigns(design.table)) {
      const figures = await figuresOf(yosys, one, activityOf(one.table), flow);
      if (!exact || figures.element.power < exact.element.power) exact = figures;
    }
    return {
      library: library.name,
      units: { area: units.area, delay: units.delay, power: units.power },
      clockMHz: options.clockMHz ?? DEFAULT_CLOCK,
      cycleTarget: cycleTarget(options),
      ...{ sumBits, flipFlop, activity: registerRates(design, activity, sumBits), own, exact: exact! },
      notes: library.notes,
    };
  });
}

const cycleTarget = ({ cycleTarget: target, liberty }: FigureOptions): number =>
  target ?? DEFAULT_CYCLE[liberty ? 'ps' : 'gates'];

/** Exact multipliers of these widths and signedness: the one of least gates, and a tree; the better one counts. */
function exactDesigns({ weightBits, activationBits, signed }: ProductTable): ElementDesign[] {
  const widths = { weightBits, activationBits };
  const kinds = new Set([cheapestExactFor(widths, signed).kind, signed ? 'baugh-wooley' : 'dadda']);
  return [...kinds].map((kind) => {
    const { network } = generate(kind, widths);
    return { name: kind, table: simulate(network, { signed }), netlist: network };
  });
}

interface Flow {
  readonly units: Units;
  readonly flipFlop: FlipFlop;
  readonly sumBits: number;
  readonly sizes: readonly ArraySize[];
  readonly options: FigureOptions;
}

async function figuresOf(
  yosys: Yosys,
  design: ElementDesign,
  activity: ElementActivity,
  { units, flipFlop, sumBits, sizes, options }: Flow,
): Promise<MultiplierFigures> {
  const { scale } = units;
  const overhead = flipFlop.overheadPs / scale.ps;
  const clock = options.clockMHz ?? DEFAULT_CLOCK;
  const settings = {
    ...({ yosys, objective: 'power' } as const),
    ...{ clockMHz: clock, effort: options.effort ?? 'best' },
    ...given({ liberty: options.liberty }),
  };
  const cache = options.cache === undefined ? userCacheFolder('synthesis') : options.cache;
  const { w, x, tap, above } = activity;
  const delayTarget = Math.max(1, cycleTarget(options) - overhead);
  const modules = {
    multiplier: 'multiplier',
    halfAdder: 'half_adder',
    fullAdder: 'full_adder',
    element: '',
    array: '',
  };
  const text = multiplierVerilog(modules, design.table, design.netlist);
  const alone = await synthesizeOnce(
    { ...settings, circuit: { verilog: text, top: 'multiplier' }, delayTarget, sequences: [w, x] },
    cache,
  );
  const logic = await synthesizeOnce(
    {
      ...{ ...settings, delayTarget, sequences: [w, x, tap, above] },
      circuit: { verilog: `${text}${logicVerilog(design, sumBits)}`, top: 'element_logic' },
    },
    cache,
  );
  const rates = registerRates(design, activity, sumBits);
  const { weightBits, activationBits } = design.table;
  /** mW of registers of which so many change per cycle. */
  const registerPower = (count: number, changes: number) =>
    ((count * flipFlop.clockEnergy + changes * flipFlop.changeEnergy) * clock + count * flipFlop.leakage) /
    1e6 /
    scale.mW;
  const registerArea = (count: number) => (count * flipFlop.area) / scale.um2;
  const acrossBits = activationBits + 1;
  const registers = weightBits + acrossBits + sumBits;
  const cycle = logic.delay + overhead;
  const changes = rates.weight * weightBits + rates.across * acrossBits + rates.sum * sumBits;
  const element = {
    area: logic.area + registerArea(registers),
    cycle,
    power: logic.power!.total + registerPower(registers, changes),
    registers,
  };
  const arrays = sizes.map((size) => {
    const { rows, columns } = size;
    const [inSkew, outSkew] = [((rows - 1) * rows) / 2, ((columns - 1) * columns) / 2];
    const skew = inSkew * acrossBits + outSkew * sumBits;
    const skewChanges = inSkew * acrossBits * rates.across + outSkew * sumBits * rates.sum;
    return {
      size,
      registers: rows * columns * registers + skew,
      area: rows * columns * element.area + registerArea(skew),
      cycle,
      power: rows * columns * element.power + registerPower(skew, skewChanges),
    };
  });
  const cost = ({ area, delay, power }: Synthesis): Cost => ({ area, cycle: delay, power: power!.total });
  return { name: design.name, multiplier: cost(alone), logic: cost(logic), element, arrays, verified: logic.verified };
}

/** The logic of an element between its registers. */
function logicVerilog({ table, netlist }: ElementDesign, sumBits: number): string {
  const { weightBits, activationBits } = table;
  const { bits, signed } = productFormat(table, netlist);
  const sign = signed ? `product[${bits - 1}]` : "1'b0";
  return `module element_logic (
  input [${weightBits - 1}:0] w, input [${activationBits - 1}:0] x, input tap,
  input [${sumBits - 1}:0] above, output [${sumBits - 1}:0] sum
);
  wire [${bits - 1}:0] product;
  multiplier multiply (.w(w), .x(x), .p(product));
  assign sum = above + ({{${sumBits - bits}{${sign}}}, product} & {${sumBits}{tap}});
endmodule
`;
}

/** Changes per cycle and bit of an element's registers. */
function registerRates(
  design: ElementDesign,
  { w, x, tap, above }: ElementActivity,
  sumBits: number,
): Figures['activity'] {
  const { weightBits, activationBits, data } = design.table;
  const rate = (bits: number, value: (cycle: number) => number) => {
    let changes = 0;
    for (let n = 1; n < w.length; n++) changes += ones((value(n) ^ value(n - 1)) & mask(bits));
    return changes / (w.length - 1) / bits;
  };
  const product = (n: number) => data[w[n]! * 2 ** activationBits + x[n]!]!;
  return {
    weight: rate(weightBits, (n) => w[n]!),
    across: rate(activationBits + 1, (n) => x[n]! | (tap[n]! << activationBits)),
    sum: rate(sumBits, (n) => above[n]! + (tap[n] === 1 ? product(n) : 0)),
  };
}

const mask = (bits: number): number => (bits >= 32 ? -1 : 2 ** bits - 1);

function ones(word: number): number {
  let count = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) count++;
  return count;
}
