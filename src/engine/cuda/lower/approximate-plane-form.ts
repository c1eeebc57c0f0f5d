// Which planes an approximate convolution needs. Of a structure: the bits of the activation operand grouped by the
// weight operand that they meet; bits that lose nothing share one plane with v = w, bits that lose the same partial
// products share one too. A plane whose weights are integers has one u8 digit, one with real-valued shares also digits
// of a fraction. Of a table: the terms of its factorisation. See kernels/approximate-planes.cu.

import { isInteger } from '../../../multiplier/error.ts';
import { type Factorization, type FactorPlane, isSigned } from '../../../multiplier/factorization.ts';
import { invariant } from '../../../tensor/errors.ts';
import type { Value } from '../../graph/graph.ts';
import type { AxmConvAttributes } from '../../graph/ops.ts';
import { root } from '../../graph/plan.ts';
import { macroList } from './launch.ts';

export interface Plane {
  /** Bits of x that this plane keeps. */
  readonly mask: number;
  /** A bit whose column of m gives the weights; none where v = w. */
  readonly bit: number | undefined;
  /** Whether the weights of the plane are fixed-point numbers with a fraction. */
  readonly fraction: boolean;
  /**
   * The term of a factorisation that it computes; without one it reads x, bits in their places, and its weights come
   * from m.
   */
  readonly factor?: FactorPlane;
}

/** The planes of a convolution, with what the kernels must be given for those of a factored table. */
export interface Form {
  readonly planes: readonly Plane[];
  /** Functions of x that planes read instead of its bits. */
  readonly functions: readonly Int32Array[];
  readonly factored?: {
    /** U of each plane and weight code, u8 or s8. */
    readonly digits: Uint8Array;
    /** AxM(w, 0) for each weight code, where it is not zero for all. */
    readonly constant: Int32Array | undefined;
  };
}

export function factoredForm({ planes: found, functions, constant }: Factorization): Form {
  // A product takes a plane at least, be it of zeros.
  const nothing: FactorPlane = { source: 0, mask: 1, at: undefined, weights: new Int32Array(constant.length) };
  const planes = found.length > 0 ? found : [nothing];
  return {
    planes: planes.map((factor) => ({ mask: factor.mask, bit: undefined, fraction: false, factor })),
    functions,
    factored: {
      digits: Uint8Array.from(planes.flatMap(({ weights }) => Array.from(weights))),
      constant: constant.some((value) => value !== 0) ? constant : undefined,
    },
  };
}

/** Tables of 256 bytes, one after the other. */
export function bytesOfFunctions(functions: readonly Int32Array[]): Uint8Array {
  return Uint8Array.from(functions.flatMap((values) => Array.from({ length: 256 }, (_, x) => values[x] ?? 0)));
}

/** The planes of an error kind; `m` is the structure operand, if there is one. */
export function planesOf({ error, weightBits, activationBits }: AxmConvAttributes, m?: Value): Plane[] {
  const everything = 2 ** activationBits - 1;
  if (error.kind === 'none') return [{ mask: everything, bit: undefined, fraction: false }];
  invariant(m, 'planes without a structure');
  const column = (j: number) => columnOf(m, j, weightBits, activationBits);
  const groups = new Map<string, { mask: number; bit: number | undefined }>();
  for (let j = 0; j < activationBits; j++) {
    const removed = column(j);
    // A column that is not known now may be anything: its bit is a plane of its own.
    const key = removed === undefined ? `bit ${j}` : removed;
    const group = groups.get(key);
    if (group) group.mask |= 1 << j;
    else groups.set(key, { mask: 1 << j, bit: removed === EMPTY ? undefined : j });
  }
  return [...groups.values()].map(({ mask, bit }) => ({ mask, bit, fraction: !isInteger(error) && bit !== undefined }));
}

const EMPTY = 'nothing';

/**
 * What is removed from bit j's partial products as far as the graph says: a text that is equal for equal columns,
 * undefined if unknown.
 */
function columnOf(m: Value, j: number, weightBits: number, activationBits: number): string | undefined {
  const rows = Array.from({ length: weightBits }, (_, i) => i * activationBits + j);
  const source = sourceOf(m);
  if (source.kind === 'constant') {
    const values = rows.map((at) => source.tensor.data[at]!);
    return values.every((value) => value === 0) ? EMPTY : values.join(' ');
  }
  if (source.kind === 'node' && source.node.op === 'structureMatrix') {
    const { index } = source.node.attributes as { index: readonly number[] };
    const read = rows.map((at) => index[at]!);
    return read.every((from) => from < 0) ? EMPTY : read.map((from) => Math.max(-1, from)).join(' ');
  }
  return undefined;
}

/** Where a value comes from, seen through renames. */
export const sourceOf = (value: Value): Value['source'] => root(value).source;

/** Digits of all planes' weights, `fractionDigits` of them behind the first where a plane has a fraction. */
export function slicesOf(planes: readonly Plane[], fractionDigits: number): number {
  return planes.reduce((sum, { fraction }) => sum + 1 + (fraction ? fractionDigits : 0), 0);
}

/** The macros of kernels/approximate-planes.cu for a form. */
export function planeDefines({ planes, functions }: Pick<Form, 'planes' | 'functions'>, fractionDigits: number) {
  const list = (of: (plane: Plane) => number) => macroList(planes.map(of));
  const signsOf = ({ factor }: Plane): number => {
    if (!factor) return 0;
    const signedFunction = factor.source > 0 && isSigned(functions[factor.source - 1]!);
    return (signedFunction ? 1 : 0) + (isSigned(factor.weights) ? 2 : 0);
  };
  return {
    PLANES: planes.length,
    SLICES: slicesOf(planes, fractionDigits),
    SOURCES: 1 + functions.length,
    FDIGITS: fractionDigits,
    MASKS: list(({ mask }) => mask),
    PLACES: list(({ factor }) => factor?.at ?? -1),
    READS: list(({ factor }) => factor?.source ?? 0),
    SIGNS: list(signsOf),
    ALL_SIGNS: planes.reduce((all, plane) => all | signsOf(plane), 0),
    FRACTIONS: list(({ fraction }) => (fraction ? 1 : 0)),
    BITS: list(({ bit }) => bit ?? -1),
  };
}
