// What can be found out about the machine: by trying, not by asking. WebAssembly SIMD is a function that runs, threads
// are a worker that writes to shared memory, the NVIDIA driver is a library that the system's loader opens.

import { existsSync, statfsSync } from 'node:fs';
import { arch, availableParallelism, cpus, freemem, release, totalmem } from 'node:os';
import { dirname, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';

/** The part of WebAssembly that is tried; Node's types leave it to the browser's. */
interface WebAssemblyApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: Record<string, unknown> };
  readonly Memory: new (size: {
    initial: number;
    maximum: number;
    shared: true;
  }) => { readonly buffer: SharedArrayBuffer };
}
const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyApi };

/** Something tried: whether it works, and if not, why. */
export interface Trial {
  readonly works: boolean;
  readonly detail: string;
}

export function machineFacts() {
  return {
    platform: `${process.platform} ${arch()} (${release()})`,
    processor: cpus()[0]?.model.trim() || 'unknown',
    cores: availableParallelism(),
    memoryBytes: Math.min(totalmem(), process.constrainedMemory() || totalmem()),
    freeMemoryBytes: freemem(),
  };
}

/** Free space where a new run would go: in the folder, or the nearest one above it that exists. */
export function freeDisk(folder: string): { readonly path: string; readonly freeBytes: number } {
  let path = resolve(folder);
  while (!existsSync(path) && dirname(path) !== path) path = dirname(path);
  const { bavail, bsize } = statfsSync(path);
  return { path, freeBytes: bavail * bsize };
}

/** A function whose result is lane 0 of (21, 21, 21, 21) + (21, 21, 21, 21). */
const simdModule = Uint8Array.from([
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7f],
  ...[0x03, 0x02, 0x01, 0x00],
  ...[0x07, 0x05, 0x01, 0x01, 0x66, 0x00, 0x00],
  ...[
    0x0a, 0x12, 0x01, 0x10, 0x00, 0x41, 0x15, 0xfd, 0x11, 0x41, 0x15, 0xfd, 0x11, 0xfd, 0xae, 0x01, 0xfd, 0x1b, 0x00,
    0x0b,
  ],
]);

export function trySimd(): Trial {
  try {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(simdModule));
    const sum = (exports.f as () => number)();
    return sum === 42 ? { works: true, detail: '128-bit' } : { works: false, detail: `a sum of 42 came out as ${sum}` };
  } catch (error) {
    return { works: false, detail: (error as Error).message };
  }
}

const PATIENCE = 10_000;

/** A worker adds to a shared WebAssembly memory, and this thread must see the sum. */
export async function tryThreads(): Promise<Trial> {
  try {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const cells = new Int32Array(memory.buffer);
    const code = `const { workerData, parentPort } = require('node:worker_threads');
      parentPort.postMessage(Atomics.add(new Int32Array(workerData.buffer), 0, 41));`;
    const worker = new Worker(code, { eval: true, workerData: memory });
    await new Promise<void>((done, fail) => {
      const timer = setTimeout(() => fail(new Error(`no answer from a worker within ${PATIENCE / 1000} s`)), PATIENCE);
      worker.once('message', () => done());
      worker.once('error', fail);
      worker.once('exit', () => clearTimeout(timer));
    }).finally(() => worker.terminate());
    const found = Atomics.load(cells, 0);
    return found === 41
      ? { works: true, detail: `workers with shared memory, ${availableParallelism()} cores` }
      : { works: false, detail: `a worker's write did not reach the shared memory (${found} instead of 41)` };
  } catch (error) {
    return { works: false, detail: (error as Error).message };
  }
}
