// Which modules the Verilog of a network has: one set for each multiplier, one top for each product that is followed by
// a requantisation, and the general ones that all share.
// Invariant: names are unique, whatever multipliers and layers are called; the same network and size give the same
// names and files.

import type { IntegerNetwork, ProductOperation } from '../../integer/network.ts';
import { invariant } from '../../tensor/errors.ts';
import { Identifiers } from '../identifiers.ts';
import { type ArraySize, borderClasses, type LayerTop } from './interface.ts';

export interface RtlOptions {
  /** Default 8×8. */
  readonly array?: ArraySize;
  /** Positions of a block at most, the depth of the accumulators' memory: 1 … 65536 (default 1024). */
  readonly block?: number;
}

export const DEFAULT_ARRAY: ArraySize = { rows: 8, columns: 8 };
export const DEFAULT_BLOCK = 1024;

/** Modules that belong to no multiplier and no layer; each is in the file of its name. */
export const sharedModules = [
  'tram_accumulators',
  'tram_constants',
  'tram_delay',
  'tram_memory',
  'tram_requantise',
  'tram_results',
  'tram_row_sum',
  'tram_sequencer',
  'tram_skew',
  'tram_skid',
] as const;

/** The modules of one multiplier. */
export interface MultiplierModules {
  readonly multiplier: string;
  /** In the file of the multiplier. */
  readonly halfAdder: string;
  readonly fullAdder: string;
  readonly element: string;
  readonly array: string;
}

export interface NetworkModules {
  /** In the order of the network's multipliers. */
  readonly multipliers: readonly MultiplierModules[];
  /** By the number of the product's operation: its top, and the look-up of its zeroRow. */
  readonly layers: ReadonlyMap<number, { readonly top: string; readonly zeroRow: string }>;
}

export function networkModules(network: IntegerNetwork): NetworkModules {
  const all = new Identifiers(sharedModules);
  const multipliers = network.multipliers.map(({ name }) => ({ multiplier: all.add(name) }));
  const withParts = multipliers.map(({ multiplier }) => ({
    multiplier,
    halfAdder: all.add(`${multiplier}_half_adder`),
    fullAdder: all.add(`${multiplier}_full_adder`),
    element: all.add(`${multiplier}_element`),
    array: all.add(`${multiplier}_array`),
  }));
  const layers = new Map<number, { top: string; zeroRow: string }>();
  network.operations.forEach((operation, number) => {
    if (operation.kind !== 'product') return;
    const top = all.add(`layer_${operation.layer}`);
    layers.set(number, { top, zeroRow: all.add(`${top}_zero_row`) });
  });
  return { multipliers: withParts, layers };
}

/** The tops of a network's products, in their order. A product whose sums no requantisation reads has none. */
export function layerTops(network: IntegerNetwork, options: RtlOptions = {}): LayerTop[] {
  const modules = networkModules(network);
  return network.operations.flatMap((product, number) => {
    if (product.kind !== 'product') return [];
    const requantise = network.operations.findIndex(
      ({ kind, inputs }) => kind === 'requantise' && inputs[0] === product.output,
    );
    return requantise < 0 ? [] : [layerTop(network, modules, product, number, requantise, options)];
  });
}

function layerTop(
  network: IntegerNetwork,
  modules: NetworkModules,
  product: ProductOperation,
  number: number,
  requantise: number,
  options: RtlOptions,
): LayerTop {
  const { array: size = DEFAULT_ARRAY, block = DEFAULT_BLOCK } = options;
  const requantisation = network.operations[requantise]!;
  invariant(requantisation.kind === 'requantise', 'the top of a product without a requantisation');
  const [input, output] = [network.tensors[product.inputs[0]!]!, network.tensors[product.output]!];
  const { weightBits, activationBits } = network.multipliers[product.multiplier]!.table;
  const [kh, kw, channels, allOutputs] = product.weightShape as readonly [number, number, number, number];
  const { groups } = product.geometry;
  const outputs = allOutputs / groups;
  const taps = kh * kw * channels;
  const border = borderClasses(product, input.shape, output.shape);
  const own = modules.layers.get(number)!;
  const of = modules.multipliers[product.multiplier]!;
  const names = [own.top, ...(product.zeroRow ? [own.zeroRow] : []), of.multiplier, of.element, of.array];
  return {
    module: own.top,
    files: [...names, ...sharedModules].map((name) => `${name}.v`),
    product: number,
    requantise,
    layer: product.layer,
    multiplier: of.multiplier,
    size,
    groups,
    taps,
    outputs,
    tapTiles: Math.ceil(taps / size.rows),
    outputTiles: Math.ceil(outputs / size.columns),
    positions: border.of.length,
    block: Math.min(block, border.of.length),
    classes: border.valid.length,
    weightBits,
    activationBits,
    classBits: indexBits(border.valid.length),
    resultBits: bitsOf(requantisation.low, requantisation.high),
    resultSigned: requantisation.low < 0,
  };
}

/** Bits that count from 0 to count − 1; at least 1. */
export function indexBits(count: number): number {
  return Math.max(1, Math.ceil(Math.log2(count)));
}

/** Bits that hold all integers from low to high: two's complement where low is negative, else unsigned; at least 1. */
export function bitsOf(low: number, high: number): number {
  const magnitude = (value: number) => (value > 0 ? Math.floor(Math.log2(value)) + 1 : 0);
  return low >= 0 ? Math.max(1, magnitude(high)) : 1 + Math.max(magnitude(high), magnitude(-low - 1));
}
