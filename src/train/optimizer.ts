// The optimiser's part of a training step: which variables learn together, by which rule, and the state that the rules
// need. Rules are PyTorch's (SGD, Adam, AdamW). Invariant: all state is in variables named `<variable>#<what>`, zero at
// the start of a phase, or a function of the number of the step, so that a resumed run goes on to the same bits.

import { constant, input, maximum, minimum, squareRoot } from '../engine/graph/expression.ts';
import { type GradientOptions, gradients } from '../engine/graph/gradients.ts';
import type { Graph, Value } from '../engine/graph/graph.ts';
import type { Manner } from '../quant/steps.ts';
import { invariant } from '../tensor/errors.ts';
import { matchesPattern } from '../tensor/names.ts';
import { f32, sizeOf } from '../tensor/tensor.ts';
import { GradientBuckets } from './buckets.ts';

export const optimizerNames = ['sgd', 'nesterov', 'adam', 'adamw'] as const;
export type OptimizerName = (typeof optimizerNames)[number];

/** A rule and its numbers. */
export interface Rule {
  /** Default: sgd. */
  readonly optimizer?: OptimizerName;
  /** SGD: of the velocity; Adam: β₁. */
  readonly momentum: number;
  /** Adam: β₂; default 0.999. */
  readonly beta2?: number;
  readonly weightDecay: number;
}

/** Variables that learn together; their learning rate is the program input `rate`. */
export interface ParameterGroup extends Rule {
  readonly variables: readonly Value[];
  readonly rate: string;
  /**
   * What an element of a gradient counts at most, before all are scaled down together; default: all of it. For
   * variables without a manner.
   */
  readonly bound?: number | undefined;
}

/** Adam's ε. */
const EPSILON = 1e-8;
export const BETA2 = 0.999;
/** The program input that Adam's rules have beside their rate: 1 − β₁ᵗ and 1 − β₂ᵗ of step t = 1, 2, …, [2]. */
export const CORRECTIONS = 'corrections';

export const isAdam = ({ optimizer = 'sgd' }: Pick<Rule, 'optimizer'>): boolean => optimizer.startsWith('adam');

export function corrections({ momentum, beta2 = BETA2 }: Rule, t: number): Float32Array {
  return Float32Array.of(1 - momentum ** t, 1 - beta2 ** t);
}

/** Whether a variable is an optimiser's, an average or a teacher's, and no part of a model. */
export const isTrainingState = (name: string): boolean => name.includes('#');

export interface UpdateOptions extends Omit<GradientOptions, 'onWhole'> {
  /** The gradients of all groups are scaled down together to this norm where they are longer; default: they are not. */
  readonly clipGradient?: number | undefined;
  /** How variables move to which a rule's change is not simply added. */
  readonly manners?: readonly Manner[];
  /** A value between the variables and the loss whose gradient is given back. */
  readonly by?: Value | undefined;
  /** What gradients are summed with; closed here. */
  readonly buckets?: GradientBuckets;
}

/**
 * Appends the update of every group by the gradient of the scalar loss, of several devices by that of the sum of their
 * losses; the updates take effect at the end of the run. Gives the gradient of the value that it goes by, where one is
 * named.
 */
