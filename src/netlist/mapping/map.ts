// Phase 2: from structure parameters θ to a gate-level multiplier. A search replaces nets of an exact multiplier by
// constants or by other nets, and clean-up removes what became unused. `greedy` is the published search: columns with
// θ_c = 1 are removed first, then adder outputs are tried as 0. `descent` (descend.ts) minimises the error under a cost
// budget and is never worse at no more cost. `exact` keeps exactly what θ of 0 and 1 say (exact.ts).
// Invariant: the returned table is that of the returned network, simulated anew; the statistics are those of that
// table.

import { operandShares } from '../../multiplier/metrics.ts';
import {
  approximableColumns,
  checkTheta,
  columnStructure,
  removedColumns,
  type Structure,
} from '../../multiplier/structure.ts';
import { targetProducts } from '../../multiplier/target.ts';
import { UserError } from '../../tensor/errors.ts';
import { cleanUp } from '../cleanup.ts';
import { arrayMultiplier } from '../generators/array.ts';
import type { Signal } from '../network.ts';
import { simulate } from '../simulate.ts';
import { describeStructure, unitGateCost } from '../structure.ts';
import { type Descended, descend } from './descend.ts';
import type { SearchStep } from './descent.ts';
import { weightedError } from './distance.ts';
import { mapExactly } from './exact.ts';
import { greedySearch } from './greedy.ts';
import { MappingState, type Move } from './state.ts';
import { type MappedMultiplier, type MappingOptions, type MappingTask, mappingStarts, searchNames } from './task.ts';

/**
 * Maps θ to a netlist: columns of θ = 1 are removed, then a search replaces nets. Returns network, table and what it
 * cost. Throws a UserError.
 */
export function mapStructure(options: MappingOptions): MappedMultiplier {
  const { weightBits, activationBits, theta, search = 'descent', start = 'array' } = options;
  const structure = options.structure ?? columnStructure({ weightBits, activationBits }, theta.length);
  checkWidths(structure, options);
  checkTheta(structure, theta);
  if (!searchNames.includes(search)) {
    throw new UserError(`unknown search "${search}": expected one of ${searchNames.join(', ')}`);
  }
  if (!Object.hasOwn(mappingStarts, start)) {
    throw new UserError(`unknown start "${start}": expected one of ${Object.keys(mappingStarts).join(', ')}`);
  }
  checkLimits(options);
  const { generate, signed } = mappingStarts[start];
  const exact = generate(weightBits, activationBits);
  const target = targetProducts(structure, theta, signed);
  const shares = options.histograms ? operandShares(options.histograms, weightBits, activationBits) : null;
  const task: MappingTask = { exact, structure, target, signed, shares, options };
  const published = mapGreedily(task);
  switch (search) {
    case 'greedy':
      return { ...published, steps: stepsOf(task, published) };
    case 'exact':
      return mapExactly(task, published, () => descendOverAll(task));
    case 'descent':
      return mapByDescent(task, published);
  }
}

function mapGreedily(task: MappingTask): MappedMultiplier {
  const { exact, structure, target, signed, shares, options } = task;
  const { theta, lowestProduct = 'remove', start = 'array', weightBits, activationBits } = options;
  const state = new MappingState(exact, target, approximableColumns(structure), signed);
  const mseNow = () => weightedError(state.products, target, shares);

  const before = mseNow();
  const p00: Move = { column: 0, adder: null, output: 'product', signal: exact.partialProducts[0]!.signal, value: '0' };
  // From the column of the first sign bit on, a signed tree holds complements and constants, which are no products to
  // remove.
  const removable = signed ? Math.min(weightBits, activationBits) - 1 : Number.POSITIVE_INFINITY;
  const gone = removedColumns(structure, theta);
  const removed = gone.flatMap((column) => (column < removable ? state.adderOutputs(column) : []));
  const fixed = lowestProduct === 'remove' || gone[0] === 0 ? [p00, ...removed] : removed;
  for (const move of fixed) state.force(move);
  const afterFixedColumns = mseNow();

  const moves: Move[] = [];
  if (!fixed.includes(p00) && structure.index[0]! >= 0 && state.propose(p00) < state.squaredError) {
    state.accept();
    moves.push(p00);
  }
  const search = greedySearch(state);
  moves.push(...search.accepted);
  const network = cleanUp(exact, state.simulator.accepted);
  const table = simulate(network, { signed });
  const after = weightedError(table.data, target, shares);
  return {
    network,
    table,
    theta: [...theta],
    thetaStructure: structure,
    search: 'greedy',
    start,
    mseToTarget: { before, afterFixedColumns, after },
    greedy: { mseToTarget: after, cost: unitGateCost(network) },
    fixed,
    moves,
    steps: [],
    rearranged: false,
    statistics: { greedy: { rounds: 1, tried: search.tried, accepted: search.accepted.length } },
    structure: describeStructure(network),
  };
}

