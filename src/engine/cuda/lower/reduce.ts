// How a reduction over the rows of a tensor is cut into blocks, and its launch; see kernels/reduce.cuh.

import { sizeOf } from '../../../tensor/tensor.ts';
import { COUNTS, FILLING, filling, oneOrSeveral } from '../../graph/paths.ts';
import { ceilDivide } from './geometry.ts';
import type { KernelSource } from './launch.ts';
import { type Arguments, addresses, integers, type KernelLaunch, launch, type Target } from './launch.ts';
import type { Operands } from './lowering.ts';

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

const THREADS = 256;
/** Largest accumulator of a reduction, in bytes per column. */
const ACCUMULATOR_BYTES = 16;
const ROWS_PER_THREAD = 16;

/**
 * `width`: neighbouring columns that a thread reads as one vector, in blocks of `threads`; `copies`: reductions side by
 * side; `reads`: of each element or vector.
 */
export function reductionOf(
  rows: number,
  columns: number,
  { multiprocessors }: Target,
  { width = 1, threads = THREADS, copies = 1, reads = 1 } = {},
): Reduction {
  const vectors = columns / width;
  const tile = Math.min(32, 2 ** Math.ceil(Math.log2(vectors)));
  const tiles = ceilDivide(vectors, tile);
  const useful = ceilDivide(rows, (threads / tile) * ceilDivide(ROWS_PER_THREAD, width * reads));
  // Half as many threads that read vectors have more in flight.
  const blocks = (multiprocessors * (width > 1 ? 512 : 1024)) / threads;
  const slabs = Math.max(1, Math.min(useful, ceilDivide(blocks, tiles * copies)));
  return { rows, columns: vectors, width, threads, tile, tiles, slabs };
}

/** How the work of a reduction is cut. */
export const REDUCTION_ASPECTS = { slabs: COUNTS, tiles: COUNTS, columns: FILLING } as const;
export const reductionAspects = ({ slabs, tiles, tile, columns }: Reduction) => ({
  slabs: oneOrSeveral(slabs),
  tiles: oneOrSeveral(tiles),
  columns: filling(columns, tile),
});

/** Workspace bytes of a reduction, `copies` of it side by side. */
export function reductionBytes({ tile, tiles, slabs, width }: Reduction, copies = 1): number {
  return slabs === 1 ? 0 : tiles * tile * slabs * width * ACCUMULATOR_BYTES * copies;
}

/** A launch of a reduction kernel; the arguments before the shape are the kernel's own. */
export function reduce(
  source: KernelSource,
  name: string,
  reduction: Reduction,
  args: Arguments,
  { workspace: partials, memory }: Pick<Operands, 'workspace' | 'memory'>,
  copies = 1,
): KernelLaunch {
  const { rows, columns, threads, tile, tiles, slabs } = reduction;
  const counters = memory.counters(tiles * copies);
  return launch(
    source,
    name,
    { grid: [tiles, slabs, copies], block: threads },
    { ...args, ...integers({ rows, columns, tile }), ...addresses({ partials, counters }) },
  );
}

/** A tensor as rows × channels; one column where it is taken as a whole. */
export function rowsAndColumns(shape: readonly number[], granularity: 'tensor' | 'channel'): [number, number] {
  const columns = granularity === 'tensor' ? 1 : (shape.at(-1) ?? 1);
  return [sizeOf(shape) / columns, columns];
}

/** With the workspace from `offset` on. */
export const behind = (at: Operands, offset: bigint): Operands => ({ ...at, workspace: at.workspace + offset });
