// Rows that are picked by number, seen from the other side: for each row of the source those that it became, in order,
// so that a gradient is summed without collisions and always in the same order.

export interface RowsBySource {
  /** [count + 1]: where the entries of each row of the source begin in `sources`. */
  readonly starts: Int32Array;
  /** Places in the index, those of one row of the source together and ascending. */
  readonly sources: Int32Array;
}

/** `index[i]`: the row, of `count`, that place i takes. */
export function rowsBySource(index: readonly number[], count: number): RowsBySource {
  const starts = new Int32Array(count + 1);
  for (const row of index) starts[row + 1]!++;
  for (let row = 0; row < count; row++) starts[row + 1]! += starts[row]!;
  const next = starts.slice();
  const sources = new Int32Array(index.length);
  for (const [place, row] of index.entries()) sources[next[row]!++] = place;
  return { starts, sources };
}
