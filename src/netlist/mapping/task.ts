// What is asked of a mapping and what comes back: the options, the multipliers to begin with, the result with its
// statistics.

import type { OperandHistograms } from '../../multiplier/metrics.ts';
import type { Structure } from '../../multiplier/structure.ts';
import type { ProductTable } from '../../multiplier/table.ts';
import { arrayMultiplier } from '../generators/array.ts';
import { baughWooleyMultiplier } from '../generators/signed.ts';
import { daddaMultiplier, wallaceMultiplier } from '../generators/trees.ts';
import type { Network } from '../network.ts';
import type { StructureDescription } from '../structure.ts';
import type { DescentParameters, SearchStep } from './descent.ts';
import type { LeafParameters } from './leaves.ts';
import type { Move } from './state.ts';
import type { SearchStatistics } from './statistics.ts';

/** The exact multipliers that a search may begin with; the last one is for signed operands. */
export const mappingStarts = {
  array: { generate: arrayMultiplier, signed: false },
  wallace: { generate: wallaceMultiplier, signed: false },
  dadda: { generate: daddaMultiplier, signed: false },
  'baugh-wooley': { generate: baughWooleyMultiplier, signed: true },
} as const;
export type MappingStart = keyof typeof mappingStarts;

export const searchNames = ['descent', 'greedy', 'exact'] as const;
export type SearchName = (typeof searchNames)[number];

/**
 * How far the descent goes: longer searches find better multipliers. What is not given is as in leafDefaults and
 * descentDefaults.
 */
export interface SearchParameters {
  readonly leaves?: Partial<LeafParameters>;
  readonly adders?: Partial<DescentParameters>;
  /**
   * Unit gates above the budget that the leaves are chosen for, once for each: moves on the adders may save that much
   * at a smaller error.
   * By default 0 and 20.
   */
  readonly leafExcess?: readonly number[];
}

export interface MappingOptions {
  /** Operand widths, 2..8 each. */
  readonly weightBits: number;
  readonly activationBits: number;
  /**
   * Structure parameters in [0, 1]: of the P lowest columns, P ≤ weightBits + activationBits − 1, or one for each name
   * of the structure.
   */
  readonly theta: readonly number[];
  /** Which partial products each θ is of; by default those of a column. */
  readonly structure?: Structure;
  /** By default `descent`. */
  readonly search?: SearchName;
  /** By default the published `array`. */
  readonly start?: MappingStart;
  /**
   * greedy: what happens to w[0]·x[0], which no adder receives: 'remove' always (as published) or 'try' it like an
   * adder output.
   */
  readonly lowestProduct?: 'remove' | 'try';
  /** descent, exact: the operands that the error is taken over; by default all pairs count equally. */
  readonly histograms?: OperandHistograms;
  /**
   * descent: largest cost of the result relative to the exact array multiplier, in (0, 1]; by default that of the
   * greedy result.
   */
  readonly costBudget?: number;
  /**
   * descent: W ≥ 0 of the objective MSE + W · cost, cost relative to the exact array multiplier; with it no budget is
   * the default.
   */
  readonly costWeight?: number;
  /**
   * exact: gates are saved while the mean squared error to the exact products, over the operands of the histograms,
   * stays within 1 + this share of what the kept partial products have; at least 0, by default nothing is changed.
   */
  readonly errorBound?: number;
  /** descent: how far it goes. */
  readonly parameters?: SearchParameters;
}

export interface MappedMultiplier {
  readonly network: Network;
  readonly table: ProductTable;
  readonly theta: readonly number[];
  /** Which partial products each θ is of. */
  readonly thetaStructure: Structure;
  readonly search: SearchName;
  readonly start: MappingStart;
  /**
   * Mean squared errors to the target of θ: of the exact multiplier, with the fixed removals, and of the result; over
   * the operands of the histograms where they are given.
   */
  readonly mseToTarget: { readonly before: number; readonly afterFixedColumns: number; readonly after: number };
  /** The published search at the same θ, for comparison; the cost in unit gates. */
  readonly greedy: { readonly mseToTarget: number; readonly cost: number };
  /** greedy: removed before the search began, because a column’s θ is 1 or by `lowestProduct`. */
  readonly fixed: readonly Move[];
  /** greedy: accepted by the search, in order. descent: all replacements of the result, from the lowest signal. */
  readonly moves: readonly Move[];
  /** The way to the result, with the error and the cost after each step. */
  readonly steps: readonly SearchStep[];
  /** The adders were arranged anew for the bits that were left (rearrange.ts): their ids are not those of the start. */
  readonly rearranged: boolean;
  /** What the searches did. */
  readonly statistics: SearchStatistics;
  readonly structure: StructureDescription;
}

/** A mapping as its searches see it: the exact multiplier to begin with, and the products that θ asks for (Y_ref). */
export interface MappingTask {
  readonly exact: Network;
  readonly structure: Structure;
  readonly target: Float32Array;
  readonly signed: boolean;
  readonly shares: Float64Array | null;
  readonly options: MappingOptions;
}
