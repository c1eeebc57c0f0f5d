// Opening CUDA: `findCuda` says what there is and, where something is missing, what and how to get it; `openCuda` gives
// the driver and the compiler or throws the same reason as a UserError, `openNccl` what several GPUs need beside. The
// libraries are loaded by the first call and kept.

import { createRequire } from 'node:module';
import type koffi from 'koffi';
import { UserError } from '../../../tensor/errors.ts';
import { Compiler } from './compiler.ts';
import { type DeviceProperties, Driver, versionOfDriver } from './driver.ts';
import { CUDA_PATH_VARIABLE, compilerCandidates, driverCandidates, ncclCandidates } from './libraries.ts';
import { Nccl } from './nccl.ts';

export type CudaFinding =
  | {
      readonly available: true;
      readonly devices: readonly DeviceProperties[];
      /** Newest CUDA version that the driver serves, for example 13.0. */
      readonly driverVersion: string;
      readonly driverLibrary: string;
      readonly compilerVersion: string;
      readonly compilerLibrary: string;
      /** What several GPUs need beside; `null` where there is none. */
      readonly ncclVersion: string | null;
      /** Where it is; where there is none the reason, and how to get it. */
      readonly ncclLibrary: string;
    }
  | { readonly available: false; readonly reason: string; readonly hint: string };

export interface Cuda {
  readonly driver: Driver;
  readonly compiler: Compiler;
  readonly devices: readonly DeviceProperties[];
}

/** Oldest device that the kernels run on: asynchronous copies and tf32 came with 8.0. */
export const OLDEST_CAPABILITY = 80;

class Unavailable extends Error {
  readonly hint: string;
  constructor(reason: string, hint: string) {
    super(reason);
    this.hint = hint;
  }
}

let opened: Cuda | undefined;

/** What of CUDA this machine has; never throws for something missing. */
export function findCuda(): CudaFinding {
  try {
    const { driver, compiler, devices } = open();
    return {
      available: true,
      devices,
      driverVersion: formatVersion(driver.version),
      driverLibrary: driver.library,
      compilerVersion: compiler.version,
      compilerLibrary: compiler.library,
      ...findNccl(),
    };
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    return { available: false, reason: error.message, hint: error.hint };
  }
}

/** The driver, the compiler and the devices; a UserError says why there are none. */
export function openCuda(): Cuda {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    throw new UserError(`the device cuda cannot be used: ${error.message}; ${error.hint}`);
  }
}

/** The library for reductions between GPUs; a UserError says how to get it. */
export function openNccl(): Nccl {
  try {
    return nccl();
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    throw new UserError(`several GPUs cannot be used together: ${error.message}; ${error.hint}`);
  }
}

let openedNccl: Nccl | undefined;

function nccl(): Nccl {
  openedNccl ??= openFirst(
    ncclCandidates(),
    (library) => new Nccl(loadFfi(), library),
    'NCCL cannot be opened',
    `install the package libnccl2 or the Python package nvidia-nccl-cu13, or set ${CUDA_PATH_VARIABLE} to a folder that holds libnccl.so.2`,
  );
  return openedNccl;
}

function findNccl() {
  try {
    const { version, library } = nccl();
    return { ncclVersion: version, ncclLibrary: library };
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    return { ncclVersion: null, ncclLibrary: `${error.message}; ${error.hint}` };
  }
}

/** 13000 → 13.0. */
export function formatVersion(version: number): string {
  return `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
}

const noDriver = [
  'the NVIDIA driver cannot be opened',
  'install the NVIDIA driver for a GPU of this machine; on a cluster give the command to a node that has one',
] as const;

function open(): Cuda {
  if (opened) return opened;
  const ffi = loadFfi();
  const driver = openFirst(driverCandidates(), (library) => new Driver(ffi, library), ...noDriver);
  const devices = driver.devices();
  if (!devices.some(({ capability }) => capability >= OLDEST_CAPABILITY)) {
    const found = devices.map(({ name, capability }) => `${name} (${capability / 10})`).join(', ') || 'no device';
    throw new Unavailable(
      `the driver reports ${found}`,
      'a GPU of compute capability 8.0 or newer is needed (Ampere, Ada, Hopper, Blackwell)',
    );
  }
  opened = { driver, compiler: openCompiler(ffi), devices };
  return opened;
}

/**
 * The version of the driver, as `Driver` has it, whose library is there; it is not asked for its devices yet, which
 * takes longer. Throws where there is none.
 */
export function findDriverVersion(): number {
  const ffi = loadFfi();
  return openFirst(driverCandidates(), (library) => versionOfDriver(ffi, library), ...noDriver);
}

/** The run-time compiler alone: it needs neither a driver nor a GPU. Throws where there is none. */
export function openCompiler(ffi = loadFfi()): Compiler {
  return openFirst(
    compilerCandidates(),
    (library) => new Compiler(ffi, library),
    'NVRTC, the run-time compiler, cannot be opened',
    `install the CUDA toolkit or the Python package nvidia-cuda-nvrtc, or set ${CUDA_PATH_VARIABLE} to a folder that holds libnvrtc`,
  );
}

/**
 * Bytes of stack for calls through koffi: the compiler needs more than the 128 KiB that its threads get by default, and
 * dies without.
 */
const COMPILER_STACK = 4 * 2 ** 20;

/** koffi is a native addon; it is loaded only here. */
export function loadFfi(): typeof koffi {
  try {
    const ffi = createRequire(import.meta.url)('koffi') as typeof koffi;
    // Settings cannot change once a library is open, so this is for the first call.
    const settings = ffi.config();
    const stacks = { sync_stack_size: COMPILER_STACK, async_stack_size: COMPILER_STACK };
    if (settings.async_stack_size! < COMPILER_STACK) ffi.config({ ...settings, ...stacks });
    return ffi;
  } catch (error) {
    throw new Unavailable(
      `koffi cannot be loaded (${(error as Error).message})`,
      'install the dependencies with npm ci',
    );
  }
}

function openFirst<T>(candidates: readonly string[], create: (path: string) => T, reason: string, hint: string): T {
  let problem = 'no candidate';
  for (const path of candidates) {
    try {
      return create(path);
    } catch (error) {
      problem = (error as Error).message;
    }
  }
  throw new Unavailable(`${reason} (${problem})`, hint);
}
