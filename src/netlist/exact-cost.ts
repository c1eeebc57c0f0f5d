// The gate cost that multipliers are compared by: unit gates relative to the best exact 8×8 multiplier that is known
// here, so that no exact multiplier costs less than 1 and operands of fewer bits stand where they belong on the axis.
// What costs as much as an exact multiplier and is none has no use.

import { exactTable, firstDifference, type ProductTable } from '../multiplier/table.ts';
import type { OperandWidths } from '../multiplier/widths.ts';
import { generate, generators } from './generators/registry.ts';
import type { Network } from './network.ts';
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

interface BuiltExact extends CheapestExact {
  readonly network: Network;
}

const known = new Map<string, readonly BuiltExact[]>();

/** Every exact generator at these widths (2 … 8 bits take milliseconds); remembered. */
function allExact({ weightBits, activationBits }: OperandWidths): readonly BuiltExact[] {
  const key = `${weightBits}x${activationBits}`;
  const found = known.get(key);
  if (found) return found;
  const built = Object.entries(generators)
    .filter(([, { exact }]) => exact)
    .map(([kind, { signed }]) => {
      const { network } = generate(kind, { weightBits, activationBits });
      const unitGates = unitGateCost(network);
      return { kind, signed, unitGates, gateCost: unitGates / REFERENCE_GATES, network };
    });
  known.set(key, built);
  return built;
}

const cheapestOf = (all: readonly BuiltExact[]): BuiltExact =>
  all.reduce((best, one) => (one.unitGates < best.unitGates ? one : best));

/** The cheapest exact multiplier, signed or not. */
export function cheapestExact(weightBits: number, activationBits: number): CheapestExact {
  const { network: _, ...cheapest } = cheapestOf(allExact({ weightBits, activationBits }));
  return cheapest;
}

/** The cheapest one of a signedness, with its netlist: what takes the place of another multiplier as it is. */
export const cheapestExactFor = (widths: OperandWidths, signed: boolean): BuiltExact =>
  cheapestOf(allExact(widths).filter((one) => one.signed === signed));

/** The exact multiplier that a netlist costs as much as without being exact, or more than; undefined where none is. */
export function dominatingExact(table: ProductTable, network: Network): CheapestExact | undefined {
  const { weightBits, activationBits, signed } = table;
  const { network: _, ...exact } = cheapestExactFor(table, signed);
  const cost = unitGateCost(network);
  if (cost < exact.unitGates) return undefined;
  if (cost > exact.unitGates || firstDifference(table, exactTable(weightBits, activationBits, signed))) return exact;
  return undefined;
}

/** In words, where an exact multiplier is no worse in either. */
export function describeDominated(exact: CheapestExact): string {
  return `the exact ${exact.kind} multiplier costs no more (gate cost ${exact.gateCost.toFixed(4)})`;
}
