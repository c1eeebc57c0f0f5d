// The device memory that the programs of a session share: one block, exchanged for another when its size changes.
// Graphs hold addresses, so a program is built again when the arena has moved since; that is rare, because it only
// moves when the largest program changes.

import type { Address } from '../lower/launch.ts';
import type { Context } from './driver.ts';

export class Arena {
  readonly #context: Pick<Context, 'allocate' | 'free' | 'synchronize'>;
  #block: Address | undefined;
  bytes = 0;
  /** Counts the blocks that there have been. */
  generation = 0;

  constructor(context: Pick<Context, 'allocate' | 'free' | 'synchronize'>) {
    this.#context = context;
  }

  get address(): Address {
    return this.#block ?? 0n;
  }

  /**
   * Makes it this large; what is in it is lost. Where there is no such block it keeps its size, and the error is
   * thrown.
   */
  fit(bytes: number): void {
    if (bytes === this.bytes) return;
    const before = this.bytes;
    // First free, then allocate: both at once might not fit.
    this.#exchange(0);
    try {
      this.#exchange(bytes);
    } catch (error) {
      this.#exchange(before);
      throw error;
    }
  }

  #exchange(bytes: number): void {
    if (this.#block !== undefined) {
      this.#context.synchronize();
      this.#context.free(this.#block);
      this.#block = undefined;
      this.bytes = 0;
    }
    if (bytes > 0) this.#block = this.#context.allocate(bytes);
    this.bytes = bytes;
    this.generation++;
  }
}
