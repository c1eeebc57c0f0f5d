// From tasks in an order that is right to the dependencies that must be kept: a task waits for those before it that
// write what it touches or read what it writes. Everything else may run at the same time: on the device a program is a
// graph, not a list. Memory that two values share one after the other makes their users wait too, so the result is
// right for any plan.

import type { KernelLaunch } from './launch.ts';

/** Bytes of device memory, from ≤ byte < to. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** A launch with the memory that it reads and writes. */
export interface Task {
  readonly launch: KernelLaunch;
  /** The label of the node that it computes (see engine/graph/graph.ts), where it is of one. */
  readonly label?: string;
  readonly reads: readonly Range[];
  readonly writes: readonly Range[];
}

const overlaps = (a: readonly Range[], b: readonly Range[]): boolean =>
  a.some((p) => b.some((q) => p.from < q.to && q.from < p.to));

/** For each task the earlier tasks that it must wait for, without those that another of them waits for already. */
export function dependenciesOf(tasks: readonly Pick<Task, 'reads' | 'writes'>[]): number[][] {
  const words = Math.ceil(tasks.length / 32);
  const ancestors: Uint32Array[] = [];
  return tasks.map((task, at) => {
    const covered = new Uint32Array(words);
    const direct: number[] = [];
    for (let earlier = at - 1; earlier >= 0; earlier--) {
      if ((covered[earlier >> 5]! >>> (earlier & 31)) & 1) continue;
      const before = tasks[earlier]!;
      const waits =
        overlaps(task.reads, before.writes) ||
        overlaps(task.writes, before.writes) ||
        overlaps(task.writes, before.reads);
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
