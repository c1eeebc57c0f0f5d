// Compilation beside this process: several kernels at once, in processes that are started when there is something to
// do and end when there has been nothing for a while, or with this one. Invariant: what a process that ends does not
// answer is compiled by `instead`, or fails where there is none; nothing of a kernel is left half done. One that cannot
// be started (this user has no files, memory or processes left), or never comes so far as to compile, is not missed.
// Why not threads of this one: the event loop's are few and read the data, and a thread that compiles cannot be ended.

import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Compiler, KernelCompiler } from './compiler.ts';
import type { CompileAnswer, CompileRequest } from './compiler-process.ts';

export interface CompilerProcessesOptions {
  /** At most; at least 1. */
  readonly processes: number;
  /** As of os.setPriority, 19 the lowest; not above that of this process. */
  readonly priority: number;
  /** Compiles what a process did not answer; default: that fails. */
  readonly instead?: KernelCompiler;
  /** Whether whoever asks waits for the answer, so that this process must not end before it. */
  readonly isAwaited: boolean;
}

interface Job {
  readonly request: CompileRequest;
  readonly image: Promise<Uint8Array>;
  readonly done: (image: Uint8Array) => void;
  readonly fail: (error: Error) => void;
}

/** What a process runs; when this file runs as TypeScript source, the build's copy in dist/. */
const PROGRAM = new URL(
  'compiler-process.js',
  import.meta.url.replace(/\/src\/(?=engine\/cuda\/runtime\/[^/]*$)/, '/dist/'),
);
/** Milliseconds that a process waits for something to do. */
const IDLE = 10_000;
/** Milliseconds in which one is there: where no thread can be had, Node waits for ever for those that it starts. */
const START = 30_000;

/** What a process does. */
type Occupation = 'starts' | 'rests' | Job;

export class CompilerProcesses implements KernelCompiler {
  readonly version: string;
  readonly #library: string;
  readonly #options: CompilerProcessesOptions;
  readonly #queue: Job[] = [];
  readonly #processes = new Map<ChildProcess, Occupation>();
  #limit: number;
  #idle: NodeJS.Timeout | undefined;
  readonly #end = () => this.close();

  constructor({ library, version }: Pick<Compiler, 'library' | 'version'>, options: CompilerProcessesOptions) {
    this.version = version;
    this.#library = library;
    this.#options = options;
    // In a bundle it is not beside this.
    this.#limit = existsSync(PROGRAM) ? options.processes : 0;
  }

