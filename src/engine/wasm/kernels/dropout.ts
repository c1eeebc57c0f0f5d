// Dropout of elements and of groups of them (../../graph/dropping.ts). A part owns a run of elements: whole blocks of
// sixteen, or elements of one group.

import { storeLanes, storeTransposed } from './lanes';
import { philox } from './philox';

@unmanaged
export class Dropout {
  x: usize;
  key: usize;
  out: usize;
  /** Elements of a group; dropElements: of the tensor. */
  count: i32;
  /** Elements of a part, and parts of a group. */
  length: i32;
  partsPerGroup: i32;
  stream: i32;
  /** Words below, as unsigned numbers, are dropped. */
  threshold: i32;
  scale: f32;
}

/** Each element by itself; the length of a part is a multiple of 16. Scratch: sixteen words twice. */
export function dropElements(args: Dropout, part: i32, scratch: usize): void {
  const key0 = load<i32>(args.key);
  const key1 = load<i32>(args.key, 4);
  const scale = f32x4.splat(args.scale);
  const threshold = i32x4.splat(args.threshold);
  const begin = part * args.length;
  const end = min(begin + args.length, args.count);
  const words = scratch + 64;
  for (let i = begin; i < end; i += 16) {
    philox(i >> 2, args.stream, key0, key1, scratch);
    const a = v128.load(scratch);
    const b = v128.load(scratch, 16);
    const c = v128.load(scratch, 32);
    const d = v128.load(scratch, 48);
    storeTransposed(a, b, c, d, words, words + 16, words + 32, words + 48);
    const left = end - i;
    const at = <usize>i << 2;
    for (let lane: i32 = 0; lane < 16 && lane < left; lane += 4) {
      const offset = <usize>lane << 2;
      const kept = i32x4.ge_u(v128.load(words + offset), threshold);
      const value = v128.and(f32x4.mul(v128.load(args.x + at + offset), scale), kept);
      storeLanes(args.out + at + offset, value, left - lane);
    }
  }
}

/** All elements of a group alike. Scratch: sixteen words. */
export function dropGroups(args: Dropout, part: i32, scratch: usize): void {
  const group = part / args.partsPerGroup;
  philox(group >> 2, args.stream, load<i32>(args.key), load<i32>(args.key, 4), scratch);
  const word = load<u32>(scratch + (<usize>(group & 3) << 4));
  const begin = (part % args.partsPerGroup) * args.length;
  const count = min(args.length, args.count - begin);
  const offset = <usize>(group * args.count + begin) << 2;
  if (word < <u32>args.threshold) {
    memory.fill(args.out + offset, 0, <usize>count << 2);
    return;
  }
  const scale = f32x4.splat(args.scale);
  for (let i = 0; i < count; i += 4) {
    const at = offset + (<usize>i << 2);
    storeLanes(args.out + at, f32x4.mul(v128.load(args.x + at), scale), count - i);
  }
}
