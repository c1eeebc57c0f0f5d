// The linear memory of a session: shared between its threads, grown as programs are compiled. It cannot shrink, but
// bytes that are freed are handed out again. The arena lies behind everything else: it takes no address from anything,
// can always grow, and moves when something is placed before it; programs look where it is before they run. Addresses
// are multiples of 64.

import { invariant, TooLargeError } from '../../../tensor/errors.ts';
import { allocate, type DType, type TensorData } from '../../../tensor/tensor.ts';
import { POISON } from '../../backend.ts';
import { align } from '../lower/lowering.ts';
import { type Memory, WebAssembly } from './webassembly.ts';

const PAGE = 65536;
/** The most pages of a session's memory, which its modules declare. */
export const LARGEST_PAGES = 65536;
export const LARGEST_BYTES = LARGEST_PAGES * PAGE;
/** Kernels may read a vector beyond the end of a tensor. */
const SLACK = 64;

export class LinearMemory {
  readonly memory: Memory;
  /** Whether new memory is poisoned, what lies behind the end of a tensor included. */
  readonly poison: boolean;
  /** The end of what is handed out; the arena begins here. */
  #top = PAGE;
  #arenaBytes = 0;
  /** Blocks in use, and those below the top that are free, by address; neighbours that are free are one. */
  readonly #used = new Map<number, number>();
  #free: { address: number; bytes: number }[] = [];

  constructor(poison = false) {
    this.poison = poison;
    this.memory = new WebAssembly.Memory({ initial: 16, maximum: LARGEST_PAGES, shared: true });
  }

  /** Starts allocation behind the bytes that the module keeps for its own constants. */
  reserve(bytes: number): void {
    this.#top = Math.max(this.#top, align(bytes));
  }

  /** Bytes in use, those of the module included. */
  get used(): number {
    return this.#free.reduce((sum, { bytes }) => sum - bytes, this.#top) + this.#arenaBytes;
  }

  get pages(): number {
    return this.memory.buffer.byteLength / PAGE;
  }

  /** Where the arena is now. */
  get arena(): number {
    return this.#top;
  }

  /** Makes the arena this large. */
  fitArena(bytes: number): void {
    this.#reach(this.#top + bytes);
    this.#arenaBytes = bytes;
  }

  poisonArena(): void {
    this.bytes(this.#top, this.#arenaBytes + SLACK).fill(POISON);
  }

  allocate(bytes: number): number {
    const need = align(Math.max(1, bytes));
    const fitting = this.#free.filter((block) => block.bytes >= need);
    const best = fitting.reduce<(typeof fitting)[0] | undefined>(
      (least, block) => (least && least.bytes <= block.bytes ? least : block),
      undefined,
    );
    const address = best?.address ?? this.#top;
    if (best) {
      best.address += need;
      best.bytes -= need;
      this.#free = this.#free.filter((block) => block.bytes > 0);
    } else {
      this.#reach(address + need + this.#arenaBytes);
      this.#top = address + need;
    }
    this.#used.set(address, need);
    if (this.poison) this.bytes(address, need).fill(POISON);
    return address;
  }

  /** Takes back what was allocated at this address. */
  free(address: number): void {
    const bytes = this.#used.get(address);
    invariant(bytes !== undefined, `nothing was allocated at ${address}`);
    this.#used.delete(address);
    const blocks = [...this.#free, { address, bytes }].sort((a, b) => a.address - b.address);
    this.#free = [];
    for (const block of blocks) {
      const previous = this.#free.at(-1);
      if (previous && previous.address + previous.bytes === block.address) previous.bytes += block.bytes;
      else this.#free.push(block);
    }
    const last = this.#free.at(-1);
    if (last && last.address + last.bytes === this.#top) this.#top = this.#free.pop()!.address;
  }

  /** A view of bytes. */
  bytes(address: number, count: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, address, count);
  }

  /** A view of `count` elements. */
  view(dtype: DType, address: number, count: number): TensorData {
    const { buffer } = this.memory;
    if (dtype === 'f32') return new Float32Array(buffer, address, count);
    return dtype === 'i32' ? new Int32Array(buffer, address, count) : new Uint8Array(buffer, address, count);
  }

  /** A copy of `count` elements, outside the linear memory. */
  copy(dtype: DType, address: number, count: number): TensorData {
    const data = allocate(dtype, count);
    data.set(this.view(dtype, address, count));
    return data;
  }

  /** Puts data into memory and returns its address. */
  place(data: TensorData | Float64Array): number {
    const address = this.allocate(data.byteLength);
    this.bytes(address, data.byteLength).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return address;
  }

  /** Grows the memory until it holds the bytes before `end`. */
  #reach(end: number): void {
    const total = Math.ceil((end + SLACK) / PAGE);
    const pages = total - this.pages;
    if (pages <= 0) return;
    const wanted = `${Math.ceil(total / 16)} MiB`;
    if (total > LARGEST_PAGES) {
      throw new TooLargeError(
        `the wasm backend needs ${wanted} of memory and can address 4096 MiB; use a smaller batch or model`,
      );
    }
    try {
      this.memory.grow(pages);
    } catch {
      throw new TooLargeError(`the wasm backend could not get ${wanted} of memory; use a smaller batch or free memory`);
    }
  }
}
