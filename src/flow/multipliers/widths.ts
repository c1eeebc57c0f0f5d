// Exact multipliers of fewer bits: the rivals of every approximate one. Both operands lose a bit at a time down to
// five; from there the weights go first, which networks mind less than their activations.

import { cheapestExact } from '../../netlist/exact-cost.ts';
import type { OperandBits } from '../../workbench/import.ts';

const steps = [
  [7, 7],
  [6, 6],
  [5, 5],
  [4, 5],
  [4, 4],
  [3, 4],
  [3, 3],
] as const;

/**
 * Widths below the given ones, the widest first: 7×7, 6×6, 5×5, 4×5, 4×4, 3×4 and 3×3 where neither operand has fewer.
 */
export function narrowerWidths({ weights, activations }: OperandBits): readonly OperandBits[] {
  const limited = steps.map(([w, x]) => ({ weights: Math.min(w, weights), activations: Math.min(x, activations) }));
  const distinct = new Map(limited.map((bits) => [widthName(bits), bits]));
  distinct.delete(widthName({ weights, activations }));
  return [...distinct.values()];
}

/** "4×5": weight × activation. */
export function widthName({ weights, activations }: OperandBits): string {
  return `${weights}×${activations}`;
}

/** The cheapest exact multiplier of these widths, as a generator's spec, with its cost. */
export function exactMultiplierOf({ weights, activations }: OperandBits) {
  const { kind, signed, unitGates, gateCost } = cheapestExact(weights, activations);
  return { source: `${kind}:${weights}x${activations}`, signed, unitGates, gateCost };
}
