// Neighbouring steps that one pass over memory can do together: normalisation with the addition and the relu behind it,
// the running averages of its statistics and the range of what it makes, the gradient of batch norm with that of the
// relu in front of it, the range of an activation with the quantiser's scale that follows from it, the gradient of a
// range with the sum that it is added to, a max pool with the taps that its gradient is formed of and with batch norm
// and relu in front of it, both ways, the values of codes with the gradient of weights that they are for, a bias with
// the product that it is added to, the statistics of a batch norm with the product that they are of. The plan is laid
// out before, so a fused step may only use memory that still holds what it reads: it takes the place of the last step
// that it joins, and is formed only where its operands live that long; or, with a bias or with statistics, that of the
// first, whose workspace others may have later. Nothing else changes: operations, their meaning and their storage stay
// what the plan says.

import { given } from '../../../tensor/given.ts';
import { byteSize, sizeOf } from '../../../tensor/tensor.ts';
import type { Node, Value } from '../../graph/graph.ts';
import type { OpAttributes, OpName } from '../../graph/ops.ts';
import { type Handed, type Plan, root, type Step, type Storage } from '../../graph/plan.ts';
import type { Lowered } from './lowering.ts';
import { overlapsLittle, tapBytes } from './pooling.ts';

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
  /** x → what maxPool gives, and the tap of each window's first maximum (tapsBetween). */
  maxPoolWithTaps: OpAttributes['maxPool'];
  /** (g, taps) → dx. */
  maxPoolGradientOfTaps: OpAttributes['maxPoolGradient'];
  /** (x, gamma, beta, mean, variance) → maxPoolWithTaps of the relu of the batch norm of x. */
  normalizedMaxPool: PooledNormalization;
  /**
   * (g of the pool, taps, x, gamma, mean, variance, beta) → dx, dgamma, dbeta of maxPool(relu(batch norm of x)), of
   * windows of which few overlap.
   */
  pooledGradient: PooledNormalization;
  /** (codes, scale, zero, g) → dw of the values of the codes. */
  weightGradientOfCodes: OpAttributes['conv2dWeightGradient'];
  /** (operands of conv2d, bias) → y plus the bias of each output channel. */
  biasedConv2d: OpAttributes['conv2d'];
  /** (operands of axmConv2d, bias) → y plus the bias of each output channel. */
  biasedAxmConv2d: OpAttributes['axmConv2d'];
  /** (operands of conv2d, averages?) → y, and what moments gives of that. */
  measuredConv2d: OpAttributes['conv2d'] & Pick<FusedAttributes['moments'], 'averages'>;
}
type PooledNormalization = OpAttributes['batchNorm'] & {
  readonly relu: OpAttributes['relu'];
  readonly pool: OpAttributes['maxPool'];
};
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
export type Abilities = (node: Node) => Pick<Lowered, 'readsCodes' | 'takesBias' | 'formsMoments' | 'workspaceBytes'>;

