// The threads of a session: the calling thread and its workers on one shared memory. A run is opened, every worker that
// wakes in time joins, the calling thread walks the program as one of them, closes the run and waits for those inside.
// Programs without parallel steps never wake a worker, and workers start with the first program that has some. Workers
// are unreferenced: they do not keep a process alive.

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { invariant, UserError } from '../../../tensor/errors.ts';
import type { LinearMemory } from './memory.ts';
import { CONTROL, OPEN, type ProgramMessage, type WorkerData } from './protocol.ts';
import {
  type Kernels,
  type Scratch,
  type Step,
  scratchAt,
  WORDS_PER_STEP,
  waitFor,
  walkAlone,
  walkTogether,
  withGenerated,
} from './walk.ts';
import { type Module, WebAssembly } from './webassembly.ts';

/** A file that the build puts beside this one; when this file runs as TypeScript source, the build's copy in dist/. */
function built(name: string): URL {
  return new URL(name, import.meta.url.replace(/\/src\/(?=engine\/wasm\/runtime\/[^/]*$)/, '/dist/'));
}

let compiled: Promise<Module> | undefined;

/** The kernels' module, compiled once per process. */
function kernelModule(): Promise<Module> {
  compiled ??= readFile(built('kernels.wasm')).then(
    (bytes) => WebAssembly.compile(bytes),
    () => {
      throw new UserError(`the kernels ${fileURLToPath(built('kernels.wasm'))} are missing; run \`npm run build\``);
    },
  );
  return compiled;
}

export class Threads {
  readonly #kernels: Kernels;
  readonly #module: Module;
  readonly #memory: LinearMemory;
  readonly #count: number;
  readonly #poison: boolean;
  readonly #control = new Int32Array(new SharedArrayBuffer(CONTROL.words * 4));
  readonly #workers: { readonly worker: Worker; readonly port: MessagePort }[] = [];
  #scratch = 0;
  #scratchBytes = 0;
  #nextProgram = 0;

  private constructor(module: Module, memory: LinearMemory, count: number, poison: boolean) {
    this.#poison = poison;
    this.#module = module;
    this.#memory = memory;
    this.#count = count;
    this.#kernels = new WebAssembly.Instance(module, { env: { memory: memory.memory } }).exports as Kernels;
    memory.reserve((this.#kernels.firstFree as unknown as () => number)());
  }

  static async start(memory: LinearMemory, count: number, poison = false): Promise<Threads> {
    return new Threads(await kernelModule(), memory, count, poison);
  }

  /**
   * Makes a program known to all threads and returns what runs it. `scratchBytes`: what each thread needs;
   * `generated`: kernels of its own.
   */
  register(steps: readonly Step[], scratchBytes: number, generated?: Module): () => void {
    if (scratchBytes > this.#scratchBytes) {
      if (this.#scratchBytes > 0) this.#memory.free(this.#scratch);
      this.#scratch = this.#memory.allocate(scratchBytes * this.#count);
      this.#scratchBytes = scratchBytes;
    }
    const parallel = steps.some(({ parts }) => parts > 1);
    const kernels = withGenerated(this.#kernels, generated, this.#memory.memory);
    if (this.#count === 1 || !parallel) return () => walkAlone(kernels, steps, this.#ownScratch());
    this.#startWorkers();
    const counters = new Int32Array(new SharedArrayBuffer(steps.length * WORDS_PER_STEP * 4));
    const program: ProgramMessage = { id: this.#nextProgram++, steps, counters, generated };
    for (const { port } of this.#workers) port.postMessage(program);
    return () => this.#run(program, kernels);
  }

  #ownScratch(): Scratch {
    return scratchAt(this.#memory.memory, this.#scratch, this.#scratchBytes, this.#poison);
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#workers.splice(0).map(({ worker }) => worker.terminate()));
  }

  #startWorkers(): void {
    while (this.#workers.length < this.#count - 1) {
      const { port1, port2 } = new MessageChannel();
      const data: WorkerData = {
        module: this.#module,
        memory: this.#memory.memory,
        control: this.#control,
        port: port2,
        thread: this.#workers.length + 1,
        poison: this.#poison,
      };
      const worker = new Worker(built('worker.js'), { workerData: data, transferList: [port2], execArgv: [] });
      worker.on('error', () => Atomics.store(this.#control, CONTROL.failed, 1));
      worker.unref();
      port1.unref();
      this.#workers.push({ worker, port: port1 });
    }
  }

  #run({ id, steps, counters }: ProgramMessage, kernels: Kernels): void {
    const control = this.#control;
    invariant(this.#workers.length > 0, 'a program of a disposed session is run');
    counters.fill(0);
    Atomics.store(control, CONTROL.program, id);
    Atomics.store(control, CONTROL.scratch, this.#scratch | 0);
    Atomics.store(control, CONTROL.scratchBytes, this.#scratchBytes);
    Atomics.store(control, CONTROL.pages, this.#memory.pages);
    Atomics.store(control, CONTROL.state, OPEN);
    Atomics.add(control, CONTROL.run, 1);
    Atomics.notify(control, CONTROL.run);
    const failed = () => Atomics.load(control, CONTROL.failed) !== 0;
    try {
      walkTogether(kernels, steps, this.#ownScratch(), counters, failed);
    } catch (error) {
      Atomics.store(control, CONTROL.failed, 1);
      throw error;
    } finally {
      Atomics.and(control, CONTROL.state, ~OPEN);
      waitFor(control, CONTROL.state, 0, () => false);
    }
    if (failed()) throw new Error(`internal: a worker thread failed: ${this.#failure()}`);
  }

  #failure(): string {
    for (const { port } of this.#workers) {
      const received = receiveMessageOnPort(port);
      if (received) return String(received.message);
    }
    return 'it ended unexpectedly';
  }
}
