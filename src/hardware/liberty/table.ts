// Look-up tables of the non-linear delay model: a quantity over input slew (ps) and output load (fF), bilinear between
// the points and continued linearly outside of them.
// Invariant: indices increase strictly; values has slews.length · loads.length entries, slew-major. A table of one
// variable has one point on the other axis, a scalar one point on both.
// Source: Liberty User Guide, "Modeling with nonlinear delay models".

export class LookupTable {
  readonly slews: Float64Array;
  readonly loads: Float64Array;
  readonly values: Float64Array;

  constructor(slews: ArrayLike<number>, loads: ArrayLike<number>, values: ArrayLike<number>) {
    this.slews = Float64Array.from(slews);
    this.loads = Float64Array.from(loads);
    this.values = Float64Array.from(values);
  }

  at(slew: number, load: number): number {
    const { slews, loads, values } = this;
    const columns = loads.length;
    const i = segment(slews, slew);
    const j = segment(loads, load);
    const v = columns === 1 ? 0 : (load - loads[j]!) / (loads[j + 1]! - loads[j]!);
    const base = i * columns + j;
    const low = columns === 1 ? values[base]! : values[base]! + v * (values[base + 1]! - values[base]!);
    if (slews.length === 1) return low;
    const next = base + columns;
    const high = columns === 1 ? values[next]! : values[next]! + v * (values[next + 1]! - values[next]!);
    return low + ((slew - slews[i]!) / (slews[i + 1]! - slews[i]!)) * (high - low);
  }
}

/** The index of the segment that holds x, or of the outermost one beside it. */
function segment(points: Float64Array, x: number): number {
  const last = points.length - 2;
  let k = 0;
  while (k < last && points[k + 1]! < x) k++;
  return k;
}
