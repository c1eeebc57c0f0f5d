// What a device must offer: facts that are known before it computes, and sessions that do. A session owns the
// variables; the programs compiled in it share them, so a training step and an evaluation step see the same weights.
// Programs of a session never run at once, so they also share one arena (see graph/plan.ts): what a program computes on
// the way is gone when another one runs, what it was given and what it yields stays. Reads and runs are asynchronous
// because a GPU's are; a backend may finish before it returns.

import type { TableEmulation } from '../multiplier/error.ts';
import type { HostTensor, TensorData } from '../tensor/tensor.ts';
import type { Graph } from './graph/graph.ts';

/** What is known of a device. */
export interface Device {
  /** `reference`, `wasm`, … */
  readonly name: string;
  /** One line for people: threads, instruction set, device. */
  readonly description: string;
  /** What devices of one kind have in common and must have where several work together; default: the name. */
  readonly model?: string;
  /** Threads that compute, where it is a processor's. */
  readonly threads?: number;
  /** What its programs and variables can have together, in bytes. */
  readonly memoryBytes: number;
  /** Whether that is memory of its own, to which everything from the host must travel. */
  readonly ownMemory: boolean;
  /**
   * Over how many devices a session's programs run, 1 for most: a graph for that many is a part of a whole on each, and
   * `allReduce` brings the parts together; any other graph computes the same on all.
   */
  readonly replicas: number;
  /** How it can be asked to form products with an error table. */
  readonly emulations: readonly TableEmulation[];
}

export interface Backend {
  readonly device: Device;
  openSession(): Promise<Session>;
  /**
   * Graphs that may be compiled later, for a device that has something to prepare for them where it has time. A guess:
   * none has to come, others may, and no result depends on it. Each is formed when the device asks for it, if it does;
   * what throws there ends the list, and nothing else. A list of the `name` of an earlier one is that one.
   */
  expect?(graphs: Iterable<Graph>, name?: string): void;
  /** Parts from other processes, where there are some: their devices are given back. Behind the last session. */
  close?(): Promise<void>;
}

export interface Session {
  readonly backend: Backend;
  /**
   * Plans the graph and takes its memory; the session's arena grows where this program needs more of it than the
   * others. Variables new to the session start as zeros; known ones must have the same type. `meet` is for devices of a
   * group: awaited where all that can fail on this one alone is behind it, before what it does together with the
   * others; where it rejects the program is given up.
   */
  compile(graph: Graph, meet?: () => Promise<void>): Promise<Program>;
  variableNames(): readonly string[];
  /** Creates or overwrites a variable. */
  write(name: string, tensor: HostTensor): void;
  /** A copy of the variable's current value. */
  read(name: string): Promise<HostTensor>;
  /**
   * Throws a UserError that names the variable and the device where a variable has not the same bits on all devices of
   * the session; reads what has changed since it was asked last. Of one device there is nothing to compare.
   */
  checkReplicas(): Promise<void>;
  /** Bytes of device memory held by variables, programs and the arena; of several devices those of the first. */
  readonly bytes: number;
  dispose(): Promise<void>;
}

export interface Program {
  /** Sets an input for the runs to come; it keeps its value until written again. */
  write(name: string, data: TensorData): void;
  run(): Promise<void>;
  /**
   * A copy of an output of the latest run at the time of the call; later runs, of any program, may be started before it
   * arrives.
   */
  read(name: string): Promise<TensorData>;
  /** Bytes of the session's arena that this program's intermediate values need. */
  readonly arenaBytes: number;
  /** Frees what is the program's own and gives up its claim to the arena; reads that are under way are done first. */
  dispose(): Promise<void>;
}

/**
 * What memory holds in tests before it is written: NaN as f32, no valid code as u8. With a backend's option `poison`
 * nothing that a kernel must write itself holds anything else when it starts, so that reading what was not written
 * shows.
 */
export const POISON = 0xff;
