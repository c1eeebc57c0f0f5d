// What one program has in linear memory for itself: inputs and outputs, constants, records. Records hold addresses of
// the arena, so they are written again when it has moved: in the same order, hence in the same places, which the
// threads know.

import { invariant } from '../../../tensor/errors.ts';
import type { TensorData } from '../../../tensor/tensor.ts';
import type { LinearMemory } from './memory.ts';

type Data = TensorData | Float64Array;

export class Places {
  readonly #memory: LinearMemory;
  readonly #blocks: number[] = [];
  /** What was put by the functions of `again`, in order. */
  readonly #again: { readonly address: number; readonly bytes: number }[] = [];

  constructor(memory: LinearMemory) {
    this.#memory = memory;
  }

  take(bytes: number): number {
    const address = this.#memory.allocate(bytes);
    this.#blocks.push(address);
    return address;
  }

  put(data: Data): number {
    const address = this.take(data.byteLength);
    this.#write(address, data);
    return address;
  }

  /** A function that puts data into memory: where an earlier one of these functions put its first, second, … */
  again(): (data: Data) => number {
    let next = 0;
    return (data) => {
      const known = this.#again[next++];
      if (!known) {
        const address = this.put(data);
        this.#again.push({ address, bytes: data.byteLength });
        return address;
      }
      invariant(
        known.bytes === data.byteLength,
        `a record of ${known.bytes} bytes has become one of ${data.byteLength}`,
      );
      this.#write(known.address, data);
      return known.address;
    };
  }

  /** Gives everything back. */
  free(): void {
    for (const address of this.#blocks.splice(0)) this.#memory.free(address);
  }

  #write(address: number, data: Data): void {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.#memory.bytes(address, data.byteLength).set(bytes);
  }
}
