// Which pairs of bits an approximate convolution counts: for a removal of partial products those that are kept, in
// groups of one factor (1 − m[i, j])·2^(i + j). See kernels/approximate-bits.cuh.

import { isInteger, type ProductError } from '../../../multiplier/error.ts';
import type { Value } from '../../graph/graph.ts';
import type { OperandWidths } from '../../graph/ops.ts';
import { sourceOf } from './approximate-plane-form.ts';
import { macroList } from './launch.ts';

/** Bit i of w and bit j of x. */
export interface BitPair {
  readonly i: number;
  readonly j: number;
}

/** Pairs whose counts have the same factor. */
export interface BitGroup {
  /** i + j of all of its pairs, which follow a diagonal: i falls. */
  readonly shift: number;
  readonly pairs: readonly BitPair[];
  /**
   * The entry i·activationBits + j of m that its factor reads, that of its first pair; none where nothing is removed.
   */
  readonly entry: number | undefined;
}

/** What is known of an entry of m when a graph is lowered: its value, or what its value is that of, by a number. */
type Entry = { readonly value: number } | { readonly reads: string };

function entriesOf(m: Value): (at: number) => Entry {
  const source = sourceOf(m);
  if (source.kind === 'constant') return (at) => ({ value: source.tensor.data[at]! });
  if (source.kind === 'node' && source.node.op === 'structureMatrix') {
    const { index } = source.node.attributes as { index: readonly number[] };
    return (at) => (index[at]! < 0 ? { value: 0 } : { reads: `parameter ${index[at]}` });
  }
  return (at) => ({ reads: `entry ${at}` });
}

/** The groups of a removal, those of high powers first; those that count nothing are left out. */
export function bitGroups(widths: OperandWidths, m: Value): BitGroup[] {
  const entryOf = entriesOf(m);
  return groupsOf(widths, (at) => {
    const entry = entryOf(at);
    if (!('value' in entry)) return entry.reads;
    return entry.value === 1 ? undefined : entry.value === 0 ? NOTHING_REMOVED : `value ${entry.value}`;
  });
}

/**
 * The groups whose counts the gradient of a structure needs: pairs of one power whose entries read one parameter;
 * without an index each pair by itself.
 */
export function dotGroups(widths: OperandWidths, index: readonly number[] | undefined): BitGroup[] {
  return groupsOf(widths, (at) => (index && index[at]! < 0 ? undefined : `parameter ${index ? index[at] : at}`));
}

const NOTHING_REMOVED = 'nothing removed';

/** Pairs of one power and one key in groups, high powers first; those without a key are left out. */
function groupsOf(
  { weightBits, activationBits }: OperandWidths,
  keyOf: (entry: number) => string | undefined,
): BitGroup[] {
  const groups: BitGroup[] = [];
  for (let shift = weightBits + activationBits - 2; shift >= 0; shift--) {
    const ofShift = new Map<string, BitPair[]>();
    for (let i = Math.min(weightBits - 1, shift); i >= Math.max(0, shift - activationBits + 1); i--) {
      const key = keyOf(i * activationBits + shift - i);
      if (key !== undefined) ofShift.set(key, [...(ofShift.get(key) ?? []), { i, j: shift - i }]);
    }
    for (const [key, pairs] of ofShift) {
      const [{ i, j }] = pairs as [BitPair];
      groups.push({ shift, pairs, entry: key === NOTHING_REMOVED ? undefined : i * activationBits + j });
    }
  }
  return groups;
}

/** Where the sums of groups go, and the bits of fraction that each sum has room for. */
export interface Totals {
  readonly of: readonly (0 | 1)[];
  readonly count: 1 | 2;
  readonly bits: readonly [low: number, high: number];
}

/** More bits than a float32 has serve nothing. */
const MOST_FRACTION_BITS = 20;

/** The groups whose factors are no integers: the entries of m that they read may be shares. */
export const fractionsOf = (groups: readonly BitGroup[], error: ProductError): readonly BitGroup[] =>
  isInteger(error) ? [] : groups.filter(({ entry }) => entry !== undefined);

/**
 * One total, of integers, where no factor has a fraction; else two, so that each has room for one: of powers below 2^8,
 * or below 2^10 where higher ones have fractions too. `inner`: products of an output.
 */
export function totalsOf(groups: readonly BitGroup[], fractions: readonly BitGroup[], inner: number): Totals {
  if (fractions.length === 0) return { of: groups.map(() => 0), count: 1, bits: [0, 0] };
  const limit = fractions.some(({ shift }) => shift >= 8) ? 10 : 8;
  const of = groups.map(({ shift }) => (shift >= limit ? 1 : 0));
  const bitsOf = (total: number): number => {
    const members = groups.filter((_, at) => of[at] === total);
    if (!members.some((group) => fractions.includes(group))) return 0;
    const most = members.reduce((sum, { shift, pairs }) => sum + 2 ** shift * pairs.length, 0) * inner;
    return Math.max(0, Math.min(MOST_FRACTION_BITS, 30 - Math.ceil(Math.log2(most))));
  };
  return { of, count: of.includes(1) ? 2 : 1, bits: [bitsOf(0), bitsOf(1)] };
}

/** The macros of kernels/approximate-bits.cuh for groups. */
export function bitDefines(groups: readonly BitGroup[], { weightBits, activationBits }: OperandWidths) {
  const pairs = groups.flatMap((group) => group.pairs);
  const firsts = [0];
  for (const group of groups) firsts.push(firsts.at(-1)! + group.pairs.length);
  return {
    WBITS: weightBits,
    ABITS: activationBits,
    GROUPS: groups.length,
    PAIR_W: macroList(pairs.map(({ i }) => i)),
    PAIR_X: macroList(pairs.map(({ j }) => j)),
    MATES: macroList(groups.flatMap(({ pairs: ofGroup }) => matesOf(ofGroup))),
    FIRSTS: macroList(firsts),
  };
}

/** 1: with the next pair, its neighbour on the diagonal; 2: with the one before; 0: alone. */
function matesOf(pairs: readonly BitPair[]): number[] {
  const mates = pairs.map(() => 0);
  for (let at = 0; at + 1 < pairs.length; at++) {
    if (mates[at] !== 0 || pairs[at + 1]!.i !== pairs[at]!.i - 1) continue;
    [mates[at], mates[at + 1]] = [1, 2];
  }
  return mates;
}
