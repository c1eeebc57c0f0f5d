// A mapped netlist: instances of library cells and the nets between them, in topological order, as read from Yosys'
// JSON.
// Invariant: nets 0 and 1 are the constants; every other net is a primary input or the output of exactly one instance;
// an instance stands behind the drivers of all its inputs. The cell of an instance may be exchanged for one of the same
// pins and functions (sizing).

import { UserError } from '../tensor/errors.ts';
import type { Cell, Library } from './liberty/library.ts';

export type Net = number;

export interface Instance {
  readonly name: string;
  cell: Cell;
  /** In the order of the cell's input pins; symmetric ones may be exchanged (sizing). */
  readonly inputs: Net[];
  /** In the order of the cell's output pins; an open output has a net that nothing reads. */
  readonly outputs: readonly Net[];
}

export interface PortBits {
  readonly name: string;
  readonly direction: 'input' | 'output';
  /** Least significant bit first. */
  readonly nets: readonly Net[];
}

export interface MappedNetlist {
  readonly name: string;
  readonly ports: readonly PortBits[];
  readonly instances: Instance[];
  readonly netCount: number;
  /** A readable name per net. */
  readonly netNames: readonly string[];
}

interface JsonModule {
  readonly attributes?: Record<string, unknown>;
  readonly ports: Record<string, { direction: string; bits: (number | string)[] }>;
  readonly cells: Record<string, { type: string; connections: Record<string, (number | string)[]> }>;
  readonly netnames: Record<string, { bits: (number | string)[]; hide_name?: number }>;
}

/**
 * Reads the one module of Yosys' JSON. Throws a UserError naming cells that the library does not have (storage,
 * memories, loops).
 */
export function readMapped(json: string, library: Library): MappedNetlist {
  const { modules } = JSON.parse(json) as { modules: Record<string, JsonModule> };
  const [name, module] = Object.entries(modules)[0] ?? [];
  if (name === undefined || !module)
    throw new UserError('the synthesised design has no module: expected one top module');
  const nets = new Map<number | string, Net>([
    ['0', 0],
    ['1', 1],
    ['x', 0],
    ['z', 0],
  ]);
  const netOf = (bit: number | string): Net => {
    const known = nets.get(bit);
    if (known !== undefined) return known;
    const net = nets.size - 2;
    nets.set(bit, net);
    return net;
  };
  const ports = Object.entries(module.ports).map(([port, { direction, bits }]) => {
    if (direction !== 'input' && direction !== 'output') {
      throw new UserError(`port "${port}" of "${name}" is ${direction}: expected inputs and outputs only`);
    }
    return { name: port, direction, nets: bits.map(netOf) } as const;
  });
  const instances = Object.entries(module.cells).map(([instance, { type, connections }]): Instance => {
    const cell = library.cells.get(type);
    if (!cell) {
      throw new UserError(
        `"${name}" holds the element "${type}" that no library cell implements: expected a combinational circuit without ` +
          'storage, memories and three-state drivers',
      );
    }
    return {
      name: instance,
      cell,
      inputs: cell.inputs.map((pin) => netOf(connections[pin.name]?.[0] ?? 'x')),
      outputs: cell.outputs.map((pin) => {
        return netOf(connections[pin.name]?.[0] ?? `open ${instance} ${pin.name}`);
      }),
    };
  });
  const netCount = nets.size - 2;
  const netNames = Array.from({ length: netCount }, (_, net) => `net${net}`);
  for (const hidden of [1, 0]) {
    for (const [net, { bits, hide_name }] of Object.entries(module.netnames)) {
      if ((hide_name ?? 0) !== hidden) continue;
      bits.forEach((bit, n) => {
        const index = nets.get(bit);
        if (index !== undefined && index > 1) netNames[index] = bits.length > 1 ? `${net}[${n}]` : net;
      });
    }
  }
  return { name, ports, instances: inOrder(name, ports, instances, netCount), netCount, netNames };
}

function inOrder(
  name: string,
  ports: readonly PortBits[],
  instances: readonly Instance[],
  netCount: number,
): Instance[] {
  const readers: Instance[][] = Array.from({ length: netCount }, () => []);
  const waiting = new Map<Instance, number>();
  const driven = new Uint8Array(netCount);
  const drive = (net: Net) => {
    if (driven[net] === 1) throw new UserError(`a net of "${name}" is driven twice: expected one driver for each net`);
    driven[net] = 1;
  };
  for (const port of ports) if (port.direction === 'input') port.nets.forEach(drive);
  driven[0] = 1;
  driven[1] = 1;
  const ready: Instance[] = [];
  for (const instance of instances) {
    const sources = new Set(instance.inputs);
    let open = 0;
    for (const net of sources) {
      if (driven[net] === 1) continue;
      readers[net]!.push(instance);
      open++;
    }
    waiting.set(instance, open);
    if (open === 0) ready.push(instance);
  }
  for (let next = 0; next < ready.length; next++) {
    for (const net of ready[next]!.outputs) {
      drive(net);
      for (const reader of readers[net]!) {
        const open = waiting.get(reader)! - 1;
        waiting.set(reader, open);
        if (open === 0) ready.push(reader);
      }
    }
  }
  if (ready.length < instances.length) {
    throw new UserError(`"${name}" has a combinational loop or an undriven net: expected a circuit without loops`);
  }
  return ready;
}

/** Nets of the input ports, in order. */
export function inputNets(netlist: MappedNetlist): Net[] {
  return netlist.ports.flatMap((port) => (port.direction === 'input' ? port.nets : []));
}

/** Nets of the output ports, in order. */
export function outputNets(netlist: MappedNetlist): Net[] {
  return netlist.ports.flatMap((port) => (port.direction === 'output' ? port.nets : []));
}

/** µm² */
export function totalArea(netlist: MappedNetlist): number {
  return netlist.instances.reduce((area, { cell }) => area + cell.area, 0);
}

/** Instances per cell, by name. */
export function cellCounts(netlist: MappedNetlist): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { cell } of netlist.instances) counts[cell.name] = (counts[cell.name] ?? 0) + 1;
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}