/** Error and cost after the fixed removals and after each move. */
function stepsOf({ exact, target, signed, shares }: MappingTask, { fixed, moves }: MappedMultiplier): SearchStep[] {
  const taken = new Map<Signal, Signal>();
  return [fixed, ...moves.map((move) => [move])].map((step) => {
    for (const { signal } of step) taken.set(signal, 0);
    const network = cleanUp(exact, taken);
    const { data } = simulate(network, { signed });
    return { moves: step, mseToTarget: weightedError(data, target, shares), cost: unitGateCost(network) };
  });
}

/** What the descent finds without a budget, all operand pairs alike: those that a run never met count, too. */
function descendOverAll({ shares: _, options, ...rest }: MappingTask): Descended | null {
  const { histograms: __, ...alike } = options;
  const task: MappingTask = { ...rest, shares: null, options: alike };
  return descend(task, mapGreedily(task), { costBudget: Number.POSITIVE_INFINITY, costWeight: 0 }).best;
}

function mapByDescent(task: MappingTask, published: MappedMultiplier): MappedMultiplier {
  const { weightBits, activationBits, costBudget, costWeight } = task.options;
  const unit = unitGateCost(cleanUp(arrayMultiplier(weightBits, activationBits)));
  const usual = costWeight === undefined ? published.greedy.cost : Number.POSITIVE_INFINITY;
  const limits = {
    costBudget: costBudget === undefined ? usual : costBudget * unit,
    costWeight: (costWeight ?? 0) / unit,
  };
  const { best, fits, least, leaves, adders } = descend(task, published, limits);
  if (!fits) {
    const exactCost = unitGateCost(cleanUp(task.exact));
    throw new UserError(
      `no multiplier of cost ${(limits.costBudget / exactCost).toFixed(4)} was found for these ${task.options.theta.length} θ: the least that was ` +
        `reached is ${(least / exactCost).toFixed(4)}; raise the cost budget, or let more columns be approximated`,
    );
  }
  const statistics = { ...published.statistics, leaves, adders };
  if (!best) return { ...published, search: 'descent', steps: stepsOf(task, published), statistics };
  const { network, table, mseToTarget, moves, steps, rearranged } = best;
  return {
    ...published,
    network,
    table,
    search: 'descent',
    mseToTarget: { ...published.mseToTarget, after: mseToTarget },
    fixed: [],
    moves,
    steps,
    rearranged,
    statistics,
    structure: describeStructure(network),
  };
}

function checkWidths(structure: Structure, { weightBits, activationBits }: MappingOptions): void {
  if (structure.weightBits === weightBits && structure.activationBits === activationBits) return;
  throw new UserError(
    `the structure is of ${structure.weightBits}×${structure.activationBits} bits, but the multiplier has ${weightBits}×${activationBits}: expected the same widths`,
  );
}

function checkLimits({ costBudget, costWeight, errorBound, search = 'descent' }: MappingOptions): void {
  if (search !== 'descent' && (costBudget ?? costWeight) !== undefined) {
    throw new UserError(`a cost budget or weight is given, but the ${search} search has none: expected the descent`);
  }
  if (search !== 'exact' && errorBound !== undefined) {
    throw new UserError(`an error bound is given, but the ${search} search has none: expected the search exact`);
  }
  if (errorBound !== undefined && !(errorBound >= 0 && errorBound < Number.POSITIVE_INFINITY)) {
    throw new UserError(`the error bound is ${errorBound}: expected a share of the error of at least 0`);
  }
  if (costBudget !== undefined && !(costBudget > 0 && costBudget <= 1)) {
    throw new UserError(
      `the cost budget is ${costBudget}: expected a share of the exact multiplier, above 0 and up to 1`,
    );
  }
  if (costWeight !== undefined && !(costWeight >= 0 && costWeight < Number.POSITIVE_INFINITY)) {
    throw new UserError(`the cost weight is ${costWeight}: expected a mean squared error of at least 0`);
  }
}
