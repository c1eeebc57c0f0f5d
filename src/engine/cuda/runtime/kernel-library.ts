// The kernels of one device: each compiled once per process when it is first needed, and kept on disk. The first that
// is missing there means that later ones will be, too: then what was said to come (`expect`) is compiled ahead, with
// what the machine has left. Where none is kept for this program's kernels, this compiler, driver and GPU, the first
// program that is expected is taken for needed. That some are is told by a mark, an empty file beside them: their own
// names tell nothing before the kernel is there that they are of.
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
  digest,
  digestOfKernels,
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

/**
 * Whether machine code is kept there that came of this program's kernels by this compiler under this driver, for this
 * GPU, or for any where none is named: what is needed may be there. Otherwise nothing will be, or little.
 */
export function isAnyKept(target: KnownTarget, folder = usualFolder()): boolean {
  try {
    const files = readdirSync(folder);
    const mark = markOf(target);
    return files.some((file) => file.startsWith(mark)) && files.some((file) => file.endsWith(ENDING));
  } catch {
    return false;
  }
}

/** What is known of a target before a GPU is opened, and of the GPU. */
type KnownTarget = Pick<CompileTarget, 'compilerVersion' | 'driverVersion'> & Partial<CompileTarget>;

const ENDING = '.cubin';

let kernels: string | undefined;

/** The name of a mark, or how it begins where no GPU is named. */
function markOf({ compilerVersion, driverVersion, device, capability }: KnownTarget): string {
  kernels ??= digestOfKernels();
  const known = digest([kernels, compilerVersion, driverVersion]);
  return device === undefined ? `${known}-` : `${known}-${digest([device, capability])}.mark`;
}

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
  #isMarked = false;
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
   * and while the compiler is not busy with those that are needed; the first of all at once where none is kept.
   * What the iterator throws is its end. What has the `name` of something earlier is nothing new.
   */
  expect(programs: Iterator<readonly KernelSource[]>, name?: string): void {
    if (!this.#ahead || (name !== undefined && this.#named.has(name))) return;
    if (name !== undefined) this.#named.add(name);
    this.#expected.push(programs);
    if (this.compiled === 0 && !isAnyKept(this.#keptFor(), this.#folder)) {
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
    if (kept) {
      this.#mark();
      return kept;
    }
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
      this.#keep(path, image);
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
        this.#keep(path, image);
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
    const key = cacheKey(text, options, this.#keptFor());
    const path = join(this.#folder, key + ENDING);
    return { name: KernelLibrary.nameOf(source), file: source.file, text, options, path };
  }

  #keptFor(): CompileTarget {
    return { ...this.#target, compilerVersion: this.#compiler().version };
  }

  #keep(path: string, image: Uint8Array): void {
    if (keep(path, image)) this.#mark();
  }

  /** Says that something is kept for this target. */
  #mark(): void {
    if (this.#isMarked) return;
    this.#isMarked = true;
    isDone(() => writeFileSync(join(this.#folder, markOf(this.#keptFor())), ''));
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

/** Writes a cache file whole or not at all, and says which; a cache that cannot be written costs time, not the run. */
function keep(path: string, image: Uint8Array): boolean {
  // Threads of one process may keep the same kernel at once.
  const temporary = `${path}.${process.pid}-${threadId}.tmp`;
  const isKept = isDone(() => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(temporary, image);
    renameSync(temporary, path);
  });
  if (!isKept) isDone(() => unlinkSync(temporary));
  return isKept;
}

function isDone(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}
