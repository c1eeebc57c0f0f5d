// A layer's product in integers: the stored weights, zero points and correction rows that an approximate convolution of
// the graph comes to in the convention of its multiplier, and what its sums can be.
// Invariant: the multiplier's table says the same of every pair of codes as the graph's node; a layer for which it does
// not is refused.

import type { OpAttributes } from '../engine/graph/ops.ts';
import { convolutionTaps } from '../engine/graph/window.ts';
import { errorByCodes } from '../multiplier/error.ts';
import { codeOfPattern } from '../multiplier/operands.ts';
import { errorOfRemoval } from '../multiplier/removal.ts';
import type { ProductTable } from '../multiplier/table.ts';
import { errorFromZero } from '../multiplier/zero-row.ts';
import { invariant, UserError } from '../tensor/errors.ts';
import { given } from '../tensor/given.ts';
import { type HostTensor, type Shape, sizeOf } from '../tensor/tensor.ts';
import type { FrozenLayer } from './frozen.ts';
import type { AccumulatorBounds, ProductOperation } from './network.ts';

/** What a node of a graph multiplies with, beside the activations. */
export interface ProductNode {
  readonly attributes: OpAttributes['axmConv2d'];
  /** wq, xScale, xZero, wScale, wZero, and the error where there is one. */
  readonly weights: HostTensor;
  readonly activationZero: number;
  readonly weightZero: HostTensor;
  readonly error: HostTensor | undefined;
}

/** The integers of a product that do not depend on where it stands in a network. */
export type ProductIntegers = Pick<
  ProductOperation,
  'weights' | 'weightShape' | 'step' | 'weightZero' | 'activationZero' | 'zeroRow'
>;

/** The value of a code in a multiplier's convention: signed operands begin at minus half their range. */
export const codeShift = ({ signed }: ProductTable, bits: number): number => (signed ? 2 ** (bits - 1) : 0);

export function productIntegers(layer: FrozenLayer, table: ProductTable, node: ProductNode): ProductIntegers {
  const { name } = layer;
  const { weightBits, activationBits } = node.attributes;
  invariant(
    table.weightBits === weightBits && table.activationBits === activationBits,
    `${name}: a multiplier of other widths`,
  );
  const { ownZero } = layer.operands!;
  checkError(name, node, table, ownZero);
  const shift = codeShift(table, weightBits);
  const zeros = Array.from(node.weightZero.data);
  const step = zeros.every(Number.isInteger) ? 1 : 2;
  if (!zeros.every((zero) => Number.isInteger(step * zero)) || !Number.isInteger(node.activationZero)) {
    throw new UserError(
      `${name}: a zero point that is neither a code nor halfway between two has no integers; quantise with --weight-zero code, middle, below or between`,
    );
  }
  const zeroRow = ownZero === undefined ? undefined : rowOf(table, ownZero);
  const ownCode = ownZero === undefined ? undefined : codeOf(table, ownZero);
  if (ownCode !== undefined && zeros.some((zero) => zero !== ownCode)) {
    throw new UserError(
      `${name}: its weights have their zero at different codes, and only one of them can be taken off as the multiplier makes it; recover with --zero-product exact, or quantise with --weight-zero middle`,
    );
  }
  return {
    weights: Int16Array.from(node.weights.data, (code) => code - shift),
    weightShape: node.weights.shape,
    step,
    weightZero: Int32Array.from(zeros, (zero) => step * (zero - shift)),
    activationZero: node.activationZero - codeShift(table, activationBits) + 0,
    ...given({ zeroRow }),
  };
}

const codeOf = ({ signed, weightBits }: ProductTable, pattern: number): number =>
  signed ? codeOfPattern(pattern, weightBits) : pattern;

/** The products of one weight pattern, by the patterns of the activation. */
function rowOf({ activationBits, data }: ProductTable, weight: number): Int32Array {
  return data.slice(weight << activationBits, (weight + 1) << activationBits);
}

/** Compares the node's errors with those of the multiplier, pair by pair. */
function checkError(name: string, node: ProductNode, table: ProductTable, ownZero: number | undefined): void {
  const { weightBits, activationBits, error } = node.attributes;
  const own = errorByCodes(table);
  const expected = ownZero === undefined ? own : errorFromZero(own, table, codeOf(table, ownZero));
  const found =
    error.kind === 'none'
      ? undefined
      : error.kind === 'table'
        ? node.error!.data
        : errorOfRemoval({ weightBits, activationBits, removed: node.error!.data });
  for (let pair = 0; pair < expected.length; pair++) {
    const difference = expected[pair]! - (found?.[pair] ?? 0);
    invariant(difference === 0, `${name}: the multiplier's table is not what the network multiplies with`);
  }
}

