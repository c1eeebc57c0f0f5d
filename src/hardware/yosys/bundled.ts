// The WebAssembly build of Yosys and ABC from the package registry, in one worker thread that stays warm: compiling its
// 30 MB takes about a second, a run on a warm worker a fraction of one. Loaded only when something is synthesised.
// Invariant: runs are answered one after the other; an idle worker does not keep the process alive; a worker that dies
// or exceeds its time is replaced at the next run. Files are virtual: nothing outside of the request can be read or
// written.

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { UserError } from '../../tensor/errors.ts';
import { readJson } from '../../tensor/files.ts';
import { DEFAULT_TIMEOUT_MS, type Yosys, type YosysRequest, type YosysRun } from './tool.ts';

// Plain JavaScript, run as text: it must start from TypeScript sources and from the built package alike.
const WORKER = `
const { parentPort, workerData } = require('node:worker_threads');
const loaded = import(workerData);
parentPort.on('message', async ({ script, files, outputs }) => {
  let log = '';
  const decoder = new TextDecoder();
  const print = (bytes) => { if (bytes) log += decoder.decode(bytes, { stream: true }); };
  const options = { stdout: print, stderr: print, decodeASCII: false };
  let ok = true;
  let tree = {};
  try {
    const { runYosys } = await loaded;
    tree = await runYosys(['script.ys'], { ...files, 'script.ys': script }, options);
  } catch (error) {
    ok = false;
    tree = error.files ?? {};
    if (!error.files) log += '\\nERROR: ' + (error.message ?? error);
  }
  const written = {};
  const text = new TextDecoder();
  for (const name of outputs) {
    const content = tree[name];
    if (content !== undefined) written[name] = text.decode(content);
  }
  parentPort.postMessage({ ok, log, files: written });
});
`;

export class BundledYosys implements Yosys {
  readonly sandboxed = true;
  #worker: Worker | null = null;
  #queue: Promise<unknown> = Promise.resolve();

  run(request: YosysRequest): Promise<YosysRun> {
    const result = this.#queue.then(() => this.#runNow(request));
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async version(): Promise<string> {
    const { log } = await this.run({ script: '', files: {}, outputs: [] });
    return /^\s*(Yosys \d.*)$/m.exec(log)?.[1]?.trim() ?? 'Yosys (unknown version)';
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = null;
    await worker?.terminate();
  }

  #runNow({ script, files, outputs, timeoutMs = DEFAULT_TIMEOUT_MS }: YosysRequest): Promise<YosysRun> {
    this.#worker ??= this.#start();
    const worker = this.#worker;
    return new Promise((resolve, reject) => {
      const finish = (action: () => void) => {
        clearTimeout(timer);
        worker.off('message', onMessage).off('error', onError).off('exit', onExit);
        worker.unref();
        action();
      };
      const drop = (error: UserError) => {
        if (this.#worker === worker) this.#worker = null;
        void worker.terminate();
        finish(() => reject(error));
      };
      const onMessage = (message: YosysRun) => finish(() => resolve(message));
      const onError = (error: Error) => drop(new UserError(`Yosys failed: ${error.message}`));
      const onExit = () => drop(new UserError('Yosys was stopped before it had finished'));
      const timer = setTimeout(
        () =>
          drop(
            new UserError(`Yosys took more than ${timeoutMs / 1000} s: expected a smaller circuit or a longer limit`),
          ),
        timeoutMs,
      );
      worker.ref();
      worker.on('message', onMessage).on('error', onError).on('exit', onExit);
      worker.postMessage({ script, files, outputs });
    });
  }

  #start(): Worker {
    return new Worker(WORKER, { eval: true, workerData: pathToFileURL(entryPoint()).href });
  }
}

/** The file of the package that is imported. */
function entryPoint(): string {
  try {
    return createRequire(import.meta.url).resolve('@yowasp/yosys');
  } catch {
    throw new UserError('the package @yowasp/yosys is not installed: run `npm install`, or use a Yosys of the system');
  }
}

/** The version of the package, read from its package.json: nothing is started. */
export function bundledVersion(): string {
  // The package exports its entry point alone, which stands in a folder of its root.
  const path = join(dirname(entryPoint()), '..', 'package.json');
  return String((readJson(path) as { version?: unknown }).version);
}
