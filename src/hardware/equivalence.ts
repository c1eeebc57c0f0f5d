// Whether two combinational circuits are equal for all inputs, with the operands of a counterexample where they are
// not. Both become networks of AND and NOT gates through Yosys; up to 2^24 input patterns all are simulated
// (multipliers defeat SAT solvers long before that), beyond that random patterns look for a difference and then SAT
// decides: structural hashing and SAT sweeping by ABC, Yosys' own solver for what is left.
// Invariant: "equal" is said only after all patterns or a proof; ports are matched by position and width, their names
// may differ.

import { UserError } from '../tensor/errors.ts';
import { given } from '../tensor/given.ts';
import { type MappedNetlist, readMapped } from './mapped.ts';
import { type Comparison, findDifference, gateLibrary } from './reference.ts';
import { withYosys, type YosysChoice } from './yosys/choose.ts';
import { type Circuit, readScript } from './yosys/design.ts';
import { mustRun, type Yosys, yosysMessage } from './yosys/tool.ts';

export interface EquivalenceOptions {
  readonly yosys?: YosysChoice;
  /** Read operands and outputs of a counterexample as two's complement (default false). */
  readonly signed?: boolean;
  /** `auto` (default): all patterns up to 24 input bits, SAT beyond; `sat`: SAT for any width. */
  readonly method?: 'auto' | 'sat';
  /** Give up on SAT after so many milliseconds (default 5 minutes). */
  readonly timeoutMs?: number;
}

export interface PortValue {
  readonly port: string;
  readonly value: bigint;
}

export interface Counterexample {
  /** The input ports in the order and with the names of the first circuit. */
  readonly operands: readonly PortValue[];
  readonly outputsOfA: readonly PortValue[];
  readonly outputsOfB: readonly PortValue[];
}

export interface Equivalence {
  readonly equal: boolean;
  readonly counterexample: Counterexample | null;
  readonly method: 'exhaustive' | 'random' | 'sat';
  /** Input patterns simulated. */
  readonly patterns: number;
}

const EXHAUSTIVE_BITS = 24;

/** Throws a UserError if a circuit cannot be read, the ports do not match, or SAT does not decide in time. */
export function proveEquivalent(a: Circuit, b: Circuit, options: EquivalenceOptions = {}): Promise<Equivalence> {
  return withYosys(options.yosys ?? 'bundled', async (yosys) => {
    const first = await gates(yosys, a, 'first');
    const second = withPortsOf(first, await gates(yosys, b, 'second'));
    const forced = options.method === 'sat';
    const simulated: Comparison & { inputs: number[][] | null } = forced
      ? { patterns: 0, exhaustive: false, inputs: null }
      : findDifference(first, second, EXHAUSTIVE_BITS);
    const { patterns, exhaustive } = simulated;
    if (simulated.inputs || exhaustive) {
      const method = exhaustive ? 'exhaustive' : 'random';
      return result(first, second, simulated.inputs, method, patterns, options.signed ?? false);
    }
    const inputs = await decide(yosys, first, second, options.timeoutMs);
    return result(first, second, inputs, 'sat', patterns, options.signed ?? false);
  });
}

async function gates(yosys: Yosys, circuit: Circuit, name: string): Promise<MappedNetlist> {
  const { files, lines } = await readScript(yosys, circuit, name);
  const script = [...lines, 'techmap', 'aigmap', 'opt_merge', 'opt_clean', 'write_json gates.json'].join('\n');
  const run = await mustRun(yosys, `the ${name} circuit cannot be read`, { script, files, outputs: ['gates.json'] });
  return readMapped(run.files['gates.json']!, gateLibrary);
}

/**
 * The second netlist with the ports named and ordered as the first's: k-th input to k-th input, k-th output to k-th
 * output.
 */
function withPortsOf(first: MappedNetlist, second: MappedNetlist): MappedNetlist {
  const take = (direction: string) => {
    const ports = second.ports.filter((port) => port.direction === direction);
    return () => ports.shift();
  };
  const next = { input: take('input'), output: take('output') };
  const ports = first.ports.map(({ name, direction }) => {
    const port = next[direction]();
    return { name, direction, nets: port?.nets ?? [] };
  });
  const left = next.input() ?? next.output();
  if (!left && ports.every((port, n) => port.nets.length === first.ports[n]!.nets.length)) return { ...second, ports };
  const list = (netlist: MappedNetlist) =>
    netlist.ports.map(({ name, direction, nets }) => `${direction} ${name} of ${nets.length} bits`).join(', ');
  throw new UserError(
    `the circuits cannot be compared: the first has ${list(first)}, the second ${list(second)}: expected the same number and ` +
      'widths of ports in the same order',
  );
}

