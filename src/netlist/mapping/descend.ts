// The descent: the published result is only where it begins. First the leaves of the tree are chosen (leaves.ts) at the
// cost of the compact tree over them, that tree is built (rearrange.ts), and then nets anywhere in it are replaced
// (descent.ts). Where that does not beat the published search the same moves begin at its result in the tree as it was,
// and at the exact multiplier.
// What costs as much as an exact multiplier must be one: below that cost the search goes on, and the exact multiplier
// is one more result where the budget has room for it.
// Invariant: error and cost of what is returned are those of the cleaned-up network, simulated anew.

import { approximableColumns, removalOf } from '../../multiplier/structure.ts';
import type { ProductTable } from '../../multiplier/table.ts';
import { cleanUp } from '../cleanup.ts';
import { cheapestExactFor } from '../exact-cost.ts';
import { type Network, type Signal, ZERO } from '../network.ts';
import { simulate } from '../simulate.ts';
import { unitGateCost } from '../structure.ts';
import { OWN } from './cost.ts';
import { Descent, type DescentOptions, moveOf, type SearchStep } from './descent.ts';
import { weightedError } from './distance.ts';
import { LeafDescent } from './leaves.ts';
import { offerReplacements, type ReplaceableNetwork } from './positions.ts';
import { CompactTree } from './rearrange.ts';
import type { Move } from './state.ts';
import { addCounts, nothingCounted, type SearchCount } from './statistics.ts';
import type { MappedMultiplier, MappingTask } from './task.ts';

export interface Descended {
  readonly network: Network;
  readonly table: ProductTable;
  readonly mseToTarget: number;
  readonly cost: number;
  readonly moves: readonly Move[];
  readonly steps: readonly SearchStep[];
  readonly rearranged: boolean;
}

/** What `descend` found, and what its searches did. */
export interface DescendResult {
  /** The best result within the budget; null where the published one is, or where nothing `fits`. */
  readonly best: Descended | null;
  /** Whether there is a result within the budget, be it the published one. */
  readonly fits: boolean;
  /** The least cost that was reached, in unit gates. */
  readonly least: number;
  readonly leaves: SearchCount;
  readonly adders: SearchCount;
}

/** Costs in unit gates. */
export type Limits = Omit<DescentOptions, 'highestColumn'>;

/** The best result within the budget. */
export function descend(task: MappingTask, published: MappedMultiplier, limits: Limits): DescendResult {
  const { exact, structure, target, signed, shares, options } = task;
  const { costWeight } = limits;
  const exactly = cheapestExactFor(options, signed);
  const costBudget = Math.min(limits.costBudget, exactly.unitGates - 1);
  const reach = { ...limits, costBudget, highestColumn: approximableColumns(structure) };
  const wanted = removalOf(structure, options.theta);
  const tree = offerReplacements(exact);
  const objective = (end: { mseToTarget: number; cost: number }) => end.mseToTarget + costWeight * end.cost;
  const greedyFits = published.greedy.cost <= costBudget;
  let best = exactly.unitGates <= limits.costBudget ? exactResult(exactly.network, published, signed) : null;
  let least = published.greedy.cost;
  const { leafExcess = [0, 20], leaves: leafParameters, adders } = options.parameters ?? {};
  let [leafCount, adderCount] = [nothingCounted, nothingCounted];

  const search = (from: ReplaceableNetwork, start: ReadonlyMap<Signal, Signal>, leafMoves: Move[] | null) => {
    const descent = new Descent(from, target, shares, signed, reach, adders);
    const end = descent.run(start);
    adderCount = addCounts(adderCount, descent.statistics);
    least = Math.min(least, descent.leastCost);
    if (!end) return;
    const network = cleanUp(from.network, end.replacements);
    const table = simulate(network, { signed });
    const found: Descended = {
      network,
      table,
      mseToTarget: weightedError(table.data, target, shares),
      cost: unitGateCost(network),
      moves: [...(leafMoves ?? []), ...inOrder(end.replacements).map((change) => moveOf(from, change))],
      steps: leafMoves
        ? end.steps.map((step, n) => (n === 0 ? { ...step, moves: [...leafMoves, ...step.moves] } : step))
        : end.steps,
      rearranged: leafMoves !== null,
    };
    const difference = best ? objective(found) - objective(best) : Number.NEGATIVE_INFINITY;
    if (difference < 0 || (difference === 0 && found.cost < best!.cost)) best = found;
  };
  const beaten = () => best !== null && !(greedyFits && objective(best) > objective(published.greedy));

  const fromGreedy = greedyReplacements(tree, exact, published);
  const compact = new CompactTree(tree);
  const firstGuess = leafRemovals(tree, fromGreedy);
  for (const excess of leafExcess) {
    const within = { ...reach, costBudget: costBudget + excess };
    const descent = new LeafDescent(tree, compact, wanted, options.histograms, signed, within, leafParameters);
    const leaves = descent.run(firstGuess);
    leafCount = addCounts(leafCount, descent.statistics);
    const arranged = offerReplacements(compact.rearrange(leaves));
    search(
      arranged,
      new Map(),
      inOrder(leaves).map((change) => moveOf(tree, change)),
    );
  }
  search(tree, fromGreedy, null);
  if (!beaten()) search(tree, new Map(), null);
  const isBeaten = beaten();
  return {
    ...{ best: isBeaten ? best : null, fits: isBeaten || greedyFits, least },
    ...{ leaves: leafCount, adders: adderCount },
  };
}

/** An exact multiplier as a result: nothing is replaced. */
function exactResult(network: Network, { mseToTarget }: MappedMultiplier, signed: boolean): Descended {
  const [error, cost] = [mseToTarget.before, unitGateCost(network)];
  return {
    ...{ network, table: simulate(network, { signed }), mseToTarget: error, cost },
    ...{ moves: [], steps: [{ moves: [], mseToTarget: error, cost }], rearranged: true },
  };
}

function inOrder(replacements: ReadonlyMap<Signal, Signal>) {
  return [...replacements].sort(([a], [b]) => a - b).map(([signal, replacement]) => ({ signal, replacement }));
}

/** The published result as replacements in the tree. */
function greedyReplacements(tree: ReplaceableNetwork, exact: Network, { fixed, moves }: MappedMultiplier) {
  const ids = new Map(exact.adders.flatMap((cell) => [[cell.sum, cell.id] as const, [cell.carry, cell.id] as const]));
  const result = new Map<Signal, Signal>();
  for (const { signal, output } of [...fixed, ...moves]) {
    const cell = tree.cells[ids.get(signal) ?? OWN];
    const own = output === 'product' ? tree.network.partialProducts[0]!.signal : cell![output as 'sum' | 'carry'];
    result.set(own, ZERO);
  }
  return result;
}

/** The partial products that nothing reads any more under the replacements, as removals of their own. */
function leafRemovals(
  { network, positions }: ReplaceableNetwork,
  replacements: ReadonlyMap<Signal, Signal>,
): Map<Signal, Signal> {
  const live = new Uint8Array(network.nodes.length);
  for (const port of network.outputs) live[port.signal] = 1;
  for (let signal = network.nodes.length - 1; signal >= 0; signal--) {
    if (live[signal] && !replacements.has(signal)) for (const fanin of network.nodes[signal]!.fanins) live[fanin] = 1;
  }
  const products = positions.filter(({ output, signal }) => output === 'product' && !live[signal]);
  return new Map(products.map(({ signal }) => [signal, ZERO]));
}
