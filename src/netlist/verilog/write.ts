// Writer of a network as structural Verilog: one module with bus ports, partial products as assigns, half and full
// adders as instances of two small modules in the same file, single gates as assigns. The small modules carry the name
// of the large one in front, so that multipliers of different names can be read together.
// Invariant: readVerilog gives back the same function with the same buses; every net is declared before it is used.

import { UserError } from '../../tensor/errors.ts';
import { clipped } from '../../tensor/names.ts';
import { usedSignals } from '../cleanup.ts';
import { adderName, netNames } from '../names.ts';
import { type AdderCell, type GateKind, isGate, type Network, ONE, type Signal, ZERO } from '../network.ts';
import { type Bus, groupBuses } from '../ports.ts';

const expressions: Readonly<Record<GateKind, (fanins: readonly string[]) => string>> = {
  not: ([a]) => `~${a}`,
  and: ([a, b]) => `${a} & ${b}`,
  or: ([a, b]) => `${a} | ${b}`,
  xor: ([a, b]) => `${a} ^ ${b}`,
  xor3: ([a, b, c]) => `${a} ^ ${b} ^ ${c}`,
  maj: ([a, b, c]) => `(${a} & ${b}) | (${c} & (${a} | ${b}))`,
};

const adderModules = {
  half: (name: string) => `
module ${name} (input a, input b, output sum, output carry);
  assign sum = a ^ b;
  assign carry = a & b;
endmodule
`,
  full: (name: string) => `
module ${name} (input a, input b, input c, output sum, output carry);
  assign sum = a ^ b ^ c;
  assign carry = (a & b) | (c & (a | b));
endmodule
`,
} as const;

/** Names of the modules that writeVerilog may write for a network of this name. */
export function verilogModules(name: string): readonly [top: string, halfAdder: string, fullAdder: string] {
  return [name, `${name}_half_adder`, `${name}_full_adder`];
}

/** The network as structural Verilog text: one module of assignments and adder cells. */
export function writeVerilog(network: Network): string {
  const inputs = groupBuses(network.inputs);
  const outputs = groupBuses(network.outputs);
  const written = new Map<string, string>();
  for (const bus of [...inputs, ...outputs]) {
    bus.ports.forEach((port, bit) => {
      written.set(port.name, bus.indexed ? `${identifier(bus.name)}[${bit}]` : identifier(bus.name));
    });
  }
  const names = netNames(network, (port) => written.get(port)!);
  const cells = completeAdders(network);
  const ports = [
    ...inputs.map((bus) => declaration('input', bus)),
    ...outputs.map((bus) => declaration('output', bus)),
  ];
  const [top, half, full] = verilogModules(network.name).map(identifier) as [string, string, string];
  const modules = { half, full };
  const lines = [`module ${top} (${ports.join(', ')});`];
  const needed = usedSignals(network);
  if (needed[ZERO]) lines.push(`  wire ${names[ZERO]} = 1'b0;`);
  if (needed[ONE]) lines.push(`  wire ${names[ONE]} = 1'b1;`);
  let stage = 0;
  network.nodes.forEach((node, signal) => {
    if (!isGate(node.kind)) return;
    const cell = cells.get(signal);
    if (!cell) {
      lines.push(`  wire ${names[signal]} = ${expressions[node.kind](node.fanins.map((fanin) => names[fanin]!))};`);
    } else if (signal === Math.min(cell.sum!, cell.carry!)) {
      if (cell.stage !== stage) lines.push(`  // stage ${cell.stage}`);
      stage = cell.stage;
      lines.push(...instance(cell, modules[cell.kind], names));
    }
  });
  for (const port of network.outputs) lines.push(`  assign ${written.get(port.name)} = ${names[port.signal]};`);
  const kinds = new Set([...cells.values()].map((cell) => cell.kind));
  const used = (['half', 'full'] as const).filter((kind) => kinds.has(kind));
  return `${lines.join('\n')}\nendmodule\n${used.map((kind) => adderModules[kind](modules[kind])).join('')}`;
}

/** Plain adders with both outputs, by each of their outputs; a gate that two adders share belongs to the first. */
function completeAdders(network: Network): Map<Signal, AdderCell> {
  const cells = new Map<Signal, AdderCell>();
  for (const cell of network.adders) {
    if (cell.plusOne || cell.sum === null || cell.carry === null || cells.has(cell.sum) || cells.has(cell.carry))
      continue;
    cells.set(cell.sum, cell);
    cells.set(cell.carry, cell);
  }
  return cells;
}

function instance(cell: AdderCell, module: string, names: readonly string[]): string[] {
  const pins = cell.inputs.map((input, n) => `.${'abc'[n]}(${names[input]})`);
  const [sum, carry] = [names[cell.sum!]!, names[cell.carry!]!];
  return [
    `  wire ${sum}, ${carry};`,
    `  ${module} ${adderName(cell)} (${[...pins, `.sum(${sum})`, `.carry(${carry})`].join(', ')});`,
  ];
}

function declaration(direction: 'input' | 'output', bus: Bus): string {
  const range = bus.indexed ? `[${bus.ports.length - 1}:0] ` : '';
  return `${direction} ${range}${identifier(bus.name)}`;
}

/** The keywords of Verilog-2005 and the common ones of SystemVerilog. */
const RESERVED = new Set(
  `always and assign automatic begin bit buf bufif0 bufif1 byte case casex casez cell cmos config const deassign default defparam
  design disable do edge else end endcase endconfig endfunction endgenerate endmodule endprimitive endspecify endtable endtask enum
  event final for force forever fork function generate genvar highz0 highz1 if ifnone import incdir include initial inout input
  instance int integer interface join large liblist library localparam logic longint macromodule medium module nand negedge nmos nor
  noshowcancelled not notif0 notif1 or output package packed parameter pmos posedge primitive program pull0 pull1 pulldown pullup
  pulsestyle_ondetect pulsestyle_onevent rcmos real realtime reg release repeat return rnmos rpmos rtran rtranif0 rtranif1 scalared
  shortint showcancelled signed small specify specparam static string strong0 strong1 struct supply0 supply1 table task this time
  tran tranif0 tranif1 tri tri0 tri1 triand trior trireg typedef union unsigned use uwire var vectored void wait wand weak0 weak1
  while wire wor xnor xor`.split(/\s+/),
);

/**
 * A name as a Verilog identifier, escaped when it must be. Throws a UserError for a name that no identifier can hold.
 */
function identifier(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_$]*$/.test(name) && !RESERVED.has(name)) return name;
  if (!/^[!-~]+$/.test(name)) {
    throw new UserError(
      `the name ${clipped(JSON.stringify(name), 60)} cannot be written as Verilog: expected printable ASCII characters without spaces`,
    );
  }
  return `\\${name} `;
}
