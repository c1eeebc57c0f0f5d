// Event-driven simulation of a mapped netlist with the delays of the timing analysis: how often each net really moves
// per cycle, hazards included. A cell's output changes one delay after the input that causes it; a change that is
// overtaken by the opposite one before it happens is suppressed (inertial delay), as real gates suppress pulses shorter
// than their delay.
// Invariant: after each vector every net has settled to its zero-delay value; deterministic.
// Not modelled: partial swings, delays that depend on the actual slew of a glitch.

import { truthTable, type Words } from './liberty/expression.ts';
import { inputNets, type MappedNetlist, type Net } from './mapped.ts';
import type { Timing } from './timing.ts';

interface Event {
  readonly time: number;
  readonly net: Net;
  readonly value: number;
}

interface TimedInstance {
  readonly inputs: readonly Net[];
  readonly outputs: readonly Net[];
  readonly tables: readonly number[];
  /** delays[output][input][edge]: 0 rise, 1 fall; ps. */
  readonly delays: readonly (readonly (readonly [number, number])[])[];
}

/**
 * Transitions of every net while the vectors 0 … count − 1 of `inputs` are applied, the first one as the starting
 * state.
 */
export function countTransitions(timing: Timing, inputs: ReadonlyMap<Net, Words>, count: number): Float64Array {
  const { netlist } = timing;
  const state = new Uint8Array(netlist.netCount);
  state[1] = 1;
  const transitions = new Float64Array(netlist.netCount);
  const instances = netlist.instances.map((_, n) => timedInstance(timing, n));
  const readers = readersOf(netlist);
  const pending: (Event | null)[] = new Array(netlist.netCount).fill(null);
  const queue = new EventQueue();
  const sources = inputNets(netlist);
  const bit = (net: Net, vector: number) => (inputs.get(net)![vector >> 5]! >>> (vector & 31)) & 1;

  for (const net of sources) state[net] = bit(net, 0);
  for (const one of instances) {
    one.outputs.forEach((net, output) => {
      state[net] = settled(one, output, state);
    });
  }
  for (let vector = 1; vector < count; vector++) {
    for (const net of sources) if (bit(net, vector) !== state[net]) move(net, bit(net, vector), 0);
    for (let event = queue.take(); event; event = queue.take()) {
      if (pending[event.net] !== event) continue; // withdrawn
      pending[event.net] = null;
      move(event.net, event.value, event.time);
    }
  }
  return transitions;

  function move(net: Net, value: number, time: number): void {
    state[net] = value;
    transitions[net]! += 1;
    for (const { instance, input } of readers[net]!) {
      const one = instances[instance]!;
      for (let output = 0; output < one.outputs.length; output++) {
        const target = one.outputs[output]!;
        const next = settled(one, output, state);
        const coming = pending[target];
        if (next === (coming ? coming.value : state[target])) continue;
        pending[target] = null;
        if (next === state[target]) continue;
        const event = { time: time + one.delays[output]![input]![next === 1 ? 0 : 1], net: target, value: next };
        pending[target] = event;
        queue.add(event);
      }
    }
  }
}

function settled({ inputs, tables }: TimedInstance, output: number, state: Uint8Array): number {
  let pattern = 0;
  for (let k = 0; k < inputs.length; k++) pattern |= state[inputs[k]!]! << k;
  return (tables[output]! >>> pattern) & 1;
}

function timedInstance(timing: Timing, index: number): TimedInstance {
  const { cell, inputs, outputs } = timing.netlist.instances[index]!;
  const pins = cell.inputs.map((pin) => pin.name);
  const delays = cell.outputs.map((_, output) => pins.map((_, input) => timing.pinDelays(index, input, output)));
  return { inputs, outputs, tables: cell.outputs.map((pin) => truthTable(pin.function, pins)), delays };
}

/** Per net the pins that read it; an instance that reads a net twice is listed once. */
function readersOf(netlist: MappedNetlist): { instance: number; input: number }[][] {
  const readers: { instance: number; input: number }[][] = Array.from({ length: netlist.netCount }, () => []);
  netlist.instances.forEach(({ inputs }, instance) => {
    inputs.forEach((net, input) => {
      if (inputs.indexOf(net) === input) readers[net]!.push({ instance, input });
    });
  });
  return readers;
}

/** A binary heap; events of one time come out in the order of their insertion or not, deterministically. */
class EventQueue {
  readonly #heap: Event[] = [];

  add(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.time <= event.time) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  take(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (heap.length === 0 || !last) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.time < heap[child]!.time) child++;
      if (last.time <= heap[child]!.time) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
