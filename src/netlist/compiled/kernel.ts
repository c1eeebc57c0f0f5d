// A compiled program, ready to run on blocks of 128 lanes. All kernels share one memory, for a kernel keeps nothing
// there between calls and engines reserve a large address range for each: write the input, run, read the output, before
// anything else runs.

import { invariant } from '../../tensor/errors.ts';
import { type Assembled, assemble } from './assemble.ts';
import type { Program } from './program.ts';

interface Memory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

/** The part of the WebAssembly API that is used here; the project compiles without the browser's library. */
interface Api {
  readonly Memory: new (limits: { initial: number }) => Memory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { env: { memory: Memory } },
  ) => { readonly exports: { readonly run: (first: number, count: number) => number } };
}

const { WebAssembly } = globalThis as unknown as { WebAssembly: Api };

const PAGE = 2 ** 16;
let shared: Memory | undefined;

function memoryOf(bytes: number): Memory {
  shared ??= new WebAssembly.Memory({ initial: 4 });
  const missing = Math.ceil((bytes - shared.buffer.byteLength) / PAGE);
  if (missing > 0) shared.grow(missing);
  return shared;
}

export interface KernelShape {
  /** Bytes of input that the program loads per block, and of output that it stores. */
  readonly inputBytes: number;
  readonly outputBytes: number;
  /** Stop at the first block whose output is not 0; see assemble.ts. */
  readonly search?: boolean;
}

/** Input and output of a call that stay in the cache. */
const CALL_BYTES = 2 ** 16;

export class Kernel {
  /** The most blocks of one call; any number where nothing is left behind. */
  readonly blocks: number;
  readonly #memory: Memory;
  readonly #place: Assembled;
  readonly #shape: KernelShape;
  readonly #execute: (first: number, count: number) => number;

  constructor(program: Program, shape: KernelShape) {
    const { inputBytes, outputBytes, search = false } = shape;
    this.#shape = shape;
    const perBlock = inputBytes + (search ? 0 : outputBytes);
    const resident = Math.max(1, Math.floor(CALL_BYTES / Math.max(1, perBlock)));
    this.blocks = perBlock === 0 ? 2 ** 30 : resident;
    this.#place = assemble(program, { inputBytes, outputBytes, blocks: perBlock === 0 ? 1 : resident, search });
    this.#memory = memoryOf(this.#place.memoryBytes);
    const module = new WebAssembly.Module(this.#place.bytes);
    this.#execute = new WebAssembly.Instance(module, { env: { memory: this.#memory } }).exports.run;
  }

  /** The input of the next call, block by block. */
  get input(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#memory.buffer, this.#place.inputAt, this.blocks * this.#shape.inputBytes);
  }

  /** The output of the last call as integers of 32 bits. */
  integers(count: number): Int32Array<ArrayBuffer> {
    return new Int32Array(this.#memory.buffer, this.#place.outputAt, count);
  }

  /** Runs blocks first … first + count − 1; a search returns the block that it stopped at, or −1. */
  run(first: number, count: number): number {
    invariant(count >= 1 && count <= this.blocks, `${count} blocks in a call of at most ${this.blocks}`);
    return this.#execute(first, count);
  }
}
