// Neighbouring steps that one pass over memory can do together: normalisation with the addition and the relu behind it,
// the gradient of batch norm with that of the relu in front of it, the range of an activation with the quantiser's
// scale that follows from it. The plan is laid out before, so a fused step may only use memory that still holds what it
// reads: it takes the place of the last step that it joins, and is formed only where its operands live that long.
// Nothing else changes: operations, their meaning and their storage stay what the plan says.

import { sizeOf } from '../../../tensor/tensor.ts';
import type { Node, Value } from '../../graph/graph.ts';
import type { OpAttributes, OpName } from '../../graph/ops.ts';
import { type Plan, root, type Step, type Storage } from '../../graph/plan.ts';

/** The attributes of the operations that exist only here. */
export interface FusedAttributes {
  /** x → mean, variance. */
  moments: OpAttributes['batchNorm'];
  /** (x, gamma, beta, mean, variance, other?) → batch norm of x, plus other, the relu of that where there is one. */
  normalize: OpAttributes['batchNorm'] & { readonly relu?: OpAttributes['relu'] };
  /** (g, x, gamma, mean, variance, beta) → dx, dgamma, dbeta of relu(batch norm of x). */
  rectifiedGradient: OpAttributes['batchNormGradient'] & OpAttributes['relu'];
  /**
   * (x, low, high, upper, lower) → low and high moved to the extremes of x (alpha·before + beta·extreme), and of these
   * what clipScale gives.
   */
  movingRange: OpAttributes['add'] & OpAttributes['clipScale'] & Pick<OpAttributes['minMax'], 'holdsZero'>;
}
export type FusedOp = keyof FusedAttributes;

export interface FusedNode<K extends FusedOp = FusedOp> {
  readonly op: K;
  readonly attributes: FusedAttributes[K];
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly label: string;
}

export interface FusedStep extends Omit<Step, 'node'> {
  readonly node: Node | FusedNode;
}

/** The plan's steps, in an order that is right, with those joined that can be. */
export function fuse(plan: Plan): FusedStep[] {
  const uses = usesOf(plan);
  const replaced = new Map<number, readonly FusedStep[]>();
  plan.steps.forEach(({ node }, at) => {
    if (node.op === 'batchNorm') joinForward(plan, uses, at, replaced);
    if (node.op === 'reluGradient') joinGradient(plan, uses, at, replaced);
    if (node.op === 'minMax') joinRange(plan, uses, at, replaced);
  });
  return plan.steps.flatMap((step, at) => replaced.get(at) ?? [step]);
}

/** The numbers of the steps that read a value, in order; one behind the last step for what the program keeps. */
type Uses = (value: Value) => readonly number[];

function usesOf({ graph, steps }: Plan): Uses {
  const uses = new Map<Value, number[]>();
  const use = (value: Value, at: number) => uses.set(root(value), [...(uses.get(root(value)) ?? []), at]);
  steps.forEach(({ node }, at) => {
    for (const input of new Set(node.inputs.map(root))) use(input, at);
  });
  for (const value of [...graph.outputs.values(), ...graph.assignments.values()]) use(value, steps.length);
  return (value) => uses.get(root(value)) ?? [];
}

const samePlace = (a: Storage, b: Storage): boolean => JSON.stringify(a) === JSON.stringify(b);

/**
 * Batch norm at `at`, then an addition, a relu, or both: statistics stay where they are, the rest moves to the last of
 * them.
 */
function joinForward({ steps }: Plan, uses: Uses, at: number, replaced: Map<number, readonly FusedStep[]>): void {
  const step = steps[at]!;
  const { inputs, outputs, attributes } = step.node as Node<'batchNorm'>;
  const [y, mean, variance] = outputs as [Value, Value, Value];
  const onlyReader = (value: Value): number | undefined => (uses(value).length === 1 ? uses(value)[0] : undefined);
  const opAt = (index: number | undefined) => (index === undefined ? undefined : steps[index]?.node.op);

  const next = onlyReader(y);
  const addition = opAt(next) === 'add' && isSum(steps[next!]!.node as Node<'add'>) ? next : undefined;
  const after = addition === undefined ? next : onlyReader(steps[addition]!.node.outputs[0]!);
  // Behind an addition the relu must be the next step, and in place or outside the arena, else what was added may be
  // gone.
  const keepsAdded = (from: Storage, to: Storage) => to.region === 'own' || samePlace(from, to);
  const follows =
    addition === undefined ||
    (after === addition + 1 && keepsAdded(steps[addition]!.outputs[0]!, steps[after]!.outputs[0]!));
  const behind = after === undefined ? undefined : steps[after];
  const relu = isStep(behind, 'relu') && follows ? behind.node.attributes : undefined;
  const last = relu ? after : addition;
  // Of two batch norms that are added to each other the first takes the addition.
  if (last === undefined || replaced.has(last) || replaced.has(addition ?? last)) return;
  if (![inputs[0]!, mean, variance].every((value) => uses(value).at(-1)! >= last)) return;

  const other =
    addition === undefined ? undefined : steps[addition]!.node.inputs.findIndex((input) => root(input) !== y);
  const added = other === undefined ? [] : [steps[addition!]!.node.inputs[other]!];
  const addedPlace = other === undefined ? [] : [steps[addition!]!.inputs[other]!];
  for (const joined of [addition, last]) if (joined !== undefined) replaced.set(joined, []);
  replaced.set(at, [
    {
      ...step,
      node: {
        op: 'moments',
        attributes,
        inputs: [inputs[0]!],
        outputs: [mean, variance],
        label: step.node.label,
      },
      inputs: [step.inputs[0]!],
      outputs: step.outputs.slice(1),
    },
  ]);
  replaced.set(last, [
    {
      node: {
        op: 'normalize',
        attributes: { ...attributes, ...(relu && { relu }) },
        inputs: [...inputs, mean, variance, ...added],
        outputs: steps[last]!.node.outputs,
        label: step.node.label,
      },
      inputs: [...step.inputs, ...step.outputs.slice(1), ...addedPlace],
      outputs: steps[last]!.outputs,
      workspace: undefined,
    },
  ]);
}

