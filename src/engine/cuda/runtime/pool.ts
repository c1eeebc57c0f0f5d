// Device memory for many small things: blocks of at least 4 MiB from the driver, cut in order, freed together.

import type { Address } from '../lower/launch.ts';
import type { Context } from './driver.ts';

const BLOCK_BYTES = 4 * 2 ** 20;
const ALIGNMENT = 256;

export class MemoryPool {
  readonly #context: Pick<Context, 'allocate' | 'free'>;
  readonly #prepare: ((block: Address, bytes: number) => void) | undefined;
  readonly blocks: Address[] = [];
  /** Bytes taken from the driver. */
  bytes = 0;
  #next: Address = 0n;
  #left = 0;

  /** `prepare` is given each block that comes from the driver. */
  constructor(context: Pick<Context, 'allocate' | 'free'>, prepare?: (block: Address, bytes: number) => void) {
    this.#context = context;
    this.#prepare = prepare;
  }

  /** Aligned memory that lives as long as the pool. */
  allocate(bytes: number): Address {
    const need = Math.max(1, Math.ceil(bytes / ALIGNMENT)) * ALIGNMENT;
    if (need > this.#left) {
      const size = Math.max(need, BLOCK_BYTES);
      const block = this.#context.allocate(size);
      this.#prepare?.(block, size);
      this.blocks.push(block);
      this.bytes += size;
      // What is left of the smaller remainder is given up.
      if (size - need < this.#left) return block;
      this.#next = block;
      this.#left = size;
    }
    const at = this.#next;
    this.#next += BigInt(need);
    this.#left -= need;
    return at;
  }

  dispose(): void {
    for (const block of this.blocks.splice(0)) this.#context.free(block);
    this.bytes = 0;
    this.#left = 0;
  }
}
