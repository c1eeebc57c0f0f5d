// The exact search: a structure whose θ are all 0 or 1 is mapped to the kept partial products and nothing else
// (kept.ts), so that the netlist multiplies as the network was trained to. Of few bits the descent is asked, too: where
// two bits of a column are never both 1 an OR does for an adder, which a tree has no eye for, and now and then it ends
// at the same products with a gate or two less. Where an error bound is given nets are then
// replaced (descent.ts) while that saves gates and the mean squared error to the exact products, over the operands that
// are met and about its mean (which batch norms have learnt), stays within the bound: OR instead of an adder at the
// cut, an adder passed by, constants.
// Invariant: the kept products' table is compared with what θ asks for on every pair before anything is replaced; what
// is returned costs no more, and errs no more than the bound allows, simulated anew.

import type { PartialProductRemoval } from '../../multiplier/removal.ts';
import { removalOf } from '../../multiplier/structure.ts';
import { exactTable } from '../../multiplier/table.ts';
import { invariant, UserError } from '../../tensor/errors.ts';
import { cleanUp } from '../cleanup.ts';
import type { TreeKind } from '../generators/heap.ts';
import { simulate } from '../simulate.ts';
import { describeStructure, unitGateCost } from '../structure.ts';
import type { Descended } from './descend.ts';
import { Descent, moveOf } from './descent.ts';
import { weightedError } from './distance.ts';
import { isHard, keptNetwork, keptTree } from './kept.ts';
import { offerReplacements } from './positions.ts';
import type { MappedMultiplier, MappingTask } from './task.ts';

type Mapped = Pick<Descended, 'network' | 'table' | 'moves' | 'rearranged'>;

/** Operand pairs up to which the descent takes milliseconds; at 8×8 bits it takes seconds. */
const MOST_PAIRS = 2 ** 8;

/** The trees that the search begins with: either ends lower on some structures. */
const searched = ['compact', 'dadda'] as const satisfies readonly TreeKind[];
const unlimited = {
  ...{ costBudget: Number.POSITIVE_INFINITY, costWeight: 0, highestColumn: Number.POSITIVE_INFINITY },
} as const;
/** The search ends by itself: at 8×8 bits after some ten thousand changes. */
const parameters = { tried: 50_000, steps: 2000 } as const;
/** Sums over all pairs in another order than the search's differences. */
const ROUNDING = 1e-6;

/** `descend`: what the descent finds without a budget. Throws a UserError where a θ is neither 0 nor 1. */
export function mapExactly(
  task: MappingTask,
  published: MappedMultiplier,
  descend: () => Descended | null,
): MappedMultiplier {
  const { structure, target, signed, shares, options } = task;
  const wanted = removalOf(structure, options.theta);
  if (!isHard(wanted)) {
    const soft = structure.names[options.theta.findIndex((value) => value > 0 && value < 1)];
    throw new UserError(
      `θ of ${soft} is neither 0 nor 1, and no netlist is that exactly: explore with --harden, or use another search than exact`,
    );
  }
  const network = keptNetwork(wanted, signed);
  const table = simulate(network, { signed });
  const wrong = table.data.findIndex((product, pair) => product !== target[pair]);
  invariant(wrong < 0, `the kept partial products give another product than θ asks for at operand pair ${wrong}`);
  const kept: Mapped = { network, table, moves: [], rearranged: true };
  const other = table.data.length > MOST_PAIRS ? null : descend();
  const exactly = other?.mseToTarget === 0 && other.cost < unitGateCost(network) ? other : kept;
  const found = options.errorBound === undefined ? exactly : savedWithin(task, wanted, exactly, options.errorBound);
  return {
    ...published,
    ...{ network: found.network, table: found.table, search: 'exact' },
    mseToTarget: {
      ...published.mseToTarget,
      afterFixedColumns: 0,
      after: weightedError(found.table.data, target, shares),
    },
    ...{ fixed: [], moves: found.moves, steps: [], rearranged: found.rearranged },
    structure: describeStructure(found.network),
  };
}

/**
 * The fewest gates at no more than 1 + bound times the error of what is kept; the netlist of the kept products itself
 * where nothing is saved. The error is taken about the mean of what is kept, which the network was trained with.
 */
function savedWithin(
  { signed, shares, options }: MappingTask,
  kept: PartialProductRemoval,
  exactly: Mapped,
  bound: number,
): Mapped {
  const { weightBits, activationBits } = options;
  const exact = exactTable(weightBits, activationBits, signed).data;
  const mean = meanError(exactly.table.data, exact, shares);
  const wanted = Float32Array.from(exact, (product) => product + mean);
  const errorBound = (1 + bound) * weightedError(exactly.table.data, wanted, shares);
  let best = exactly;
  for (const tree of searched) {
    const start = offerReplacements(keptTree(tree, kept, signed));
    const descent = new Descent(start, wanted, shares, signed, { ...unlimited, errorBound }, parameters);
    const end = descent.run(new Map());
    if (!end) continue;
    const network = cleanUp(start.network, end.replacements);
    if (unitGateCost(network) >= unitGateCost(best.network)) continue;
    const table = simulate(network, { signed });
    if (weightedError(table.data, wanted, shares) > errorBound * (1 + ROUNDING)) continue;
    const moves = [...end.replacements].sort(([a], [b]) => a - b);
    best = {
      ...{ network, table, rearranged: true },
      moves: moves.map(([signal, replacement]) => moveOf(start, { signal, replacement })),
    };
  }
  return best;
}

/** Mean of products − exact over the operand pairs, by their shares where they are given. */
function meanError(products: Int32Array, exact: Int32Array, shares: Float64Array | null): number {
  const even = 1 / products.length;
  return products.reduce((sum, product, pair) => sum + (shares ? shares[pair]! : even) * (product - exact[pair]!), 0);
}
