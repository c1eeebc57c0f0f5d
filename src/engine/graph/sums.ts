// Sums of products of codes in 32-bit integers, which the devices' exact kernels form: how many products are sure to
// fit. What does not fit is refused before it could wrap around.

import { productsOfError } from '../../multiplier/error.ts';
import { UserError } from '../../tensor/errors.ts';
import type { Node } from './graph.ts';
import { root } from './plan.ts';

/** All products of a node with a constant error table; undefined where its products are not known. */
export function knownProducts({ inputs, attributes }: Node<'axmConv2d'>): Int32Array | undefined {
  if (attributes.error.kind !== 'table') return undefined;
  const { source } = root(inputs[6]!);
  return source.kind === 'constant' ? productsOfError(source.tensor.data as Int32Array, attributes) : undefined;
}

/**
 * Throws a UserError where an output sums so many products (`inner`) that they may need more than 32 bits;
 * `weightBits`: of the operand summed.
 */
export function checkSums(
  node: Node<'axmConv2d'>,
  inner: number,
  { device, other, weightBits }: { readonly device: string; readonly other: string; readonly weightBits: number },
): void {
  const { attributes } = node;
  const { activationBits } = attributes;
  const ofCodes = (2 ** weightBits - 1) * (2 ** activationBits - 1);
  const largest = knownProducts(node)?.reduce((most, product) => Math.max(most, Math.abs(product)), 1) ?? ofCodes;
  const most = Math.floor((2 ** 31 - 1) / largest);
  if (inner <= most) return;
  throw new UserError(
    `axmConv2d: an output element sums ${inner} products of ${attributes.weightBits}×${activationBits} bits; the ${device} device sums up to ${most}, use the ${other} device`,
  );
}
