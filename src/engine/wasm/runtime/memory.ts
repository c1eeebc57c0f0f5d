// The linear memory of a session: shared between its threads, grown as programs are compiled, released as a whole. Addresses are handed
// out once and never taken back; they are multiples of 64.

import { UserError } from '../../../tensor/errors.ts';
import { allocate, type DType, type TensorData } from '../../../tensor/tensor.ts';
import { POISON } from '../../backend.ts';
import { align } from '../lower/lowering.ts';
import { type Memory, WebAssembly } from './webassembly.ts';

const PAGE = 65536;
const LARGEST_PAGES = 65536;
export const LARGEST_BYTES = LARGEST_PAGES * PAGE;
/** Kernels may read a vector beyond the end of a tensor. */
const SLACK = 64;

export class LinearMemory {
  readonly memory: Memory;
  /** Whether new memory is poisoned, what lies behind the end of a tensor included. */
  readonly poison: boolean;
  #top = PAGE;

  constructor(poison = false) {
    this.poison = poison;
    this.memory = new WebAssembly.Memory({ initial: 16, maximum: LARGEST_PAGES, shared: true });
  }

  /** Starts allocation behind the bytes that the module keeps for its own constants. */
  reserve(bytes: number): void {
    this.#top = Math.max(this.#top, align(bytes));
  }

  /** Bytes handed out so far, those of the module included. */
  get used(): number {
    return this.#top;
  }

  allocate(bytes: number): number {
    const address = this.#top;
    const top = address + align(bytes);
    const pages = Math.ceil((top + SLACK) / PAGE);
    const missing = pages - this.memory.buffer.byteLength / PAGE;
    if (missing > 0) this.#grow(missing, pages);
    this.#top = top;
    if (this.poison) this.bytes(address, top - address + SLACK).fill(POISON);
    return address;
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

  #grow(pages: number, total: number): void {
    const wanted = `${Math.ceil(total / 16)} MiB`;
    if (total > LARGEST_PAGES) {
      throw new UserError(
        `the wasm backend needs ${wanted} of memory and can address 4096 MiB; use a smaller batch or model`,
      );
    }
    try {
      this.memory.grow(pages);
    } catch {
      throw new UserError(`the wasm backend could not get ${wanted} of memory; use a smaller batch or free memory`);
    }
  }
}
