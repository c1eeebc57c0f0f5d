// A kernel's source as the compiler takes it, and the compiler: NVRTC by FFI, specialised by -D options. The key of
// machine code covers everything it depends on (source text with its includes, options, compiler and driver version,
// device). What is compiled where and kept is said in kernel-library.ts and compiler-processes.ts.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import type koffi from 'koffi';
import type { KernelSource } from '../lower/launch.ts';

/** The folder of the kernels: beside this file, or in the source tree above it when the build did not copy them. */
export function kernelFolder(): string {
  const beside = join(import.meta.dirname, '../kernels');
  if (existsSync(beside)) return beside;
  let root = import.meta.dirname;
  while (!existsSync(join(root, SOURCE_KERNELS)) && dirname(root) !== root) root = dirname(root);
  return join(root, SOURCE_KERNELS);
}

const SOURCE_KERNELS = join('src', 'engine', 'cuda', 'kernels');

/** The text of a kernel with `#include "…"` lines replaced by the files, each once. */
export function readSource({ file, text }: Pick<KernelSource, 'file' | 'text'>, folder = kernelFolder()): string {
  const seen = new Set<string>();
  const expand = (given: string): string => given.replace(/^#include "([^"]+)"$/gm, (_, inner: string) => read(inner));
  const read = (name: string): string => {
    if (seen.has(name)) return '';
    seen.add(name);
    return expand(readFileSync(join(folder, name), 'utf8'));
  };
  return text === undefined ? read(file) : expand(text);
}

export function compileOptions({ defines }: KernelSource, capability: number): string[] {
  const macros = Object.entries(defines).map(([name, value]) => `-D${name}=${value}`);
  // Hopper's warpgroup instructions exist only under its own architecture name.
  const architecture = capability === 90 ? 'sm_90a' : `sm_${capability}`;
  // Everything in a kernel's text is for the device; generic lambdas can be told so by no other means.
  const always = ['--std=c++17', '--extra-device-vectorization', '--device-as-default-execution-space'];
  return [`--gpu-architecture=${architecture}`, ...always, ...macros.sort()];
}

/** Low half of Hopper's `HGMMA.64x8x16.F16 RZ, gdesc[URZ], RZ, !UPT`, which multiplies nothing. */
const EMPTY_PRODUCT = Buffer.from('f079ff3f00000000', 'hex');

/**
 * Whether machine code has a group of products on warpgroups' matrix units without a product in it. Our kernels begin
 * no such group, but ptxas 13.0 took products away that it thought nobody waits for, without a warning, and only what
 * closes their group was left: sums were those of the round before (kernels/approximate-bits.cuh, `countSingles`).
 */
export const lacksProducts = (image: Uint8Array): boolean => Buffer.from(image).includes(EMPTY_PRODUCT);

/** Machine code of a kernel's file that is not run, for it lacks products. */
export class LackingProducts extends Error {
  readonly file: string;
  readonly compilerVersion: string;

  constructor(file: string, options: readonly string[], compilerVersion: string) {
    super(`internal: NVRTC ${compilerVersion} left products out of ${file} with ${options.join(' ')}`);
    this.file = file;
    this.compilerVersion = compilerVersion;
  }
}

/** What machine code depends on beside its source and options. */
export interface CompileTarget {
  readonly capability: number;
  readonly device: string;
  readonly driverVersion: number;
  readonly compilerVersion: string;
}

/** The name of the cached machine code: 32 hexadecimal digits. */
export function cacheKey(text: string, options: readonly string[], target: CompileTarget): string {
  const parts = [text, ...options, target.device, target.capability, target.driverVersion, target.compilerVersion];
  return digest(parts);
}

/** 32 hexadecimal digits, the same for equal values. */
export const digest = (values: readonly unknown[]): string =>
  createHash('sha256').update(JSON.stringify(values)).digest('hex').slice(0, 32);

/** The same where the files of all kernels are. */
export function digestOfKernels(folder = kernelFolder()): string {
  const files = readdirSync(folder).filter((file) => /\.cuh?$/.test(file));
  return digest(files.sort().map((file) => [file, readFileSync(join(folder, file), 'utf8')]));
}

const signatures = {
  nvrtcVersion: 'int nvrtcVersion(void *major, void *minor)',
  nvrtcGetErrorString: 'const char *nvrtcGetErrorString(int status)',
  nvrtcCreateProgram:
    'int nvrtcCreateProgram(void *program, const char *source, const char *name, int headers, void *texts, void *names)',
  nvrtcDestroyProgram: 'int nvrtcDestroyProgram(void *program)',
  nvrtcCompileProgram: 'int nvrtcCompileProgram(void *program, int count, const char **options)',
  nvrtcGetProgramLogSize: 'int nvrtcGetProgramLogSize(void *program, void *bytes)',
  nvrtcGetProgramLog: 'int nvrtcGetProgramLog(void *program, void *text)',
  nvrtcGetCUBINSize: 'int nvrtcGetCUBINSize(void *program, void *bytes)',
  nvrtcGetCUBIN: 'int nvrtcGetCUBIN(void *program, void *image)',
} as const;

type Call = keyof typeof signatures;
type Native = ((...values: readonly unknown[]) => unknown) & { async: (...values: readonly unknown[]) => void };

/** What compiles, here or in another process. */
export interface KernelCompiler {
  readonly version: string;
  /** Whether it has so much to do that what can wait would hold it up; default: never. */
  readonly isBusy?: boolean;
  /** Machine code of a source text; throws with the compiler's log. */
  compile(text: string, name: string, options: readonly string[]): Promise<Uint8Array>;
}

/** The run-time compiler library; compilations run on worker threads of the FFI. */
export class Compiler implements KernelCompiler {
  readonly library: string;
  readonly version: string;
  /** Kept open as long as this is. */
  readonly libraries: readonly unknown[];
  readonly #calls: Record<Call, Native>;

  constructor(ffi: typeof koffi, library: string) {
    const loaded = ffi.load(library);
    this.library = library;
    const entries = Object.entries(signatures).map(([name, text]) => [name, loaded.func(text)] as const);
    this.#calls = Object.fromEntries(entries) as unknown as Record<Call, Native>;
    const major = new Int32Array(1);
    const minor = new Int32Array(1);
    this.#call('nvrtcVersion', major, minor);
    this.version = `${major[0]}.${minor[0]}`;
    // When it first compiles, the library loads its companion of the same version by name, which only works where the
    // loader knows the folder or the companion is loaded already. Libraries that nothing refers to are closed.
    const companion = join(dirname(library), `libnvrtc-builtins.so.${this.version}`);
    const beside = isAbsolute(library) && existsSync(companion);
    this.libraries = beside ? [loaded, ffi.load(companion, { global: true })] : [loaded];
  }

  async compile(text: string, name: string, options: readonly string[]): Promise<Uint8Array> {
    const program = this.#create(text, name);
    try {
      const status = await new Promise<number>((done, fail) => {
        this.#calls.nvrtcCompileProgram.async(program, options.length, options, (error: unknown, result: number) =>
          error ? fail(error) : done(result),
        );
      });
      return this.#result(program, status, name, options);
    } finally {
      this.#destroy(program);
    }
  }

  /** The same on this thread, which does nothing else meanwhile. */
  compileHere(text: string, name: string, options: readonly string[]): Uint8Array {
    const program = this.#create(text, name);
    try {
      const status = this.#calls.nvrtcCompileProgram(program, options.length, options) as number;
      return this.#result(program, status, name, options);
    } finally {
      this.#destroy(program);
    }
  }

  #create(text: string, name: string): bigint {
    const out = new BigUint64Array(1);
    this.#call('nvrtcCreateProgram', out, text, name, 0, null, null);
    return out[0]!;
  }

  #destroy(program: bigint): void {
    restoreSignals();
    this.#call('nvrtcDestroyProgram', BigUint64Array.of(program));
  }

  #result(program: bigint, status: number, name: string, options: readonly string[]): Uint8Array {
    if (status !== 0) {
      const does = `${name} does not compile with ${options.join(' ')}`;
      throw new Error(`internal: ${does}: ${this.#text(status)}\n${this.#log(program)}`);
    }
    return this.#bytes('nvrtcGetCUBINSize', 'nvrtcGetCUBIN', program);
  }

  #log(program: bigint): string {
    return Buffer.from(this.#bytes('nvrtcGetProgramLogSize', 'nvrtcGetProgramLog', program)).toString('utf8');
  }

  #bytes(size: 'nvrtcGetCUBINSize' | 'nvrtcGetProgramLogSize', get: Call, program: bigint): Uint8Array {
    const bytes = new BigUint64Array(1);
    this.#call(size, program, bytes);
    const data = new Uint8Array(Number(bytes[0]));
    this.#call(get, program, data);
    return data;
  }

  #text(status: number): string {
    return this.#calls.nvrtcGetErrorString(status) as string;
  }

  #call(name: Call, ...values: readonly unknown[]): void {
    const status = this.#calls[name](...values) as number;
    if (status !== 0) throw new Error(`${name}: ${this.#text(status)}`);
  }
}

/**
 * The library handles signals while it compiles and puts back what was there without its flags: what Node does where
 * nobody listens then calls itself for ever. Who begins to listen and ends leaves what others listen to, or else what
 * the system does. (In a thread of Node's that is nothing: signals are for the first one.)
 */
function restoreSignals(): void {
  const listener = () => {};
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, listener).off(name, listener);
}
