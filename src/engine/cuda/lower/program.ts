// From a plan to the commands of a program: every step by its operation's lowering, neighbouring optimiser updates in
// few launches, and the remaining assignments in one. Pure: addresses come in, launches go out.

import { invariant } from '../../../tensor/errors.ts';
import { byteSize, sizeOf } from '../../../tensor/tensor.ts';
import { concerning, type Graph, type Node, type Value } from '../../graph/graph.ts';
import type { Path } from '../../graph/paths.ts';
import { type Plan, type PlanOptions, plan, type Storage } from '../../graph/plan.ts';
import { codesBehind, type FusedStep, fuse, pooledBehind, tapsBetween } from './fuse.ts';
import type { Address, KernelLaunch } from './launch.ts';
import type { Operands, Preparation, ProgramMemory } from './lowering.ts';
import type { Lower } from './lowerings.ts';
import { type Command, ORDER, type Range } from './schedule.ts';
import { copyLaunch, goTogether, isUpdate, type Transfer, type UpdateOp, updateLaunch } from './updates.ts';

/** What a device does step by step: the plan's steps, those joined that can be. */
export const joinedSteps = (plan: Plan, lower: Lower): readonly FusedStep[] => fuse(plan, lower);

/** The path of each step of a plan. */
export function pathsOf(plan: Plan, lower: Lower): { readonly op: string; readonly path: Path }[] {
  return joinedSteps(plan, lower).map(({ node }) => ({ op: node.op, path: lower(node).path }));
}

const ALIGNMENT = 256;
/**
 * The device runs a graph, not a list: steps that share memory one after the other wait for each other. On a training
 * step of ResNet18 the longest chain is then a third shorter, for a third more memory; beyond 32 steps nothing is
 * gained.
 */
const REUSE_DISTANCE = 32;
/** Beyond that, steps are so large that they fill the device one by one, and memory is worth more. */
const RESTING_BYTES = 2 ** 29;

/** When a plan may use bytes again: see PlanOptions. */
type Reuse = Pick<PlanOptions, 'reuseDistance' | 'restingBytes'>;
const SPREAD: Reuse = { reuseDistance: REUSE_DISTANCE, restingBytes: RESTING_BYTES };

/**
 * What the kernels want of a plan: formulas joined, aligned memory, workspaces, what they prepare of their operands and
 * what they hand to later ones, and that what they read in place of a tensor formed of it lives as long: codes in place
 * of their values, the gradient of a pool's output in place of that of its input.
 */
export const wantedOf = (lower: Lower): PlanOptions => ({
  join: true,
  alignment: ALIGNMENT,
  workspaceBytes: (node) => lower(node).workspaceBytes ?? 0,
  alsoReads: (node) => [
    ...(lower(node).readsCodes ? codesBehind(node) : []),
    ...pooledBehind(node).flatMap(({ inputs: [g] }) => [g!]),
  ],
  handed: tapsBetween,
  prepares: (node) => {
    const { preparation } = lower(node);
    return preparation && { ...preparation, of: node.inputs[preparation.input]! };
  },
});

/** The plan of a graph for a device; `lower` has then been asked for the workspaces of its nodes. */
export const planFor = (graph: Graph, lower: Lower, reuse = SPREAD): Plan =>
  plan(graph, { ...wantedOf(lower), ...reuse });

/** Where the bytes of a value are. */
export type AddressOf = (storage: Storage) => Address;

/**
 * A launch of updates takes no more once it has so many elements: large layers need not wait for the gradients of all
 * others.
 */
const UPDATE_ELEMENTS = 2 ** 20;

/** The commands of a plan, in an order that is right; `lower` has been asked for the workspaces of its nodes. */
export function lowerPlan(plan: Plan, addressOf: AddressOf, lower: Lower, memory: ProgramMemory): Command[] {
  const commands: Command[] = [];
  const steps = joinedSteps(plan, lower);
  for (let at = 0; at < steps.length; ) {
    const step = steps[at]!;
    if (!isUpdate(step.node)) {
      const { node } = step;
      const { launches, collective, preparation } = lower(node);
      const ranges = rangesOf([step], addressOf, lower);
      const own = concerning(node, (): Command[] => {
        const operands = operandsOf(step, addressOf, memory);
        const preparing = preparation && step.prepared?.isNew ? preparingOf(step, preparation, addressOf) : [];
        if (!collective) return [...preparing, ...separate(launches(operands), ranges)];
        return [{ collective: collective(operands), ...ranges, writes: [...ranges.writes, ORDER] }];
      });
      commands.push(...own.map((command) => ({ ...command, label: node.label })));
      at++;
      continue;
    }
    const together: FusedStep[] = [];
    let elements = 0;
    for (let next = steps[at]; next && sharesLaunch(step, next); next = steps[++at]) {
      together.push(next);
      elements += sizeOf(next.node.outputs[0]!.shape);
      // An update outside its variable's storage may lie where an earlier gradient was: it goes alone.
      if (!updatesVariables(next) || elements >= UPDATE_ELEMENTS) {
        at++;
        break;
      }
    }
    const updates = together.map((one) => ({
      node: one.node as Node<UpdateOp>,
      ...operandsOf(one, addressOf, memory),
    }));
    const ranges = rangesOf(together, addressOf, lower);
    commands.push({ launch: updateLaunch(updates, memory), ...ranges, label: step.node.label });
  }
  for (const copies of [plan.snapshots, plan.copies]) {
    // Whole words: memory has room for them.
    const transfers = copies.map(({ from, to, of }) => ({
      ...{ from: addressOf(from), to: addressOf(to), words: Math.ceil(byteSize(of) / 4) },
    }));
    if (transfers.length > 0) commands.push(copyCommand(transfers, memory));
  }
  return commands;
}

