// A launch: a kernel of ../kernels, how many parts its work is cut into, and its record. The number of parts depends on shapes only,
// never on the number of threads.

import { invariant } from '../../../tensor/errors.ts';
import { type KernelRecords, packers } from './records.ts';
import type { Words } from './words.ts';

export type Kernel = keyof KernelRecords;

export interface Launch {
  readonly kernel: Kernel;
  readonly parts: number;
  readonly record: Words;
  /** Bytes of scratch memory that each thread needs. */
  readonly scratchBytes: number;
}

/** A launch of a kernel with the fields of its record, see ./records.ts. */
export function launch<K extends Kernel>(kernel: K, parts: number, record: KernelRecords[K], scratchBytes = 0): Launch {
  const words = packers[kernel](record);
  invariant(words.every(isWord), `${kernel}: a field of its record is no number that fits its word`);
  return { kernel, parts, record: words, scratchBytes };
}

/** A number of 32 bits, with or without sign, or words; nothing where a field has no value. */
function isWord(word: number | Words): boolean {
  if (Array.isArray(word)) return word.every(isWord);
  return Number.isInteger(word) && (word as number) >= -(2 ** 31) && (word as number) < 2 ** 32;
}

/** Puts a record and those that it points to into memory, and returns its address. */
export function placeRecord(words: Words, place: (data: Int32Array) => number): number {
  return place(Int32Array.from(words, (word) => (typeof word === 'number' ? word : placeRecord(word, place))));
}
