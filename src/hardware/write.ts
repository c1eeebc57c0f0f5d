// A mapped netlist as structural Verilog (instances of library cells) and as BLIF (.gate lines). Ports keep their
// names; nets are n<k>, instances g<k>.
// Invariant: both texts describe the same netlist; names that are no plain identifiers are escaped (Verilog) or refused
// (BLIF).

import { UserError } from '../tensor/errors.ts';
import type { MappedNetlist, Net, PortBits } from './mapped.ts';

export function writeMappedVerilog(netlist: MappedNetlist): string {
  const names = portNetNames(
    netlist,
    (port, bit) => `${identifier(port.name)}${port.nets.length > 1 ? `[${bit}]` : ''}`,
  );
  const declared = netlist.ports.map(
    ({ name, direction, nets }) =>
      `${direction} ${nets.length > 1 ? `[${nets.length - 1}:0] ` : ''}${identifier(name)}`,
  );
  const lines = [`module ${identifier(netlist.name)} (${declared.join(', ')});`];
  const wires = internalNets(netlist, names);
  for (let n = 0; n < wires.length; n += 12) lines.push(`  wire ${wires.slice(n, n + 12).join(', ')};`);
  netlist.instances.forEach(({ cell, inputs, outputs }, n) => {
    const pins = [
      ...cell.inputs.map((pin, k) => `.${identifier(pin.name)}(${names.get(inputs[k]!)})`),
      ...cell.outputs.map((pin, k) => `.${identifier(pin.name)}(${names.get(outputs[k]!)})`),
    ];
    lines.push(`  ${identifier(cell.name)} g${n} (${pins.join(', ')});`);
  });
  for (const { port, bit, source } of aliases(netlist, names)) {
    const target = `${identifier(port.name)}${port.nets.length > 1 ? `[${bit}]` : ''}`;
    lines.push(`  assign ${target} = ${source};`);
  }
  return `${lines.join('\n')}\nendmodule\n`;
}

export function writeMappedBlif(netlist: MappedNetlist): string {
  const bitName = (port: PortBits, bit: number) => (port.nets.length > 1 ? `${port.name}[${bit}]` : port.name);
  const names = portNetNames(netlist, bitName);
  const bits = (direction: 'input' | 'output') =>
    netlist.ports.flatMap((port) =>
      port.direction === direction ? port.nets.map((_, bit) => bitName(port, bit)) : [],
    );
  const foreign = [netlist.name, ...bits('input'), ...bits('output')].find(
    (name) => !/^[^\s#\\=.][^\s#\\=]*$/.test(name),
  );
  if (foreign !== undefined) {
    throw new UserError(`the name "${foreign}" cannot be written as BLIF: expected one without spaces, #, = and \\`);
  }
  names.set(0, 'constant0').set(1, 'constant1');
  const lines = [
    `.model ${netlist.name}`,
    `.inputs ${bits('input').join(' ')}`,
    `.outputs ${bits('output').join(' ')}`,
  ];
  lines.push('.names constant0', '.names constant1', '1');
  internalNets(netlist, names);
  for (const { cell, inputs, outputs } of netlist.instances) {
    const pins = [
      ...cell.inputs.map((pin, k) => `${pin.name}=${names.get(inputs[k]!)}`),
      ...cell.outputs.map((pin, k) => `${pin.name}=${names.get(outputs[k]!)}`),
    ];
    lines.push(`.gate ${cell.name} ${pins.join(' ')}`);
  }
  for (const { port, bit, source } of aliases(netlist, names))
    lines.push(`.names ${source} ${bitName(port, bit)}`, '1 1');
  return `${lines.join('\n')}\n.end\n`;
}

/** Names of the constants, of the input bits and of the output bits that are a net of their own. */
function portNetNames(netlist: MappedNetlist, bitName: (port: PortBits, bit: number) => string): Map<Net, string> {
  const names = new Map<Net, string>([
    [0, "1'b0"],
    [1, "1'b1"],
  ]);
  for (const direction of ['input', 'output'] as const) {
    for (const port of netlist.ports) {
      if (port.direction !== direction) continue;
      port.nets.forEach((net, bit) => {
        if (!names.has(net)) names.set(net, bitName(port, bit));
      });
    }
  }
  return names;
}

/** Gives every other net a name that no port has; returns those names. */
function internalNets(netlist: MappedNetlist, names: Map<Net, string>): string[] {
  const taken = new Set(netlist.ports.map((port) => port.name));
  const wires: string[] = [];
  for (const { outputs } of netlist.instances) {
    for (const net of outputs) {
      if (names.has(net)) continue;
      let name = `n${net}`;
      while (taken.has(name)) name += '_';
      names.set(net, name);
      wires.push(name);
    }
  }
  return wires;
}

/** Output bits whose net carries another name: a constant, an input or another output bit. */
function aliases(netlist: MappedNetlist, names: ReadonlyMap<Net, string>) {
  const first = new Set<Net>(netlist.ports.flatMap((port) => (port.direction === 'input' ? port.nets : [])));
  first.add(0).add(1);
  return netlist.ports.flatMap((port) =>
    port.direction === 'input'
      ? []
      : port.nets.flatMap((net, bit) => {
          if (first.has(net)) return [{ port, bit, source: names.get(net)! }];
          first.add(net);
          return [];
        }),
  );
}

function identifier(name: string): string {
  return /^[A-Za-z_][A-Za-z0-9_$]*$/.test(name) ? name : `\\${name.replace(/\s/g, '_')} `;
}
