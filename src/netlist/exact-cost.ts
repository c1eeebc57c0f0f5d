// The gate cost that multipliers are compared by: unit gates relative to the best exact 8×8 multiplier that is known
// here, so that no exact multiplier costs less than 1 and operands of fewer bits stand where they belong on the axis.

import { generate, generators } from './generators/registry.ts';
import { REFERENCE_GATES, unitGateCost } from './structure.ts';

/** The cheapest exact multiplier of some widths among the generators. */
export interface CheapestExact {
  /** Name of its generator, e.g. `dadda`. */
  readonly kind: string;
  /** Signed or not: a network's zero points make either serve, the operands are only counted from another end. */
  readonly signed: boolean;
  readonly unitGates: number;
  /** Relative to the cheapest exact 8×8 multiplier. */
  readonly gateCost: number;
}

const known = new Map<string, CheapestExact>();

/** Builds every exact generator at these widths (2 … 8 bits take milliseconds) and returns the cheapest; remembered. */
export function cheapestExact(weightBits: number, activationBits: number): CheapestExact {
  const key = `${weightBits}x${activationBits}`;
  const found = known.get(key);
  if (found) return found;
  const costs = Object.entries(generators)
    .filter(([, { exact }]) => exact)
    .map(([kind, { signed }]) => {
      const unitGates = unitGateCost(generate(kind, { weightBits, activationBits }).network);
      return { kind, signed, unitGates, gateCost: unitGates / REFERENCE_GATES };
    });
  const cheapest = costs.reduce((best, cost) => (cost.unitGates < best.unitGates ? cost : best));
  known.set(key, cheapest);
  return cheapest;
}
