// Static timing of a mapped netlist by non-linear delay model: rise and fall arrival times and slews for every net, the
// latest edge of the latest input first; conditions of arcs (`when`) are ignored, so the result is the worst case over
// all of them.
// Model: ideal wires; the load of a net is the sum of the pins that read it, plus the output load on a primary output;
// primary inputs arrive at 0 with the input slew. Both defaults suit a 7 nm library.
// Invariant: all values always belong to the cells that the netlist holds now; a change recomputes only what depends on
// it.
// Its fields are `private`, not `#private`: with those sizing takes 5 % longer.
// Source: Liberty User Guide, delay calculation; Sapatnekar, "Timing", chapter 5.

import { UserError } from '../tensor/errors.ts';
import type { Cell, TimingArc } from './liberty/library.ts';
import type { LookupTable } from './liberty/table.ts';
import { inputNets, type MappedNetlist, type Net, outputNets } from './mapped.ts';

export interface TimingOptions {
  /** Slew of the primary inputs, ps (default 10). */
  readonly inputSlewPs?: number;
  /** Load on each primary output, fF (default 1: about two gate inputs). */
  readonly outputLoadFf?: number;
}

export const DEFAULT_INPUT_SLEW_PS = 10;
export const DEFAULT_OUTPUT_LOAD_FF = 1;

/** One step of a path: the net reached, by which cell, when. */
export interface PathStep {
  readonly net: string;
  /** null at the primary input. */
  readonly instance: string | null;
  readonly cell: string | null;
  readonly edge: 'rise' | 'fall';
  readonly arrivalPs: number;
}

interface CompiledArc {
  /** The pin it starts from: inputs count from 0, outputs behind them. */
  readonly pin: number;
  readonly sense: TimingArc['sense'];
  /** By the edge of the output: 0 rise, 1 fall. */
  readonly delay: readonly LookupTable[];
  readonly transition: readonly LookupTable[];
}

interface CompiledCell {
  readonly arcs: readonly (readonly CompiledArc[])[];
}

interface Pin {
  readonly instance: number;
  input: number;
}

const EDGES = ['rise', 'fall'] as const;

const NAMED_CELLS = 5;

function checkTimed(cells: readonly Cell[]): void {
  const names = [...new Set(cells.filter((cell) => !cell.timed).map(({ name }) => name))];
  if (names.length === 0) return;
  const more = names.length > NAMED_CELLS ? ` and ${names.length - NAMED_CELLS} more` : '';
  throw new UserError(
    `cells without complete delay tables: ${names.slice(0, NAMED_CELLS).join(', ')}${more}: expected cell_rise, cell_fall, ` +
      'rise_transition and fall_transition from every input; a path through them has no delay',
  );
}

/** Throws a UserError for options that make no sense. */
export function checkTiming({ inputSlewPs = 0, outputLoadFf = 0 }: TimingOptions): void {
  for (const [what, value] of [
    [`a slew of ${inputSlewPs} ps at the inputs`, inputSlewPs],
    [`a load of ${outputLoadFf} fF on the outputs`, outputLoadFf],
  ] as const) {
    if (!(value >= 0 && value < Infinity)) throw new UserError(`${what}: expected a number of at least 0`);
  }
}

export class Timing {
  readonly netlist: MappedNetlist;
  /** fF per net. */
  readonly load: Float64Array;
  /** ps; entry 2·net is the rising, 2·net + 1 the falling edge. */
  readonly arrival: Float64Array;
  readonly slew: Float64Array;
  /** Where each edge comes from: 2·net + edge of the input, and the instance; -1 at primary inputs. */
  private readonly from: Int32Array;
  private readonly through: Int32Array;
  private readonly readers: Pin[][];
  private readonly driver: Int32Array;
  private readonly outputs: readonly Net[];
  private readonly isOutput: Uint8Array;
  private readonly outputLoad: number;
  private readonly dirty: Uint8Array;
  private readonly compiled = new Map<Cell, CompiledCell>();

