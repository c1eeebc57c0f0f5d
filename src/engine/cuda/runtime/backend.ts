// The cuda backend: a GPU that is opened, alone or as one of a group (communicator.ts), and its sessions (session.ts),
// whose programs (program.ts) are CUDA graphs.

import { availableParallelism, constants } from 'node:os';
import { UserError } from '../../../tensor/errors.ts';
import type { Backend } from '../../backend.ts';
import type { Graph } from '../../graph/graph.ts';
import type { KernelSource, Precision, Target } from '../lower/launch.ts';
import { sourcesOf } from '../lower/sources.ts';
import { type CollectiveOptions, Communicator } from './communicator.ts';
import type { Compiler } from './compiler.ts';
import { CompilerProcesses } from './compiler-processes.ts';
import { findDriverVersion, OLDEST_CAPABILITY, openCompiler, openCuda, openNccl } from './device.ts';
import { Context, type DeviceProperties } from './driver.ts';
import { isAnyKept, KernelLibrary } from './kernel-library.ts';
import { CudaProgram } from './program.ts';
import { CudaSession, type SessionParts, type SharedTarget } from './session.ts';

export interface CudaOptions {
  /** Which of the machine's GPUs; default 0. */
  readonly device?: number;
  /** Operands of float convolutions and gradients: tf32 (default), bf16, or f32 in two tf32 parts. */
  readonly precision?: Precision;
  /** In tests: the arena is poisoned before each run, other memory when it is taken (see ../backend.ts). */
  readonly poison?: boolean;
  /** In tests: what work is lowered for in place of what the GPU is, to run the paths of smaller and older ones. */
  readonly as?: Partial<Omit<Target, 'precision'>>;
  /** As one of several GPUs, each of a process of its own that does the same in the same order. */
  readonly collective?: CollectiveOptions;
}

/** A name under which the ranks of a group find each other; made in one of their processes, for one group. */
export function collectiveId(): Uint8Array {
  return openNccl().uniqueId();
}

export interface CudaBackend extends Backend {
  /**
   * Another rank of the group is gone: what is under way and whatever follows rejects with this error. Resolves to
   * whether reductions that wait for it on the device were ended; if not, the process must end for it.
   */
  lose(reason: Error): Promise<boolean>;
  /** Leaves the group; all sessions are disposed of. */
  close(): Promise<void>;
}

/** Processes that compile at once: a step of ResNet18 has 29 modules, and each process takes 40 MB. */
const MOST_COMPILERS = 16;

interface Compilers {
  /** Compiles what is needed. */
  readonly now: CompilerProcesses;
  /** Compiles what will be, at the lowest priority. */
  readonly ahead: CompilerProcesses;
}

/** For one of so many ranks of this host. */
function compilersOf(compiler: Compiler, ranks: number): Compilers {
  const processes = Math.max(1, Math.min(Math.floor(availableParallelism() / ranks), MOST_COMPILERS));
  return {
    now: new CompilerProcesses(compiler, { processes, priority: 0, isAwaited: true, instead: compiler }),
    ahead: new CompilerProcesses(compiler, {
      processes: Math.max(1, processes - 1),
      ...{ priority: constants.priority.PRIORITY_LOW, isAwaited: false },
    }),
  };
}

let started: Compilers | undefined;

/**
 * Where no kernel is kept that this program, compiler and driver have made, starts what compiles for the one GPU that
 * will be opened, beside whatever comes first: reading data, by which this process grows, and the larger it is the
 * longer it takes to start others. What is lacking is for `cudaBackend` to say. Where it is not opened, or only long
 * after, they have ended by themselves.
 */
export function prepareCuda(): void {
  try {
    if (started) return;
    const driverVersion = findDriverVersion();
    const compiler = openCompiler();
    if (isAnyKept({ driverVersion, compilerVersion: compiler.version })) return;
    started = compilersOf(compiler, 1);
  } catch {
    return;
  }
  for (const compilers of Object.values(started)) compilers.start();
}

/** Opens the GPU; a UserError says why there is none. */
export function cudaBackend(options: CudaOptions = {}): CudaBackend {
  const { device = 0, precision = 'tf32', poison = false, as = {}, collective } = options;
  const { driver, compiler, devices } = openCuda();
  const properties = devices[device];
  if (!properties) throw new UserError(`there is no GPU ${device}; the machine has ${devices.length}, counted from 0`);
  // Ranks of this host compile at the same time; their GPUs are among those that are seen.
  const ranks = Math.min(collective?.ranks ?? 1, devices.length);
  const { now, ahead } = (!collective && started) || compilersOf(compiler, ranks);
  if (!collective) started = undefined;
  const keptFor = { capability: properties.capability, device: properties.name, driverVersion: driver.version };
  const kernels = new KernelLibrary(() => now, keptFor, undefined, ahead);
  if (properties.capability < OLDEST_CAPABILITY) {
    throw new UserError(
      `GPU ${device}, ${properties.name}, has compute capability ${properties.capability / 10}; 8.0 or newer is needed`,
    );
  }
  const group =
    collective && new Communicator(openNccl(), () => new Context(driver, properties, { urgent: true }), collective);
  const { multiprocessors, sharedBytesPerBlock, capability } = properties;
  let releaseContext: (() => void) | undefined;
  const target = { now: { multiprocessors, sharedBytesPerBlock, precision, warpgroups: capability === 90, ...as } };
  const backend: CudaBackend = {
    device: {
      name: 'cuda',
      description: `${describe(properties)}, ${precision}`,
      model: `${properties.name}, compute capability ${(properties.capability / 10).toFixed(1)}`,
      memoryBytes: properties.memoryBytes,
      ownMemory: true,
      replicas: group?.ranks ?? 1,
      emulations: ['lowrank', 'table'],
    },
    openSession: async () => {
      // A group has a context of its own, which does the same.
      if (group) await group.join();
      else releaseContext ??= driver.keepContext(properties.ordinal);
      const context = new Context(driver, properties, group ? { watch: () => group.check() } : {});
      const compile: SessionParts['compile'] = (...asked) => CudaProgram.create(...asked);
      return new CudaSession({ backend, context, kernels, target, poison, group, compile });
    },
    lose: async (reason) => (await group?.lose(reason)) ?? true,
    expect: (graphs, name) => kernels.expect(sourcesOfEach(graphs, target), name),
    close: async () => {
      kernels.close();
      for (const compilers of [now, ahead]) compilers.close();
      await group?.dispose();
      releaseContext?.();
    },
  };
  return backend;
}

function* sourcesOfEach(graphs: Iterable<Graph>, target: SharedTarget): Generator<KernelSource[]> {
  for (const graph of graphs) yield sourcesOf(graph, target.now);
}

function describe({ ordinal, name, memoryBytes }: DeviceProperties): string {
  return `GPU ${ordinal}: ${name}, ${Math.round(memoryBytes / 2 ** 30)} GiB`;
}
