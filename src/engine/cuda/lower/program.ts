// From a plan to the commands of a program: every step by its operation's lowering, neighbouring optimiser updates in one launch, and the
// remaining assignments in another. Pure: addresses come in, commands go out.

import { invariant } from '../../../tensor/errors.ts';
import type { Node } from '../../graph.ts';
import type { OpName } from '../../ops.ts';
import type { Plan, Step, Storage } from '../../plan.ts';
import type { Command, Target } from '../command.ts';
import type { Address } from '../driver.ts';
import { approximateLowerings } from './approximate.ts';
import { convolutionLowerings } from './convolution.ts';
import { copyCommand, elementwiseLowerings, type SgdStep, sgdCommand } from './elementwise.ts';
import type { Lowering, Lowerings, ProgramMemory } from './lowering.ts';
import { reductionLowerings } from './reductions.ts';
import { windowLowerings } from './windows.ts';

type Lowered = Exclude<OpName, 'reshape' | 'stopGradient' | 'sgd'>;

/** Every operation that computes; renames need nothing, `sgd` is lowered for several steps at once. */
const lowerings: Lowerings<Lowered> = {
  ...elementwiseLowerings,
  ...reductionLowerings,
  ...windowLowerings,
  ...convolutionLowerings,
  ...approximateLowerings,
};

const loweringOf = (node: Node): Lowering => lowerings[node.op as Lowered] as Lowering;

/** Scratch bytes of a node, for `plan`. */
export function scratchBytes(node: Node, target: Target): number {
  return node.op === 'sgd' ? 0 : (loweringOf(node).scratchBytes?.(node, target) ?? 0);
}

export interface Addresses {
  /** Where the bytes of a value are. */
  readonly of: (storage: Storage) => Address;
  readonly variable: (name: string) => Address;
}

/** The commands of a plan, in order. */
export function lowerPlan(plan: Plan, addresses: Addresses, target: Target, memory: ProgramMemory): Command[] {
  const commands: Command[] = [];
  const { steps } = plan;
  for (let at = 0; at < steps.length; ) {
    const step = steps[at]!;
    const operands = operandsOf(step, addresses);
    if (step.node.op !== 'sgd') {
      commands.push(...loweringOf(step.node).commands(step.node, operands, target, memory));
      at++;
      continue;
    }
    const together: SgdStep[] = [];
    for (let next = steps[at]; next && sharesLaunch(step, next); next = steps[++at]) {
      together.push({ node: next.node as Node<'sgd'>, ...operandsOf(next, addresses) });
      // An update outside its variable's storage may lie where an earlier gradient was: it goes alone.
      if (!updatesVariables(next)) {
        at++;
        break;
      }
    }
    commands.push(sgdCommand(together, memory));
  }
  if (plan.copies.length > 0) {
    const transfers = plan.copies.map(({ from, variable, bytes }) => {
      invariant(bytes % 4 === 0, `${variable} is assigned ${bytes} bytes`);
      return { from: addresses.of(from), to: addresses.variable(variable), words: bytes / 4 };
    });
    commands.push(copyCommand(transfers, memory));
  }
  return commands;
}

function operandsOf({ inputs, outputs, workspace }: Step, addresses: Addresses) {
  return {
    inputs: inputs.map(addresses.of),
    outputs: outputs.map(addresses.of),
    scratch: workspace ? addresses.of(workspace) : 0n,
  };
}

const updatesVariables = ({ outputs }: Step): boolean => outputs.every(({ region }) => region === 'variable');

/** Whether a step can join the launch that begins with `first`. */
function sharesLaunch(first: Step, next: Step): boolean {
  if (first === next) return true;
  if (next.node.op !== 'sgd' || !updatesVariables(next)) return false;
  const [a, b] = [first.node, next.node] as [Node<'sgd'>, Node<'sgd'>];
  return (
    a.attributes.momentum === b.attributes.momentum &&
    a.attributes.weightDecay === b.attributes.weightDecay &&
    a.inputs[3] === b.inputs[3]
  );
}