const isSum = ({ inputs: [a, b], attributes: { alpha, beta } }: Node<'add'>): boolean =>
  alpha === 1 && beta === 1 && root(a!) !== root(b!);

/** The gradient of a relu at `at` that only that of its batch norm reads. */
function joinGradient(plan: Plan, uses: Uses, at: number, replaced: Map<number, readonly FusedStep[]>): void {
  const { steps } = plan;
  const { node, inputs, outputs } = steps[at]!;
  const [g, y] = node.inputs as [Value, Value];
  const norm = producerOf(producerOf(y, 'relu')?.inputs[0], 'batchNorm');
  const readers = uses(node.outputs[0]!);
  const reader = steps[readers[0]!];
  if (norm === undefined || readers.length !== 1 || reader?.node.op !== 'batchNormGradient') return;
  const [slope, x, , mean, variance] = reader.node.inputs;
  const ofNorm = x === norm.inputs[0] && mean === norm.outputs[1] && variance === norm.outputs[2];
  const lives = samePlace(inputs[0]!, outputs[0]!) || uses(g).at(-1)! >= readers[0]!;
  if (slope !== node.outputs[0] || !ofNorm || !lives) return;

  const beta = norm.inputs[2]!;
  replaced.set(at, []);
  replaced.set(readers[0]!, [
    {
      ...reader,
      node: {
        op: 'rectifiedGradient',
        attributes: { ...norm.attributes, ...(node as Node<'reluGradient'>).attributes },
        inputs: [g, ...reader.node.inputs.slice(1), beta],
        outputs: reader.node.outputs,
        label: reader.node.label,
      },
      inputs: [inputs[0]!, ...reader.inputs.slice(1), plan.storage(beta)],
    },
  ]);
}

/**
 * The range of a whole tensor at `at`, then at once its two moving averages and the scale that they give. The tensor
 * comes in vectors of four.
 */
function joinRange({ steps }: Plan, uses: Uses, at: number, replaced: Map<number, readonly FusedStep[]>): void {
  const [range, low, high, scale] = steps.slice(at, at + 4) as [Step, Step?, Step?, Step?];
  const { inputs, outputs, attributes } = range.node as Node<'minMax'>;
  if (attributes.granularity !== 'tensor' || sizeOf(inputs[0]!.shape) % 4 !== 0) return;
  if (!isStep(low, 'add') || !isStep(high, 'add') || !isStep(scale, 'clipScale')) return;
  const { alpha, beta } = low.node.attributes;
  const [min, max] = outputs as [Value, Value];
  const average = ({ node }: typeof low, extreme: Value): boolean =>
    node.inputs[1] === extreme &&
    root(node.inputs[0]!) !== extreme &&
    uses(extreme).length === 1 &&
    node.attributes.alpha === alpha &&
    node.attributes.beta === beta;
  const ofAverages = scale.node.inputs[0] === low.node.outputs[0] && scale.node.inputs[1] === high.node.outputs[0];
  if (!average(low, min) || !average(high, max) || !ofAverages || uses(inputs[0]!).at(-1)! < at + 3) return;

  for (const joined of [at, at + 1, at + 2]) replaced.set(joined, []);
  replaced.set(at + 3, [
    {
      node: {
        op: 'movingRange',
        attributes: { alpha, beta, ...scale.node.attributes, holdsZero: attributes.holdsZero ?? false },
        inputs: [inputs[0]!, low.node.inputs[0]!, high.node.inputs[0]!, ...scale.node.inputs.slice(2)],
        outputs: [low.node.outputs[0]!, high.node.outputs[0]!, ...scale.node.outputs],
        label: range.node.label,
      },
      inputs: [range.inputs[0]!, low.inputs[0]!, high.inputs[0]!, ...scale.inputs.slice(2)],
      outputs: [low.outputs[0]!, high.outputs[0]!, ...scale.outputs],
      // Other outputs may lie where it was: they are written when all of it has been read.
      workspace: range.workspace,
    },
  ]);
}

const isStep = <K extends OpName>(step: Step | undefined, op: K): step is Step & { readonly node: Node<K> } =>
  step?.node.op === op;

/** The operation of this name whose first output a value is. */
function producerOf<K extends 'relu' | 'batchNorm'>(value: Value | undefined, op: K): Node<K> | undefined {
  if (value?.source.kind !== 'node' || value.source.index !== 0) return undefined;
  return value.source.node.op === op ? (value.source.node as unknown as Node<K>) : undefined;
}
