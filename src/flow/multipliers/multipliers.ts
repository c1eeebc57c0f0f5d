// Where the two streams meet: a θ or a table becomes what a layer multiplies with, its error table, and its share of the power.

import { emulationOf, expandTheta, tableOfRemoval } from '../../multiplier/multiplier.ts';
import { columnCosts } from '../../multiplier/power.ts';
import { slopesOf } from '../../multiplier/slopes.ts';
import { exactTable, type ProductTable } from '../../multiplier/table.ts';
import type { MultiplyingLayer } from '../../nn/layers.ts';
import { UserError } from '../../tensor/errors.ts';
import { unknownName } from '../../tensor/names.ts';
import type { PowerTerm } from '../../train/step.ts';
import type { LayerMultiplier, QuantizedArithmetic } from '../../train/task.ts';
import type { EmulationName } from '../run/device.ts';
import type { Configuration } from '../settings/config.ts';

/** The variable of the structure that a layer reads: one for all, or one per layer. */
export function thetaName(configuration: Configuration, layer: string): string {
  return configuration.explore.structure === 'shared' ? 'theta' : `${layer}.theta`;
}

/** The layers that run on the approximate multiplier; an unknown name among the exact ones is an error. */
export function approximateLayers(
  configuration: Configuration,
  layers: readonly MultiplyingLayer[],
): readonly MultiplyingLayer[] {
  const names = layers.map(({ name }) => name);
  for (const name of configuration.exactLayers) {
    if (!names.includes(name)) throw unknownName('layer', name, names);
  }
  const rest = layers.filter(({ name }) => !configuration.exactLayers.includes(name));
  if (rest.length === 0) throw new UserError('every layer is listed under exactLayers; nothing is left to approximate');
  return rest;
}

/** Names of the distinct structures, with the layers that read each. */
export function structuresOf(
  configuration: Configuration,
  layers: readonly MultiplyingLayer[],
): ReadonlyMap<string, readonly MultiplyingLayer[]> {
  const groups = new Map<string, MultiplyingLayer[]>();
  for (const layer of approximateLayers(configuration, layers)) {
    const name = thetaName(configuration, layer.name);
    const group = groups.get(name);
    if (group) group.push(layer);
    else groups.set(name, [layer]);
  }
  return groups;
}

/** θ before exploration: the lowest columns removed. */
export function initialTheta({ explore }: Configuration): Float32Array {
  return Float32Array.from({ length: explore.columns }, (_, c) => (c < explore.initiallyRemoved ? 1 : 0));
}

/** The loss's power term: each structure's columns, weighted by the share of its layers' multiplications (paper, Eq. 3 and 8). */
export function powerTerm(configuration: Configuration, layers: readonly MultiplyingLayer[]): PowerTerm {
  const { weights, activations } = configuration.bits;
  const costs = columnCosts(weights, activations);
  const total = costs.reduce((sum, cost) => sum + cost, 0);
  const macsOf = (group: readonly MultiplyingLayer[]) => group.reduce((sum, { macs }) => sum + macs, 0);
  const structures = structuresOf(configuration, layers);
  const macs = macsOf([...structures.values()].flat());
  return {
    lambda: configuration.explore.lambda,
    structures: [...structures].map(([theta, group]) => ({
      theta,
      shares: Array.from(
        costs.subarray(0, configuration.explore.columns),
        (cost) => (macsOf(group) / macs) * (cost / total),
      ),
    })),
  };
}

/** Quantised arithmetic with the given multiplier for the approximate layers and the exact one for the others. */
export function quantizedArithmetic(
  { bits, channelwise, exactLayers, quantize }: Configuration,
  multiplierOf: (layer: string) => LayerMultiplier,
): QuantizedArithmetic {
  return {
    kind: 'quantized',
    weightBits: bits.weights,
    activationBits: bits.activations,
    channelwise,
    range: quantize.range,
    multiplierOf: (layer) => (exactLayers.includes(layer) ? { kind: 'exact' } : multiplierOf(layer)),
  };
}

