// How one node becomes launches (./launch.ts) of kernels, and what the lowerings share: cuts of the work into parts,
// ways, workspaces.

import type { TensorType } from '../../../tensor/tensor.ts';
import { sizeOf, type TensorData } from '../../../tensor/tensor.ts';
import type { Node } from '../../graph/graph.ts';
import type { OpName } from '../../graph/ops.ts';
import { CUTS, cuts, FILLING, filling, type Path, pathOf, type Ways } from '../../graph/paths.ts';
import type { Launch } from './launch.ts';
import type { Address } from './words.ts';

/** Where the tensors of one step are. */
export interface Addresses {
  readonly inputs: readonly Address[];
  readonly outputs: readonly Address[];
  readonly workspace: Address;
  /** Puts constant data into memory, for as long as the program lives, and returns its address. */
  readonly place: (data: TensorData | Float64Array) => Address;
}

/**
 * How one node runs: its path, the workspace it wants from the plan, and its launches once everything has an address.
 */
export interface Lowered {
  readonly path: Path;
  readonly workspaceBytes?: number;
  readonly launches: (at: Addresses) => readonly Launch[];
}

export type Lowering<K extends OpName> = (node: Node<K>) => Lowered;
export type Lowerings<K extends OpName> = { readonly [Op in K]: Lowering<Op> };
/** The ways of the lowerings of some operations. */
export type WaysOf<K extends OpName> = { readonly [Op in K]: Ways };

/** Elements that one part of a memory-bound kernel handles: 64 KB of f32. */
const ELEMENTS_PER_PART = 16384;

/** Rows of a matrix that one part handles. */
export function rowsPerPart(channels: number): number {
  return Math.max(1, Math.floor(ELEMENTS_PER_PART / channels));
}

/** `count` elements in runs: the run's length and the number of runs. */
export function runs(count: number, length = ELEMENTS_PER_PART): { readonly length: number; readonly parts: number } {
  return { length, parts: Math.ceil(count / length) };
}

/** Ways of kernels that go through the elements in runs, four at a time. */
export const overElements = { elements: { runs: CUTS, vectors: FILLING } } as const;
export const pathOverElements = (count: number): Path =>
  pathOf(overElements, 'elements', { runs: cuts(count, ELEMENTS_PER_PART), vectors: filling(count, 4) });

/** Of kernels with one part and nothing to choose. */
export const asOne = { 'in one part': {} } as const;
export const pathAsOne: Path = pathOf(asOne, 'in one part', {});

export function elements(type: TensorType): number {
  return sizeOf(type.shape);
}

export const align = (bytes: number): number => Math.ceil(bytes / 64) * 64;

/**
 * Lays out a step's workspace: blocks one after the other, each on a cache line, with room for a vector read past its
 * end.
 */
export class Layout {
  bytes = 0;

  /** Offset of a new block. */
  take(bytes: number): number {
    const offset = this.bytes;
    this.bytes += align(bytes + 16);
    return offset;
  }
}
