// What lowering an operation means: from a node, the addresses of its operands and a target to the kernel launches that compute it. Scratch memory is
// asked for while the program is planned; words that must be zero before each use (block counters) and constant tables come from the
// program. A lowering is a pure function of its arguments.

import { sizeOf } from '../../../tensor/tensor.ts';
import type { Node, Value } from '../../graph/graph.ts';
import type { OpName } from '../../graph/ops.ts';
import { COUNTS, CUTS, cuts, FILLING, filling, oneOrSeveral, type Path, pathOf, type Ways } from '../../graph/paths.ts';
import type { KernelSource } from '../runtime/compiler.ts';
import type { Address } from '../runtime/driver.ts';
import { ceilDivide } from './geometry.ts';
import type { Argument, KernelLaunch, Target } from './launch.ts';
import { address, i32, launch } from './launch.ts';

export interface Operands {
  readonly inputs: readonly Address[];
  readonly outputs: readonly Address[];
  /** The scratch bytes that `scratchBytes` asked for; 256-byte aligned. */
  readonly scratch: Address;
}

/** Memory that belongs to the program as a whole. */
export interface ProgramMemory {
  /** Words that are zero before the first run; whoever uses them leaves them zero. */
  counters(count: number): Address;
  /** Bytes that never change. */
  table(bytes: Uint8Array): Address;
}

export interface Lowering<K extends OpName = OpName, N = Node<K>> {
  /** All ways that `path` can name. */
  readonly ways: Ways;
  /** The path that a node takes on a target. */
  readonly path: (node: N, target: Target) => Path;
  readonly scratchBytes?: (node: N, target: Target) => number;
  /** In an order that is right. Each launch names all memory that it touches: it runs as soon as that is ready, before others of the step if need be. */
  readonly launches: (node: N, operands: Operands, target: Target, memory: ProgramMemory) => readonly KernelLaunch[];
}

export type Lowerings<K extends OpName = OpName> = { readonly [Op in K]: Lowering<Op> };

const THREADS = 256;
const UNROLL = 4;

/** The ways of element-wise kernels, by the number of elements. */
const elementWays = { elements: { blocks: CUTS } } as const;
export const overElements = (countOf: (node: { readonly outputs: readonly Value[] }) => number) => ({
  ways: elementWays,
  path: (node: { readonly outputs: readonly Value[] }) =>
    pathOf(elementWays, 'elements', { blocks: cuts(countOf(node), THREADS * UNROLL) }),
});

/** Of lowerings that have nothing to choose. */
const noChoice = { 'the same for all': {} } as const;
export const alwaysTheSame = { ways: noChoice, path: () => pathOf(noChoice, 'the same for all', {}) };

/** A launch of one of the element-wise kernels over `count` elements. */
export function elementwise(name: string, count: number, args: readonly Argument[]): KernelLaunch {
  const source: KernelSource = { file: 'elementwise.cu', defines: {} };
  return launch(source, name, ceilDivide(count, THREADS * UNROLL), THREADS, args);
}

/** Adds `parts` results of `count` elements each, in order. */
export function sumParts(from: Address, to: Address, count: number, parts: number): KernelLaunch {
  const source: KernelSource = { file: 'elementwise.cu', defines: {} };
  const args = [address(from), address(to), i32(count), i32(parts)];
  return launch(source, 'sum_parts', ceilDivide(count, THREADS), THREADS, args);
}

/** How a reduction over rows is cut into blocks; see kernels/reduce.cuh. */
export interface Reduction {
  readonly rows: number;
  /** Columns, or vectors of `width` neighbouring ones. */
  readonly columns: number;
  readonly width: number;
  /** Of a block. */
  readonly threads: number;
  /** Columns (or vectors) per block, a power of two. */
  readonly tile: number;
  readonly tiles: number;
  readonly slabs: number;
}

const REDUCTION: KernelSource = { file: 'reductions.cu', defines: {} };
/** Largest accumulator of a reduction, in bytes per column. */
const ACCUMULATOR_BYTES = 16;
const ROWS_PER_THREAD = 16;

/** `width`: neighbouring columns that a thread reads as one vector, in blocks of `threads`. */
export function reductionOf(
  rows: number,
  columns: number,
  { multiprocessors }: Target,
  { width = 1, threads = THREADS } = {},
): Reduction {
  const vectors = columns / width;
  const tile = Math.min(32, 2 ** Math.ceil(Math.log2(vectors)));
  const tiles = ceilDivide(vectors, tile);
  const useful = ceilDivide(rows, (threads / tile) * ceilDivide(ROWS_PER_THREAD, width));
  // Half as many threads that read vectors have more in flight.
  const blocks = (multiprocessors * (width > 1 ? 512 : 1024)) / threads;
  const slabs = Math.max(1, Math.min(useful, ceilDivide(blocks, tiles)));
  return { rows, columns: vectors, width, threads, tile, tiles, slabs };
}

/** How the work of a reduction is cut. */
export const REDUCTION_ASPECTS = { slabs: COUNTS, tiles: COUNTS, columns: FILLING } as const;
export const reductionAspects = ({ slabs, tiles, tile, columns }: Reduction) => ({
  slabs: oneOrSeveral(slabs),
  tiles: oneOrSeveral(tiles),
  columns: filling(columns, tile),
});

/** Scratch bytes of a reduction, `copies` of it side by side. */
export function reductionBytes({ tile, tiles, slabs, width }: Reduction, copies = 1): number {
  return slabs === 1 ? 0 : tiles * tile * slabs * width * ACCUMULATOR_BYTES * copies;
}

/** A launch of a reduction kernel; the arguments before the shape are the kernel's own. */
export function reduce(
  name: string,
  reduction: Reduction,
  args: readonly Argument[],
  scratch: Address,
  memory: ProgramMemory,
  { copies = 1, source = REDUCTION }: { readonly copies?: number; readonly source?: KernelSource } = {},
): KernelLaunch {
  const { rows, columns, threads, tile, tiles, slabs } = reduction;
  const counters = memory.counters(tiles * copies);
  const shape = [i32(rows), i32(columns), i32(tile), address(scratch), address(counters)];
  return launch(source, name, [tiles, slabs, copies], threads, [...args, ...shape]);
}

/** A tensor as rows × channels; one column where it is taken as a whole. */
export function rowsAndColumns(shape: readonly number[], granularity: 'tensor' | 'channel'): [number, number] {
  const columns = granularity === 'tensor' ? 1 : (shape.at(-1) ?? 1);
  return [sizeOf(shape) / columns, columns];
}