  /** Throws a UserError that names cells without complete delay tables: a path through them has no delay. */
  constructor(netlist: MappedNetlist, options: TimingOptions = {}) {
    const { netCount, instances } = netlist;
    checkTimed(instances.map(({ cell }) => cell));
    this.netlist = netlist;
    checkTiming(options);
    const { inputSlewPs = DEFAULT_INPUT_SLEW_PS, outputLoadFf = DEFAULT_OUTPUT_LOAD_FF } = options;
    this.outputLoad = outputLoadFf;
    this.load = new Float64Array(netCount);
    this.arrival = new Float64Array(2 * netCount);
    this.slew = new Float64Array(2 * netCount);
    this.from = new Int32Array(2 * netCount).fill(-1);
    this.through = new Int32Array(2 * netCount).fill(-1);
    this.readers = Array.from({ length: netCount }, () => []);
    this.driver = new Int32Array(netCount).fill(-1);
    this.dirty = new Uint8Array(instances.length);
    this.outputs = outputNets(netlist).filter((net) => net > 1);
    this.isOutput = new Uint8Array(netCount);
    for (const net of this.outputs) this.isOutput[net]! += 1;
    for (const net of inputNets(netlist)) this.slew.fill(inputSlewPs, 2 * net, 2 * net + 2);
    instances.forEach((instance, n) => {
      instance.inputs.forEach((net, input) => {
        this.readers[net]!.push({ instance: n, input });
      });
      for (const net of instance.outputs) this.driver[net] = n;
    });
    for (let net = 0; net < netCount; net++) this.updateLoad(net);
    instances.forEach((_, n) => {
      this.updateInstance(n);
    });
  }

  /** The latest arrival at a primary output, ps; 0 when every output is constant or an input. */
  get delay(): number {
    let latest = 0;
    for (const net of this.outputs) latest = Math.max(latest, this.arrival[2 * net]!, this.arrival[2 * net + 1]!);
    return latest;
  }

  /** Puts another cell with the same pins in the place of an instance's cell. */
  exchange(index: number, cell: Cell): void {
    this.netlist.instances[index]!.cell = cell;
    this.update(index);
  }

  /** Exchanges the nets at two inputs of an instance; the caller knows that its functions are symmetric in them. */
  swapInputs(index: number, a: number, b: number): void {
    const { inputs } = this.netlist.instances[index]!;
    const [atA, atB] = [inputs[a]!, inputs[b]!];
    if (atA === atB) return;
    this.readers[atA]!.find((pin) => pin.instance === index && pin.input === a)!.input = b;
    this.readers[atB]!.find((pin) => pin.instance === index && pin.input === b)!.input = a;
    inputs[a] = atB;
    inputs[b] = atA;
    this.update(index);
  }

  /** By how much the primary outputs are later than a target, summed over them, ps. */
  lateness(targetPs: number): number {
    let sum = 0;
    for (const net of this.outputs) {
      sum += Math.max(0, Math.max(this.arrival[2 * net]!, this.arrival[2 * net + 1]!) - targetPs);
    }
    return sum;
  }

  /** Recomputes what depends on the pins of an instance. */
  private update(index: number): void {
    const instance = this.netlist.instances[index]!;
    let first = index;
    this.dirty[index] = 1;
    for (const net of instance.inputs) {
      this.updateLoad(net);
      const driver = this.driver[net]!;
      if (driver < 0) continue;
      this.dirty[driver] = 1;
      first = Math.min(first, driver);
    }
    for (let n = first; n < this.dirty.length; n++) {
      if (this.dirty[n] === 0) continue;
      this.dirty[n] = 0;
      this.updateInstance(n);
    }
  }

  /**
   * Delays of an instance from an input to an output, [rise, fall] of the output, at the slews and loads of this
   * analysis, ps.
   */
  pinDelays(index: number, input: number, output: number): [number, number] {
    const { inputs, outputs, cell } = this.netlist.instances[index]!;
    const [net, source] = [outputs[output]!, inputs[input]!];
    const slew = (this.slew[2 * source]! + this.slew[2 * source + 1]!) / 2;
    const paths = this.compile(cell).arcs[output]!;
    const direct = paths.filter(({ pin }) => pin === input);
    return [0, 1].map((edge) => {
      let delay = 0;
      for (const { delay: arcDelay } of direct) delay = Math.max(delay, arcDelay[edge]!.at(slew, this.load[net]!));
      for (const { pin, delay: arcDelay } of paths) {
        if (pin < inputs.length) continue; // by way of another output of the cell
        const middle = outputs[pin - inputs.length]!;
        const middleSlew = (this.slew[2 * middle]! + this.slew[2 * middle + 1]!) / 2;
        const first = Math.max(...this.pinDelays(index, input, pin - inputs.length));
        delay = Math.max(delay, first + arcDelay[edge]!.at(middleSlew, this.load[net]!));
      }
      return delay;
    }) as [number, number];
  }

