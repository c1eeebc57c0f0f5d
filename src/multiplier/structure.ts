// A structure: which parameter θ each partial product of a multiplier reads, and with that what the values of θ mean. θ
// in [0, 1] is the share that the partial products reading it lose; 1 removes them, 0 keeps them (paper, Eq. 1). The
// published structure has one θ per column; a θ for each partial product, or any other grouping, is another index.
// Columns are what all structures have in common: the significance of a partial product is that of its column, which is
// how power is counted and where mapping and exploration begin.
// Layers share a structure's values or have their own, under the name of the variable that holds them: that is no part
// of a structure.
// Invariant: the costs of the θ of a structure that reads every partial product add up to those of the exact
// multiplier.

import { UserError } from '../tensor/errors.ts';
import { columnCosts, exactCost } from './power.ts';
import type { PartialProductRemoval } from './removal.ts';
import { checkOperandBits, type OperandWidths } from './widths.ts';

export interface Structure extends OperandWidths {
  /** How many θ there are. */
  readonly count: number;
  /** Which θ partial product w[i]·x[j] reads, at i·activationBits + j; −1: none, it is always kept. */
  readonly index: readonly number[];
  /** What people call each θ, like "column 3". */
  readonly names: readonly string[];
  /** Power of the gates that go with each θ, in AND gates (see power.ts). */
  readonly costs: readonly number[];
}

/** The significance of each partial product, i + j. */
function columnsOf({ weightBits, activationBits }: OperandWidths): number[] {
  return Array.from(
    { length: weightBits * activationBits },
    (_, at) => Math.floor(at / activationBits) + (at % activationBits),
  );
}

/**
 * Any structure; `names` has one for each θ. Throws a UserError for an index that does not fit. A partial product costs
 * as much as the others of its column: its share of the column's gates.
 */
export function structureOf(widths: OperandWidths, index: readonly number[], names: readonly string[]): Structure {
  const { weightBits, activationBits } = widths;
  checkOperandBits(weightBits, activationBits);
  const count = names.length;
  const products = weightBits * activationBits;
  if (index.length !== products) {
    throw new UserError(
      `the index has ${index.length} entries: a ${weightBits}×${activationBits} multiplier has ${products} partial products, expected one for each`,
    );
  }
  const bad = index.findIndex((at) => !(Number.isInteger(at) && at >= -1 && at < count));
  if (bad >= 0) {
    throw new UserError(
      `the index of partial product ${bad} is ${index[bad]}: expected the number of one of ${count} θ, or -1 for none`,
    );
  }
  const columns = columnsOf(widths);
  const all = columnCosts(weightBits, activationBits);
  const costs = names.map((_, theta) =>
    all.reduce((sum, cost, column) => {
      const inColumn = columns.flatMap((at, product) => (at === column ? [index[product]!] : []));
      const read = inColumn.filter((from) => from === theta).length;
      return sum + cost * (read / inColumn.length);
    }, 0),
  );
  return { weightBits, activationBits, count, index: [...index], names: [...names], costs };
}

/**
 * The published structure: one θ for each of the `count` lowest columns, the partial products with i + j = c; those
 * above are exact.
 */
export function columnStructure(widths: OperandWidths, count: number): Structure {
  const { weightBits, activationBits } = widths;
  checkOperandBits(weightBits, activationBits);
  const columns = weightBits + activationBits - 1;
  if (!(Number.isInteger(count) && count >= 0)) {
    throw new UserError(`a structure of ${count} columns: expected a whole number from 0 to ${columns}`);
  }
  if (count > columns) {
    throw new UserError(
      `θ has ${count} values: a ${weightBits}×${activationBits} multiplier has ${columns} columns, expected at most that many`,
    );
  }
  const names = Array.from({ length: count }, (_, column) => `column ${column}`);
  return structureOf(
    widths,
    columnsOf(widths).map((column) => (column < count ? column : -1)),
    names,
  );
}

/**
 * A θ for each partial product, weight bit by weight bit; where `count` says so only for those of the `count` lowest
 * columns.
 */
export function productStructure(
  widths: OperandWidths,
  count = widths.weightBits + widths.activationBits - 1,
): Structure {
  const { weightBits, activationBits } = widths;
  checkOperandBits(weightBits, activationBits);
  checkColumnCount(widths, count);
  const read = columnsOf(widths).map((column) => column < count);
  const names = read.flatMap((own, at) =>
    own ? [`w[${Math.floor(at / activationBits)}]·x[${at % activationBits}]`] : [],
  );
  let next = 0;
  return structureOf(
    widths,
    read.map((own) => (own ? next++ : -1)),
    names,
  );
}

/** What one θ is of: all partial products of a column, or a single one. */
export const grainNames = ['column', 'product'] as const;
export type Grain = (typeof grainNames)[number];

/** The structure of a grain over the `count` lowest columns. */
export function structureOfGrain(grain: Grain, widths: OperandWidths, count: number): Structure {
  return grain === 'product' ? productStructure(widths, count) : columnStructure(widths, count);
}

