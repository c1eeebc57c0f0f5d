// Bit planes to integers and back, as operations of a program. A plane holds one bit of 128 operand pairs; the lane of
// pair p is bit (p div 16) mod 8 of byte p mod 16. So eight planes are eight rows of sixteen 8×8 bit matrices, and
// transposing these gives bytes that belong to consecutive pairs.
// Source of the transposition: H. S. Warren, Hacker's Delight, section 7-3 (swapping off-diagonal blocks of 4, 2 and 1
// bits).

import type { Program, Value } from './program.ts';
import { ZERO } from './program.ts';

/** Operand pairs of one block: the bits of a vector. */
export const LANES = 128;
/** Bits of the lane number. */
export const LANE_BITS = 7;

/** The bytes of a vector that holds bit `bit` (0 to 6) of every lane's number. */
export function laneBit(bit: number): Uint8Array {
  const inByte = [0b10101010, 0b11001100, 0b11110000];
  return Uint8Array.from({ length: 16 }, (_, byte) => (bit < 4 ? -((byte >> bit) & 1) : inByte[bit - 4]!));
}

const masks = [
  [4, 0x0f],
  [2, 0x33],
  [1, 0x55],
] as const;

/** Eight planes ↔ eight vectors of bytes: byte n of vector b has the bits of pair 16 b + n, and the other way round. */
export function transposeBytes(program: Program, planes: readonly Value[]): Value[] {
  const rows = Array.from({ length: 8 }, (_, n) => planes[n] ?? ZERO);
  for (const [width, byte] of masks) {
    const mask = program.constant(new Uint8Array(16).fill(byte));
    for (let k = 0; k < 8; k = (k + width + 1) & ~width) {
      const [low, high] = [rows[k]!, rows[k + width]!];
      if (high === ZERO) {
        rows[k] = program.and(low, mask);
        rows[k + width] = program.and(program.shift('shiftRight', low, width), mask);
        continue;
      }
      const swapped = program.and(program.xor(program.shift('shiftRight', low, width), high), mask);
      rows[k] = program.xor(low, program.shift('shiftLeft', swapped, width));
      rows[k + width] = program.xor(high, swapped);
    }
  }
  return rows;
}

/**
 * Up to 32 planes, least significant first, as 32-bit integers: 32 vectors of four consecutive pairs. `signed`: two's
 * complement.
 */
export function integersOf(program: Program, planes: readonly Value[], signed: boolean): Value[] {
  const groups = [0, 8, 16, 24].map((first) =>
    first < planes.length ? transposeBytes(program, planes.slice(first, first + 8)) : undefined,
  );
  const spread = signed ? 32 - planes.length : 0;
  const extended = (value: Value) =>
    spread === 0 ? value : program.shift('shiftRightSigned', program.shift('shiftLeft', value, spread), spread);
  return Array.from({ length: 8 }, (_, row) => {
    const [a, b, c, d] = groups.map((group) => group?.[row] ?? ZERO) as [Value, Value, Value, Value];
    return [
      [program.interleave('interleaveLow', a, b, 1), program.interleave('interleaveLow', c, d, 1)],
      [program.interleave('interleaveHigh', a, b, 1), program.interleave('interleaveHigh', c, d, 1)],
    ].flatMap(([low, high]) => [
      program.interleave('interleaveLow', low!, high!, 2),
      program.interleave('interleaveHigh', low!, high!, 2),
    ]);
  })
    .flat()
    .map(extended);
}
