// The kernels that a program of a graph needs, without a device to run it on: lowered as any other, to addresses at
// which nothing is. Invariant: sources do not depend on addresses (test/cuda/lowering.test.ts).

import { byteSize } from '../../../tensor/tensor.ts';
import type { Graph } from '../../graph/graph.ts';
import type { Storage } from '../../graph/plan.ts';
import type { Address, KernelSource, Target } from './launch.ts';
import { lowerOn } from './lowerings.ts';
import { copyCommand, lowerPlan, planFor } from './program.ts';
import { launchesOf } from './schedule.ts';

/** Where regions and what is taken beside them begin, each with more room than a device has memory. */
const REGIONS = { arena: 1n << 48n, own: 2n << 48n, constant: 3n << 48n, variable: 4n << 48n } as const;
const BESIDE = 5n << 48n;
const ALIGNMENT = 256;

export function sourcesOf(graph: Graph, target: Target): KernelSource[] {
  const lower = lowerOn(target);
  const plan = planFor(graph, lower);
  const cursor = (next: Address) => (bytes: number) => {
    const at = next;
    next += BigInt(Math.ceil(bytes / ALIGNMENT) * ALIGNMENT);
    return at;
  };
  const [take, ofVariable, ofConstant] = [BESIDE, REGIONS.variable, REGIONS.constant].map(cursor) as [
    ReturnType<typeof cursor>,
    ReturnType<typeof cursor>,
    ReturnType<typeof cursor>,
  ];
  const variables = new Map([...graph.variables].map(([name, value]) => [name, ofVariable(byteSize(value))]));
  const constants = graph.constants.map((value) => ofConstant(byteSize(value)));
  const addressOf = (at: Storage): Address => {
    if (at.region === 'variable') return variables.get(at.name)!;
    return at.region === 'constant' ? constants[at.index]! : REGIONS[at.region] + BigInt(at.offset);
  };
  const memory = {
    counters: (count: number) => take(4 * count),
    place: ({ byteLength }: ArrayBufferView) => take(byteLength),
  };
  // Outputs come back through a block of their own.
  const collecting = copyCommand([{ from: BESIDE, to: BESIDE, words: 1 }], memory);
  const launches = launchesOf([...lowerPlan(plan, addressOf, lower, memory), collecting]);
  return [...new Set(launches.map(({ source }) => source))];
}
