// Sums over the places at which an operand is repeated: x is [times, blocks, repeats, length], the result [blocks,
// length], each element the sum of times·repeats of x, or of products of two, in double precision.
// A part owns a run of up to `chunk` neighbouring elements of one block.

import { storeLanes } from './lanes';
import { highPair, lowPair } from './reduction';

@unmanaged
export class RepeatSum {
  a: usize;
  /** The other factor, or 0 where there is none. */
  b: usize;
  out: usize;
  times: i32;
  blocks: i32;
  repeats: i32;
  length: i32;
  /** A multiple of 16. */
  chunk: i32;
  chunksPerBlock: i32;
  scale: f32;
}

@inline
function term(args: RepeatSum, at: usize, product: bool): v128 {
  const a = v128.load(args.a + at);
  return product ? f32x4.mul(a, v128.load(args.b + at)) : a;
}

@inline
function stored(low: v128, high: v128, scale: v128): v128 {
  const first = f32x4.demote_f64x2_zero(f64x2.mul(low, scale));
  return v128.shuffle<i64>(first, f32x4.demote_f64x2_zero(f64x2.mul(high, scale)), 0, 2);
}

export function repeatSum(args: RepeatSum, part: i32, scratch: usize): void {
  if (args.b == 0) sumRun(args, part, false);
  else sumRun(args, part, true);
}

@inline
function sumRun(args: RepeatSum, part: i32, product: bool): void {
  const block = part / args.chunksPerBlock;
  const begin = (part % args.chunksPerBlock) * args.chunk;
  const end = min(begin + args.chunk, args.length);
  const row = <usize>args.length << 2;
  const period = <usize>args.blocks * <usize>args.repeats * row;
  const first = <usize>block * <usize>args.repeats * row;
  const scale = f64x2.splat(<f64>args.scale);
  // Sixteen elements, a cache line, at a time.
  for (let c = begin; c < end; c += 16) {
    const nothing = f64x2.splat(0);
    let l0 = nothing, h0 = nothing, l1 = nothing, h1 = nothing, l2 = nothing, h2 = nothing, l3 = nothing, h3 = nothing;
    const more = end - c;
    for (let time = 0; time < args.times; ++time) {
      let at = first + <usize>time * period + (<usize>c << 2);
      for (let repeat = 0; repeat < args.repeats; ++repeat) {
        const x0 = term(args, at, product);
        l0 = f64x2.add(l0, lowPair(x0));
        h0 = f64x2.add(h0, highPair(x0));
        if (more > 4) {
          const x1 = term(args, at + 16, product);
          l1 = f64x2.add(l1, lowPair(x1));
          h1 = f64x2.add(h1, highPair(x1));
        }
        if (more > 8) {
          const x2 = term(args, at + 32, product);
          l2 = f64x2.add(l2, lowPair(x2));
          h2 = f64x2.add(h2, highPair(x2));
        }
        if (more > 12) {
          const x3 = term(args, at + 48, product);
          l3 = f64x2.add(l3, lowPair(x3));
          h3 = f64x2.add(h3, highPair(x3));
        }
        at += row;
      }
    }
    const out = args.out + (<usize>(block * args.length + c) << 2);
    storeLanes(out, stored(l0, h0, scale), more);
    storeLanes(out + 16, stored(l1, h1, scale), more - 4);
    storeLanes(out + 32, stored(l2, h2, scale), more - 8);
    storeLanes(out + 48, stored(l3, h3, scale), more - 12);
  }
}
