// Whether two loaded multipliers are equal for all operands, with the means that are at hand here: enumeration,
// algebra, and SAT through Yosys for what neither decides.
// Invariant: "equal" is said only after all operand pairs or a proof, never after samples (netlist/equivalence.ts).

import { proveEquivalent } from '../hardware/equivalence.ts';
import type { YosysChoice } from '../hardware/yosys/choose.ts';
import { type Equivalence, type Prover, verifyEquivalence } from '../netlist/equivalence.ts';
import { invariant } from '../tensor/errors.ts';
import { given } from '../tensor/given.ts';
import type { LoadedMultiplier } from './load.ts';

export interface VerifyOptions {
  /** How products are read; by default signed if a table or generator among the two says so. */
  readonly signed?: boolean;
  /** Where the Yosys for wide multipliers runs; by default `bundled`. */
  readonly yosys?: YosysChoice;
}

/**
 * Compares two multipliers; the first operand of each is the weight. To say how products are read use `signed` here,
 * not when loading.
 * Throws a UserError where the widths differ or SAT does not decide in time.
 */
export function verifyMultipliers(
  first: LoadedMultiplier,
  second: LoadedMultiplier,
  { signed, yosys = 'bundled' }: VerifyOptions = {},
): Promise<Equivalence> {
  return verifyEquivalence(first, second, { ...given({ signed }), prover: satProver(yosys) });
}

/** SAT through Yosys. The first input port of the netlists, in the order of their buses, is the weight. */
function satProver(yosys: YosysChoice): Prover {
  return async (a, b) => {
    const { counterexample } = await proveEquivalent({ network: a }, { network: b }, { yosys });
    if (!counterexample) return null;
    const [w, x] = counterexample.operands.map(({ value }) => Number(value));
    invariant(w !== undefined && x !== undefined, 'a counterexample without two operands');
    return { w, x };
  };
}