export const exactMultiplier = (): LayerMultiplier => ({ kind: 'exact' });

/** Layers that read trainable structures: partial product (i, j) reads θ_{i+j} while i + j < P. */
export function structuredMultiplier(configuration: Configuration): (layer: string) => LayerMultiplier {
  const { weights, activations } = configuration.bits;
  const { columns } = configuration.explore;
  const index = Array.from({ length: weights * activations }, (_, at) => {
    const column = Math.floor(at / activations) + (at % activations);
    return column < columns ? column : -1;
  });
  return (layer) => ({ kind: 'structure', theta: thetaName(configuration, layer), columns, index });
}

/**
 * A mapped or imported multiplier as a layer uses it: removed partial products where it is that, else its error table by codes. A forced
 * emulation takes the one or the other; a UserError says so where the multiplier has no planes.
 */
export function concreteMultiplier(table: ProductTable, emulation: EmulationName = 'auto'): LayerMultiplier {
  if (emulation === 'table' || emulation === 'lowrank') return { kind: 'table', error: errorByCodes(table), emulation };
  const cheapest = emulationOf({ kind: 'table', table });
  if (cheapest.strategy === 'planes') return { kind: 'removal', removed: Float32Array.from(cheapest.removal.removed) };
  if (emulation === 'auto') return { kind: 'table', error: errorByCodes(table) };
  throw new UserError(
    'the emulation planes does not apply: the multiplier does more than leave out partial products; choose auto, table, or lowrank on the device cuda',
  );
}

/** The arithmetic of phase 3: the given multipliers, with the slopes of their errors where gradients are to go through them. */
export function recoveryArithmetic({ recover }: Configuration, arithmetic: QuantizedArithmetic): QuantizedArithmetic {
  const { smoothing } = recover;
  // Only the difference-based gradient has one.
  if (!smoothing) return arithmetic;
  const { weightBits, activationBits, multiplierOf } = arithmetic;
  const sloped = new Map<LayerMultiplier, LayerMultiplier>();
  return {
    ...arithmetic,
    multiplierOf: (layer) => {
      const multiplier = multiplierOf(layer);
      if (multiplier.kind === 'exact' || multiplier.kind === 'structure') return multiplier;
      const known = sloped.get(multiplier);
      if (known) return known;
      const error = layerError(multiplier, weightBits, activationBits, undefined);
      const made = { ...multiplier, slopes: slopesOf(error, weightBits, activationBits, smoothing) };
      sloped.set(multiplier, made);
      return made;
    },
  };
}

/**
 * Error of each pair of unsigned codes. Signed operands are the codes minus half their range: with zero points moved alike the exact
 * product stays the same, so a signed multiplier is its error at the shifted operands.
 */
export function errorByCodes(table: ProductTable): Int32Array {
  const { weightBits, activationBits, signed, data } = table;
  const exact = exactTable(weightBits, activationBits, signed).data;
  const flip = (code: number, bits: number) => (signed ? code ^ (1 << (bits - 1)) : code);
  return Int32Array.from(data, (_, pair) => {
    const w = flip(pair >> activationBits, weightBits);
    const x = flip(pair & (2 ** activationBits - 1), activationBits);
    const at = (w << activationBits) | x;
    return data[at]! - exact[at]!;
  });
}

/** E(w, x) of a layer's multiplier for every pair of codes; θ is given where the multiplier is a structure. */
export function layerError(
  multiplier: LayerMultiplier,
  weightBits: number,
  activationBits: number,
  theta: ArrayLike<number> | undefined,
): Float64Array {
  if (multiplier.kind === 'table') return Float64Array.from(multiplier.error);
  if (multiplier.kind === 'exact') return new Float64Array(2 ** (weightBits + activationBits));
  const removed =
    multiplier.kind === 'removal'
      ? Float64Array.from(multiplier.removed)
      : expandTheta(theta ?? [], weightBits, activationBits).removed;
  const products = tableOfRemoval({ weightBits, activationBits, removed });
  const exact = exactTable(weightBits, activationBits).data;
  return products.map((product, pair) => product - exact[pair]!);
}
