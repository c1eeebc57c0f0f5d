// An input's way to the device: two page-locked buffers in turn, each with an event that says when its copy is done, so
// that the host can fill one while the other is still travelling.

import { invariant } from '../../../tensor/errors.ts';
import type { TensorType } from '../../../tensor/tensor.ts';
import { bytesPerElement, sizeOf, type TensorData } from '../../../tensor/tensor.ts';
import type { Address } from '../lower/launch.ts';
import type { Context, HostBuffer } from './driver.ts';

interface Slot {
  readonly buffer: HostBuffer;
  readonly copied: bigint;
  used: boolean;
}

export class PinnedInput {
  readonly #context: Context;
  readonly #name: string;
  readonly #to: Address;
  readonly #count: number;
  readonly #bytes: number;
  readonly #slots: readonly Slot[];
  #turn = 0;

  constructor(context: Context, name: string, { dtype, shape }: TensorType, to: Address) {
    this.#context = context;
    this.#name = name;
    this.#to = to;
    this.#count = sizeOf(shape);
    this.#bytes = this.#count * bytesPerElement[dtype];
    this.#slots = [0, 1].map(() => ({
      buffer: context.allocateHost(this.#bytes),
      copied: context.createEvent(),
      used: false,
    }));
  }

  write(data: TensorData): void {
    invariant(data.length === this.#count, `input ${this.#name} takes ${this.#count} elements, not ${data.length}`);
    const slot = this.#slots[this.#turn]!;
    this.#turn = 1 - this.#turn;
    this.#context.use();
    if (slot.used) this.#context.driver.call('cuEventSynchronize', slot.copied);
    slot.used = true;
    slot.buffer.bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    this.#context.toDevice(this.#to, slot.buffer.pointer, this.#bytes);
    this.#context.record(slot.copied);
  }

  dispose(): void {
    for (const { buffer, copied } of this.#slots) {
      this.#context.freeHost(buffer);
      this.#context.destroyEvent(copied);
    }
  }
}
