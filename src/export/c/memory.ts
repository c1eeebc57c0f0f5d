// Where the tensors of a network are in C: in a static array for each type, planned once. A type is the narrowest that
// holds a tensor's proved bounds; tensors whose lives do not overlap share elements of its array.
// Invariant: while an operation writes a tensor, no tensor is there that this operation or a later one reads.

import { Arena, type InArena } from '../../engine/graph/arena.ts';
import type { IntegerNetwork } from '../../integer/network.ts';
import { sizeOf } from '../../tensor/tensor.ts';

/** A type of <stdint.h> by the short name that functions and arrays have. */
export const cTypes = {
  u8: { name: 'uint8_t', bytes: 1, low: 0, high: 2 ** 8 - 1 },
  i8: { name: 'int8_t', bytes: 1, low: -(2 ** 7), high: 2 ** 7 - 1 },
  u16: { name: 'uint16_t', bytes: 2, low: 0, high: 2 ** 16 - 1 },
  i16: { name: 'int16_t', bytes: 2, low: -(2 ** 15), high: 2 ** 15 - 1 },
  i32: { name: 'int32_t', bytes: 4, low: -(2 ** 31), high: 2 ** 31 - 1 },
} as const;

export type CType = keyof typeof cTypes;

/** The narrowest type for integers from `low` to `high`; undefined beyond 32 bits. */
export const typeFor = (low: number, high: number): CType | undefined =>
  (Object.keys(cTypes) as CType[]).find((type) => cTypes[type].low <= low && high <= cTypes[type].high);

/** Where a tensor is: its type, and the first element in the array of that type. */
export interface Place {
  readonly type: CType;
  readonly offset: number;
}

export interface Memory {
  /** By the number of the tensor; of tensor 0, the image, there is none: the caller has it. */
  readonly places: ReadonlyMap<number, Place>;
  /** Elements of the array of each type that is needed. */
  readonly sizes: ReadonlyMap<CType, number>;
  readonly bytes: number;
}

/** `types` by the number of the tensor. */
export function planMemory({ tensors, operations, output }: IntegerNetwork, types: readonly CType[]): Memory {
  const lastUse = new Map<number, number>();
  for (const [at, { inputs }] of operations.entries()) for (const input of inputs) lastUse.set(input, at);
  lastUse.set(output, operations.length);
  const arenas = new Map<CType, Arena>();
  const blocks = new Map<number, { readonly type: CType; readonly block: InArena }>();
  for (const [at, operation] of operations.entries()) {
    const made = operation.output;
    const type = types[made]!;
    const arena = arenas.get(type) ?? new Arena(1);
    arenas.set(type, arena);
    blocks.set(made, { type, block: arena.allocate(sizeOf(tensors[made]!.shape)) });
    for (const tensorAt of new Set([...operation.inputs, made])) {
      const known = blocks.get(tensorAt);
      if (known && (lastUse.get(tensorAt) ?? at) <= at) arenas.get(known.type)!.free(known.block);
    }
  }
  const sizes = new Map([...arenas].map(([type, arena]) => [type, arena.layOut()]));
  const places = new Map([...blocks].map(([made, { type, block }]) => [made, { type, offset: block.offset }]));
  const bytes = [...sizes].reduce((sum, [type, size]) => sum + size * cTypes[type].bytes, 0);
  return { places, sizes, bytes };
}
