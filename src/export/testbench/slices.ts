// What a bench tests of a network: a product with the requantisation of its sums, as one top module computes them.
// Invariant: a slice reads one tensor and makes one, and everything between is in it.

import type {
  IntegerMultiplier,
  IntegerNetwork,
  IntegerTensor,
  ProductOperation,
  RequantiseOperation,
} from '../../integer/network.ts';
import { invariant, UserError } from '../../tensor/errors.ts';
import { unknownName } from '../../tensor/names.ts';
import type { LayerTop } from '../rtl/interface.ts';

export interface LayerSlice {
  /** The layer's name; `NAME#2` for a second product of a layer. */
  readonly name: string;
  readonly top: LayerTop;
  readonly product: ProductOperation;
  readonly requantise: RequantiseOperation;
  readonly multiplier: IntegerMultiplier;
  readonly input: IntegerTensor;
  readonly sums: IntegerTensor;
}

/** A slice for each top of a network. */
export function slicesOf(network: IntegerNetwork, tops: readonly LayerTop[]): LayerSlice[] {
  const seen = new Map<string, number>();
  return tops.map((top) => {
    const product = network.operations[top.product]!;
    const requantise = network.operations[top.requantise]!;
    invariant(product.kind === 'product' && requantise.kind === 'requantise', `${top.module} is not of this network`);
    const count = (seen.get(top.layer) ?? 0) + 1;
    seen.set(top.layer, count);
    return {
      name: count === 1 ? top.layer : `${top.layer}#${count}`,
      ...{ top, product, requantise },
      multiplier: network.multipliers[product.multiplier]!,
      input: network.tensors[product.inputs[0]!]!,
      sums: network.tensors[product.output]!,
    };
  });
}

/** The slices of these names; without names the first and the last whose multiplier is not exact. */
export function chooseSlices(all: readonly LayerSlice[], names?: readonly string[]): LayerSlice[] {
  if (all.length === 0) {
    throw new UserError('the network has no layer in Verilog; choose one whose layers multiply integers');
  }
  if (names) {
    return [...new Set(names)].map((name) => {
      const slice = all.find((one) => one.name === name);
      if (slice) return slice;
      throw unknownName(
        'layer of --layers',
        name,
        all.map((one) => one.name),
      );
    });
  }
  const approximate = all.filter(({ multiplier }) => !multiplier.exact);
  const from = approximate.length > 0 ? approximate : all;
  return [...new Set([from[0]!, from.at(-1)!])];
}
