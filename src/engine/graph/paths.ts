// The paths through a lowering, by name: which of its ways of working it takes for a node, and in which aspects that
// work differs (how it is cut, what does not fill a tile, …). A lowering lists all of them and acts on the one that it
// names, so the list is what can run; the conformance suite holds a case for every name (test/engine/paths.test.ts).

import { invariant } from '../../tensor/errors.ts';

/** The aspects of a way, each with the values that it can have. */
export type Aspects = Readonly<Record<string, readonly string[]>>;
/** The ways of a lowering. */
export type Ways = Readonly<Record<string, Aspects>>;

/** One path: a way, and a value for each of its aspects. */
export interface Path<Way extends string = string> {
  readonly way: Way;
  readonly aspects: Readonly<Record<string, string>>;
}

/** The path of a lowering; each value must be one that the list has. */
export function pathOf<W extends Ways, K extends keyof W & string>(
  ways: W,
  way: K,
  aspects: { readonly [A in keyof W[K]]: W[K][A][number] },
): Path<K> {
  const given = aspects as Readonly<Record<string, string>>;
  for (const [aspect, values] of Object.entries(ways[way]!)) {
    invariant(values.includes(given[aspect]!), `the way ${way} has no path with ${aspect} ${given[aspect]}`);
  }
  return { way, aspects: given };
}

/** The names under which a path is covered: one per aspect of its way, or the way's own. */
export function namesOfPath({ way, aspects }: Path): string[] {
  const values = Object.entries(aspects);
  return values.length === 0 ? [way] : values.map(([aspect, value]) => `${way}; ${aspect} ${value}`);
}

/** All names that a lowering's paths can have. */
export function namesOfWays(ways: Ways): string[] {
  return Object.entries(ways).flatMap(([way, aspects]) => {
    const names = Object.entries(aspects).flatMap(([aspect, values]) =>
      values.map((value) => `${way}; ${aspect} ${value}`),
    );
    return names.length === 0 ? [way] : names;
  });
}

/** Whether units of `by` are filled by a count. */
export const FILLING = ['whole', 'in part'] as const;
export const filling = (count: number, by: number): (typeof FILLING)[number] =>
  count % by === 0 ? 'whole' : 'in part';

/** How many runs of `length` a count is cut into. */
export const CUTS = ['one', 'several', 'several and a shorter one'] as const;
export function cuts(count: number, length: number): (typeof CUTS)[number] {
  if (count <= length) return 'one';
  return count % length === 0 ? 'several' : 'several and a shorter one';
}

export const COUNTS = ['one', 'several'] as const;
export const oneOrSeveral = (count: number): (typeof COUNTS)[number] => (count === 1 ? 'one' : 'several');

/** Widths of codes as kernels that take four bits at a time tell them apart. */
export const CODE_BITS = ['2 or 3', '4', '5 to 7', '8'] as const;
export function codeBits(bits: number): (typeof CODE_BITS)[number] {
  if (bits < 4) return '2 or 3';
  return bits === 4 ? '4' : bits < 8 ? '5 to 7' : '8';
}
