// Neighbouring steps that one pass over memory can do together: normalisation with the addition and the relu behind it,
// the running averages of its statistics and the range of what it makes, the gradient of batch norm with that of the
// relu in front of it, the range of an activation with the quantiser's scale that follows from it, the gradient of a
// range with the sum that it is added to, the values of codes with the gradient of weights that they are for, a bias
// with the product that it is added to. The plan is laid out before, so a fused step may only use memory that still
// holds what it reads: it takes the place of the last step that it joins, and is formed only where its operands live
// that long; or, with a bias, that of the first, whose workspace others may have later.
// Nothing else changes: operations, their meaning and their storage stay what the plan says.

import { sizeOf } from '../../../tensor/tensor.ts';
import type { Node, Value } from '../../graph/graph.ts';
import type { OpAttributes, OpName } from '../../graph/ops.ts';
import { type Plan, root, type Step, type Storage } from '../../graph/plan.ts';
import type { Lowered } from './lowering.ts';

/** The attributes of the operations that exist only here. */
export interface FusedAttributes {
  /**
   * (x, averages?) → mean, variance; where averages of both are given, those moved too (alpha·before + beta·moment).
   */
  moments: OpAttributes['batchNorm'] & { readonly averages?: readonly OpAttributes['add'][] };
  /** (x, gamma, beta, mean, variance, other?) → batch norm of x, plus other, the relu of that where there is one. */
  normalize: OpAttributes['batchNorm'] & { readonly relu?: OpAttributes['relu'] };
  /** (g, x, gamma, mean, variance, beta) → dx, dgamma, dbeta of relu(batch norm of x). */
  rectifiedGradient: OpAttributes['batchNormGradient'] & OpAttributes['relu'];
  /**
   * (x, low, high, upper, lower) → low and high moved to the extremes of x (alpha·before + beta·extreme), and of these
   * what clipScale gives.
   */
  movingRange: OpAttributes['add'] & OpAttributes['clipScale'] & Pick<OpAttributes['minMax'], 'holdsZero'>;
  /**
   * (operands of normalize, low, high, upper, lower) → what normalize gives, and what movingRange gives of that.
   */
  rangedNormalize: FusedAttributes['normalize'] & { readonly range: FusedAttributes['movingRange'] };
  /** (gmin, gmax, x, min, max, other) → the gradient of a range plus other. */
  addedRangeGradient: OpAttributes['minMaxGradient'];
  /** (codes, scale, zero, g) → dw of the values of the codes. */
  weightGradientOfCodes: OpAttributes['conv2dWeightGradient'];
  /** (operands of conv2d, bias) → y plus the bias of each output channel. */
  biasedConv2d: OpAttributes['conv2d'];
  /** (operands of axmConv2d, bias) → y plus the bias of each output channel. */
  biasedAxmConv2d: OpAttributes['axmConv2d'];
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

/** What the device's kernel for a node can do beside the node's work. */
export type Abilities = (node: Node) => Pick<Lowered, 'readsCodes' | 'takesBias'>;

/** The plan's steps, in an order that is right, with those joined that can be. */
export function fuse(plan: Plan, abilities: Abilities = () => ({})): FusedStep[] {
  const uses = usesOf(plan);
  const replaced = new Map<number, readonly FusedStep[]>();
  plan.steps.forEach(({ node }, at) => {
    if (node.op === 'batchNorm') joinForward(plan, uses, at, replaced);
    if (node.op === 'reluGradient') joinGradient(plan, uses, at, replaced);
    if (node.op === 'minMax') joinRange(plan, uses, at, replaced);
    if (node.op === 'minMaxGradient') joinSum(plan, uses, at, replaced);
    if (node.op === 'conv2dWeightGradient' && abilities(node).readsCodes) joinCodes(plan, uses, at, replaced);
    if (node.op === 'bias') joinBias(plan, uses, at, abilities, replaced);
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
function joinForward(plan: Plan, uses: Uses, at: number, replaced: Map<number, readonly FusedStep[]>): void {
  const { steps } = plan;
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
  const follows = ({ outputs }: Step) =>
    addition === undefined || (after === addition + 1 && keepsAdded(steps[addition]!.outputs[0]!, outputs[0]!));
  const behind = after === undefined ? undefined : steps[after];
  const relu = isStep(behind, 'relu') && follows(behind) ? behind.node.attributes : undefined;
  const last = relu ? after : addition;
  // Of two batch norms that are added to each other the first takes the addition.
  if (last === undefined || replaced.has(last) || replaced.has(addition ?? last)) return;
  if (![...inputs, mean, variance].every((value) => plan.heldUntil(value) >= last)) return;

  const other =
    addition === undefined ? undefined : steps[addition]!.node.inputs.findIndex((input) => root(input) !== y);
  const added = other === undefined ? [] : [steps[addition!]!.node.inputs[other]!];
  const addedPlace = other === undefined ? [] : [steps[addition!]!.inputs[other]!];
  for (const joined of [addition, last]) if (joined !== undefined) replaced.set(joined, []);
  const averages = averagesBehind(steps, at, [mean, variance]);
  for (const [number] of averages.entries()) replaced.set(at + 1 + number, []);
  replaced.set(at, [
    {
      ...step,
      node: {
        op: 'moments',
        attributes: {
          ...attributes,
          ...(averages.length > 0 && { averages: averages.map(({ node }) => node.attributes) }),
        },
        inputs: [inputs[0]!, ...averages.map(({ node }) => node.inputs[0]!)],
        outputs: [mean, variance, ...averages.map(({ node }) => node.outputs[0]!)],
        label: step.node.label,
      },
      inputs: [step.inputs[0]!, ...averages.map(({ inputs }) => inputs[0]!)],
      outputs: [...step.outputs.slice(1), ...averages.map(({ outputs }) => outputs[0]!)],
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

type AddStep = Step & { readonly node: Node<'add'> };

/**
 * The two steps at once behind a batch norm that move an average by its mean and by its variance, each to its own place
 * or to one that nothing else has; none where it is not so.
 */
function averagesBehind(steps: readonly Step[], at: number, moments: readonly [Value, Value]): readonly AddStep[] {
  const found = moments.map((moment, number) => {
    const step = steps[at + 1 + number];
    if (!isStep(step, 'add')) return undefined;
    const [before, observed] = step.node.inputs;
    const isFree = step.outputs[0]!.region === 'own' || samePlace(step.inputs[0]!, step.outputs[0]!);
    return observed === moment && !moments.includes(root(before!)) && isFree ? step : undefined;
  });
  const averages = found.filter((step) => step !== undefined);
  return averages.length === moments.length ? averages : [];
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
  const beta = norm.inputs[2]!;
  if (slope !== node.outputs[0] || !ofNorm || !lives || plan.heldUntil(beta) < readers[0]!) return;

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
 * The range of a whole tensor at `at`, then at once its two moving averages and the scale that they give, in the pass
 * that normalises where that comes at once before. The tensor comes in vectors of four.
 */
function joinRange(plan: Plan, uses: Uses, at: number, replaced: Map<number, readonly FusedStep[]>): void {
  const { steps } = plan;
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

  const moved = { alpha, beta, ...scale.node.attributes, holdsZero: attributes.holdsZero ?? false };
  const before = [low.node.inputs[0]!, high.node.inputs[0]!, ...scale.node.inputs.slice(2)];
  const after = [low.node.outputs[0]!, high.node.outputs[0]!, ...scale.node.outputs];
  const made = normalizeAt(plan, at - 1, inputs[0]!, at + 3, replaced);
  for (const joined of [...(made ? [at - 1] : []), at, at + 1, at + 2]) replaced.set(joined, []);
  replaced.set(at + 3, [
    {
      node: {
        ...(made
          ? { op: 'rangedNormalize', attributes: { ...made.node.attributes, range: moved } }
          : { op: 'movingRange', attributes: moved }),
        inputs: [...(made?.node.inputs ?? [inputs[0]!]), ...before],
        outputs: [...(made?.node.outputs ?? []), ...after],
        label: range.node.label,
      },
      inputs: [...(made?.inputs ?? [range.inputs[0]!]), low.inputs[0]!, high.inputs[0]!, ...scale.inputs.slice(2)],
      outputs: [...(made?.outputs ?? []), low.outputs[0]!, high.outputs[0]!, ...scale.outputs],
      // Other outputs may lie where it was: they are written when all of it has been read.
      workspace: range.workspace,
    },
  ]);
}

/** What makes a value at `at` by normalising, all of which is still there at `end`. */
function normalizeAt(
  plan: Plan,
  at: number,
  value: Value,
  end: number,
  replaced: ReadonlyMap<number, readonly FusedStep[]>,
): (FusedStep & { readonly node: FusedNode<'normalize'> }) | undefined {
  const [step] = replaced.get(at) ?? [];
  if (!isFused(step, 'normalize') || step.node.outputs[0] !== root(value)) return undefined;
  return step.node.inputs.every((operand) => plan.heldUntil(operand) >= end) ? step : undefined;
}

/**
 * The gradient of a range at `at`, then at once the sum of that and something else, which takes the place of either or
 * one that nothing else has.
 */
function joinSum({ steps }: Plan, uses: Uses, at: number, replaced: Map<number, readonly FusedStep[]>): void {
  const [range, sum] = steps.slice(at, at + 2) as [Step, Step?];
  const { inputs, attributes, outputs } = range.node as Node<'minMaxGradient'>;
  if (!isStep(sum, 'add') || !isSum(sum.node) || uses(outputs[0]!).length !== 1) return;
  const own = sum.node.inputs.findIndex((input) => root(input) === outputs[0]);
  const [to] = sum.outputs as [Storage];
  if (own < 0 || !(to.region === 'own' || sum.inputs.some((from) => samePlace(from, to)))) return;
  replaced.set(at, []);
  replaced.set(at + 1, [
    {
      ...range,
      node: {
        op: 'addedRangeGradient',
        attributes,
        inputs: [...inputs, sum.node.inputs[1 - own]!],
        outputs: sum.node.outputs,
        label: range.node.label,
      },
      inputs: [...range.inputs, sum.inputs[1 - own]!],
      outputs: sum.outputs,
    },
  ]);
}

/**
 * What the gradient of a convolution's weights can read in place of its first operand: codes, scale and zero point. The
 * plan keeps them as long (PlanOptions.alsoReads).
 */
export function codesBehind(node: Node): readonly Value[] {
  const values = node.op === 'conv2dWeightGradient' ? producerOf(node.inputs[0], 'dequantize') : undefined;
  return values?.attributes.granularity === 'tensor' ? values.inputs : [];
}

/** The gradient of weights at `at` and the values of codes that it alone reads. */
function joinCodes(plan: Plan, uses: Uses, at: number, replaced: Map<number, readonly FusedStep[]>): void {
  const step = plan.steps[at]!;
  const [x, g] = step.node.inputs as [Value, Value];
  const codes = codesBehind(step.node);
  const isHeld = codes.length > 0 && codes.every((value) => plan.heldUntil(value) >= at);
  if (!isHeld || uses(x).length > 1 || root(g) === x) return;
  replaced.set(
    plan.steps.findIndex(({ node }) => node.outputs[0] === x),
    [],
  );
  replaced.set(at, [
    {
      ...step,
      node: {
        op: 'weightGradientOfCodes',
        attributes: (step.node as Node<'conv2dWeightGradient'>).attributes,
        inputs: [...codes, g],
        outputs: step.node.outputs,
        label: step.node.label,
      },
      inputs: [...codes.map(plan.storage), step.inputs[1]!],
    },
  ]);
}

/**
 * The bias at `at` of a product that it alone reads, added in its place: by the product's kernel, where it is known by
 * then.
 */
function joinBias(
  plan: Plan,
  uses: Uses,
  at: number,
  abilities: Abilities,
  replaced: Map<number, readonly FusedStep[]>,
): void {
  const { node, inputs, outputs } = plan.steps[at]!;
  const [x, bias] = node.inputs as [Value, Value];
  const indexOf = (value: Value) =>
    plan.steps.findIndex(({ node }) => value.source.kind === 'node' && value.source.node === node);
  const made = indexOf(x);
  const product = plan.steps[made];
  if (!isStep(product, 'conv2d') && !isStep(product, 'axmConv2d')) return;
  const isKnown = indexOf(root(bias)) < made;
  if (!isKnown || uses(x).length > 1 || !samePlace(product.outputs[0]!, outputs[0]!)) return;
  if (!abilities(product.node).takesBias) return;

  replaced.set(at, []);
  replaced.set(made, [
    {
      ...product,
      node: {
        ...product.node,
        op: product.node.op === 'conv2d' ? 'biasedConv2d' : 'biasedAxmConv2d',
        inputs: [...product.node.inputs, bias],
        outputs: node.outputs,
      },
      inputs: [...product.inputs, inputs[1]!],
    },
  ]);
}

const isFused = <K extends FusedOp>(
  step: FusedStep | undefined,
  op: K,
): step is FusedStep & { readonly node: FusedNode<K> } => step?.node.op === op;

const isStep = <K extends OpName>(step: Step | undefined, op: K): step is Step & { readonly node: Node<K> } =>
  step?.node.op === op;

/** The operation of this name whose first output a value is. */
function producerOf<K extends 'relu' | 'batchNorm' | 'dequantize'>(
  value: Value | undefined,
  op: K,
): Node<K> | undefined {
  if (value?.source.kind !== 'node' || value.source.index !== 0) return undefined;
  return value.source.node.op === op ? (value.source.node as unknown as Node<K>) : undefined;
}
