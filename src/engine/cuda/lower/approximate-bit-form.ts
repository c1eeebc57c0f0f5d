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

/** Whether factors are no integers: the entries of m that they read may be shares. */
export const hasFractions = (groups: readonly BitGroup[], error: ProductError): boolean =>
  !isInteger(error) && groups.some(({ entry }) => entry !== undefined);

/** Groups that the kernel's program spells out, and those that it counts in a loop. */
export interface CountedGroups {
  readonly groups: readonly BitGroup[];
  /** Groups of a single pair each, those of a round of one bit of x; undefined: counted for nothing. */
  readonly singles: readonly (BitGroup | undefined)[];
  /** Singles of a round. */
  readonly round: number;
}

/** Fewer groups of single pairs are not worth a loop, but more groups than this have no sum each in a register. */
const FEWEST_SINGLES = 16;
const MOST_GROUPS = 32;

/** A round has a sum in registers for each of its singles. */
const ROUNDS = [4, 5, 6, 7, 8] as const;

export function countedGroups(groups: readonly BitGroup[]): CountedGroups {
  const singles = groups.filter(({ pairs }) => pairs.length === 1);
  if (singles.length < FEWEST_SINGLES && groups.length <= MOST_GROUPS) return { groups, singles: [], round: 8 };
  const bits = [...new Set(singles.map(({ pairs }) => pairs[0]!.j))];
  const byInput = bits.map((j) => singles.filter(({ pairs }) => pairs[0]!.j === j));
  const inRounds = ROUNDS.map((round) => ({
    round,
    singles: byInput.flatMap((ofBit) => {
      const count = round * Math.ceil(ofBit.length / round);
      return Array.from({ length: count }, (_, at): BitGroup | undefined => ofBit[at]);
    }),
  }));
  // Between rounds the matrix unit has nothing to do for about the time of a single.
  const cost = ({ round, singles: { length } }: (typeof inRounds)[number]) => length + length / round;
  const best = inRounds.reduce((a, b) => (cost(b) <= cost(a) ? b : a));
  return { groups: groups.filter(({ pairs }) => pairs.length > 1), ...best };
}

/** Aspects of a path: what is counted in a loop. */
export const loopNames = ['nothing', 'some', 'all'] as const;
export const loopOf = ({ groups, singles }: CountedGroups): (typeof loopNames)[number] =>
  singles.length === 0 ? 'nothing' : groups.length === 0 ? 'all' : 'some';

/** The macros of kernels/approximate-bits.cuh for groups. */
export function bitDefines({ groups, singles, round }: CountedGroups, { weightBits, activationBits }: OperandWidths) {
  const pairs = groups.flatMap((group) => group.pairs);
  const ofSingles = singles.map((single) => single?.pairs[0] ?? { i: 0, j: 0 });
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
    SINGLES: singles.length,
    ...(singles.length > 0 && {
      ROUND: round,
      SINGLE_W: macroList(ofSingles.map(({ i }) => i)),
      SINGLE_X: macroList(ofSingles.map(({ j }) => j)),
    }),
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