/** Copies of whole words in one launch. */
export function copyCommand(transfers: readonly Transfer[], memory: ProgramMemory): Command {
  return {
    launch: copyLaunch(transfers, memory),
    reads: transfers.map(({ from, words }) => range(from, 4 * words)),
    writes: transfers.map(({ to, words }) => range(to, 4 * words)),
  };
}

/**
 * A step's launches as commands of their own, each with what its arguments name, so that preparations of one operand
 * need not wait for another. Memory of the step itself reaches from one address that is named to the next; an address
 * outside (a counter, a table) stands for itself.
 */
export function separate(
  launches: readonly KernelLaunch[],
  { reads, writes }: Pick<Command, 'reads' | 'writes'>,
): Command[] {
  if (launches.length === 0) return [];
  if (launches.length === 1) return [{ launch: launches[0]!, reads, writes }];
  const named = [...new Set(launches.flatMap(({ addresses }) => addresses.map(Number)))].sort((a, b) => a - b);
  const written = writes.flatMap(({ from, to }) => {
    const cuts = named.filter((at) => from <= at && at < to);
    invariant(cuts[0] === from, `${launches.map(({ name }) => name)}: no argument names the memory at ${from}`);
    return cuts.map((at, index) => ({ from: at, to: cuts[index + 1] ?? to }));
  });
  return launches.map((launch) => {
    const touched = launch.addresses.map(Number).filter((at) => at !== 0);
    const meets = ({ from, to }: Range) => touched.some((at) => from <= at && at < to);
    const own = [...reads, ...written].filter(meets);
    const outside = touched.filter((at) => !own.some(({ from, to }) => from <= at && at < to));
    return {
      launch,
      reads: reads.filter(meets),
      writes: [...written.filter(meets), ...outside.map((at) => ({ from: at, to: at + 1 }))],
    };
  });
}

/** What is made before a step's own launches. */
function preparingOf(step: FusedStep, preparation: Preparation, addressOf: AddressOf): Command[] {
  const { input, bytes, launches } = preparation;
  const [from, to] = [addressOf(step.inputs[input]!), addressOf(step.prepared!.storage)];
  const reads = [range(from, byteSize(step.node.inputs[input]!))];
  return separate(launches(from, to), { reads, writes: [range(to, bytes)] });
}

const range = (from: Address, bytes: number): Range => ({ from: Number(from), to: Number(from) + bytes });

function rangesOf(steps: readonly FusedStep[], addressOf: AddressOf, lower: Lower): Pick<Command, 'reads' | 'writes'> {
  const each = (values: readonly Value[], places: readonly Storage[]) =>
    values.map((value, index) => range(addressOf(places[index]!), byteSize(value)));
  return {
    reads: steps.flatMap(({ node, inputs, prepared }) => {
      const read = each(node.inputs, inputs);
      const preparation = prepared && lower(node).preparation!;
      // In place of the input.
      if (preparation) read[preparation.input] = range(addressOf(prepared.storage), preparation.bytes);
      return read;
    }),
    writes: steps.flatMap(({ node, outputs, workspace }) => [
      ...each(node.outputs, outputs),
      ...(workspace ? [range(addressOf(workspace), lower(node).workspaceBytes ?? 0)] : []),
    ]),
  };
}

function operandsOf(
  { inputs, outputs, workspace, prepared }: FusedStep,
  addressOf: AddressOf,
  memory: ProgramMemory,
): Operands {
  return {
    inputs: inputs.map(addressOf),
    outputs: outputs.map(addressOf),
    workspace: workspace ? addressOf(workspace) : 0n,
    ...(prepared && { prepared: addressOf(prepared.storage) }),
    memory,
  };
}

const updatesVariables = ({ outputs }: FusedStep): boolean => outputs.every(({ region }) => region === 'variable');

/** Whether a step can join the launch that begins with `first`. */
function sharesLaunch(first: FusedStep, next: FusedStep): boolean {
  if (first === next) return true;
  return isUpdate(first.node) && isUpdate(next.node) && updatesVariables(next) && goTogether(first.node, next.node);
}
