// Verilog of any kind, elaborated by Yosys and read back as a network. Yosys warns where this program refuses: nets
// with two drivers, needed nets without one, storage (also latches that nobody meant), black boxes; each is an error at
// its line of the user's text.
// Invariant: the bits of a port are taken by their significance, whatever its declared range; the module is the one
// that our own rule for the top chooses, not Yosys'. Names from the text reach no script, unless they are plain.

import { gateCell } from '../../netlist/cells.ts';
import type { SourceText } from '../../netlist/diagnostics.ts';
import {
  AMBIGUOUS,
  type CellLibrary,
  chooseRoot,
  deadNetsNote,
  type Elaborated,
  type ElaborationOptions,
  elaborate,
  noSuchModule,
} from '../../netlist/elaborate.ts';
import { Module, type NamedNet } from '../../netlist/module.ts';
import { ONE, ZERO } from '../../netlist/network.ts';
import { preprocess } from '../../netlist/verilog/preprocess.ts';
import { ascendingNoteOf, type VerilogCircuit } from '../../netlist/verilog/read.ts';
import { UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { clipped, printable } from '../../tensor/names.ts';
import { bitsOfPort, type JsonCell, type JsonModule, placeOfSource, readModules } from './json.ts';
import { refuseForeignCode } from './safety.ts';
import type { Yosys, YosysRun } from './tool.ts';

/** Yosys could not read the text; `line` is the line that it complains about, where it names one. */
export class YosysRefusal extends UserError {
  readonly line: number | null;
  readonly syntax: boolean;

  constructor(message: string, line: number | null, syntax: boolean) {
    super(message);
    this.line = line;
    this.syntax = syntax;
  }
}

const FILE = 'circuit.v';
const CELLS = 'cells.v';
const RIPPLE = 'ripple.v';
/**
 * Sums as chains of full adders, where Yosys would look ahead for the carry: the smallest form, which tells what a
 * behavioural multiplier needs at least, and the one that algebra proves.
 */
const RIPPLE_ADDER = `(* techmap_celltype = "$alu" *)
module tram_ripple (A, B, CI, BI, X, Y, CO);
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;
  input [A_WIDTH-1:0] A;
  input [B_WIDTH-1:0] B;
  input CI, BI;
  output [Y_WIDTH-1:0] X, Y, CO;
  wire [Y_WIDTH-1:0] a, given;
  generate
    if (A_WIDTH == 0) assign a = 0;
    else \\$pos #(.A_SIGNED(A_SIGNED), .A_WIDTH(A_WIDTH), .Y_WIDTH(Y_WIDTH)) extendA (.A(A), .Y(a));
    if (B_WIDTH == 0) assign given = 0;
    else \\$pos #(.A_SIGNED(B_SIGNED), .A_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH)) extendB (.A(B), .Y(given));
  endgenerate
  wire [Y_WIDTH-1:0] b = BI ? ~given : given;
  wire [Y_WIDTH:0] carry;
  assign carry[0] = CI;
  assign X = a ^ b;
  assign Y = X ^ carry[Y_WIDTH-1:0];
  genvar n;
  generate for (n = 0; n < Y_WIDTH; n = n + 1) begin : adder
    assign carry[n + 1] = (a[n] & b[n]) | (X[n] & carry[n]);
  end endgenerate
  assign CO = carry[Y_WIDTH:1];
endmodule
`;
const PLAIN = /^[A-Za-z_][A-Za-z0-9_]*$/;
const MARK = 'tram-check';
/** Cells that only watch. */
const WATCHING = /^\$(print|check|assert|assume|cover|live|fair|scopeinfo)$/;

/** Reads a circuit through Yosys. Throws a UserError, located where its place is known. */
export async function elaborateThroughYosys(
  yosys: Yosys,
  source: SourceText,
  options: ElaborationOptions = {},
): Promise<VerilogCircuit> {
  const { text, implicitNets } = preprocess(source);
  refuseForeignCode(source, text, yosys.sandboxed);
  const read = `read_verilog -sv${implicitNets ? '' : ' -noautowire'} ${FILE}`;
  const modules = await survey(yosys, source, read, text);
  const { root, roots, only } = rootOf(source, modules, options);
  const cells = foreignCells(source, modules, options.cells);
  const script = [
    ...(cells === '' ? [] : [`read_verilog -sv ${CELLS}`]),
    read,
    `hierarchy -check ${only ? '-auto-top' : `-top ${plain(root)}`}`,
    'proc',
    'flatten',
    'delete t:$scopeinfo',
    'write_json flat.json',
    `log ${MARK}`,
    'check',
    ...(options.lenient ? ['setundef -zero -undriven'] : []),
    'opt_clean',
    `log ${MARK}`,
    'check',
    `log ${MARK}`,
    'opt -full',
    'memory',
    'alumacc',
    'maccmap',
    `techmap -map ${RIPPLE}`,
    'techmap',
    'opt -full',
    'opt_clean -purge',
    'write_json gates.json',
  ];
  const run = await runChecked(yosys, source, script, { [FILE]: text, [CELLS]: cells, [RIPPLE]: RIPPLE_ADDER }, [
    'flat.json',
    'gates.json',
  ]);
  const [before, first, second] = run.log.split(new RegExp(`^${MARK}$`, 'm'));
  const flat = moduleOf(readModules(run.files['flat.json']!), root);
  refuseDrivers(source, flat, first ?? '');
  if (!options.lenient) refuseUndriven(source, flat, second ?? '');
  const gates = moduleOf(readModules(run.files['gates.json']!), root);
  const { module, undefinedValues } = gatesAsModule(source, root, gates, options);
  const elaborated: Elaborated = elaborate(source, new Map([[root, module]]), {
    top: root,
    ...given({ cells: options.cells }),
  });
  const ports = Object.entries(gates.ports);
  const undriven = undrivenNets(first ?? '');
  const notes = [
    ...warnings(before ?? ''),
    ...ascendingNoteOf(ports.filter(([, port]) => port.upto === 1).map(([name]) => name)),
    ...(options.lenient ? [] : deadNetsNote(undriven)),
    ...(undefinedValues ? ['undefined values (x) in the text are taken as 0'] : []),
  ];
  const signedPorts = ports.filter(([, port]) => port.signed === 1).map(([name]) => name);
  return { ...elaborated, undriven, roots, notes, signedPorts };
}

/** The module that our own rule chooses, for a script that reads the text; undefined where it is the only root. */
export async function topOfVerilog(yosys: Yosys, source: SourceText, text: string): Promise<string | undefined> {
  const { root, only } = rootOf(source, await survey(yosys, source, `read_verilog -sv ${FILE}`, text), {});
  return only ? undefined : plain(root);
}

/** What modules the text has, before any is chosen. */
async function survey(
  yosys: Yosys,
  source: SourceText,
  read: string,
  text: string,
): Promise<ReadonlyMap<string, JsonModule>> {
  const script = [read, 'proc', 'write_json modules.json'];
  const { files } = await runChecked(yosys, source, script, { [FILE]: text }, ['modules.json']);
  const line = ([, { attributes }]: readonly [string, JsonModule]) => placeOfSource(attributes?.src).line;
  const modules = new Map([...readModules(files['modules.json']!)].sort((a, b) => line(a) - line(b)));
  if (modules.size === 0) source.fail({ line: 1, column: 1 }, 'no module', 'module … endmodule');
  return modules;
}

/** The module that is the circuit, and all roots, it first; `only`: Yosys, left alone, would take the same. */
function rootOf(
  source: SourceText,
  modules: ReadonlyMap<string, JsonModule>,
  { top, lenient = false }: ElaborationOptions,
): { root: string; roots: string[]; only: boolean } {
  const instantiated = new Set(
    [...modules.values()].flatMap(({ cells }) => Object.values(cells).map(({ type }) => type)),
  );
  const names = [...modules.keys()].filter((name) => !isHollow(modules.get(name)!));
  const all = names.filter((name) => !instantiated.has(name));
  if (top !== undefined) {
    const module = modules.get(top);
    if (!module) throw new UserError(noSuchModule(source.file, top, [...modules.keys()]));
    if (isHollow(module)) refuseHollow(source, modules, top);
    return { root: top, roots: [top], only: all.length === 1 && all[0] === top };
  }
  const candidates = all.length > 0 ? all : names;
  const root = chooseRoot(candidates, (name) => portNames(modules.get(name)!)) ?? (lenient ? candidates[0] : undefined);
  if (root === undefined) {
    if (candidates.length === 0) return refuseHollow(source, modules, [...modules.keys()][0]!);
    const place = placeOfSource(modules.get(candidates[1]!)!.attributes?.src);
    source.fail(place, `${candidates.length} modules that no other instantiates: ${candidates.join(', ')}`, AMBIGUOUS);
  }
  return { root, roots: [root, ...candidates.filter((name) => name !== root)], only: candidates.length === 1 };
}

function isHollow({ attributes = {} }: JsonModule): boolean {
  return 'blackbox' in attributes || 'whitebox' in attributes;
}

function refuseHollow(source: SourceText, modules: ReadonlyMap<string, JsonModule>, name: string): never {
  const place = placeOfSource(modules.get(name)!.attributes?.src);
  return source.fail(place, `"${name}" is a black box, declared without its contents`, 'a module with its gates');
}

function portNames({ ports }: JsonModule) {
  const names = (direction: string) =>
    Object.entries(ports).flatMap(([name, port]) => (port.direction === direction ? bitsOfPort(name, port) : []));
  return { inputs: names('input'), outputs: names('output') };
}

/** A module name for a script; only plain ones may stand there. */
export function plain(name: string): string {
  if (PLAIN.test(name)) return name;
  throw new UserError(
    `the module "${clipped(name, 60)}" cannot be chosen among several: expected a name of letters, digits and _; rename it, or remove the others`,
  );
}

/**
 * The library cells that the modules instantiate, as black boxes in Verilog; a module that is nowhere is a located
 * error.
 */
function foreignCells(
  source: SourceText,
  modules: ReadonlyMap<string, JsonModule>,
  library: CellLibrary | undefined,
): string {
  const boxes = new Map<string, string>();
  for (const { cells } of modules.values()) {
    for (const { type, attributes, connections } of Object.values(cells)) {
      if (type.startsWith('$') || modules.has(type) || boxes.has(type)) continue;
      const cell = library?.cell(type, Object.keys(connections));
      if (cell === undefined || typeof cell === 'string') {
        const known = clipped([...modules.keys()].join(', '), 200);
        const expected = `one defined in this file: ${known}${library?.otherwise ?? ''}`;
        source.fail(placeOfSource(attributes?.src), cell ?? `unknown module "${type}"`, expected);
      }
      const pins = [
        ...[...cell.inputs.keys()].map((pin) => `input \\${pin} `),
        ...[...cell.outputs.keys()].map((pin) => `output \\${pin} `),
      ];
      boxes.set(type, `(* blackbox *) module \\${type} (${pins.join(', ')}); endmodule\n`);
    }
  }
  return [...boxes.values()].join('');
}

async function runChecked(
  yosys: Yosys,
  source: SourceText,
  script: readonly string[],
  files: Readonly<Record<string, string>>,
  outputs: readonly string[],
): Promise<YosysRun> {
  const run = await yosys.run({ script: script.join('\n'), files, outputs });
  if (run.ok && outputs.every((name) => name in run.files)) return run;
  const error = run.log.split('\n').findLast((line) => /\bERROR: /.test(line)) ?? 'Yosys stopped without a message';
  const located = /^circuit\.v:(\d+)[:.]/.exec(error);
  const message = clipped(error.replace(/^circuit\.v:\d+[\d.:-]*\s*/, '').replace(/ERROR: /, ''), 300);
  const place = located ? `${printable(source.file)}:${located[1]}` : printable(source.file);
  throw new YosysRefusal(
    `${place}: ${message} (says Yosys): expected a combinational circuit in Verilog`,
    located ? Number(located[1]) : null,
    /syntax error/.test(error),
  );
}

function moduleOf(modules: ReadonlyMap<string, JsonModule>, name: string): JsonModule {
  // A module of parameters is derived under another name; the flattened design has no other with contents.
  const found = modules.get(name) ?? [...modules.values()].find((module) => !isHollow(module));
  if (!found) throw new UserError(`"${clipped(name, 60)}" has nothing left after elaboration: expected a circuit`);
  return found;
}

/** Names of Yosys' own mean nothing to the user. */
const described = (net: string) => (net.startsWith('$') ? 'a net' : `net "${net}"`);
const placeOfNet = (flat: JsonModule, name: string) => placeOfSource(flat.netnames[name]?.attributes?.src);

function refuseDrivers(source: SourceText, flat: JsonModule, log: string): void {
  const conflict = /Warning: multiple conflicting drivers for \S+?\.\\?(.+?):\n((?: {4}.*\n)*)/.exec(log);
  if (conflict) {
    const [, net, drivers] = conflict;
    const name = net!.replace(/ (?=\[)/, '');
    const list = drivers!
      .trim()
      .split(/\n\s*/)
      .map((driver) => describeDriver(flat, driver));
    source.fail(
      placeOfNet(flat, name.replace(/\[.*$/, '')),
      `${described(name)} is driven twice`,
      `one driver; it is driven by ${list.join(' and by ')}`,
    );
  }
  const loop = /Warning: found logic loop in module [^\n]*:\n((?: {4}.*\n)*)/.exec(log);
  if (loop) {
    const line = /circuit\.v:(\d+)\.(\d+)/.exec(loop[1]!);
    const place = line ? { line: Number(line[1]), column: Number(line[2]) } : { line: 1, column: 1 };
    source.fail(place, 'a net that depends on itself', 'a combinational netlist without loops');
  }
}

/** A driver in the words of the log: `port Y[0] of cell $mul$circuit.v:3$1 ($mul)`, or `module input b[1]`. */
function describeDriver(flat: JsonModule, text: string): string {
  const cell = /of cell (\S+)/.exec(text)?.[1];
  const line = /circuit\.v:(\d+)/.exec(flat.cells[cell ?? '']?.attributes?.src ?? cell ?? '')?.[1];
  return line === undefined ? text.replace(/\\/g, '') : `the expression of line ${line}`;
}

function undrivenNets(log: string): string[] {
  return [...log.matchAll(/Warning: Wire \S+?\.\\?(.+?) is used but has no driver\./g)].map(([, name]) =>
    name!.replace(/ (?=\[)/, ''),
  );
}

function refuseUndriven(source: SourceText, flat: JsonModule, log: string): void {
  const [net] = undrivenNets(log);
  if (net === undefined) return;
  source.fail(
    placeOfNet(flat, net.replace(/\[.*$/, '')),
    `${described(net)} has no driver`,
    'something that drives it (the lenient reading takes it as 0)',
  );
}

/** What else Yosys warned about, as notes. */
function warnings(log: string): string[] {
  const lines = [...log.matchAll(/^(?:circuit\.v:(\d+)[\d.:-]*\s*)?Warning: (.*)$/gm)]
    .filter(([, , text]) => !/did not match any object/.test(text!))
    .map(([, line, text]) => `${line === undefined ? '' : `line ${line}: `}${clipped(text!, 200)} (says Yosys)`);
  return [...new Set(lines)];
}

/** The gates of a flattened design as one module for elaboration. */
function gatesAsModule(
  source: SourceText,
  name: string,
  gates: JsonModule,
  { lenient = false, cells }: ElaborationOptions,
): { module: Module; undefinedValues: boolean } {
  const module = new Module(name, placeOfSource(gates.attributes?.src));
  let undefinedValues = false;
  const start = { line: 1, column: 1 };
  module.drivers.set('0', { kind: 'function', inputs: [], build: () => ZERO, ...start });
  module.drivers.set('1', { kind: 'function', inputs: [], build: () => ONE, ...start });
  const netOf = (bit: number | string | undefined): string => {
    if (typeof bit === 'number') return `n${bit}`;
    undefinedValues ||= bit !== '0' && bit !== '1';
    return bit === '1' ? '1' : '0';
  };
  const aliases: { port: string; net: string }[] = [];
  for (const [port, details] of Object.entries(gates.ports)) {
    const place = placeOfNet(gates, port);
    const { direction, bits } = details;
    if (direction !== 'input' && direction !== 'output') {
      source.fail(place, `the port "${port}" is ${direction}`, 'inputs and outputs');
    }
    bitsOfPort(port, details).forEach((bitName, n) => {
      const bit = bits[n];
      if (direction === 'input') module.inputs.set(`n${bit}`, { net: `n${bit}`, name: bitName, ...place });
      else {
        if (typeof bit === 'string' && bit !== '0' && bit !== '1' && !lenient) {
          source.fail(place, `the output "${bitName}" is undefined (${bit})`, 'a value of 0 or 1');
        }
        aliases.push({ port: bitName, net: netOf(bit) });
        module.outputs.set(`out ${bitName}`, { net: `out ${bitName}`, name: bitName, ...place });
      }
    });
  }
  for (const { port, net } of aliases) {
    const build = gateCell('$_BUF_')!.drivers.get('Y')!;
    if (build.kind !== 'function') continue;
    module.drivers.set(`out ${port}`, { ...build, inputs: [net], gates: 0 });
  }
  for (const cell of Object.values(gates.cells)) addCell(source, module, cell, netOf, cells);
  return { module, undefinedValues };
}

function addCell(
  source: SourceText,
  module: Module,
  { type, attributes, connections }: JsonCell,
  netOf: (bit: number | string | undefined) => string,
  cells: CellLibrary | undefined,
): void {
  if (WATCHING.test(type)) return;
  const place = placeOfSource(attributes?.src);
  const gate = gateCell(type);
  const driver = gate?.drivers.get('Y');
  if (gate && driver?.kind === 'function') {
    const inputs = [...gate.inputs.keys()].map((pin) => netOf(connections[pin]?.[0]));
    module.drive(source, netOf(connections.Y?.[0]), { ...driver, inputs, ...place });
    return;
  }
  if (type.startsWith('$')) {
    if (type === '$pow') source.fail(place, 'a power (**) that is not a shift', 'products, as in a * a');
    const latch = /latch/i.test(type);
    source.fail(
      place,
      latch
        ? 'a latch: a value that is kept where no branch sets it'
        : `the element "${type}" (storage, memory or a three-state driver)`,
      latch ? 'a value in every branch, or a default before them' : 'a combinational circuit',
    );
  }
  const known = cells?.cell(type, Object.keys(connections));
  if (known === undefined || typeof known === 'string') {
    const found = known ?? `"${type}" is a black box, declared without its contents`;
    source.fail(place, found, 'its function, as a module or a cell of a library (--liberty FILE)');
  }
  const pins = Object.entries(connections).flatMap(([pin, [bit]]): [string, NamedNet][] =>
    bit === undefined ? [] : [[pin, { net: netOf(bit), ...place }]],
  );
  module.instances.push({ module: type, connections: new Map(pins), ...place });
}
