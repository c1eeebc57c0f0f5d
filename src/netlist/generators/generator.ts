// What a generator gives: a network, and the same function as a formula in the integers that the operands stand for.

import type { Network } from '../network.ts';

/** The product that the multiplier gives for two operand values (not patterns). */
export type Formula = (w: number, x: number) => number;

export interface Generated {
  readonly network: Network;
  readonly formula: Formula;
}
