// The way of a program's small outputs to the host: the graph gathers them in one block of device memory, and behind
// every run that block is copied to one of a few page-locked buffers in turn. So several runs can be under way while
// the host still reads the outputs of earlier ones.

import { invariant } from '../../../tensor/errors.ts';
import type { Address } from '../lower/launch.ts';
import type { Context, HostBuffer } from './driver.ts';

type Device = Pick<
  Context,
  'allocateHost' | 'freeHost' | 'createEvent' | 'destroyEvent' | 'record' | 'reached' | 'toHost'
>;

/** Runs that may be under way at once. */
const SLOTS = 4;

interface Slot {
  readonly buffer: HostBuffer;
  readonly copied: bigint;
  used: boolean;
  /** Reads of this slot that are not done yet; it is not written before. */
  readonly reads: Set<Promise<Uint8Array>>;
}

export class OutputRing {
  readonly #context: Device;
  readonly #from: Address;
  readonly #bytes: number;
  readonly #slots: readonly Slot[];
  #turn = 0;

  /** For a block of `bytes` at `from`. */
  constructor(context: Device, from: Address, bytes: number) {
    this.#context = context;
    this.#from = from;
    this.#bytes = bytes;
    this.#slots = Array.from({ length: SLOTS }, () => ({
      buffer: context.allocateHost(bytes),
      copied: context.createEvent(),
      used: false,
      reads: new Set<Promise<Uint8Array>>(),
    }));
  }

  /** Resolves when there is a slot for the outputs of one more run. */
  async ready(): Promise<void> {
    const { used, copied, reads } = this.#slots[this.#turn]!;
    if (used) await this.#context.reached(copied);
    await Promise.all(reads);
  }

  /** Copies the outputs of the run that was just started, once it is done. */
  collect(): void {
    const slot = this.#slots[this.#turn]!;
    this.#turn = (this.#turn + 1) % SLOTS;
    slot.used = true;
    if (this.#bytes > 0) this.#context.toHost(slot.buffer.pointer, this.#from, this.#bytes);
    this.#context.record(slot.copied);
  }

  /** A copy of `bytes` of the block at `offset`, as the latest run leaves them. */
  read(offset: number, bytes: number): Promise<Uint8Array> {
    const slot = this.#slots[(this.#turn + SLOTS - 1) % SLOTS]!;
    invariant(slot.used, 'outputs are read before the first run');
    const copy = async () => {
      await this.#context.reached(slot.copied);
      return slot.buffer.bytes.slice(offset, offset + bytes);
    };
    const reading = copy().finally(() => slot.reads.delete(reading));
    slot.reads.add(reading);
    return reading;
  }

  /** Resolves when no read is under way any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#slots.flatMap(({ reads }) => [...reads]));
  }

  dispose(): void {
    for (const { buffer, copied } of this.#slots) {
      this.#context.freeHost(buffer);
      this.#context.destroyEvent(copied);
    }
  }
}
