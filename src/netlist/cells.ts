// Cells that need no library: the gates that Yosys writes (`$_AND_`, `$_MUX_`, …), as modules, and the gates of
// Verilog's primitives, of which the first are made. Each says what it computes in the gates of a network, once.

import { Module } from './module.ts';
import type { Network, Signal } from './network.ts';

export type Build = (network: Network, inputs: readonly Signal[]) => Signal;

const not = (network: Network, a: Signal) => network.addGate('not', a);
const inverted =
  (build: Build): Build =>
  (network, inputs) =>
    not(network, build(network, inputs));
const chain =
  (kind: 'and' | 'or' | 'xor'): Build =>
  (network, inputs) =>
    inputs.reduce((a, b) => network.addGate(kind, a, b));

/** Verilog's gate primitives of one output and any number of inputs; they also reduce a bus. */
export const primitives: Readonly<Record<'and' | 'or' | 'xor' | 'nand' | 'nor' | 'xnor' | 'buf' | 'not', Build>> = {
  and: chain('and'),
  or: chain('or'),
  xor: chain('xor'),
  nand: inverted(chain('and')),
  nor: inverted(chain('or')),
  xnor: inverted(chain('xor')),
  buf: (_, [a]) => a!,
  not: (network, [a]) => not(network, a!),
};

/** `one` where `select` is 1, else `zero`. */
export const multiplexer: Build = (network, [zero, one, select]) =>
  network.addGate('or', network.addGate('and', one!, select!), network.addGate('and', zero!, not(network, select!)));

const andOr: Build = (network, [a, b, ...others]) =>
  network.addGate('or', network.addGate('and', a!, b!), chain('and')(network, others));
const orAnd: Build = (network, [a, b, ...others]) =>
  network.addGate('and', network.addGate('or', a!, b!), chain('or')(network, others));

/** A tree of multiplexers: data inputs from the lowest, then the select inputs from the lowest. */
const wideMultiplexer =
  (selects: number): Build =>
  (network, inputs) => {
    let level = inputs.slice(0, 2 ** selects);
    for (const select of inputs.slice(2 ** selects)) {
      level = Array.from({ length: level.length / 2 }, (_, n) =>
        multiplexer(network, [level[2 * n]!, level[2 * n + 1]!, select]),
      );
    }
    return level[0]!;
  };

const letters = (count: number) => [...'ABCDEFGHIJKLMNOP'.slice(0, count)];

/**
 * Name without `$_` and `_` → input pins and function; the output pin is Y. Source: Yosys, techlibs/common/simcells.v.
 */
const gates: Readonly<Record<string, readonly [inputs: readonly string[], build: Build]>> = {
  BUF: [['A'], primitives.buf],
  NOT: [['A'], primitives.not],
  AND: [['A', 'B'], primitives.and],
  NAND: [['A', 'B'], primitives.nand],
  OR: [['A', 'B'], primitives.or],
  NOR: [['A', 'B'], primitives.nor],
  XOR: [['A', 'B'], primitives.xor],
  XNOR: [['A', 'B'], primitives.xnor],
  ANDNOT: [['A', 'B'], (network, [a, b]) => network.addGate('and', a!, not(network, b!))],
  ORNOT: [['A', 'B'], (network, [a, b]) => network.addGate('or', a!, not(network, b!))],
  MUX: [['A', 'B', 'S'], multiplexer],
  NMUX: [['A', 'B', 'S'], inverted(multiplexer)],
  MUX4: [[...letters(4), 'S', 'T'], wideMultiplexer(2)],
  MUX8: [[...letters(8), 'S', 'T', 'U'], wideMultiplexer(3)],
  MUX16: [[...letters(16), 'S', 'T', 'U', 'V'], wideMultiplexer(4)],
  AOI3: [letters(3), inverted(andOr)],
  OAI3: [letters(3), inverted(orAnd)],
  AOI4: [letters(4), inverted(andOr)],
  OAI4: [letters(4), inverted(orAnd)],
};

/** A module of one output `Y`-like pin per entry, each a function of all inputs. */
export function cellModule(
  name: string,
  inputs: readonly string[],
  outputs: readonly (readonly [pin: string, build: Build, gates: number])[],
): Module {
  const module = new Module(name);
  const place = module.place;
  for (const pin of inputs) module.inputs.set(pin, { net: pin, ...place });
  for (const [pin, build, gates] of outputs) {
    module.outputs.set(pin, { net: pin, ...place });
    module.drivers.set(pin, { kind: 'function', inputs, build, gates, ...place });
  }
  return module;
}

const made = new Map<string, Module>();

/** The module of a gate that Yosys writes, such as `$_AND_`; undefined for any other name. */
export function gateCell(name: string): Module | undefined {
  const kind = /^\$_([A-Z0-9]+)_$/.exec(name)?.[1];
  if (kind === undefined || !Object.hasOwn(gates, kind)) return undefined;
  const known = made.get(kind);
  if (known) return known;
  const [inputs, build] = gates[kind]!;
  const module = cellModule(name, inputs, [['Y', build, 4 * inputs.length]]);
  made.set(kind, module);
  return module;
}
