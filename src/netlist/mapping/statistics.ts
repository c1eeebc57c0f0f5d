// What a mapping's searches did, counted: the same for the same parameters, on any machine.

/** One search, or several of a kind together. */
export interface SearchCount {
  /** Descents, each from a start of its own. */
  readonly rounds: number;
  /** Changes whose error or cost was computed. */
  readonly tried: number;
  /** Changes that were made, also those that a later round gave up again. */
  readonly accepted: number;
}

export interface SearchStatistics {
  /** The published search, which every mapping begins with. */
  readonly greedy: SearchCount;
  /** descent: on the leaves of the tree (leaves.ts), for every number of gates that adders may still save. */
  readonly leaves?: SearchCount;
  /** descent: anywhere in the tree (descent.ts). */
  readonly adders?: SearchCount;
}

export const nothingCounted: SearchCount = { rounds: 0, tried: 0, accepted: 0 };

export function addCounts(one: SearchCount, other: SearchCount): SearchCount {
  return {
    rounds: one.rounds + other.rounds,
    tried: one.tried + other.tried,
    accepted: one.accepted + other.accepted,
  };
}
