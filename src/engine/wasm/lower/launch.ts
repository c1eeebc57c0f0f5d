// A launch: a kernel of ../kernels or one that is made for the program, how many parts its work is cut into, and its
// record. The number of parts depends on shapes only, never on the number of threads.

import { invariant } from '../../../tensor/errors.ts';
import type { FunctionBody } from '../../../tensor/webassembly.ts';
import { type KernelRecords, packers } from './records.ts';
import type { Address, Words } from './words.ts';

export type Kernel = keyof KernelRecords;

/** A kernel that is made for a program; equal keys mean the same code. */
export interface GeneratedKernel {
  readonly key: string;
  readonly body: () => FunctionBody;
}

export interface Launch {
  readonly kernel: Kernel | GeneratedKernel;
  readonly parts: number;
  readonly record: Words;
  /** Bytes of scratch memory that each thread needs. */
  readonly scratchBytes: number;
}

/** A launch of a kernel with the fields of its record, see ./records.ts. */
export function launch<K extends Kernel>(kernel: K, parts: number, record: KernelRecords[K], scratchBytes = 0): Launch {
  return checked({ kernel, parts, record: packers[kernel](record), scratchBytes });
}

/** Bytes that one part of a copy moves. */
const BYTES_PER_PART = 1 << 18;

/** Copies bytes from one address to another. */
export function copyLaunch(from: Address, to: Address, bytes: number): Launch {
  return launch('copy', Math.ceil(bytes / BYTES_PER_PART), { to, from, bytes, perPart: BYTES_PER_PART });
}

/** A launch of a kernel that is made for the program, with the words that its writer wants in its record. */
export function launchGenerated(kernel: GeneratedKernel, parts: number, record: Words, scratchBytes: number): Launch {
  return checked({ kernel, parts, record, scratchBytes });
}

function checked(launch: Launch): Launch {
  const { kernel, record } = launch;
  const name = typeof kernel === 'string' ? kernel : kernel.key;
  invariant(record.every(isWord), `${name}: a field of its record is no number that fits its word`);
  return launch;
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
