// From commands in an order that is right to the dependencies that must be kept: a command waits for those before it
// that write what it touches or read what it writes. Everything else may run at the same time: on the device a program
// is a graph, not a list. Memory that two values share one after the other makes their users wait too, so the result is
// right for any plan. Reductions over replicas wait for each other besides: all replicas must do them in one order.

import type { ReduceKind } from '../../graph/ops.ts';
import type { Address, KernelLaunch } from './launch.ts';

/** Bytes of device memory, from ≤ byte < to. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** Of each tensor of `count` f32 elements what is formed over all replicas. */
export interface Collective {
  readonly kind: ReduceKind;
  readonly parts: readonly { readonly from: Address; readonly to: Address; readonly count: number }[];
}

/** A launch or a reduction over replicas, with the memory that it reads and writes. */
export type Command = (
  | { readonly launch: KernelLaunch; readonly collective?: never }
  | { readonly collective: Collective; readonly launch?: never }
) &
  Touching;

interface Touching {
  /** The label of the node that it computes (see engine/graph/graph.ts), where it is of one. */
  readonly label?: string;
  readonly reads: readonly Range[];
  readonly writes: readonly Range[];
}

/** What all reductions write, so that each waits for the one before: no memory is there. */
export const ORDER: Range = { from: -1, to: 0 };

/** The kernels among commands. */
export const launchesOf = (commands: readonly Command[]): KernelLaunch[] =>
  commands.flatMap(({ launch }) => (launch ? [launch] : []));

const overlaps = (a: readonly Range[], b: readonly Range[]): boolean =>
  a.some((p) => b.some((q) => p.from < q.to && q.from < p.to));

/**
 * For each command the earlier commands that it must wait for, without those that another of them waits for already.
 */
export function dependenciesOf(commands: readonly Pick<Command, 'reads' | 'writes'>[]): number[][] {
  const words = Math.ceil(commands.length / 32);
  const ancestors: Uint32Array[] = [];
  return commands.map((command, at) => {
    const covered = new Uint32Array(words);
    const direct: number[] = [];
    for (let earlier = at - 1; earlier >= 0; earlier--) {
      if ((covered[earlier >> 5]! >>> (earlier & 31)) & 1) continue;
      const before = commands[earlier]!;
      const waits =
        overlaps(command.reads, before.writes) ||
        overlaps(command.writes, before.writes) ||
        overlaps(command.writes, before.reads);
      if (!waits) continue;
      direct.push(earlier);
      covered[earlier >> 5]! |= 1 << (earlier & 31);
      ancestors[earlier]!.forEach((bits, word) => {
        covered[word]! |= bits;
      });
    }
    ancestors.push(covered);
    return direct;
  });
}