/** An input pattern on which two netlists of the same ports differ, or null when SAT shows that there is none. */
async function decide(
  yosys: Yosys,
  a: MappedNetlist,
  b: MappedNetlist,
  timeoutMs: number | undefined,
): Promise<number[][] | null> {
  const script = [
    'read_verilog miter.v',
    'hierarchy -top miter',
    'proc',
    'flatten',
    'techmap',
    'opt',
    'abc -g AND -script +strash;ifraig;fraig,-C,100000;dc2;ifraig;fraig,-C,1000000',
    'opt_clean',
    'sat -prove different 0 -show-inputs -dump_json model.json miter',
  ].join('\n');
  const run = await yosys.run({
    script,
    files: { 'miter.v': miter(a, b) },
    outputs: ['model.json'],
    ...given({ timeoutMs }),
  });
  if (!run.ok) throw new UserError(`SAT could not compare the circuits: ${yosysMessage(run.log)}`);
  if (/SAT proof finished - no model found: SUCCESS!/.test(run.log)) return null;
  const model = run.files['model.json'];
  if (model === undefined)
    throw new UserError('SAT gave neither a proof nor a counterexample: expected one of the two');
  return readModel(model, a);
}

/** Both circuits on the same inputs, with one output that is 1 where any of theirs differ; all names are our own. */
function miter(a: MappedNetlist, b: MappedNetlist): string {
  const inputs = a.ports.filter((port) => port.direction === 'input');
  const header = inputs.map(({ nets }, k) => `input [${nets.length - 1}:0] in${k}`);
  const lines = [`module miter (${[...header, 'output different'].join(', ')});`];
  const outputs = [body(a, 'a', lines), body(b, 'b', lines)];
  const differences = outputs[0]!.map((bit, n) => `(${bit} ^ ${outputs[1]![n]})`);
  lines.push(`  assign different = ${differences.join(' | ') || "1'b0"};`, 'endmodule', '');
  return lines.join('\n');
}

/** Adds the gates of a netlist with names of a prefix; returns its output bits. */
function body(netlist: MappedNetlist, prefix: string, lines: string[]): string[] {
  const names = new Map<number, string>([
    [0, "1'b0"],
    [1, "1'b1"],
  ]);
  netlist.ports
    .filter((port) => port.direction === 'input')
    .forEach(({ nets }, k) => {
      nets.forEach((net, bit) => {
        names.set(net, `in${k}[${bit}]`);
      });
    });
  for (const { cell, inputs, outputs } of netlist.instances) {
    const name = `${prefix}${outputs[0]}`;
    const [first, second] = inputs.map((net) => names.get(net)!);
    lines.push(`  wire ${name} = ${cell.inputs.length === 1 ? `~${first}` : `${first} & ${second}`};`);
    names.set(outputs[0]!, name);
  }
  return netlist.ports.flatMap((port) => (port.direction === 'output' ? port.nets.map((net) => names.get(net)!) : []));
}

/** The input values of a model that Yosys wrote as WaveJSON: bits per input port, least significant first. */
function readModel(json: string, netlist: MappedNetlist): number[][] {
  const { signal } = JSON.parse(json) as { signal: { name: string; wave: string; data?: string[] | string }[] };
  return netlist.ports
    .filter((port) => port.direction === 'input')
    .map(({ nets }, k) => {
      const found = signal.find(({ name }) => name.replace(/^\\/, '') === `in${k}`);
      const text = found?.data === undefined ? (found?.wave ?? '0') : [found.data].flat()[0]!;
      const bits = [...text.replace(/[^01]/g, '0')].reverse().map(Number);
      return nets.map((_, bit) => bits[bit] ?? 0);
    });
}

function result(
  a: MappedNetlist,
  b: MappedNetlist,
  inputs: number[][] | null,
  method: Equivalence['method'],
  patterns: number,
  signed: boolean,
): Equivalence {
  if (!inputs) return { equal: true, counterexample: null, method, patterns };
  const operands = values(a, 'input', inputs, signed);
  const outputsOfA = values(a, 'output', outputBits(a, inputs), signed);
  const outputsOfB = values(a, 'output', outputBits(b, inputs), signed);
  if (outputsOfA.every(({ value }, n) => value === outputsOfB[n]!.value)) {
    throw new Error('internal: a counterexample of SAT that simulation does not confirm');
  }
  return { equal: false, counterexample: { operands, outputsOfA, outputsOfB }, method, patterns };
}

/** The output bits of a netlist for one input pattern. */
function outputBits(netlist: MappedNetlist, inputs: readonly (readonly number[])[]): number[][] {
  const state = new Uint8Array(netlist.netCount);
  state[1] = 1;
  netlist.ports
    .filter((port) => port.direction === 'input')
    .forEach(({ nets }, k) => {
      nets.forEach((net, bit) => {
        state[net] = inputs[k]![bit]!;
      });
    });
  for (const { inputs: sources, outputs } of netlist.instances) {
    const [first, second] = sources;
    state[outputs[0]!] = second === undefined ? 1 - state[first!]! : state[first!]! & state[second]!;
  }
  return netlist.ports.flatMap(({ direction, nets }) =>
    direction === 'output' ? [nets.map((net) => state[net]!)] : [],
  );
}

function values(
  names: MappedNetlist,
  direction: 'input' | 'output',
  bits: readonly (readonly number[])[],
  signed: boolean,
): PortValue[] {
  return names.ports
    .filter((port) => port.direction === direction)
    .map(({ name }, k) => {
      const pattern = bits[k]!.reduce((sum, bit, n) => sum + (BigInt(bit) << BigInt(n)), 0n);
      return { port: name, value: signed ? BigInt.asIntN(bits[k]!.length, pattern) : pattern };
    });
}
