// The parts of Yosys' JSON netlists that this program reads, and the places in the user's text that they carry.

import type { Place } from '../../netlist/diagnostics.ts';

/** A number is a net; '0', '1', 'x' and 'z' are constants. */
export type JsonBit = number | string;

export interface JsonPort {
  readonly direction: string;
  /** Least significant first. */
  readonly bits: readonly JsonBit[];
  /** 1: declared like `[0:7]`. */
  readonly upto?: number;
  readonly signed?: number;
}

export interface JsonCell {
  readonly type: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly connections: Readonly<Record<string, readonly JsonBit[]>>;
}

export interface JsonModule {
  readonly attributes?: Readonly<Record<string, string>>;
  readonly ports: Readonly<Record<string, JsonPort>>;
  readonly cells: Readonly<Record<string, JsonCell>>;
  readonly netnames: Readonly<Record<string, { readonly attributes?: Readonly<Record<string, string>> }>>;
}

export function readModules(json: string): Map<string, JsonModule> {
  const { modules = {} } = JSON.parse(json) as { modules?: Record<string, JsonModule> };
  return new Map(Object.entries(modules));
}

/** The names of a port's bits by their significance: `a[0]` is the lowest, whatever the declared range. */
export function bitsOfPort(name: string, { bits, upto }: JsonPort): string[] {
  return bits.length === 1 && upto === undefined ? [name] : bits.map((_, n) => `${name}[${n}]`);
}

/** The place of a `src` attribute like `circuit.v:5.3-5.29|…`; the beginning of the text where it names none. */
export function placeOfSource(src: string | undefined): Place {
  const match = /circuit\.v:(\d+)\.(\d+)/.exec(src ?? '');
  return match ? { line: Number(match[1]), column: Number(match[2]) } : { line: 1, column: 1 };
}
