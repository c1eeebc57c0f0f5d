// A worker thread by itself, this test in the place of the main thread.

import { readFile } from 'node:fs/promises';
import { MessageChannel, Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { LARGEST_PAGES } from './memory.ts';
import { CONTROL, OPEN, type ProgramMessage, type WorkerData } from './protocol.ts';
import { WebAssembly } from './webassembly.ts';

const built = (name: string): URL => new URL(`../../../../dist/engine/wasm/runtime/${name}`, import.meta.url);

/** Counts how often the thread grows its memory, then is the worker. */
const counting = `
  const { workerData } = require('node:worker_threads');
  const { grow } = WebAssembly.Memory.prototype;
  WebAssembly.Memory.prototype.grow = function (pages) {
    Atomics.add(workerData.grown, pages, 1);
    return grow.call(this, pages);
  };
  import(workerData.file);`;

test('a worker looks at the size of the memory anew for each that a run tells it, and else not', async () => {
  const { port1, port2 } = new MessageChannel();
  const control = new Int32Array(new SharedArrayBuffer(CONTROL.words * 4));
  const grown = new Int32Array(new SharedArrayBuffer(8));
  const data: WorkerData = {
    module: await WebAssembly.compile(await readFile(built('kernels.wasm'))),
    memory: new WebAssembly.Memory({ initial: 16, maximum: LARGEST_PAGES, shared: true }),
    control,
    port: port2,
    thread: 1,
    poison: false,
  };
  const workerData = { ...data, grown, file: built('worker.js').href };
  const worker = new Worker(counting, { eval: true, workerData, transferList: [port2], execArgv: [] });
  // A step of no parts: each run leaves a mark in its counter, and computes nothing.
  const counters = new Int32Array(new SharedArrayBuffer(8));
  const steps = [{ kernel: 'none', parts: 0, record: 0 }];
  port1.postMessage({ id: 0, steps, counters, generated: undefined } satisfies ProgramMessage);
  let runs = 0;
  /** A run in a memory of so many pages, which the worker has joined and left. */
  const run = async (pages: number): Promise<void> => {
    Atomics.store(control, CONTROL.pages, pages);
    Atomics.store(control, CONTROL.state, OPEN);
    Atomics.store(control, CONTROL.run, ++runs);
    while (Atomics.load(counters, 0) < runs || Atomics.load(control, CONTROL.state) !== OPEN) {
      Atomics.notify(control, CONTROL.run);
      await new Promise((settle) => setTimeout(settle, 5));
    }
    Atomics.store(control, CONTROL.state, 0);
  };
  await run(16);
  await run(16);
  expect([...grown]).toEqual([1, 0]);
  await run(20);
  expect([...grown]).toEqual([2, 0]);
  await run(20);
  expect([...grown]).toEqual([2, 0]);
  await worker.terminate();
});
