// Philox4x32-10 (../../../tensor/philox.ts) on four counters at once, which differ in their first word.

const M0: i32 = 0xd2511f53;
const M1: i32 = 0xcd9e8d57;
const W0: i32 = 0x9e3779b9;
const W1: i32 = 0xbb67ae85;

/** The four words for each of four counters: word k of counter b is lane b of the k-th vector, stored at `to`. */
export function philox(first: i32, stream: i32, key0: i32, key1: i32, to: usize): void {
  let a = i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3));
  let b = i32x4.splat(0);
  let c = i32x4.splat(stream);
  let d = b;
  const m0 = i32x4.splat(M0);
  const m1 = i32x4.splat(M1);
  for (let round = 0; round < 10; ++round) {
    const low0 = i64x2.extmul_low_i32x4_u(a, m0);
    const high0 = i64x2.extmul_high_i32x4_u(a, m0);
    const low1 = i64x2.extmul_low_i32x4_u(c, m1);
    const high1 = i64x2.extmul_high_i32x4_u(c, m1);
    a = v128.xor(v128.xor(v128.shuffle<i32>(low1, high1, 1, 3, 5, 7), b), i32x4.splat(key0));
    c = v128.xor(v128.xor(v128.shuffle<i32>(low0, high0, 1, 3, 5, 7), d), i32x4.splat(key1));
    b = v128.shuffle<i32>(low1, high1, 0, 2, 4, 6);
    d = v128.shuffle<i32>(low0, high0, 0, 2, 4, 6);
    key0 += W0;
    key1 += W1;
  }
  v128.store(to, a);
  v128.store(to, b, 16);
  v128.store(to, c, 32);
  v128.store(to, d, 48);
}