/** The plan's steps, in an order that is right, with those joined that can be. */
export function fuse(plan: Plan, abilities: Abilities = () => ({})): FusedStep[] {
  const uses = usesOf(plan);
  const replaced = new Map<number, readonly FusedStep[]>();
  plan.steps.forEach(({ node }, at) => {
    if (node.op === 'batchNorm') {
      joinForward(plan, uses, at, replaced);
      joinMoments(plan, at, abilities, replaced);
    }
    if (node.op === 'batchNormInference') joinForward(plan, uses, at, replaced);
    if (node.op === 'reluGradient') joinGradient(plan, uses, at, replaced);
    if (node.op === 'minMax') joinRange(plan, uses, at, replaced);
    if (node.op === 'minMaxGradient') joinSum(plan, uses, at, replaced);
    if (node.op === 'conv2dWeightGradient' && abilities(node).readsCodes) joinCodes(plan, uses, at, replaced);
    if (node.op === 'bias') joinBias(plan, uses, at, abilities, replaced);
  });
  for (const handed of plan.handed) {
    joinTaps(plan, handed, replaced);
    joinPooledGradients(plan, uses, handed, replaced);
    joinNormalizedPool(plan, uses, handed, replaced);
  }
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
 * Batch norm at `at`, then an addition, a relu, or both: statistics that are formed stay where they are, the rest moves
 * to the last of them. Of statistics that are given only the rest is there.
 */
function joinForward(plan: Plan, uses: Uses, at: number, replaced: Map<number, readonly FusedStep[]>): void {
  const { steps } = plan;
  const step = steps[at]!;
  const { inputs, outputs, attributes } = step.node as Node<'batchNorm' | 'batchNormInference'>;
  const [y, ...formed] = outputs as [Value, ...Value[]];
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
  // What is normalised in place is there until the last of them is: nothing is written over it before.
  const inPlace = (value: Value) => value === inputs[0] && samePlace(step.inputs[0]!, step.outputs[0]!);
  if (![...inputs, ...formed].every((value) => inPlace(value) || plan.heldUntil(value) >= last)) return;

  const other =
    addition === undefined ? undefined : steps[addition]!.node.inputs.findIndex((input) => root(input) !== y);
  const added = other === undefined ? [] : [steps[addition!]!.node.inputs[other]!];
  const addedPlace = other === undefined ? [] : [steps[addition!]!.inputs[other]!];
  for (const joined of [addition, last]) if (joined !== undefined) replaced.set(joined, []);
  replaced.set(at, []);
  if (formed.length > 0) {
    const moments = momentsAt(steps, at);
    for (const [number] of averagesOf(moments)) replaced.set(at + 1 + number, []);
    replaced.set(at, [moments]);
  }
  replaced.set(last, [
    {
      node: {
        op: 'normalize',
        attributes: { ...attributes, ...(relu && { relu }) },
        inputs: [...inputs, ...formed, ...added],
        outputs: steps[last]!.node.outputs,
        label: step.node.label,
      },
      inputs: [...step.inputs, ...step.outputs.slice(1), ...addedPlace],
      outputs: steps[last]!.outputs,
      workspace: undefined,
    },
  ]);
}

type MomentsStep = FusedStep & { readonly node: FusedNode<'moments'> };

/** The statistics of the batch norm at `at`, with the running averages at once behind it that they move. */
function momentsAt(steps: readonly Step[], at: number): MomentsStep {
  const step = steps[at]!;
  const { inputs, outputs, attributes, label } = step.node as Node<'batchNorm'>;
  const [, mean, variance] = outputs as [Value, Value, Value];
  const averages = averagesBehind(steps, at, [mean, variance]);
  return {
    ...step,
    node: {
      op: 'moments',
      attributes: {
        ...attributes,
        ...(averages.length > 0 && { averages: averages.map(({ node }) => node.attributes) }),
      },
      inputs: [inputs[0]!, ...averages.map(({ node }) => node.inputs[0]!)],
      outputs: [mean, variance, ...averages.map(({ node }) => node.outputs[0]!)],
      label,
    },
    inputs: [step.inputs[0]!, ...averages.map(({ inputs }) => inputs[0]!)],
    outputs: [...step.outputs.slice(1), ...averages.map(({ outputs }) => outputs[0]!)],
  };
}

const averagesOf = ({ node }: MomentsStep) => (node.attributes.averages ?? []).entries();

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

/**
 * The statistics of the batch norm at `at`, formed by the convolution at once before where its kernels can: where
 * nothing that they write lies over what it still reads.
 */
function joinMoments(plan: Plan, at: number, abilities: Abilities, replaced: Map<number, readonly FusedStep[]>): void {
  const [product, norm] = [plan.steps[at - 1], plan.steps[at]!];
  if (!isStep(product, 'conv2d') || !isStep(norm, 'batchNorm')) return;
  const { formsMoments, workspaceBytes = 0 } = abilities(product.node);
  const [y] = product.node.outputs;
  if (!formsMoments || norm.node.inputs[0] !== y) return;
  const moments = momentsAt(plan.steps, at);
  const [, ...before] = moments.node.inputs;
  const read = [
    ...product.node.inputs.map((value, which) => [product.inputs[which]!, byteSize(value)] as const),
    ...(product.workspace ? [[product.workspace, workspaceBytes] as const] : []),
  ];
  const isFree = moments.outputs.every((to, which) =>
    read.every(([from, bytes]) => !overlap(from, bytes, to, byteSize(moments.node.outputs[which]!))),
  );
  // An average that the batch norm reads, too, moves behind it.
  const isRead = moments.outputs.slice(2).some((to) => norm.inputs.some((from) => samePlace(from, to)));
  if (!isFree || isRead || before.some((value) => root(value) === y)) return;

  const isWhole = !replaced.has(at);
  replaced.set(at - 1, [
    {
      ...product,
      node: {
        op: 'measuredConv2d',
        attributes: { ...product.node.attributes, ...given({ averages: moments.node.attributes.averages }) },
        inputs: [...product.node.inputs, ...before],
        outputs: [y!, ...moments.node.outputs],
        label: product.node.label,
      },
      inputs: [...product.inputs, ...moments.inputs.slice(1)],
      outputs: [...product.outputs, ...moments.outputs],
    },
  ]);
  for (const [number] of averagesOf(moments)) replaced.set(at + 1 + number, []);
  replaced.set(at, isWhole ? [normalizationAt(norm)] : []);
}

/** What is left of a batch norm whose statistics are there. */
const normalizationAt = ({ node, inputs, outputs }: Step & { readonly node: Node<'batchNorm'> }): FusedStep => ({
  node: {
    ...node,
    op: 'batchNormInference',
    inputs: [...node.inputs, ...node.outputs.slice(1)],
    outputs: node.outputs.slice(0, 1),
  },
  inputs: [...inputs, ...outputs.slice(1)],
  outputs: outputs.slice(0, 1),
  workspace: undefined,
});

/** Whether two places have bytes in common. */
function overlap(a: Storage, bytesOfA: number, b: Storage, bytesOfB: number): boolean {
  if (a.region !== b.region) return false;
  if (a.region === 'variable' || a.region === 'constant') return samePlace(a, b);
  const [from, other] = [a.offset, (b as typeof a).offset];
  return from < other + bytesOfB && other < from + bytesOfA;
}

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
 * Of the nodes of a plan, in order: the taps of the maxima of each pool whose gradient is formed behind it. u8, of a
 * pool's y [N, OH, OW, C] they are [N, OH, OW, C, bytes of one].
 */
export function tapsBetween(nodes: readonly Node[]): Handed[] {
  const readers = new Map<Node, Node[]>();
  nodes.forEach((node, at) => {
    if (node.op !== 'maxPoolGradient') return;
    const pool = nodes
      .slice(0, at)
      .find(
        ({ op, inputs, attributes }) =>
          op === 'maxPool' && inputs[0] === node.inputs[1] && attributes === node.attributes,
      );
    if (pool) readers.set(pool, [...(readers.get(pool) ?? []), node]);
  });
  return [...readers].map(([by, gradients]) => {
    const [y] = by.outputs as [Value];
    const shape = [...y.shape, tapBytes((by as Node<'maxPool'>).attributes)];
    const norms = nodes.filter((node) => pooledBehind(node).some((gradient) => gradients.includes(gradient)));
    const value: Value = { ...y, dtype: 'u8', shape, source: { kind: 'node', node: by, index: 1 } };
    return { value, by, to: [...gradients, ...norms] };
  });
}

/**
 * The max pool's gradient that the gradient of a batch norm in front of it and of a relu begins with, where windows
 * overlap so little that it can form it where it reads it; none or one. The plan keeps what that needs as long
 * (PlanOptions.alsoReads).
 */
export function pooledBehind(node: Node): readonly Node<'maxPoolGradient'>[] {
  if (node.op !== 'batchNormGradient') return [];
  const gradient = producerOf(producerOf(node.inputs[0], 'reluGradient')?.inputs[0], 'maxPoolGradient');
  return gradient && overlapsLittle(gradient.attributes) ? [gradient] : [];
}

/** The max pool that hands its taps to its gradients, and these. */
function joinTaps(plan: Plan, { value: taps, by, to }: Handed, replaced: Map<number, readonly FusedStep[]>): void {
  const place = plan.storage(taps);
  plan.steps.forEach((step, at) => {
    const { node, inputs, outputs } = step;
    if (node === by) {
      const joined = { ...node, op: 'maxPoolWithTaps', outputs: [...node.outputs, taps] } as FusedNode;
      replaced.set(at, [{ ...step, node: joined, outputs: [...outputs, place] }]);
    }
    if (isStep(step, 'maxPoolGradient') && to.includes(node)) {
      const joined = { ...node, op: 'maxPoolGradientOfTaps', inputs: [node.inputs[0]!, taps] } as FusedNode;
      replaced.set(at, [{ ...step, node: joined, inputs: [inputs[0]!, place], workspace: undefined }]);
    }
  });
}

/** The step that stands now where one of the plan was, where it is of this operation. */
function nowAt<K extends FusedOp>(replaced: ReadonlyMap<number, readonly FusedStep[]>, at: number, op: K) {
  const [step] = replaced.get(at) ?? [];
  return isFused(step, op) ? step : undefined;
}

/**
 * Gradients of batch norms with relus that alone read that of a pool, which has its taps: from the gradient of the
 * pool's output, if that is still there.
 */
function joinPooledGradients(
  plan: Plan,
  uses: Uses,
  { value: taps, to }: Handed,
  replaced: Map<number, readonly FusedStep[]>,
): void {
  plan.steps.forEach((step, at) => {
    const [pool] = pooledBehind(step.node);
    const norm = nowAt(replaced, at, 'rectifiedGradient');
    if (!pool || !norm || !to.includes(pool) || norm.node.inputs[0] !== pool.outputs[0]) return;
    const [g] = pool.inputs as [Value];
    if (uses(pool.outputs[0]!).length > 1 || plan.heldUntil(g) < at || plan.heldUntil(taps) < at) return;

    replaced.set(
      plan.steps.findIndex(({ node }) => node === pool),
      [],
    );
    const { epsilon, ...relu } = norm.node.attributes;
    replaced.set(at, [
      {
        ...norm,
        node: {
          ...norm.node,
          op: 'pooledGradient',
          attributes: { epsilon, relu, pool: pool.attributes },
          inputs: [g, taps, ...norm.node.inputs.slice(1)],
        },
        inputs: [plan.storage(g), plan.storage(taps), ...norm.inputs.slice(1)],
      },
    ]);
  });
}

/** The pool that hands its taps on, and the normalisation with a relu in front that nothing else reads now. */
function joinNormalizedPool(plan: Plan, uses: Uses, { by }: Handed, replaced: Map<number, readonly FusedStep[]>): void {
  const at = plan.steps.findIndex(({ node }) => node === by);
  const pool = nowAt(replaced, at, 'maxPoolWithTaps');
  const [y] = by.inputs as [Value];
  const made = plan.steps.findIndex(({ node }) => node.outputs[0] === y);
  const norm = nowAt(replaced, made, 'normalize');
  const relu = norm?.node.attributes.relu;
  // Operands of a sum are more.
  if (!pool || !norm || !relu || norm.node.inputs.length > 5 || uses(y).at(-1)! >= plan.steps.length) return;
  const readsY = (step: FusedStep) => step !== pool && step.node.inputs.some((value) => root(value) === y);
  const isRead = plan.steps.some((step, number) => (replaced.get(number) ?? [step]).some(readsY));
  if (isRead || !norm.node.inputs.every((value) => plan.heldUntil(value) >= at)) return;

  replaced.set(made, []);
  replaced.set(at, [
    {
      ...pool,
      node: {
        ...pool.node,
        op: 'normalizedMaxPool',
        attributes: { epsilon: norm.node.attributes.epsilon, relu, pool: pool.node.attributes },
        inputs: norm.node.inputs,
      },
      inputs: norm.inputs,
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
function producerOf<K extends 'relu' | 'reluGradient' | 'batchNorm' | 'dequantize' | 'maxPoolGradient'>(
  value: Value | undefined,
  op: K,
): Node<K> | undefined {
  if (value?.source.kind !== 'node' || value.source.index !== 0) return undefined;
  return value.source.node.op === op ? (value.source.node as unknown as Node<K>) : undefined;
}
