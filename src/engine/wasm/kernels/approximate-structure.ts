// Between the structure parameters θ and the removal matrix m: m[k] = θ[index[k]] (0 where the index is negative), and
// the sums back.
// A few dozen numbers: one part.

@unmanaged
export class Structure {
  from: usize;
  to: usize;
  /** i32 [entries] */
  index: usize;
  entries: i32;
  /** Length of θ. */
  count: i32;
}

export function structureMatrix(args: Structure, part: i32, scratch: usize): void {
  for (let at: usize = 0; at < <usize>args.entries << 2; at += 4) {
    const from = load<i32>(args.index + at);
    store<f32>(args.to + at, from < 0 ? 0 : load<f32>(args.from + (<usize>from << 2)));
  }
}

export function structureMatrixGradient(args: Structure, part: i32, scratch: usize): void {
  for (let c = 0; c < args.count; ++c) {
    let sum: f64 = 0;
    for (let at: usize = 0; at < <usize>args.entries << 2; at += 4) {
      if (load<i32>(args.index + at) == c) sum += <f64>load<f32>(args.from + at);
    }
    store<f32>(args.to + (<usize>c << 2), <f32>sum);
  }
}
