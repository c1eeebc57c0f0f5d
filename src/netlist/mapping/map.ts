// Phase 2: from structure parameters θ to a gate-level multiplier. Columns with θ_c = 1 are removed from the exact array multiplier,
// then a search chooses further nets to set to 0, and clean-up removes what became unused.
// Invariant: the returned table is that of the returned network, simulated anew. A further search is one more entry in `searches`.

import { UserError } from '../../tensor/errors.ts';
import { cleanUp } from '../cleanup.ts';
import { arrayMultiplier } from '../generators/array.ts';
import type { Network } from '../network.ts';
import { simulate } from '../simulate.ts';
import { describeStructure, type StructureDescription } from '../structure.ts';
import type { ProductTable } from '../table.ts';
import { checkTheta } from '../theta.ts';
import { greedySearch } from './greedy.ts';
import { MappingState, type Move } from './state.ts';
import { meanSquareError, targetProducts } from './target.ts';

export type Search = (state: MappingState) => Move[];

export const searches = { greedy: greedySearch } as const satisfies Record<string, Search>;
export type SearchName = keyof typeof searches;

export interface MappingOptions {
  /** Operand widths, 2..8 each. */
  readonly weightBits: number;
  readonly activationBits: number;
  /** Structure parameters in [0, 1] of the P lowest columns, P ≤ weightBits + activationBits − 1. */
  readonly theta: readonly number[];
  readonly search?: SearchName;
  /** What happens to w[0]·x[0], which no adder receives: 'remove' always (as published) or 'try' it like an adder output. */
  readonly lowestProduct?: 'remove' | 'try';
}

export interface MappedMultiplier {
  readonly network: Network;
  readonly table: ProductTable;
  readonly theta: readonly number[];
  readonly search: SearchName;
  /** Mean squared errors to the target of θ: of the exact multiplier, with the fixed removals, and of the result. */
  readonly mse: { readonly before: number; readonly afterFixedColumns: number; readonly after: number };
  /** Removed before the search began, because θ_c = 1 or by `lowestProduct`. */
  readonly fixed: readonly Move[];
  /** Accepted by the search, in order. */
  readonly moves: readonly Move[];
  readonly structure: StructureDescription;
}

export function mapStructure(options: MappingOptions): MappedMultiplier {
  const { weightBits, activationBits, theta, search = 'greedy', lowestProduct = 'remove' } = options;
  checkTheta(theta, weightBits, activationBits);
  if (!Object.hasOwn(searches, search)) {
    throw new UserError(`unknown search "${search}": expected one of ${Object.keys(searches).join(', ')}`);
  }
  const exact = arrayMultiplier(weightBits, activationBits);
  const target = targetProducts(theta, weightBits, activationBits);
  const state = new MappingState(exact, target, theta.length);
  const mseNow = () => meanSquareError(state.products, target);

  const before = mseNow();
  const p00: Move = { column: 0, adder: null, output: 'product', signal: exact.partialProducts[0]!.signal };
  const removed = theta.flatMap((value, column) => (value === 1 ? state.adderOutputs(column) : []));
  const fixed = lowestProduct === 'remove' || theta[0] === 1 ? [p00, ...removed] : removed;
  for (const move of fixed) state.force(move);
  const afterFixedColumns = mseNow();

  const moves: Move[] = [];
  if (!fixed.includes(p00) && theta.length > 0 && state.propose(p00) < state.squaredError) {
    state.accept();
    moves.push(p00);
  }
  moves.push(...searches[search](state));
  const network = cleanUp(exact, state.simulator.accepted);
  const table = simulate(network);
  const after = meanSquareError(table.data, target);
  const mse = { before, afterFixedColumns, after };
  return { network, table, theta: [...theta], search, mse, fixed, moves, structure: describeStructure(network) };
}
