// The entry of a worker thread: waits for a run to open, joins it, walks its program, leaves. It never returns to its
// event loop; new programs are fetched from the message port when a run names one that it does not know yet. See
// ./threads.ts for the protocol.

import { receiveMessageOnPort, workerData } from 'node:worker_threads';
import { CONTROL, OPEN, type ProgramMessage, type WorkerData } from './protocol.ts';
import { type Kernels, scratchAt, seeAll, walkTogether, withGenerated } from './walk.ts';
import { WebAssembly } from './webassembly.ts';

const { module, memory, control, port, thread, poison } = workerData as WorkerData;
const kernels = new WebAssembly.Instance(module, { env: { memory } }).exports as Kernels;

interface KnownProgram extends ProgramMessage {
  readonly kernels: Kernels;
}
const programs = new Map<number, KnownProgram>();

function programOf(id: number): KnownProgram {
  for (;;) {
    const known = programs.get(id);
    if (known) return known;
    const received = receiveMessageOnPort(port);
    if (!received) throw new Error(`internal: program ${id} was not sent to worker ${thread}`);
    const program = received.message as ProgramMessage;
    programs.set(program.id, { ...program, kernels: withGenerated(kernels, program.generated, memory) });
  }
}

/** Joins the open run; false when it has closed meanwhile. */
function join(): boolean {
  for (;;) {
    const state = Atomics.load(control, CONTROL.state);
    if ((state & OPEN) === 0) return false;
    if (Atomics.compareExchange(control, CONTROL.state, state, state + 1) === state) return true;
  }
}

let pages = 0;
for (let seen = 0; ; ) {
  Atomics.wait(control, CONTROL.run, seen);
  seen = Atomics.load(control, CONTROL.run);
  if (!join()) continue;
  try {
    pages = seeAll(memory, pages, Atomics.load(control, CONTROL.pages));
    const { steps, counters, kernels: own } = programOf(Atomics.load(control, CONTROL.program));
    const bytes = Atomics.load(control, CONTROL.scratchBytes);
    const scratch = scratchAt(memory, (Atomics.load(control, CONTROL.scratch) + thread * bytes) >>> 0, bytes, poison);
    walkTogether(own, steps, scratch, counters, () => Atomics.load(control, CONTROL.failed) !== 0);
  } catch (error) {
    port.postMessage(error instanceof Error ? (error.stack ?? error.message) : String(error));
    Atomics.store(control, CONTROL.failed, 1);
  }
  Atomics.sub(control, CONTROL.state, 1);
  Atomics.notify(control, CONTROL.state);
}
