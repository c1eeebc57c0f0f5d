// The kernels of one device: each compiled once per process when it is first needed, and kept on disk. The first that
// is missing there means that later ones will be, too: then what was said to come (`expect`) is compiled ahead, with
// what the machine has left. Where none is kept at all, the first program that is expected is taken for needed.
// Invariant: that changes nothing but when a kernel is there. It is compiled from the same text with the same options,
// and one that fails ahead is compiled again where it is needed, and fails there.
// Machine code that lacks products is kept as any other, and refused wherever it comes from.

import { channel } from 'node:diagnostics_channel';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { threadId } from 'node:worker_threads';
import { invariant } from '../../../tensor/errors.ts';
import { userCacheFolder } from '../../../tensor/user-cache.ts';
import type { KernelSource } from '../lower/launch.ts';
import {
  type CompileTarget,
  cacheKey,
  compileOptions,
  type KernelCompiler,
  LackingProducts,
  lacksProducts,
  readSource,
} from './compiler.ts';
import type { CompilerProcesses } from './compiler-processes.ts';

/** Of a kernel that was not on disk, on the diagnostics channel `tram:kernels`; times as of performance.now(). */
export interface KernelNews {
  readonly file: string;
  /** Compiled, because a program needs it or ahead of that; or needed: from then until it was there. */
  readonly kind: 'compiled' | 'ahead' | 'needed';
  readonly begin: number;
  readonly end: number;
}

const news = channel('tram:kernels');

/** A source as it is compiled and kept. */
interface Kernel {
  /** The same for equal sources. */
  readonly name: string;
  readonly file: string;
  readonly text: string;
  readonly options: readonly string[];
  readonly path: string;
}

/** Where kernels are kept, unless somebody says otherwise. */
const usualFolder = () => userCacheFolder('kernels');

/** Whether no kernel is kept there: nothing that is needed will be there. */
export function isEmpty(folder = usualFolder()): boolean {
  try {
    return !readdirSync(folder).some((file) => file.endsWith(ENDING));
  } catch {
    return true;
  }
}

const ENDING = '.cubin';

/** Milliseconds between two looks at whether what is needed is under way. */
const PAUSE = 20;

export class KernelLibrary {
  readonly #compiler: () => KernelCompiler;
  readonly #target: Omit<CompileTarget, 'compilerVersion'>;
  readonly #folder: string;
  readonly #ahead: CompilerProcesses | undefined;
  readonly #images = new Map<string, Promise<Uint8Array>>();
  /** What is compiled ahead, by name. */
  readonly #early = new Map<string, Promise<Uint8Array>>();
  readonly #texts = new Map<string, string>();
  readonly #expected: Iterator<readonly KernelSource[]>[] = [];
  readonly #named = new Set<string>();
  /** Names of what is compiled and nobody waits for yet. */
  readonly #begun = new Set<string>();
  #isPreparing = false;
  #isClosed = false;
  /** Compilations that were not in the cache. */
  compiled = 0;

  /** `ahead`: compiles what is not needed yet; default: nobody does. */
  constructor(
    compiler: () => KernelCompiler,
    target: Omit<CompileTarget, 'compilerVersion'>,
    folder = usualFolder(),
    ahead?: CompilerProcesses,
  ) {
    this.#compiler = compiler;
    this.#target = target;
    this.#folder = folder;
    this.#ahead = ahead;
  }

  /** A name for the specialised source, the same for equal sources. */
  static nameOf({ file, text, defines }: KernelSource): string {
    if (text !== undefined) return text;
    return `${file}?${Object.entries(defines)
      .map(([name, value]) => `${name}=${value}`)
      .sort()
      .join('&')}`;
  }

  image(source: KernelSource): Promise<Uint8Array> {
    return this.#needed(this.#kernel(source));
  }

