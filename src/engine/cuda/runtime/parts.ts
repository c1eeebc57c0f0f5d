// A lowered program as the device takes it: one graph of kernels with reductions captured in it, or graphs with the
// reductions between them. Invariant: reductions go one after the other, in their order in the program on all ranks.

import { invariant } from '../../../tensor/errors.ts';
import type { KernelLaunch } from '../lower/launch.ts';
import { type Collective, type Command, dependenciesOf } from '../lower/schedule.ts';
import type { Communicator } from './communicator.ts';
import type { Context, GraphNode, PreparedKernel } from './driver.ts';

/** A command that is ready for the device, and the earlier ones that it waits for. */
export type ReadyCommand = (PreparedKernel | { readonly collective: Collective }) & {
  readonly name: string;
  readonly label: string;
  readonly dependencies: readonly number[];
};

export function ready(commands: readonly Command[], prepare: (launch: KernelLaunch) => PreparedKernel): ReadyCommand[] {
  const dependencies = dependenciesOf(commands);
  return commands.map(({ launch, collective, label = '' }, at) => {
    const place = { label, dependencies: dependencies[at]! };
    if (launch) return { name: launch.name, ...place, ...prepare(launch) };
    return { name: 'allReduce', ...place, collective };
  });
}

/** A program is one graph, or graphs with reductions between them. */
export type Part = { readonly graph: bigint } | { readonly collective: Collective };

/** Reductions go one after the other, in this order on all ranks, also where they are captured. */
export async function partsOf(
  commands: readonly ReadyCommand[],
  context: Context,
  group: Communicator | undefined,
): Promise<Part[]> {
  if (group?.apart) return apart(commands, context);
  const nodes: GraphNode[] = [];
  for (const command of commands) {
    const { dependencies } = command;
    if (!('collective' in command)) nodes.push(command);
    else {
      invariant(group, 'a reduction over replicas on a GPU that is alone');
      nodes.push({ child: await group.capture(command.collective), dependencies });
    }
  }
  return [{ graph: context.createGraph(nodes) }];
}

/** A graph of the kernels between two reductions each. */
function apart(commands: readonly ReadyCommand[], context: Context): Part[] {
  const parts: Part[] = [];
  let [first, kernels]: [number, GraphNode[]] = [0, []];
  const cut = (next: number) => {
    if (kernels.length > 0) parts.push({ graph: context.createGraph(kernels) });
    [first, kernels] = [next, []];
  };
  commands.forEach((command, at) => {
    if ('collective' in command) {
      cut(at + 1);
      parts.push({ collective: command.collective });
      return;
    }
    const inside = command.dependencies.filter((before) => before >= first);
    kernels.push({ ...command, dependencies: inside.map((before) => before - first) });
  });
  cut(commands.length);
  return parts;
}
