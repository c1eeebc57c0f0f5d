// Operand widths in bits, and how wide an operand may be for what: trained and mapped, enumerated, or simulated.

import { UserError } from '../tensor/errors.ts';

/** Operand widths in bits, 2…8: of the weight operand w and the activation operand x. */
export interface OperandWidths {
  readonly weightBits: number;
  readonly activationBits: number;
}

export const MIN_OPERAND_BITS = 2;
/** The widest operand that is trained and mapped. */
export const MAX_OPERAND_BITS = 8;
/** The widest operand of a netlist: products of two are integers that a double holds. */
export const MAX_NETLIST_BITS = 26;
/** Operand bits together up to which all pairs are enumerated (2^24 of them: 12×12). */
export const MAX_EXHAUSTIVE_BITS = 24;

/** Throws a UserError unless both operand widths are integers from 2 to 8, the widths that are trained and mapped. */
export function checkOperandBits(weightBits: number, activationBits: number): void {
  checkBits(weightBits, activationBits, MAX_OPERAND_BITS);
}

/** Throws a UserError unless both operand widths are integers from 2 to 26. */
export function checkNetlistBits(weightBits: number, activationBits: number): void {
  checkBits(weightBits, activationBits, MAX_NETLIST_BITS);
}

/** Throws a UserError unless all operand pairs can be enumerated. */
export function checkTableBits(weightBits: number, activationBits: number): void {
  checkNetlistBits(weightBits, activationBits);
  if (weightBits + activationBits > MAX_EXHAUSTIVE_BITS) {
    throw new UserError(
      `a table of ${weightBits}×${activationBits} bits: expected at most ${MAX_EXHAUSTIVE_BITS} bits together, as 12×12 has`,
    );
  }
}

function checkBits(weightBits: number, activationBits: number, most: number): void {
  for (const [what, bits] of [
    ['weight', weightBits],
    ['activation', activationBits],
  ] as const) {
    if (!Number.isInteger(bits) || bits < MIN_OPERAND_BITS || bits > most) {
      throw new UserError(
        `a multiplier with ${bits} ${what} bits: expected an integer from ${MIN_OPERAND_BITS} to ${most}`,
      );
    }
  }
}
