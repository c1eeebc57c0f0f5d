// Sums of products of codes in 32-bit integers, which the devices' exact kernels form: how many products are sure to fit. What does not fit
// is refused before it could wrap around.

import { UserError } from '../../tensor/errors.ts';
import type { Node, Value } from './graph.ts';
import { root } from './plan.ts';

/** All products with a constant error table; undefined where the table is not known. */
export function productsOf(table: Value, activationBits: number): Int32Array | undefined {
  const { source } = root(table);
  if (source.kind !== 'constant') return undefined;
  const activations = 2 ** activationBits;
  return Int32Array.from(source.tensor.data, (error, at) => Math.floor(at / activations) * (at % activations) + error);
}

/** Throws a UserError where an output sums so many products (`inner`) that they may need more than 32 bits; `weightBits`: of the operand summed. */
export function checkSums(
  { inputs, attributes }: Node<'axmConv2d'>,
  inner: number,
  { device, other, weightBits }: { readonly device: string; readonly other: string; readonly weightBits: number },
): void {
  const { activationBits } = attributes;
  const ofCodes = (2 ** weightBits - 1) * (2 ** activationBits - 1);
  const products = attributes.error.kind === 'table' ? productsOf(inputs[6]!, activationBits) : undefined;
  const largest = products?.reduce((most, product) => Math.max(most, Math.abs(product)), 1) ?? ofCodes;
  const most = Math.floor((2 ** 31 - 1) / largest);
  if (inner <= most) return;
  throw new UserError(
    `axmConv2d: an output element sums ${inner} products of ${attributes.weightBits}×${activationBits} bits; the ${device} device sums up to ${most}, use the ${other} device`,
  );
}