export function appendUpdates(
  loss: Value,
  groups: readonly ParameterGroup[],
  options: UpdateOptions = {},
): Value | undefined {
  const { graph } = loss;
  const variables = groups.flatMap((group) => group.variables);
  const { clipGradient, manners = [], by, buckets = new GradientBuckets(graph), ...how } = options;
  const bounds = new Map(groups.flatMap(({ variables: own, bound }) => own.map((variable) => [variable, bound])));
  const mannerOf = new Map(manners.map((manner) => [manner.variable, manner]));
  const onWhole = (target: Value, gradient: Value) => void (target !== by && buckets.add(gradient));
  const all = gradients(loss, by ? [...variables, by] : variables, { ...how, onWhole });
  buckets.close();
  const found = all.slice(0, variables.length).map((own, at) => {
    const gradient = own && buckets.sumOf(own);
    const manner = gradient && mannerOf.get(variables[at]!);
    const bound = bounds.get(variables[at]!);
    if (gradient && bound !== undefined) return graph.labelled('optimiser', () => bounded(graph, gradient, bound));
    return manner ? graph.labelled('optimiser', () => manner.gradient(gradient)) : gradient;
  });
  const derivatives = clipGradient === undefined ? found : clipped(graph, found, clipGradient);
  const inputs = new Map<string, Value>();
  const inputOf = (name: string, shape: readonly number[]) => {
    const value = inputs.get(name) ?? graph.input(name, shape);
    inputs.set(name, value);
    return value;
  };
  let at = 0;
  for (const { variables: own, rate, bound: _, ...rule } of groups) {
    const learningRate = inputOf(rate, []);
    const shared = isAdam(rule) ? [learningRate, inputOf(CORRECTIONS, [2])] : [learningRate];
    for (const variable of own) {
      const gradient = derivatives[at++];
      const manner = mannerOf.get(variable);
      if (gradient) graph.labelled('optimiser', () => update(graph, variable, gradient, rule, shared, manner));
    }
  }
  return all[variables.length];
}

function update(
  graph: Graph,
  variable: Value,
  gradient: Value,
  rule: Rule,
  shared: readonly Value[],
  manner: Manner | undefined,
): void {
  invariant(variable.source.kind === 'variable', 'only variables learn');
  const { name } = variable.source;
  const { optimizer = 'sgd', momentum, beta2 = BETA2, weightDecay } = rule;
  const stateOf = (what: string) => graph.variable(`${name}#${what}`, variable.shape);
  // What changes by itself does not decay.
  if (manner && !isAdam(rule)) {
    const before = stateOf('velocity');
    const [velocity, change] = changeOf(before, gradient, shared[0]!, rule);
    for (const [to, value] of [...manner.moved(change), [before, velocity] as const]) graph.assign(to, value);
    return;
  }
  const state = isAdam(rule) ? [stateOf('mean'), stateOf('square')] : [stateOf('velocity')];
  const { shape } = variable;
  // What a rule makes of 0 is its change.
  const from = manner ? graph.constant(f32(shape, new Float32Array(sizeOf(shape)))) : variable;
  const operands = [from, gradient, ...state, ...shared];
  const moments = { beta1: momentum, beta2, epsilon: EPSILON, weightDecay, decoupled: optimizer === 'adamw' };
  const nesterov = optimizer === 'nesterov' ? { nesterov: true } : {};
  const updated = isAdam(rule)
    ? graph.apply('adam', operands, moments)
    : graph.apply('sgd', operands, { momentum, weightDecay, ...nesterov });
  const [next, ...nextState] = updated as readonly [Value, ...Value[]];
  for (const [to, value] of manner ? manner.moved(next) : [[variable, next] as const]) graph.assign(to, value);
  for (const [k, to] of state.entries()) graph.assign(to, nextState[k]!);
}

/**
 * The velocity and the change of SGD as one formula: of few elements it joins what the gradient is made of, so that a
 * learned step size is two launches.
 */
function changeOf(before: Value, gradient: Value, rate: Value, { optimizer, momentum }: Rule) {
  const [old, slope] = [input(0), input(1)];
  const velocity = old.times(momentum).plus(slope);
  const ahead = optimizer === 'nesterov' ? slope.plus(velocity.times(momentum)) : velocity;
  const change = constant(0).minus(input(2).times(ahead));
  return before.graph.apply('formula', [before, gradient, rate], {
    name: 'change by momentum',
    shape: before.shape,
    outputs: [velocity, change].map((of) => ({ of, per: 'element' })),
  }) as readonly [Value, Value];
}