  /**
   * As long as a kernel waits for a process, or more than half of the processes compile: two of them may share a core,
   * and one that starts beside them has the lowest priority only when it is there.
   */
  get isBusy(): boolean {
    const working = [...this.#processes.values()].filter((occupation) => typeof occupation !== 'string').length;
    return this.#queue.length > 0 || 2 * working > this.#options.processes;
  }

  /** Starts all processes before there is something to do, as long as this one is small: that takes less time then. */
  start(): void {
    while (this.#start());
    this.#hold();
  }

  compile(text: string, name: string, options: readonly string[]): Promise<Uint8Array> {
    let [done, fail]: [Job['done'], Job['fail']] = [() => {}, () => {}];
    const image = new Promise<Uint8Array>((resolve, reject) => {
      [done, fail] = [resolve, reject];
    });
    this.#queue.push({ request: { text, name, options }, image, done, fail });
    this.#advance();
    return image;
  }

  /** Gives up what was asked for, unless it is under way or done; returns whether it did, and it then never settles. */
  withdraw(image: Promise<Uint8Array>): boolean {
    const at = this.#queue.findIndex((job) => job.image === image);
    if (at >= 0) this.#queue.splice(at, 1);
    return at >= 0;
  }

  /** Ends the processes at once; what they were asked for fails, or is compiled instead. */
  close(): void {
    clearTimeout(this.#idle);
    this.#limit = 0;
    for (const child of this.#processes.keys()) child.kill('SIGKILL');
    this.#advance();
  }

  #advance(): void {
    clearTimeout(this.#idle);
    for (const [child, occupation] of this.#processes) {
      if (occupation !== 'rests' || !child.connected) continue;
      const job = this.#queue.shift();
      if (!job) break;
      this.#processes.set(child, job);
      // An error is the end of the process, which is told by itself.
      child.send(job.request, () => {});
    }
    const starting = [...this.#processes.values()].filter((occupation) => occupation === 'starts').length;
    for (let more = this.#queue.length - starting; more > 0 && this.#start(); more--);
    if (this.#limit === 0 && this.#processes.size === 0) for (const job of this.#queue.splice(0)) this.#giveUp(job);
    if ([...this.#processes.values()].every((occupation) => occupation === 'rests')) {
      this.#idle = setTimeout(() => this.#rest(), IDLE);
      this.#idle.unref();
    }
    this.#hold();
  }

  /** Whether another one starts. */
  #start(): boolean {
    if (this.#processes.size >= this.#limit) return false;
    const child = begun([this.#library, this.version, `${this.#options.priority}`]);
    if (!child) {
      this.#limit = this.#processes.size;
      return false;
    }
    if (this.#processes.size === 0) process.once('exit', this.#end);
    this.#processes.set(child, 'starts');
    // This process may have done nothing but compute meanwhile: what has arrived is heard first.
    const end = () => this.#processes.get(child) === 'starts' && child.kill('SIGKILL');
    const clock = setTimeout(() => setImmediate(end), START).unref();
    child.on('message', (answer: CompileAnswer) => {
      const job = this.#processes.get(child);
      if (job === undefined) return;
      this.#processes.set(child, 'rests');
      if (typeof job === 'string') clearTimeout(clock);
      else if ('image' in answer) job.done(answer.image);
      else if ('problem' in answer) job.fail(new Error(answer.problem));
      this.#advance();
    });
    const ended = () => {
      clearTimeout(clock);
      this.#ended(child);
    };
    child.once('exit', ended).once('error', ended);
    child.unref();
    return true;
  }

  /** What a process was asked for is not asked again of another: it may be why it ended. */
  #ended(child: ChildProcess): void {
    const occupation = this.#processes.get(child);
    if (occupation === undefined) return;
    this.#forget(child);
    if (occupation !== 'rests') this.#limit = Math.min(this.#limit, this.#processes.size);
    if (typeof occupation !== 'string') this.#giveUp(occupation);
    this.#advance();
  }

  #giveUp({ request: { text, name, options }, done, fail }: Job): void {
    const { instead } = this.#options;
    if (!instead) fail(new Error(`the process that compiles ${name} has ended`));
    else instead.compile(text, name, options).then(done, fail);
  }

  /** Ends processes that have nothing to do. */
  #rest(): void {
    for (const child of [...this.#processes.keys()]) {
      this.#forget(child);
      child.kill('SIGKILL');
    }
  }

  #forget(child: ChildProcess): void {
    this.#processes.delete(child);
    if (this.#processes.size === 0) process.off('exit', this.#end);
  }

  /** Keeps this process alive as long as anybody waits. */
  #hold(): void {
    for (const [{ channel }, occupation] of this.#processes) {
      const isWaitedFor = occupation === 'starts' ? this.#queue.length > 0 : occupation !== 'rests';
      if (isWaitedFor && this.#options.isAwaited) channel?.ref();
      else channel?.unref();
    }
  }
}

/** A process that starts; none where the system has no more to give. */
function begun(values: readonly string[]): ChildProcess | undefined {
  try {
    const child = fork(PROGRAM, values, {
      ...{ execArgv: [], serialization: 'advanced', stdio: ['ignore', 'ignore', 'ignore', 'ipc'] },
    });
    // What cannot be done to one that is gone is told by its end, or it has never been.
    child.on('error', () => {});
    return child.connected ? child : undefined;
  } catch {
    return undefined;
  }
}
