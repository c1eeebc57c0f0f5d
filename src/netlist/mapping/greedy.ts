// The published search (TRAM, section 3.3): from the least significant column up, each adder output is tried as the
// constant 0, sums before carries, and kept iff the mean squared error to the target falls. One pass, no move is taken
// back.

import type { MappingState, Move } from './state.ts';

/** Applies the moves to the state and returns the accepted ones in order, and how many were tried. */
export function greedySearch(state: MappingState): { readonly accepted: readonly Move[]; readonly tried: number } {
  const accepted: Move[] = [];
  let tried = 0;
  for (let column = 0; column < state.approximableColumns; column++) {
    for (const move of state.adderOutputs(column)) {
      tried++;
      if (state.propose(move) >= state.squaredError) continue;
      state.accept();
      accepted.push(move);
    }
  }
  return { accepted, tried };
}
