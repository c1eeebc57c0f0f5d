// Addresses without a device: what lowering needs to turn a graph into commands where there is no GPU.

import type { Target } from '../../src/engine/cuda/lower/launch.ts';
import { lowerOn } from '../../src/engine/cuda/lower/lowerings.ts';
import { lowerPlan, planFor } from '../../src/engine/cuda/lower/program.ts';
import { launchesOf } from '../../src/engine/cuda/lower/schedule.ts';
import type { Graph } from '../../src/engine/graph/graph.ts';
import { hopper } from '../engine/devices.ts';

const ARENA = 0x7000_0000_0000n;
const OWN = 0x5000_0000_0000n;

export function lowerGraph(graph: Graph, on: Target = hopper()) {
  const lower = lowerOn(on);
  const planned = planFor(graph, lower, {});
  let next = 0x1000_0000n;
  const allocate = (bytes: number) => {
    const at = next;
    next += BigInt(Math.ceil(bytes / 256) * 256);
    return at;
  };
  const variables = new Map([...graph.variables.keys()].map((name) => [name, allocate(4)]));
  const commands = lowerPlan(
    planned,
    (storage) => {
      if (storage.region === 'arena') return ARENA + BigInt(storage.offset);
      if (storage.region === 'own') return OWN + BigInt(storage.offset);
      return storage.region === 'variable' ? variables.get(storage.name)! : 0x2000_0000n + BigInt(storage.index * 256);
    },
    lower,
    { counters: (count) => allocate(4 * count), place: ({ byteLength }) => allocate(byteLength) },
  );
  return { planned, commands, launches: launchesOf(commands) };
}
