// The names of one Verilog module while it is parsed: vectors of one-bit nets with their ranges, ports, and the nets
// without a name that hold parts of expressions.
// Invariant: bits are kept least significant first, whatever the order of the declared range; a net keeps its declared
// index.

import { type Build, primitives } from '../cells.ts';
import { didYouMean, type Place, type SourceText } from '../diagnostics.ts';
import { Module } from '../module.ts';
import type { TokenStream, VerilogToken } from './tokens.ts';

/** One-bit nets, least significant first. */
export type Bits = readonly string[];

/** `[left:right]`; the right one is the index of the least significant bit. */
export interface Range {
  readonly left: number;
  readonly right: number;
}

export interface Vector {
  readonly bits: Bits;
  /** null: a scalar. */
  readonly range: Range | null;
}

export type Direction = 'input' | 'output';

export interface Pin {
  /** null: connected by position. */
  readonly formal: VerilogToken | null;
  /** null: left open, as in `.carry()`. */
  readonly actual: Bits | null;
  readonly place: Place;
}

export interface ParsedInstance {
  readonly module: VerilogToken;
  readonly pins: readonly Pin[];
}

export const MAX_BUS = 4096;
/** One-bit nets of a file, named or not: wide buses multiply what a short text can ask for. */
const MAX_NETS = 1_000_000;

/** Counts over the whole file. */
export interface Limits {
  nets: number;
}

export class ModuleScope {
  readonly module: Module;
  readonly vectors = new Map<string, Vector>();
  readonly directions = new Map<string, Direction>();
  readonly instances: ParsedInstance[] = [];
  /** The ports in the order of the header, for positional connections. */
  order: string[] = [];
  readonly signedPorts: string[] = [];
  readonly #source: SourceText;
  readonly #tokens: TokenStream;
  readonly #limits: Limits;
  readonly #taken = new Set<string>();
  #anonymous = 0;

  constructor(source: SourceText, tokens: TokenStream, limits: Limits, name: VerilogToken) {
    this.#source = source;
    this.#tokens = tokens;
    this.#limits = limits;
    this.module = new Module(name.text, { line: name.line, column: name.column });
  }

  declare(name: VerilogToken, range: Range | null): Vector {
    if (this.vectors.has(name.text)) this.#source.fail(name, `"${name.text}" is declared twice`, 'one declaration');
    const bits = range === null ? [name.text] : bitsOf(range).map((index) => `${name.text}[${index}]`);
    const taken = bits.find((net) => this.#taken.has(net));
    if (taken) this.#source.fail(name, `"${taken}" is declared twice`, 'one declaration');
    this.#count(name, bits.length);
    for (const net of bits) this.#taken.add(net);
    const vector = { bits, range };
    this.vectors.set(name.text, vector);
    return vector;
  }

  declarePort(direction: Direction, name: VerilogToken, range: Range | null, signed: boolean): void {
    const { bits } = this.declare(name, range);
    const ports = direction === 'input' ? this.module.inputs : this.module.outputs;
    const place = { line: name.line, column: name.column };
    bits.forEach((net, bit) => {
      const significance = range === null ? net : `${name.text}[${bit}]`;
      ports.set(net, { net, ...place, ...(significance === net ? {} : { name: significance }) });
      if (direction === 'output') this.module.use(net, name);
    });
    this.directions.set(name.text, direction);
    if (signed) this.signedPorts.push(name.text);
  }

  /** `wire` with the name of a port declares nothing new; null for a name that is no port. */
  redeclaredPort(name: VerilogToken, range: Range | null): Vector | null {
    if (!this.directions.has(name.text)) return null;
    const vector = this.vectors.get(name.text)!;
    const bits = range === null ? 1 : bitsOf(range).length;
    if (vector.bits.length !== bits) {
      this.#source.fail(name, `"${name.text}" of ${bits} bits`, `${vector.bits.length} bits as the port has`);
    }
    return vector;
  }

  /** Puts the ports in the order of the header. */
  orderPorts(): void {
    for (const ports of [this.module.inputs, this.module.outputs]) {
      const before = new Map(ports);
      ports.clear();
      for (const name of this.order) {
        for (const net of this.vectors.get(name)?.bits ?? []) {
          const port = before.get(net);
          if (port) ports.set(net, port);
        }
      }
    }
  }

  /** A name where Verilog declares a scalar net by its use: the target of an assign, or a whole connection. */
  implicit(name: VerilogToken): void {
    if (this.vectors.has(name.text)) return;
    if (!this.#tokens.implicitNets || this.#tokens.isDeclaredLater(name.text)) this.#unknown(name);
    this.declare(name, null);
  }

  /** The vector of a name that is used. */
  vector(name: VerilogToken): Vector {
    return this.vectors.get(name.text) ?? this.#unknown(name);
  }

  #unknown(name: VerilogToken): never {
    const hint = didYouMean(name.text, this.vectors.keys());
    const legal = this.#tokens.isNext('(') || this.#tokens.isDeclaredLater(name.text);
    const tell = legal ? this.#source.decline : this.#source.fail;
    return tell.call(this.#source, name, `unknown net "${name.text}"${hint}`, 'a net declared before');
  }

  /** A net without a name that holds a part of an expression. */
  intermediate(at: Place, inputs: readonly string[], build: Build, gates = 1): string {
    this.#count(at, 1);
    const net = `${ANONYMOUS}${++this.#anonymous}`;
    const { line, column } = at;
    this.module.drive(this.#source, net, { kind: 'function', inputs, build, gates, line, column });
    return net;
  }

  /** Drives each net of the target by the value's net of the same significance. */
  connect(at: Place, target: Bits, value: Bits): void {
    const { line, column } = at;
    const { buf: build } = primitives;
    target.forEach((net, bit) => {
      const inputs = [value[bit]!];
      this.module.drive(this.#source, net, { kind: 'function', inputs, build, gates: 0, line, column });
    });
  }

  #count(at: Place, bits: number): void {
    this.#limits.nets += bits;
    if (this.#limits.nets > MAX_NETS) this.#source.fail(at, `more than ${MAX_NETS} nets`, 'a smaller circuit');
  }
}

/** The indices of a range, the least significant first. */
export function bitsOf({ left, right }: Range): number[] {
  const step = left >= right ? 1 : -1;
  return Array.from({ length: Math.abs(left - right) + 1 }, (_, bit) => right + step * bit);
}

/** No identifier contains a space. */
const ANONYMOUS = 'expression ';

export function isAnonymous(net: string): boolean {
  return net.startsWith(ANONYMOUS);
}