/** Bounds of one output channel's sums and of all partial sums. */
export interface ProductBounds {
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly accumulators: AccumulatorBounds;
}

interface Term {
  readonly low: number;
  readonly high: number;
}

/**
 * What the sums can be, from the stored weights and the bounds of the activations: every tap at its worst by itself,
 * left out where it can be padding. A UserError where 32 bits are too few.
 */
export function productBounds(
  layer: FrozenLayer,
  table: ProductTable,
  product: ProductIntegers,
  input: { readonly shape: Shape; readonly low: number; readonly high: number },
): ProductBounds {
  const { geometry, name } = layer;
  const [kh, kw, inputs, outputs] = product.weightShape as [number, number, number, number];
  const termOf = memoised((weight, zero) => termBounds(table, product, weight, zero, input, true));
  const bareOf = memoised((weight) => termBounds(table, product, weight, 0, input, false));
  const always = tapsAlwaysThere([1, ...input.shape], product.weightShape, geometry);
  const low = new Float64Array(outputs);
  const high = new Float64Array(outputs);
  const partial = { terms: [0, 0] as [number, number], products: [0, 0] as [number, number] };
  for (let o = 0; o < outputs; o++) {
    const terms: [number, number] = [0, 0];
    const products: [number, number] = [0, 0];
    for (let tap = 0; tap < kh * kw; tap++)
      for (let i = 0; i < inputs; i++) {
        const weight = product.weights[(tap * inputs + i) * outputs + o]!;
        const term = termOf(weight, product.weightZero[o]!);
        const bare = bareOf(weight, 0);
        low[o]! += always[tap] ? term.low : Math.min(0, term.low);
        high[o]! += always[tap] ? term.high : Math.max(0, term.high);
        grow(terms, term);
        grow(products, bare);
      }
    widen(partial.terms, terms);
    widen(partial.products, products);
  }
  const most = Math.max(...[...partial.terms, ...partial.products].map(Math.abs));
  if (most > 2 ** 31 - 1) {
    throw new UserError(
      `${name}: its sums may reach ${most}, more than 32 bits hold; quantise its operands with fewer bits (--layer-bits)`,
    );
  }
  return { low: Int32Array.from(low), high: Int32Array.from(high), accumulators: partial };
}

function grow(range: [number, number], { low, high }: Term): void {
  range[0] += Math.min(0, low);
  range[1] += Math.max(0, high);
}

function widen(range: [number, number], [low, high]: readonly [number, number]): void {
  range[0] = Math.min(range[0], low);
  range[1] = Math.max(range[1], high);
}

/** Whether a tap lies inside the image wherever the window stands. */
function tapsAlwaysThere(x: Shape, weightShape: Shape, geometry: FrozenLayer['geometry']): readonly boolean[] {
  const [kh, kw] = weightShape as [number, number];
  const { rows, columns } = convolutionTaps(x, weightShape, geometry);
  const always = (all: readonly (readonly { readonly tap: number }[])[], size: number) =>
    Array.from({ length: size }, (_, tap) => all.every((taps) => taps.some((one) => one.tap === tap)));
  const [inRows, inColumns] = [always(rows, kh), always(columns, kw)];
  return Array.from({ length: kh * kw }, (_, at) => inRows[Math.floor(at / kw)]! && inColumns[at % kw]!);
}

/** The least and the largest contribution of a weight over all activations within bounds. */
function termBounds(
  table: ProductTable,
  { step, activationZero, zeroRow }: ProductIntegers,
  weight: number,
  zero: number,
  { low, high }: { readonly low: number; readonly high: number },
  corrected: boolean,
): Term {
  const { weightBits, activationBits, data } = table;
  const mask = 2 ** activationBits - 1;
  const row = (weight & (2 ** weightBits - 1)) << activationBits;
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let x = low; x <= high; x++) {
    const product = data[row | (x & mask)]!;
    const taken = zeroRow ? zeroRow[x & mask]! : zero * x;
    const term = corrected ? step * product - taken - activationZero * (step * weight - zero) : product;
    least = Math.min(least, term);
    most = Math.max(most, term);
  }
  return { low: least, high: most };
}

function memoised(of: (weight: number, zero: number) => Term): (weight: number, zero: number) => Term {
  const known = new Map<number, Map<number, Term>>();
  return (weight, zero) => {
    const ofZero = known.get(zero) ?? new Map<number, Term>();
    known.set(zero, ofZero);
    const found = ofZero.get(weight) ?? of(weight, zero);
    ofZero.set(weight, found);
    return found;
  };
}

/** Taps and inputs of one output, for reports. */
export const tapsOf = (weightShape: Shape): number => sizeOf(weightShape.slice(0, 3));
