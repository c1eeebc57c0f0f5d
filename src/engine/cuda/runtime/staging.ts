// Ways between the host and the device through page-locked memory. Of an input: two buffers in turn, each with an event
// that says when its copy is done, so that the host can fill one while the other is still travelling; where the thread
// must not wait for the device, as many as there are under way. Of variables and large outputs while such a device
// works: buffers that are used again (PinnedMemory).

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

/** Runs that may be under way (outputs.ts), the one that is being prepared, and one more. */
const SLOTS_UNDER_WAY = 6;

export class PinnedInput {
  readonly #context: Context;
  readonly #name: string;
  readonly #to: Address;
  readonly #count: number;
  readonly #bytes: number;
  readonly #slots: Slot[];
  readonly #never: boolean;
  #turn = 0;

  /** `never`: a write never waits for the device. */
  constructor(context: Context, name: string, { dtype, shape }: TensorType, to: Address, never = false) {
    this.#context = context;
    this.#name = name;
    this.#to = to;
    this.#count = sizeOf(shape);
    this.#bytes = this.#count * bytesPerElement[dtype];
    this.#never = never;
    this.#slots = Array.from({ length: never ? SLOTS_UNDER_WAY : 2 }, () => this.#slot());
  }

  #slot(): Slot {
    const context = this.#context;
    return { buffer: context.allocateHost(this.#bytes), copied: context.createEvent(), used: false };
  }

  write(data: TensorData): void {
    invariant(data.length === this.#count, `input ${this.#name} takes ${this.#count} elements, not ${data.length}`);
    this.#context.use();
    const { driver } = this.#context;
    if (this.#never && this.#slots[this.#turn]!.used && !driver.reached(this.#slots[this.#turn]!.copied)) {
      this.#slots.splice(this.#turn, 0, this.#slot());
    }
    const slot = this.#slots[this.#turn]!;
    this.#turn = (this.#turn + 1) % this.#slots.length;
    if (slot.used) driver.call('cuEventSynchronize', slot.copied);
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

/** Copies that nobody waits for, in buffers that are used again. */
export class PinnedMemory {
  readonly #context: Context;
  readonly #free: HostBuffer[] = [];
  readonly #travels = new Set<Promise<void>>();

  constructor(context: Context) {
    this.#context = context;
  }

  /** Copies to the device, after all work issued so far; the data may change at once. */
  send(to: Address, { buffer, byteOffset, byteLength }: TensorData): void {
    const pinned = this.#take(byteLength);
    pinned.bytes.set(new Uint8Array(buffer, byteOffset, byteLength));
    this.#context.toDevice(to, pinned.pointer, byteLength);
    // Where the device fails, whoever awaits it learns of it.
    this.#travel(pinned).catch(() => {});
  }

  /** Copies from the device, after all work issued so far. */
  async fetch(from: Address, { buffer, byteOffset, byteLength }: TensorData): Promise<void> {
    const pinned = this.#take(byteLength);
    this.#context.toHost(pinned.pointer, from, byteLength);
    const into = new Uint8Array(buffer, byteOffset, byteLength);
    await this.#travel(pinned, () => into.set(pinned.bytes.subarray(0, byteLength)));
  }

  #take(bytes: number): HostBuffer {
    const at = this.#free.findIndex((buffer) => buffer.bytes.length >= bytes);
    return at < 0 ? this.#context.allocateHost(bytes) : this.#free.splice(at, 1)[0]!;
  }

  /** Resolves when the copy that was just issued is done. */
  #travel(pinned: HostBuffer, arrived = () => {}): Promise<void> {
    const context = this.#context;
    const copied = context.createEvent();
    context.record(copied);
    const travel = context.reached(copied).then(() => {
      context.destroyEvent(copied);
      arrived();
      this.#free.push(pinned);
      this.#travels.delete(travel);
    });
    this.#travels.add(travel);
    return travel;
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#travels);
    for (const buffer of this.#free.splice(0)) this.#context.freeHost(buffer);
  }
}