/** Each element within ±most. */
function bounded(graph: Graph, gradient: Value, most: number): Value {
  return graph.apply1('formula', [gradient], {
    name: 'bounded gradient',
    shape: gradient.shape,
    outputs: [{ of: minimum(maximum(input(0), -most), most), per: 'element' }],
  });
}

/** min(1, most/(‖gradients‖ + 1e-6)) times each, as clip_grad_norm_; sums in the order of the variables. */
function clipped(graph: Graph, found: readonly (Value | undefined)[], most: number): (Value | undefined)[] {
  return graph.labelled('optimiser', () => {
    const squares = found.flatMap((gradient) => (gradient ? [graph.apply1('dot', [gradient, gradient], {})] : []));
    if (squares.length === 0) return [...found];
    const total = squares.reduce((sum, square) => graph.apply1('add', [sum, square], { alpha: 1, beta: 1 }));
    const norm = squareRoot(input(0)).plus(1e-6);
    const scale = graph.apply1('formula', [total], {
      name: 'gradient clipping',
      shape: [],
      outputs: [{ of: constant(most).over(maximum(norm, most)), per: 'element' }],
    });
    return found.map((gradient) => gradient && graph.apply1('scaleBy', [gradient, scale], {}));
  });
}

/** What groups of a network's weights differ in. */
export interface GroupOptions extends Rule {
  /** Which of them decay: all, or the weights of convolutions and linear layers alone; default: all. */
  readonly decayOf?: 'all' | 'weights';
  /** `PATTERN=FACTOR`: parts of the learning rate for variables by their names, the last that matches; default none. */
  readonly rates?: readonly string[];
  /** What learned step sizes have of the learning rate where `rates` say nothing else; default 1. */
  readonly stepRate?: number;
}

/** Pattern and factor of an entry; undefined for what is none. */
export function parseRate(text: string): { readonly pattern: string; readonly factor: number } | undefined {
  const match = /^([^=\s]+)=(\d+\.?\d*(?:e-?\d+)?)$/.exec(text);
  return match ? { pattern: match[1]!, factor: Number(match[2]) } : undefined;
}

/** The name of the input that has the learning rate times a factor. */
export const rateName = (rate: string, factor: number): string => (factor === 1 ? rate : `${rate}×${factor}`);

/** The factors that a network's variables may learn by. */
export function rateFactors({ rates = [], stepRate = 1 }: Pick<GroupOptions, 'rates' | 'stepRate'>): number[] {
  return [...new Set([1, stepRate, ...rates.map((text) => parseRate(text)!.factor)])];
}

/** The groups of learned step sizes, which do not decay. */
export function stepGroupsOf(
  variables: readonly Value[],
  rate: string,
  { rates = [], stepRate = 1, ...rule }: GroupOptions,
): ParameterGroup[] {
  return groupsOf(variables, rate, { ...rule, weightDecay: 0, rates: [`*=${stepRate}`, ...rates] }, () => false);
}

/** The variables in groups of one rate and decay; `isWeight`: of a convolution or a linear layer. */
export function groupsOf(
  variables: readonly Value[],
  rate: string,
  { decayOf = 'all', rates = [], stepRate: _, ...rule }: GroupOptions,
  isWeight: (name: string) => boolean,
): ParameterGroup[] {
  const parts = rates.map((text) => parseRate(text)!);
  const groups = new Map<string, { variables: Value[]; rate: string } & Rule>();
  for (const variable of variables) {
    invariant(variable.source.kind === 'variable', 'only variables learn');
    const { name } = variable.source;
    const factor = parts.findLast(({ pattern }) => matchesPattern(pattern, name))?.factor ?? 1;
    const weightDecay = decayOf === 'all' || isWeight(name) ? rule.weightDecay : 0;
    const key = `${factor} ${weightDecay}`;
    const group = groups.get(key) ?? { ...rule, weightDecay, rate: rateName(rate, factor), variables: [] };
    groups.set(key, group);
    group.variables.push(variable);
  }
  return [...groups.values()];
}
