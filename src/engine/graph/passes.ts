// In how many passes over a row a formula is computed: a sum that needs another one first must wait for it; reductions
// that wait for the same are formed together, and the outputs last. A value of an element that several passes need, and
// that costs more than to read it, is kept by the first of them.

import { type Expression, isReduction, partsOf } from './expression.ts';

export interface Pass {
  /** What is reduced in this pass; none in the last one. */
  readonly reductions: readonly Expression[];
  /** What has to be known of each element: the operands of the reductions, or the outputs with a value per element. */
  readonly roots: readonly Expression[];
  /** Of these, and of what they are made of, what is kept for later passes. */
  readonly keeps: readonly Expression[];
}

/** Operators that a value takes at least to be kept. */
const WORTH_KEEPING = 4;

/**
 * `outputs`: those with a value per element. `all`: those with one per row too. `ofElements`: parts that have a value
 * per element. `worth`: operators that a value takes at least to be kept; none are where it is infinite.
 */
export function passesOf(
  outputs: readonly Expression[],
  all: readonly Expression[],
  ofElements: (part: Expression) => boolean,
  worth = WORTH_KEEPING,
): readonly Pass[] {
  const levels = new Map<Expression, number>();
  for (const part of partsOf(all)) {
    const below = Math.max(0, ...part.operands.map((operand) => levels.get(operand)!));
    levels.set(part, isReduction(part) ? below + 1 : below);
  }
  const reductions = [...levels.keys()].filter(isReduction);
  const count = Math.max(0, ...levels.values());
  const passes: Omit<Pass, 'keeps'>[] = Array.from({ length: count }, (_, level) => {
    const own = reductions.filter((part) => levels.get(part) === level + 1);
    return { reductions: own, roots: own.map(({ operands }) => operands[0]!) };
  });
  passes.push({ reductions: [], roots: outputs });

  const kept = new Set<Expression>();
  return passes.map((pass, at) => {
    const later = elementParts(
      passes.slice(at + 1).flatMap(({ roots }) => roots),
      ofElements,
      kept,
    );
    const shared = [...elementParts(pass.roots, ofElements, kept)].filter(
      (part) => later.has(part) && costOf(part, ofElements) >= worth,
    );
    const within = elementParts(
      shared.flatMap(({ operands }) => operands),
      ofElements,
      kept,
    );
    const keeps = shared.filter((part) => !within.has(part));
    for (const part of keeps) kept.add(part);
    return { ...pass, keeps };
  });
}

/** What has to be computed for each element: not what is kept, nor what has one value per row. */
export function elementParts(
  roots: readonly Expression[],
  ofElements: (part: Expression) => boolean,
  kept: ReadonlySet<Expression>,
): ReadonlySet<Expression> {
  const found = new Set<Expression>();
  const pending = [...roots];
  for (let part = pending.pop(); part; part = pending.pop()) {
    if (found.has(part) || kept.has(part) || !ofElements(part)) continue;
    found.add(part);
    if (!isReduction(part)) pending.push(...part.operands);
  }
  return found;
}

/** Operators of one element. */
export function costOf(part: Expression, ofElements: (part: Expression) => boolean): number {
  return [...elementParts([part], ofElements, new Set())].filter(({ operands }) => operands.length > 0).length;
}
