// Power of a mapped netlist at a clock: one operand pair per cycle, drawn from the operands' histograms, simulated
// through the cells.
//   switching ½ · C · V² per transition of a net (pin capacitances and output load; nets of the primary inputs
//   included) internal the Liberty energies per transition of an output (shared among the inputs that moved with it)
//   and of an input by itself,
//              at the slews and loads of the timing analysis, summed over the supply rails
//   leakage    the Liberty values of the states, weighted with how often the cell is in them
// Glitches: zero-delay simulation counts one transition per cycle and net at most, as the reports of synthesis tools
// do. With `glitches` each net's count is multiplied by what an event-driven simulation with the cells' delays adds on
// the first vectors (glitches.ts).
// Invariant: deterministic for a seed.

import { invariant, requireWhole, UserError } from '../tensor/errors.ts';
import { drawByWeight, MOST_SEED, Random } from '../tensor/random.ts';
import { countTransitions } from './glitches.ts';
import { type BooleanExpression, evaluateExpression, type Words } from './liberty/expression.ts';
import type { Edge, Library, PowerArc } from './liberty/library.ts';
import type { Instance, MappedNetlist, Net, PortBits } from './mapped.ts';
import { simulateMapped } from './simulate.ts';
import type { Timing } from './timing.ts';

export interface PowerOptions {
  /** Cycles per second in millions; one operand pair each (default 100). */
  readonly clockMHz?: number;
  /**
   * Per input port, in order: a weight for every bit pattern of the port, 2^bits of them; absent or undefined: all
   * patterns equally likely.
   */
  readonly histograms?: readonly (ArrayLike<number> | undefined)[];
  /**
   * Transitions of each input bit per cycle, above 0 and up to 1, bits independent of each other; default: fresh
   * operands in every cycle, that is 0.5 for uniform ones. Synthesis tools assume 0.1 where nothing is known. Not
   * together with histograms.
   */
  readonly inputActivity?: number;
  /**
   * Per input port, in order: its pattern in every cycle, all equally many, a multiple of 32; ports of at most 32 bits.
   * In place of everything random.
   */
  readonly sequences?: readonly ArrayLike<number>[];
  /** Count the transitions before a net settles too (default false). */
  readonly glitches?: boolean;
  /** Operand pairs simulated, rounded up to a multiple of 32 (default 16384). */
  readonly vectors?: number;
  readonly seed?: number;
}

/** mW */
export interface Power {
  readonly internal: number;
  readonly switching: number;
  readonly leakage: number;
  readonly total: number;
}

const DEFAULT_VECTORS = 16_384;
const TIMED_VECTORS = 512;
const MAX_HISTOGRAM_BITS = 16;
/** Each net has a bit for each of them. */
const MOST_VECTORS = 2 ** 24;
const CLOCK_MHZ = 100;
/** The stream of the vectors among the random numbers of a seed. */
const VECTOR_STREAM = 101;

/** Throws a UserError for options that make no sense. */
export function checkPower({
  clockMHz: clock = CLOCK_MHZ,
  vectors = DEFAULT_VECTORS,
  seed = 1,
  inputActivity: activity,
  histograms,
}: PowerOptions): void {
  if (!(clock > 0 && clock < Infinity)) throw new UserError(`a clock of ${clock} MHz: expected a positive frequency`);
  requireWhole('the number of vectors', vectors, 1, MOST_VECTORS);
  requireWhole('the seed', seed, 0, MOST_SEED);
  if (activity !== undefined && !(activity > 0 && activity <= 1)) {
    throw new UserError(`an input activity of ${activity}: expected transitions per cycle above 0 and up to 1`);
  }
  if (activity !== undefined && histograms?.some((histogram) => histogram)) {
    throw new UserError('an input activity together with operand histograms: expected one of the two');
  }
}

/** Throws a UserError for options that make no sense, and for a library without a supply voltage. */
export function analysePower(
  library: Pick<Library, 'name' | 'voltage'>,
  timing: Timing,
  options: PowerOptions = {},
): Power {
  checkPower(options);
  const { clockMHz: clock = CLOCK_MHZ, vectors = DEFAULT_VECTORS } = options;
  const { voltage } = library;
  if (voltage === null) throw new UserError(`${library.name} gives no supply voltage: expected nom_voltage, for power`);
  const { netlist, load } = timing;
  const length = Math.ceil((options.sequences?.[0]?.length ?? vectors) / 32);
  const inputs = drawInputs(netlist, length, options);
  const values = simulateMapped(netlist, inputs, length);
  const moves = values.map(toggles);
  const cycles = length * 32 - 1;
  const settled = moves.map((words) => count(words) / cycles);
  const rates = options.glitches ? timedRates(timing, inputs, settled, length) : settled;
  const halfSquare = (voltage * voltage) / 2;
  let switching = 0;
  let internal = 0;
  let leakage = 0;
  rates.forEach((rate, net) => {
    switching += rate * load[net]! * halfSquare;
  });
  for (const instance of netlist.instances) {
    const view = new InstanceActivity(instance, values, moves, rates, length);
    internal += internalEnergy(view, timing);
    leakage += meanLeakage(view);
  }
  // fJ per cycle × MHz = nW; 1 mW = 10^6 nW
  const perCycle = clock / 1e6;
  const power = { internal: internal * perCycle, switching: switching * perCycle, leakage: leakage / 1e6 };
  return { ...power, total: power.internal + power.switching + power.leakage };
}

