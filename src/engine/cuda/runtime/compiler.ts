// Kernels are compiled for the device at hand when they are first needed: NVRTC by FFI, specialised by -D options, and
// the machine code is kept on disk under a key of everything it depends on (source text with its includes, options,
// compiler and driver version, device). Compilations run on worker threads of the FFI, several at a time.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import type koffi from 'koffi';
import { invariant } from '../../../tensor/errors.ts';
import { userCacheFolder } from '../../../tensor/user-cache.ts';
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
  return [`--gpu-architecture=${architecture}`, '--std=c++17', '--extra-device-vectorization', ...macros.sort()];
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
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);
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

/** The run-time compiler library. */
export class Compiler {
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

  /** Machine code of a source text; throws with the compiler's log. */
  async compile(text: string, name: string, options: readonly string[]): Promise<Uint8Array> {
    const out = new BigUint64Array(1);
    this.#call('nvrtcCreateProgram', out, text, name, 0, null, null);
    const program = out[0]!;
    try {
      const status = await new Promise<number>((done, fail) => {
        this.#calls.nvrtcCompileProgram.async(program, options.length, options, (error: unknown, result: number) =>
          error ? fail(error) : done(result),
        );
      });
      if (status !== 0) {
        throw new Error(
          `internal: ${name} does not compile with ${options.join(' ')}: ${this.#text(status)}\n${this.#log(program)}`,
        );
      }
      return this.#bytes('nvrtcGetCUBINSize', 'nvrtcGetCUBIN', program);
    } finally {
      this.#call('nvrtcDestroyProgram', out);
    }
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

/** Compiles kernels for one device, each once per process, with the disk cache in between. */
export class KernelLibrary {
  readonly #compiler: () => Pick<Compiler, 'version' | 'compile'>;
  readonly #target: Omit<CompileTarget, 'compilerVersion'>;
  readonly #folder: string;
  readonly #images = new Map<string, Promise<Uint8Array>>();
  readonly #texts = new Map<string, string>();
  /** Compilations that were not in the cache. */
  compiled = 0;

  constructor(
    compiler: () => Pick<Compiler, 'version' | 'compile'>,
    target: Omit<CompileTarget, 'compilerVersion'>,
    folder = userCacheFolder('kernels'),
  ) {
    this.#compiler = compiler;
    this.#target = target;
    this.#folder = folder;
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
    const name = KernelLibrary.nameOf(source);
    const known = this.#images.get(name);
    if (known) return known;
    const image = this.#produce(source);
    this.#images.set(name, image);
    return image;
  }

  async #produce(source: KernelSource): Promise<Uint8Array> {
    const compiler = this.#compiler();
    const text = this.#text(source);
    const options = compileOptions(source, this.#target.capability);
    const key = cacheKey(text, options, { ...this.#target, compilerVersion: compiler.version });
    const path = join(this.#folder, `${key}.cubin`);
    if (existsSync(path)) return readFileSync(path);
    const image = await compiler.compile(text, source.file, options);
    this.compiled++;
    keep(path, image);
    return image;
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

/** Writes a cache file whole or not at all; a cache that cannot be written costs time, not the run. */
function keep(path: string, image: Uint8Array): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(temporary, image);
    renameSync(temporary, path);
  } catch {
    return;
  }
}