  /** The machine code of several sources by their names, what takes longest to compile first. */
  images(sources: readonly KernelSource[]): ReadonlyMap<string, Promise<Uint8Array>> {
    const kernels = this.#largestFirst(sources);
    // What is under way already may be there before its turn comes.
    kernels.sort((a, b) => Number(this.#early.has(a.name)) - Number(this.#early.has(b.name)));
    return new Map(kernels.map((kernel) => [kernel.name, this.#needed(kernel)]));
  }

  /**
   * What programs to come will need, one program after the other. They are only asked for when a kernel was missing,
   * and while the compiler is not busy with those that are needed; the first of all at once where no kernel is kept.
   * What the iterator throws is its end. What has the `name` of something earlier is nothing new.
   */
  expect(programs: Iterator<readonly KernelSource[]>, name?: string): void {
    if (!this.#ahead || (name !== undefined && this.#named.has(name))) return;
    if (name !== undefined) this.#named.add(name);
    this.#expected.push(programs);
    if (this.compiled === 0 && isEmpty(this.#folder)) {
      for (const kernel of this.#nextOf(programs) ?? []) {
        this.#image(kernel).catch(() => this.#images.delete(kernel.name));
      }
    }
    if (this.compiled > 0) void this.#prepare();
  }

  /** Nothing is compiled ahead any more. */
  close(): void {
    this.#isClosed = true;
  }

  /** The machine code for somebody who waits for it. */
  #needed(kernel: Kernel): Promise<Uint8Array> {
    const begin = performance.now();
    const image = this.#image(kernel);
    const { name, file } = kernel;
    if (this.#begun.delete(name)) {
      const told = () => tell({ file, kind: 'needed', begin, end: performance.now() });
      image.then(told, () => {});
    }
    return image;
  }

  #image(kernel: Kernel): Promise<Uint8Array> {
    const known = this.#images.get(kernel.name);
    if (known) return known;
    const image = this.#produce(kernel).then((found) => this.#whole(kernel, found));
    this.#images.set(kernel.name, image);
    return image;
  }

  /** What is kept may be of before anybody looked at this. */
  #whole({ file, options }: Kernel, image: Uint8Array): Uint8Array {
    if (!lacksProducts(image)) return image;
    throw new LackingProducts(file, options, this.#compiler().version);
  }

  async #produce(kernel: Kernel): Promise<Uint8Array> {
    const { name, path } = kernel;
    const kept = keptAt(path);
    if (kept) return kept;
    this.#begun.add(name);
    const early = this.#early.get(name);
    const compiling = this.#compile(kernel);
    // What was begun ahead has the lowest priority, and may never end where others compute: it is not relied upon.
    const isUnderWay = early !== undefined && !this.#ahead!.withdraw(early);
    try {
      return await (isUnderWay ? Promise.race([compiling, early.catch(() => compiling)]) : compiling);
    } finally {
      this.#begun.delete(name);
    }
  }

  #compile({ text, file, options, path }: Kernel): Promise<Uint8Array> {
    const begin = performance.now();
    const compiling = this.#compiler().compile(text, file, options);
    this.compiled++;
    void this.#prepare();
    return compiling.then((image) => {
      tell({ file, kind: 'compiled', begin, end: performance.now() });
      keep(path, image);
      return image;
    });
  }

  /** Begins to compile what is expected. */
  async #prepare(): Promise<void> {
    if (this.#isPreparing) return;
    this.#isPreparing = true;
    while (this.#expected.length > 0 && !this.#isClosed) {
      // Also gives way to whatever else this thread has to do: forming a program takes a while.
      await pause(PAUSE, undefined, { ref: false });
      if (this.#isClosed || this.#compiler().isBusy) continue;
      const kernels = this.#nextOf(this.#expected[0]!);
      if (!kernels) this.#expected.shift();
      else for (const kernel of kernels) this.#compileAhead(kernel);
    }
    this.#isPreparing = false;
  }

  /** Those of the next program; none where there is no other, or it cannot be formed. */
  #nextOf(programs: Iterator<readonly KernelSource[]>): Kernel[] | undefined {
    try {
      const { done, value } = programs.next();
      return done ? undefined : this.#largestFirst(value);
    } catch {
      return undefined;
    }
  }

  #compileAhead({ name, file, text, options, path }: Kernel): void {
    if (this.#images.has(name) || this.#early.has(name) || existsSync(path)) return;
    const begin = performance.now();
    const compiling = this.#ahead!.compile(text, file, options);
    this.#early.set(name, compiling);
    compiling.then(
      (image) => {
        tell({ file, kind: 'ahead', begin, end: performance.now() });
        if (!this.#images.has(name) && !lacksProducts(image)) this.#images.set(name, Promise.resolve(image));
        keep(path, image);
      },
      () => this.#early.delete(name),
    );
  }

  #largestFirst(sources: readonly KernelSource[]): Kernel[] {
    const different = new Map(sources.map((source) => [KernelLibrary.nameOf(source), source]));
    // Length is a fair measure of how long it takes: what is short is one small kernel.
    return [...different.values()].map((source) => this.#kernel(source)).sort((a, b) => b.text.length - a.text.length);
  }

  #kernel(source: KernelSource): Kernel {
    const text = this.#text(source);
    const options = compileOptions(source, this.#target.capability);
    const key = cacheKey(text, options, { ...this.#target, compilerVersion: this.#compiler().version });
    const path = join(this.#folder, key + ENDING);
    return { name: KernelLibrary.nameOf(source), file: source.file, text, options, path };
  }

  #text(source: KernelSource): string {
    const { file } = source;
    if (source.text !== undefined) return readSource(source);
    const text = this.#texts.get(file) ?? readSource(source);
    invariant(text.length > 0, `the kernel file ${file} is empty`);
    this.#texts.set(file, text);
    return text;
  }
}

function tell(message: KernelNews): void {
  if (news.hasSubscribers) news.publish(message);
}

/** A cache file; none where it cannot be read, or has lost its content as the machine went down. */
function keptAt(path: string): Uint8Array | undefined {
  try {
    const image = readFileSync(path);
    return image.length > 0 ? image : undefined;
  } catch {
    return undefined;
  }
}

/** Writes a cache file whole or not at all; a cache that cannot be written costs time, not the run. */
function keep(path: string, image: Uint8Array): void {
  // Threads of one process may keep the same kernel at once.
  const temporary = `${path}.${process.pid}-${threadId}.tmp`;
  const isKept = isDone(() => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(temporary, image);
    renameSync(temporary, path);
  });
  if (!isKept) isDone(() => unlinkSync(temporary));
}

function isDone(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}