/** Whether the partial products of each column read one θ, as published, or several. */
export function grainOf(structure: Structure): Grain {
  const read = new Map<number, number>();
  const same = columnsOf(structure).every((column, product) => {
    const own = structure.index[product]!;
    const first = read.get(column) ?? own;
    read.set(column, first);
    return own === first;
  });
  return same ? 'column' : 'product';
}

function checkColumnCount({ weightBits, activationBits }: OperandWidths, count: number): void {
  const columns = weightBits + activationBits - 1;
  if (Number.isInteger(count) && count >= 0 && count <= columns) return;
  throw new UserError(`a structure of ${count} columns: expected a whole number from 0 to ${columns}`);
}

/** θ as a network uses it: limited to [0, 1]. */
export function clampTheta(theta: ArrayLike<number>): number[] {
  return Array.from(theta, (value) => Math.min(1, Math.max(0, value)));
}

/** Throws a UserError unless θ has a finite value for each name of the structure. */
export function checkThetaShape({ count }: Structure, theta: ArrayLike<number>): void {
  if (theta.length !== count) {
    throw new UserError(`θ has ${theta.length} values: its structure has ${count}, expected one for each`);
  }
  const bad = Array.from(theta).findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new UserError(`θ[${bad}] is ${theta[bad]}: expected a finite number`);
}

/** As checkThetaShape, and every value must lie in [0, 1]. */
export function checkTheta(structure: Structure, theta: ArrayLike<number>): void {
  checkThetaShape(structure, theta);
  const bad = Array.from(theta).findIndex((value) => value < 0 || value > 1);
  if (bad >= 0)
    throw new UserError(`θ[${bad}] is ${theta[bad]}: expected a value in [0, 1]; clamp θ before mapping it`);
}

/** The share that each partial product loses: its θ, clamped to [0, 1]; nothing where it reads none. */
export function removalOf(structure: Structure, theta: ArrayLike<number>): PartialProductRemoval {
  checkThetaShape(structure, theta);
  const { weightBits, activationBits, index } = structure;
  const values = clampTheta(theta);
  return { weightBits, activationBits, removed: Float64Array.from(index, (from) => (from < 0 ? 0 : values[from]!)) };
}

/** How many of the lowest columns have a partial product that reads a θ: those above are exact. */
export function approximableColumns(structure: Structure): number {
  const read = columnsOf(structure).filter((_, product) => structure.index[product]! >= 0);
  return Math.max(0, ...read.map((column) => column + 1));
}

/**
 * θ that removes the `count` lowest columns and keeps the rest: 1 where all that reads a θ lies in these columns, else
 * 0.
 */
export function thetaOfColumns(structure: Structure, count: number): number[] {
  const columns = columnsOf(structure);
  return structure.names.map((_, theta) => {
    const read = columns.filter((_, product) => structure.index[product] === theta);
    return read.length > 0 && read.every((column) => column < count) ? 1 : 0;
  });
}

/** The columns that are gone altogether: every partial product of theirs reads a θ of 1. */
export function removedColumns(structure: Structure, theta: ArrayLike<number>): number[] {
  const { removed } = removalOf(structure, theta);
  const columns = columnsOf(structure);
  const all = Array.from({ length: structure.weightBits + structure.activationBits - 1 }, (_, column) => column);
  return all.filter((column) => removed.every((share, product) => columns[product] !== column || share === 1));
}

/** Of each θ, the share of an exact multiplier's power that goes with it. */
export function powerShares({ weightBits, activationBits, costs }: Structure): number[] {
  const total = exactCost(weightBits, activationBits);
  return costs.map((cost) => cost / total);
}

/**
 * Power of one multiplication relative to the exact multiplier of the same widths, in [0, 1]; θ is clamped to [0, 1].
 */
export function structurePower(structure: Structure, theta: ArrayLike<number>): number {
  checkThetaShape(structure, theta);
  const { weightBits, activationBits, costs } = structure;
  const removed = clampTheta(theta).reduce((sum, value, at) => sum + value * costs[at]!, 0);
  return 1 - removed / exactCost(weightBits, activationBits);
}

/** The structure that a vector θ of the lowest columns belongs to: the published one, of as many columns. */
function columnsOfTheta(theta: ArrayLike<number>, weightBits: number, activationBits: number): Structure {
  return columnStructure({ weightBits, activationBits }, theta.length);
}

/** Every partial product of column c loses the share θ_c, clamped to [0, 1]; columns beyond θ lose nothing. */
export function expandTheta(
  theta: ArrayLike<number>,
  weightBits: number,
  activationBits: number,
): PartialProductRemoval {
  return removalOf(columnsOfTheta(theta, weightBits, activationBits), theta);
}

/**
 * Power of one multiplication relative to the exact multiplier of the same widths, in [0, 1]; θ of the lowest columns,
 * clamped to [0, 1].
 */
export function powerPerMultiplication(theta: ArrayLike<number>, weightBits: number, activationBits: number): number {
  return structurePower(columnsOfTheta(theta, weightBits, activationBits), theta);
}