  /** Indices of the instances on the critical path, from the inputs to the output. */
  criticalInstances(): number[] {
    return this.criticalEdges()
      .map((edge) => this.through[edge]!)
      .filter((instance) => instance >= 0);
  }

  criticalPath(): PathStep[] {
    const { instances, netNames } = this.netlist;
    return this.criticalEdges().map((edge) => {
      const instance = this.through[edge]! >= 0 ? instances[this.through[edge]!]! : null;
      return {
        net: netNames[edge >> 1]!,
        instance: instance?.name ?? null,
        cell: instance?.cell.name ?? null,
        edge: EDGES[edge & 1]!,
        arrivalPs: this.arrival[edge]!,
      };
    });
  }

  private criticalEdges(): number[] {
    let latest = -1;
    for (const net of this.outputs) {
      for (const edge of [2 * net, 2 * net + 1])
        if (latest < 0 || this.arrival[edge]! > this.arrival[latest]!) latest = edge;
    }
    const edges: number[] = [];
    for (let edge = latest; edge >= 0; edge = this.from[edge]!) edges.push(edge);
    return edges.reverse();
  }

  private updateLoad(net: Net): void {
    let load = this.isOutput[net]! * this.outputLoad;
    for (const { instance, input } of this.readers[net]!) {
      load += this.netlist.instances[instance]!.cell.inputs[input]!.capacitance;
    }
    this.load[net] = load;
  }

  /** Recomputes the outputs of an instance and marks the readers of those that changed. */
  private updateInstance(index: number): void {
    const { inputs, outputs, cell } = this.netlist.instances[index]!;
    const { arcs } = this.compile(cell);
    for (let output = 0; output < outputs.length; output++) {
      const net = outputs[output]!;
      const load = this.load[net]!;
      let differs = false;
      for (let edge = 0; edge < 2; edge++) {
        let latest = 0;
        let slew = 0;
        let from = -1;
        for (const { pin, sense, delay, transition } of arcs[output]!) {
          const source = pin < inputs.length ? inputs[pin]! : outputs[pin - inputs.length]!;
          if (source < 2) continue; // a constant never switches
          for (let cause = 0; cause < 2; cause++) {
            if (sense !== 'none' && (sense === 'positive') !== (cause === edge)) continue;
            const at = 2 * source + cause;
            const arrival = this.arrival[at]! + delay[edge]!.at(this.slew[at]!, load);
            if (from < 0 || arrival > latest) {
              latest = arrival;
              from = at;
            }
            slew = Math.max(slew, transition[edge]!.at(this.slew[at]!, load));
          }
        }
        const at = 2 * net + edge;
        differs ||= this.arrival[at] !== latest || this.slew[at] !== slew;
        this.arrival[at] = latest;
        this.slew[at] = slew;
        this.from[at] = from;
        this.through[at] = index;
      }
      if (differs) for (const reader of this.readers[net]!) this.dirty[reader.instance] = 1;
    }
  }

  private compile(cell: Cell): CompiledCell {
    const known = this.compiled.get(cell);
    if (known) return known;
    const pins = [...cell.inputs, ...cell.outputs].map((pin) => pin.name);
    const arcs = cell.outputs.map((output) =>
      output.timing.map((arc) => ({
        pin: pins.indexOf(arc.relatedPin),
        sense: arc.sense,
        delay: [arc.delay.rise, arc.delay.fall],
        transition: [arc.transition.rise, arc.transition.fall],
      })),
    );
    const compiled = { arcs };
    this.compiled.set(cell, compiled);
    return compiled;
  }
}
