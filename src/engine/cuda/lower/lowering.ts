// What lowering means on this backend: a node and a target give its path, the workspace it wants from the plan, and,
// once everything has an address, the kernel launches that compute it. All choices (tiles, parts, planes, factors) are
// made once, when a node is lowered, and closed over. Words that must be zero before each use (block counters) and
// constant tables come from the program.

import { invariant } from '../../../tensor/errors.ts';
import { sizeOf } from '../../../tensor/tensor.ts';
import type { Node } from '../../graph/graph.ts';
import type { OpName } from '../../graph/ops.ts';
import { CUTS, cuts, type Path, pathOf, type Ways } from '../../graph/paths.ts';
import { ceilDivide, roundUp } from './geometry.ts';
import type { Address, KernelSource } from './launch.ts';
import { type Arguments, addresses, integers, type KernelLaunch, launch, type Target } from './launch.ts';
import type { Collective } from './schedule.ts';

/** Memory that belongs to the program as a whole. */
export interface ProgramMemory {
  /** Words that are zero before the first run; whoever uses them leaves them zero. */
  counters(count: number): Address;
  /** Data that never changes. */
  place(data: ArrayBufferView): Address;
}

/** A running average: where it is and goes, and how it moves: alpha·before + beta·what is averaged. */
export interface Average extends Readonly<Record<'alpha' | 'beta', number>> {
  readonly before: Address;
  readonly to: Address;
}

/** Where mean and variance of a tensor's channels go, and what moves by the one and the other, where both do. */
export interface Moments {
  readonly mean: Address;
  readonly variance: Address;
  readonly averages: readonly Average[];
}

/** Where the tensors of one step are. */
export interface Operands {
  readonly inputs: readonly Address[];
  readonly outputs: readonly Address[];
  /** The bytes that the step wants; 256-byte aligned. */
  readonly workspace: Address;
  /** What the step's preparation has made. */
  readonly prepared?: Address;
  /** What a product adds to each output channel, where that is given (bias.ts). */
  readonly bias?: Address;
  /** The moments of a product's output channels, where they are wanted (measured.ts). */
  readonly moments?: Moments;
  readonly memory: ProgramMemory;
}

/**
 * What is made of an input of a node and then read in its place. Nodes of a plan that want the same form of one value
 * share it: it is made before the first of them and stays until the last.
 */
export interface Preparation {
  /** The number of the input. */
  readonly input: number;
  readonly form: string;
  readonly bytes: number;
  readonly launches: (input: Address, prepared: Address) => readonly KernelLaunch[];
}

/** How one node runs. */
export interface Lowered {
  readonly path: Path;
  readonly workspaceBytes?: number;
  readonly preparation?: Preparation;
  /** Of a gradient of weights: whether codes may take the place of its first operand (fuse.ts). */
  readonly readsCodes?: boolean;
  /** Of a convolution: whether its kernel adds a bias (bias.ts). */
  readonly takesBias?: boolean;
  /** Of a convolution: how its kernels form the moments of its output channels, if they do (measured.ts). */
  readonly formsMoments?: Path | undefined;
  /**
   * In an order that is right. Each launch names all memory that it touches: it runs as soon as that is ready, before
   * others of the step if need be.
   */
  readonly launches: (at: Operands) => readonly KernelLaunch[];
  /** In place of launches: the whole step is a reduction over replicas. */
  readonly collective?: (at: Operands) => Collective;
}

export type Lowering<K extends OpName = OpName, N = Node<K>> = (node: N, target: Target) => Lowered;
export type Lowerings<K extends OpName = OpName> = { readonly [Op in K]: Lowering<Op> };
/** All ways that the paths of some operations' lowerings can name. */
export type WaysOf<K extends string> = { readonly [Op in K]: Ways };

/** The same for operands that are no node's: what is prepared is made in the workspace, by launches of its own. */
export function alone(lowered: Lowered): Lowered {
  const { preparation, ...rest } = lowered;
  if (!preparation) return lowered;
  const layout = new Layout();
  const [preparedAt, restAt] = [layout.take(preparation.bytes), layout.take(rest.workspaceBytes ?? 0)];
  return {
    ...rest,
    workspaceBytes: layout.bytes,
    launches: (at) => {
      const prepared = at.workspace + preparedAt;
      return [
        ...preparation.launches(at.inputs[preparation.input]!, prepared),
        ...rest.launches({ ...at, prepared, workspace: at.workspace + restAt }),
      ];
    },
  };
}

const THREADS = 256;
/** Elements of a thread of the element-wise kernels. */
const UNROLL = 4;

/** The ways of element-wise kernels, by the number of elements. */
export const overElements = { elements: { blocks: CUTS } } as const;
export const pathOverElements = (count: number): Path =>
  pathOf(overElements, 'elements', { blocks: cuts(count, THREADS * UNROLL) });

/** Of lowerings that have nothing to choose. */
export const noChoice = { 'the same for all': {} } as const;
export const theOnlyPath: Path = pathOf(noChoice, 'the same for all', {});

/** A launch over `count` elements of a kernel whose threads take four of them each. */
export function launchOverElements(source: KernelSource, name: string, count: number, args: Arguments): KernelLaunch {
  return launch(source, name, { grid: ceilDivide(count, THREADS * UNROLL), block: THREADS }, args);
}

/** Threads that a sum of parts is worth, as many as fill a device, parts that a thread adds at least, and groups. */
const SUMMING_THREADS = 2 ** 17;
const FEWEST_PARTS = 4;
const MOST_GROUPS = 16;

/** Adds `number` results of `count` elements each, in an order that these two decide. */
export function sumParts(parts: Address, y: Address, count: number, number: number): KernelLaunch {
  const source: KernelSource = { file: 'elementwise.cu', defines: {} };
  const width = count % 4 === 0 ? 4 : 1;
  const vectors = count / width;
  let groups = 1;
  while (groups < MOST_GROUPS && vectors * groups < SUMMING_THREADS && number >= 2 * groups * FEWEST_PARTS) groups *= 2;
  const size = { grid: ceilDivide(vectors, THREADS / groups), block: THREADS };
  const args = { ...addresses({ parts, y }), ...integers({ count: vectors, number, groups }) };
  return launch(source, width === 4 ? 'sum_vector_parts' : 'sum_parts', size, args);
}

/** The tensors of a step, inputs and then outputs, as a kernel's first parameters of these names. */
export function tensors({ inputs, outputs }: Pick<Operands, 'inputs' | 'outputs'>, ...names: string[]): Arguments {
  const places = [...inputs, ...outputs];
  invariant(places.length === names.length, `${places.length} tensors as ${names}`);
  return addresses(Object.fromEntries(names.map((name, at) => [name, places[at]!])));
}

export const elementsOf = ({ outputs: [first] }: Pick<Node, 'outputs'>): number => sizeOf(first!.shape);

/** Lays out a step's workspace: blocks one after the other, 256-byte aligned. */
export class Layout {
  bytes = 0;

  /** Offset of a new block. */
  take(bytes: number): bigint {
    const offset = BigInt(this.bytes);
    this.bytes += roundUp(bytes, 256);
    return offset;
  }
}