/**
 * Transitions of every net per cycle with glitches, from the first vectors: the settled rate times what timing adds to
 * it there.
 */
function timedRates(
  timing: Timing,
  inputs: ReadonlyMap<Net, Words>,
  settled: readonly number[],
  length: number,
): number[] {
  const vectors = Math.min(length * 32, TIMED_VECTORS);
  const timed = countTransitions(timing, inputs, vectors);
  const words = Math.ceil(vectors / 32);
  const start = new Map([...inputs].map(([net, all]) => [net, all.subarray(0, words)]));
  const sample = simulateMapped(timing.netlist, start, words).map((all) => count(toggles(all)));
  return settled.map((rate, net) =>
    sample[net]! > 0 ? (rate * timed[net]!) / sample[net]! : Math.max(rate, timed[net]! / (vectors - 1)),
  );
}

/** One word array for every net of a primary input. */
function drawInputs(netlist: MappedNetlist, length: number, options: PowerOptions): Map<Net, Words> {
  const { inputActivity: activity } = options;
  const values = new Map<Net, Words>();
  const inputs = netlist.ports.filter((port) => port.direction === 'input');
  if (options.sequences) return givenInputs(inputs, options.sequences, length);
  inputs.forEach((port, n) => {
    const random = new Random(options.seed ?? 1, VECTOR_STREAM, n);
    const histogram = options.histograms?.[n];
    const words = port.nets.map((net) => {
      const own = new Int32Array(length);
      values.set(net, own);
      return own;
    });
    if (activity !== undefined) {
      for (const own of words) fillWithActivity(own, activity, random);
      return;
    }
    if (!histogram) {
      for (const own of words) for (let word = 0; word < length; word++) own[word] = random.bits();
      return;
    }
    const draw = drawByWeight(patternWeights(port.name, port.nets.length, histogram));
    for (let vector = 0; vector < length * 32; vector++) {
      const pattern = draw(random.uniform());
      words.forEach((own, bit) => {
        own[vector >> 5]! |= ((pattern >> bit) & 1) << (vector & 31);
      });
    }
  });
  return values;
}

/** The bits of sequences of patterns. */
function givenInputs(
  inputs: readonly PortBits[],
  sequences: NonNullable<PowerOptions['sequences']>,
  length: number,
): Map<Net, Words> {
  const fits = sequences.every((one) => one.length === length * 32) && inputs.every(({ nets }) => nets.length <= 32);
  invariant(fits && sequences.length === inputs.length, `sequences for ${inputs.length} ports of ${length} words`);
  const values = new Map<Net, Words>();
  inputs.forEach(({ nets }, n) => {
    const patterns = sequences[n]!;
    nets.forEach((net, bit) => {
      const own = new Int32Array(length);
      for (let at = 0; at < patterns.length; at++) own[at >> 5]! |= ((patterns[at]! >> bit) & 1) << (at & 31);
      values.set(net, own);
    });
  });
  return values;
}

/** A bit that changes with the given probability from vector to vector. */
function fillWithActivity(words: Words, activity: number, random: Random): void {
  let bit = random.bits() & 1;
  for (let vector = 0; vector < words.length * 32; vector++) {
    if (random.bits() / 2 ** 32 < activity) bit ^= 1;
    words[vector >> 5]! |= bit << (vector & 31);
  }
}

/** The weights of a port's patterns, checked. */
function patternWeights(port: string, bits: number, histogram: ArrayLike<number>): ArrayLike<number> {
  if (bits > MAX_HISTOGRAM_BITS || histogram.length !== 2 ** bits) {
    throw new UserError(
      `a histogram of ${histogram.length} entries for the ${bits}-bit operand "${port}": expected ${2 ** bits}, one for each ` +
        `pattern, and at most ${MAX_HISTOGRAM_BITS} bits`,
    );
  }
  let total = 0;
  for (const weight of Array.from(histogram)) {
    if (!(weight >= 0)) throw new UserError(`a weight of ${weight} in the histogram of "${port}": expected 0 or more`);
    total += weight;
  }
  if (!(total > 0 && total < Number.POSITIVE_INFINITY)) {
    throw new UserError(`the histogram of "${port}" sums to ${total}: expected a positive finite sum`);
  }
  return histogram;
}

/** What happens at the pins of one instance over all cycles. */
class InstanceActivity {
  readonly instance: Instance;
  readonly length: number;
  readonly values = new Map<string, Words>();
  /** Where a pin moved. */
  readonly moves = new Map<string, Words>();
  /** Transitions of a pin per cycle over its settled transitions: 1 without glitches. */
  readonly excess = new Map<string, number>();

