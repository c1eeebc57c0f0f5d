// Small helpers on vectors of four lanes.

/** Stores the four columns of the 4×4 matrix with rows a, b, c, d. */
@inline
export function storeTransposed(a: v128, b: v128, c: v128, d: v128, at0: usize, at1: usize, at2: usize, at3: usize): void {
  const abLow = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
  const abHigh = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const cdLow = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const cdHigh = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  v128.store(at0, v128.shuffle<i32>(abLow, cdLow, 0, 1, 4, 5));
  v128.store(at1, v128.shuffle<i32>(abLow, cdLow, 2, 3, 6, 7));
  v128.store(at2, v128.shuffle<i32>(abHigh, cdHigh, 0, 1, 4, 5));
  v128.store(at3, v128.shuffle<i32>(abHigh, cdHigh, 2, 3, 6, 7));
}

/** Stores the first `lanes` (1…4) of four f32. */
@inline
export function storeLanes(at: usize, value: v128, lanes: i32): void {
  if (lanes >= 4) {
    v128.store(at, value);
    return;
  }
  if (lanes > 0) store<f32>(at, f32x4.extract_lane(value, 0));
  if (lanes > 1) store<f32>(at, f32x4.extract_lane(value, 1), 4);
  if (lanes > 2) store<f32>(at, f32x4.extract_lane(value, 2), 8);
}

/** Lanes 2 and 3, as lanes 0 and 1. */
@inline
export function upperHalf(value: v128): v128 {
  return v128.shuffle<i32>(value, value, 2, 3, 2, 3);
}

@inline
export function sumLanes(value: v128): f32 {
  return (
    f32x4.extract_lane(value, 0) + f32x4.extract_lane(value, 1) + (f32x4.extract_lane(value, 2) + f32x4.extract_lane(value, 3))
  );
}