  constructor(
    instance: Instance,
    values: readonly Words[],
    moves: readonly Words[],
    rates: readonly number[],
    length: number,
  ) {
    this.instance = instance;
    this.length = length;
    const { cell, inputs, outputs } = instance;
    const nets = [...inputs, ...outputs];
    [...cell.inputs, ...cell.outputs].forEach(({ name }, n) => {
      const net = nets[n]!;
      this.values.set(name, values[net]!);
      this.moves.set(name, moves[net]!);
      const settled = count(moves[net]!);
      this.excess.set(name, settled > 0 ? (rates[net]! * this.cycles) / settled : 1);
    });
  }

  get cycles(): number {
    return this.length * 32 - 1;
  }

  where(condition: BooleanExpression | null): Words | null {
    return condition && evaluateExpression(condition, this.length, (pin) => this.values.get(pin)!);
  }

  /** The transitions of one direction. */
  edges(pin: string, edge: Edge): Words {
    const values = this.values.get(pin)!;
    const moved = this.moves.get(pin)!;
    return edge === 'rise' ? values.map((word, n) => word & moved[n]!) : values.map((word, n) => ~word & moved[n]!);
  }
}

/** fJ per cycle. */
function internalEnergy(view: InstanceActivity, timing: Timing): number {
  const { cell, inputs, outputs } = view.instance;
  let energy = 0;
  cell.inputs.forEach((pin, n) => {
    for (const arc of pin.power) {
      const condition = view.where(arc.when);
      for (const edge of ['rise', 'fall'] as const) {
        const table = arc.energy[edge];
        if (!table) continue;
        const slew = timing.slew[2 * inputs[n]! + (edge === 'rise' ? 0 : 1)]!;
        const times = count(view.edges(pin.name, edge), condition) * view.excess.get(pin.name)!;
        energy += times * table.at(slew, 0);
      }
    }
  });
  cell.outputs.forEach((pin, n) => {
    for (const edge of ['rise', 'fall'] as const) {
      const edges = view.edges(pin.name, edge);
      const times = count(edges) * view.excess.get(pin.name)!;
      if (times > 0) energy += times * meanEnergy(view, timing, pin.power, edge, edges, timing.load[outputs[n]!]!);
    }
  });
  return energy / view.cycles;
}

/**
 * fJ of one transition of an output: per rail the mean of its arcs, each weighted with how often its input moved (in
 * its state) together with the output.
 */
function meanEnergy(
  view: InstanceActivity,
  timing: Timing,
  arcs: readonly PowerArc[],
  edge: Edge,
  edges: Words,
  load: number,
): number {
  const { cell, inputs } = view.instance;
  const rails = new Map<string, { weight: number; weighted: number; plain: number; arcs: number }>();
  for (const arc of arcs) {
    const table = arc.energy[edge];
    if (!table) continue;
    const net = inputs[cell.inputs.findIndex((input) => input.name === arc.relatedPin)];
    const slew = net === undefined ? 0 : (timing.slew[2 * net]! + timing.slew[2 * net + 1]!) / 2;
    const fJ = table.at(slew, load);
    const moved = arc.relatedPin === null ? null : view.moves.get(arc.relatedPin)!;
    const weight = count(edges, view.where(arc.when), moved);
    const rail = rails.get(arc.rail) ?? { weight: 0, weighted: 0, plain: 0, arcs: 0 };
    rails.set(arc.rail, rail);
    rail.weight += weight;
    rail.weighted += weight * fJ;
    rail.plain += fJ;
    rail.arcs++;
  }
  let energy = 0;
  for (const rail of rails.values()) energy += rail.weight > 0 ? rail.weighted / rail.weight : rail.plain / rail.arcs;
  return energy;
}

/** nW */
function meanLeakage(view: InstanceActivity): number {
  const { cell } = view.instance;
  const vectors = view.length * 32;
  let named = 0;
  let nW = 0;
  for (const state of cell.leakage) {
    const hits = count(view.where(state.when)!);
    named += hits;
    nW += hits * state.nW;
  }
  return (nW + Math.max(0, vectors - named) * cell.defaultLeakage) / vectors;
}

/** Bit t is set where vector t differs from vector t − 1; bit 0 of the first word is never set. */
function toggles(words: Words): Words {
  const result = new Int32Array(words.length);
  let last = words[0]! & 1;
  for (let n = 0; n < words.length; n++) {
    const word = words[n]!;
    result[n] = word ^ ((word << 1) | last);
    last = word >>> 31;
  }
  return result;
}

/** Number of vectors at which all given words have a 1. */
function count(words: Words, second: Words | null = null, third: Words | null = null): number {
  let ones = 0;
  for (let n = 0; n < words.length; n++) {
    let word = words[n]!;
    if (second) word &= second[n]!;
    if (third) word &= third[n]!;
    word -= (word >>> 1) & 0x55555555;
    word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
    ones += Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  return ones;
}
