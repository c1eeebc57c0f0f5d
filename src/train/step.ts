// The compiled training step: forward, backward, the optimisers of weights and structures, and the values to report.

import type { Batch } from '../data/split.ts';
import type { Program, Session } from '../engine/backend.ts';
import { constant, input } from '../engine/graph/expression.ts';
import { Graph, type Value } from '../engine/graph/graph.ts';
import { plan } from '../engine/graph/plan.ts';
import { modelledExactPower, modelledPower, type PowerModelName, structureSavings } from '../multiplier/power-model.ts';
import { clampTheta, powerShares, type Structure } from '../multiplier/structure.ts';
import { type BatchNormScope, RANDOM_KEY } from '../nn/layers.ts';
import { clampedTheta, thetaOf } from '../quant/products.ts';
import { clipVariables } from '../quant/quantized.ts';
import { learnedSteps } from '../quant/steps.ts';
import { Random, streams } from '../tensor/random.ts';
import { f32 } from '../tensor/tensor.ts';
import { appendAverages, KEEP } from './average.ts';
import { GradientBuckets } from './buckets.ts';
import { appendTeacher, type Teacher, taughtLoss } from './distillation.ts';
import { type Figures, mapRecord, outputFigures, partsOfFigures, readFigures, readScalar } from './figures.ts';
import { PUSH } from './hardening.ts';
import {
  appendUpdates,
  BETA2,
  CORRECTIONS,
  corrections,
  type GroupOptions,
  groupsOf,
  isAdam,
  type Rule,
  rateFactors,
  rateName,
  stepGroupsOf,
} from './optimizer.ts';
import {
  averageAssigned,
  keysOfParts,
  partedInputs,
  partOfMean,
  partsOf,
  requireWhole,
  shareOfTargets,
  writeParted,
} from './replicas.ts';
import { keptAverage } from './schedule.ts';
import {
  type Arithmetic,
  type BuiltNetwork,
  type Feed,
  type Logits,
  networkOn,
  type QuantizedArithmetic,
  type Task,
} from './task.ts';

/**
 * A structure that learns in a network: the variable of its θ, and its layers' share of the multiplications, from 0 to
 * 1.
 */
export interface LearnedStructure {
  readonly theta: string;
  readonly structure: Structure;
  readonly share: number;
}

/**
 * λ · power as part of what is minimised, relative to exact multipliers of the same widths. By the analytic model power
 * = 1 − Σ over the structures of share · Σ_t powerShare_t · clamp(θ_t). A fitted one is no sum over θ: steps have its
 * tangent where `linearisePower` last found θ.
 */
export interface PowerTerm {
  /** Absent where it is an input of the step, set between steps (control.ts). */
  readonly lambda?: number;
  readonly structures: readonly LearnedStructure[];
  /** Default: analytic. */
  readonly model?: PowerModelName;
}

const isFitted = ({ model = 'analytic' }: PowerTerm): boolean => model !== 'analytic';

/** What each θ of a structure saves of the network's power when all that reads it is removed; fitted models: at θ. */
export function savings(
  { model = 'analytic' }: PowerTerm,
  { structure, share }: LearnedStructure,
  theta: ArrayLike<number>,
): number[] {
  if (model === 'analytic') return powerShares(structure).map((ofMultiplier) => share * ofMultiplier);
  const exact = modelledExactPower(model, structure);
  return structureSavings(model, structure, theta).map((saved) => (share * saved) / exact);
}

/** The variables of a fitted model's tangent: what each θ of a structure saves, and the power where all θ are 0. */
const savingsName = (theta: string) => `${theta}#savings`;
const WHOLE_POWER = 'power#whole';

/** Writes the tangent of a fitted model at the session's θ; nothing for the analytic one, which is linear. */
export async function linearisePower(session: Session, power: PowerTerm): Promise<void> {
  if (!isFitted(power)) return;
  const { theta, power: whole } = await readStructures(session, power);
  let offset = whole;
  for (const learned of power.structures) {
    const values = theta[learned.theta]!;
    const saved = savings(power, learned, values);
    session.write(savingsName(learned.theta), f32([saved.length], saved));
    offset += saved.reduce((sum, value, at) => sum + value * values[at]!, 0);
  }
  session.write(WHOLE_POWER, f32([], [offset]));
}

/** How the weights learn from a gradient. */
export interface Learning extends GroupOptions {
  /** The norm that the gradient is clipped to; default: it is not. */
  readonly clipGradient?: number | undefined;
  /** Decay of the moving average of the weights that is evaluated and kept, 0 … below 1; default 0, none. */
  readonly average?: number;
}

export interface StepOptions<M extends string = string> extends Learning {
  readonly session: Session;
  readonly task: Task<M>;
  readonly arithmetic: Arithmetic;
  /** Structures that learn, with a weight decay of their own; `harden`: whether they are pushed to 0 and 1. */
  readonly structure?: {
    readonly power: PowerTerm;
    readonly weightDecay: number;
    readonly harden?: number | undefined;
  };
  /**
   * Activations inside the network's blocks are computed again in the backward pass instead of being kept; the results
   * are the same.
   */
  readonly recompute?: Recompute;
  /** A network to learn from beside the targets; default: none. */
  readonly teacher?: Teacher | undefined;
  /** Whose statistics batch norm takes on several devices (see LayersOptions); default: those of each device. */
  readonly batchNorm?: BatchNormScope | undefined;
}

/** The key of what a step draws: two words that follow from the numbers that name the step. */
export function stepKey(seed: number, epoch: number, step: number): Int32Array {
  const random = new Random(seed, streams.dropout, epoch, step);
  return Int32Array.of(random.bits(), random.bits());
}

/**
 * Whether activations inside the network's blocks are computed again in the backward pass instead of being kept: none,
 * all, or `light`: all but the layers' products, which is less memory for little time.
 */
export type Recompute = boolean | 'light';

export const RATE = 'learningRate';
export const THETA_RATE = 'thetaLearningRate';
/** The weight of the power loss, where it is set between steps. */
export const LAMBDA = 'lambda';

/** What a step is done with, beside its batch. */
export interface StepPlace {
  readonly rate: number;
  readonly thetaRate: number | undefined;
  /** Weight of the penalty that pushes θ to 0 and 1 (hardening.ts), where there is one. */
  readonly push?: number | undefined;
  /** Where it is no constant of the power term. */
  readonly lambda?: number | undefined;
  /** 1, 2, … in the phase. */
  readonly number: number;
  /** Of what the step draws (stepKey). */
  readonly key: Int32Array;
}

/** Sets what a step's program takes beside a batch so that weights and structures stay as they are. */
export function holdStill(program: Program, { inputs }: Pick<Graph, 'inputs'>): void {
  for (const name of inputs.keys()) {
    if (name.startsWith(RATE) || [THETA_RATE, PUSH, LAMBDA, KEEP].includes(name))
      program.write(name, Float32Array.of(0));
    if (name === CORRECTIONS) program.write(name, Float32Array.of(1, 1));
  }
}

export interface StepResult<M extends string = string> extends Figures<M> {
  /** What the step lowers: the task's loss, a part of it that of the teacher, and λ · power where structures learn. */
  readonly objective: number;
  readonly power: number | undefined;
}

interface CompiledStep {
  readonly program: Program;
  /** Over so many devices its batch goes. */
  readonly parts: number;
  /** Names of its inputs. */
  readonly inputs: ReadonlySet<string>;
}

/** The training step as a program per batch size (the last batch of an epoch may be short). */
export class StepPrograms<M extends string> {
  readonly #options: StepOptions<M>;
  readonly #feed: Feed;
  readonly #programs = new Map<number, Promise<CompiledStep>>();

  constructor(options: StepOptions<M>, feed: Feed) {
    this.#options = options;
    this.#feed = feed;
  }

  /** Compiles the step of `size` examples before it is needed. */
  async prepare(size: number): Promise<void> {
    await this.#program(size);
  }

  /**
   * Starts step `number` (1, 2, … in the phase) with a batch of `size` examples; the promise in the result is kept when
   * the device has done it.
   */
  async start(
    batch: Batch,
    size: number,
    { rate, thetaRate, push = 0, lambda = 0, number, key }: StepPlace,
  ): Promise<{ result: Promise<StepResult<M>> }> {
    const { program, inputs, parts } = await this.#program(size);
    writeParted(program, this.#feed, { batch, examples: size, rows: size, parts });
    for (const factor of rateFactors(this.#options)) {
      const name = rateName(RATE, factor);
      if (inputs.has(name)) program.write(name, Float32Array.of(rate * factor));
    }
    if (isAdam(this.#options)) program.write(CORRECTIONS, corrections(this.#options, number));
    const { average = 0 } = this.#options;
    if (average > 0) program.write(KEEP, Float32Array.of(keptAverage(average, number)));
    if (thetaRate !== undefined) program.write(THETA_RATE, Float32Array.of(thetaRate));
    if (inputs.has(PUSH)) program.write(PUSH, Float32Array.of(push));
    if (inputs.has(LAMBDA)) program.write(LAMBDA, Float32Array.of(lambda));
    if (inputs.has(RANDOM_KEY)) program.write(RANDOM_KEY, keysOfParts(key, parts));
    await program.run();
    return { result: this.#resultOf(program) };
  }

  #program(size: number): Promise<CompiledStep> {
    const known = this.#programs.get(size);
    if (known) return known;
    const { session } = this.#options;
    const parts = partsOf(size, session.backend.device, this.#feed);
    const { graph } = trainingStep(this.#options, this.#feed, size, parts);
    const inputs = new Set(graph.inputs.keys());
    const compiled = session.compile(graph).then((program) => ({ program, inputs, parts }));
    this.#programs.set(size, compiled);
    return compiled;
  }

  async dispose(): Promise<void> {
    for (const compiled of this.#programs.values()) await (await compiled).program.dispose();
    this.#programs.clear();
  }

  async #resultOf(program: Program): Promise<StepResult<M>> {
    const { task, structure } = this.#options;
    const [figures, objective, power] = await Promise.all([
      readFigures(program, task),
      readScalar(program, 'objective'),
      structure ? readScalar(program, 'power') : undefined,
    ]);
    return { ...figures, objective, power };
  }
}

/**
 * With a target, what a gradient of θ counts at most by a rule that moves θ by it. A partial product of the highest
 * column is worth 2^14 of the lowest, and so is the noise of its gradient: a step of it alone could lose a network.
 */
const MOST_OF_THETA = 1;

/** That bound; undefined where λ is said, as published, and where θ moves by its rate whatever its gradient (Adam). */
export const boundOfTheta = ({ lambda }: Pick<PowerTerm, 'lambda'>, rule: Pick<Rule, 'optimizer'>) =>
  lambda === undefined && !isAdam(rule) ? MOST_OF_THETA : undefined;

/** A step as a graph, and where what it lowers meets the network. */
export interface BuiltStep<M extends string = string> extends BuiltNetwork<M> {
  /** What is lowered, but for the power; on several devices the part that one has of it. */
  readonly lowered: Value;
  /** Of the teacher. */
  readonly given: Logits | undefined;
  /** The gradient that reaches the network's logits, where it says what these are. */
  readonly logitsGradient: Value | undefined;
}

/**
 * The graph of a step over `batchSize` examples: inputs of the feed and the learning rates, outputs objective, loss,
 * metrics and power. Over several devices it is the part of one of them: what is added up over the batch, gradients
 * above all, is reduced, and what it assigns and yields is the same on all.
 */
export function trainingStep<M extends string>(
  { task, arithmetic, structure, recompute = false, teacher, batchNorm, ...learning }: Omit<StepOptions<M>, 'session'>,
  feed: Feed,
  batchSize: number,
  replicas = 1,
): BuiltStep<M> {
  const graph = new Graph({ replicas });
  const parted = partedInputs(feed, batchSize, replicas);
  const inputs = feed.inputs(graph, batchSize / replicas);
  const targets = shareOfTargets(graph);
  // First, so that all it needs of the arena is free again when the network comes; its logits alone stay.
  const given = teacher && appendTeacher(graph, inputs, task, teacher);
  const before = graph.nodes.length;
  const network = networkOn(graph, inputs, task, arithmetic, 'train', batchNorm);
  const buckets = new GradientBuckets(graph);
  const assignMeans = averageAssigned(graph, parted, (part) => buckets.add(part));
  const { layers } = network;
  const parameters = layers.parameters.filter(({ trainable }) => trainable).map(({ value }) => value);
  const weights = [...parameters, ...clipVariables(graph, layers.multiplying)];
  const multiplied = new Set(layers.multiplying.map(({ name }) => `${name}.weight`));
  const manners = isLearnedStep(arithmetic)
    ? learnedSteps(graph.nodes.slice(before), { holdsZero: arithmetic.range !== 'as-observed' })
    : [];
  const groups = [
    ...groupsOf(weights, RATE, learning, (name) => multiplied.has(name)),
    ...stepGroupsOf(
      manners.map(({ variable }) => variable),
      RATE,
      learning,
    ),
  ];
  const { optimizer = 'sgd', momentum, beta2 = BETA2 } = learning;
  const loss = graph.labelled('loss', () => partOfMean(network.loss, targets));
  const lowered = teacher && given ? taughtLoss(network, given, teacher, loss) : loss;
  const figures = graph.labelled('loss', () => partsOfFigures(task, network, targets, loss));
  for (const part of [loss, lowered, ...Object.values<Value>(figures.metrics)]) buckets.add(part);
  let objective = lowered;
  let whole = (sum: Value) => sum;
  if (structure) {
    const { lambda = 1, structures } = structure.power;
    const power = graph.labelled('power', () => powerOf(network, structure.power));
    graph.output('power', power);
    const counted = graph.labelled('power', () => countedPower(network, structure, power));
    const costing = (sum: Value, beta: number) =>
      graph.labelled('loss', () => graph.apply1('add', [sum, counted], { alpha: 1, beta }));
    // Every device knows the whole power: what it adds to the sum of all is its part.
    objective = costing(lowered, lambda / replicas);
    whole = (sum) => (replicas === 1 ? objective : costing(sum, lambda));
    const thetas = structures.map((one) => thetaOf(graph, one.theta, one.structure));
    const { weightDecay } = structure;
    const bound = boundOfTheta(structure.power, learning);
    groups.push({ variables: thetas, rate: THETA_RATE, optimizer, momentum, beta2, weightDecay, bound });
  }
  const { clipGradient, average = 0 } = learning;
  const logitsGradient = appendUpdates(objective, groups, {
    ...{ clipGradient, manners, buckets, by: network.logits?.values },
    ...recomputed(recompute, layers.blocks),
  });
  const sumOf = (part: Value) => buckets.sumOf(part);
  assignMeans(sumOf);
  graph.output('objective', whole(sumOf(lowered)));
  outputFigures(graph, { loss: sumOf(loss), metrics: mapRecord(figures.metrics, sumOf) });
  if (average > 0) appendAverages(graph, new Set(structure?.power.structures.map(({ theta }) => theta)));
  requireWhole(graph, parted);
  return { ...network, lowered, given, logitsGradient };
}

const isLearnedStep = (arithmetic: Arithmetic): arithmetic is QuantizedArithmetic =>
  arithmetic.kind === 'quantized' && arithmetic.quantizer === 'steps';

/** The products of the layers: most of a step's work, and a part of its memory. */
const PRODUCTS = ['conv2d', 'axmConv2d'] as const;

const recomputed = (recompute: Recompute, blocks: readonly string[]) =>
  recompute === false ? {} : { recompute: blocks, kept: recompute === 'light' ? PRODUCTS : [] };

/**
 * Blocks of the network, and what a step's intermediate values take where they are kept and where they are computed
 * again, in bytes.
 */
export function recomputation<M extends string>(
  { recompute = true, ...options }: Omit<StepOptions<M>, 'session'>,
  feed: Feed,
  batchSize: number,
  replicas = 1,
): { readonly blocks: number; readonly kept: number; readonly recomputed: number } {
  const [kept, recomputed] = [false, recompute].map((how) =>
    trainingStep({ ...options, recompute: how }, feed, batchSize, replicas),
  );
  return {
    blocks: kept!.layers.blocks.length,
    kept: plan(kept!.graph).arenaBytes,
    recomputed: plan(recomputed!.graph).arenaBytes,
  };
}

/** The savings of a structure in the graph: fixed by the analytic model, else those of the tangent. */
function savingsIn(graph: Graph, power: PowerTerm, learned: LearnedStructure): Value {
  const { theta, structure } = learned;
  const { count } = structure;
  if (isFitted(power)) return graph.variable(savingsName(theta), [count]);
  return graph.constant(f32([count], savings(power, learned, [])));
}

/** 1 − Σ savings · clamp(θ), or the tangent of a fitted model: a scalar of the graph. */
function powerOf({ graph }: Pick<BuiltNetwork, 'graph'>, power: PowerTerm) {
  const saved = power.structures.map((learned) => {
    const values = clampedTheta(graph, learned.theta, learned.structure);
    return graph.apply1('dot', [values, savingsIn(graph, power, learned)], {});
  });
  const total = saved.reduce((sum, term) => graph.apply1('add', [sum, term], { alpha: 1, beta: 1 }));
  if (!isFitted(power)) return graph.apply1('affine', [total], { scale: -1, offset: 1 });
  return graph.apply1('add', [graph.variable(WHOLE_POWER, []), total], { alpha: 1, beta: -1 });
}

/** Power as the loss counts it: with what pushes θ to 0 and 1, and times λ where that is an input. */
function countedPower<M extends string>(
  network: BuiltNetwork<M>,
  { power: term, harden }: NonNullable<StepOptions['structure']>,
  power: Value,
): Value {
  const { graph } = network;
  const counted = harden ? pushed(network, term, power) : power;
  return term.lambda === undefined ? graph.apply1('scaleBy', [counted, graph.input(LAMBDA, [])], {}) : counted;
}

/** power + push · Σ savings · θ(1 − θ): θ that are neither 0 nor 1 cost more than their power. */
function pushed({ graph }: Pick<BuiltNetwork, 'graph'>, term: PowerTerm, power: Value): Value {
  const undecided = term.structures.map((learned) => {
    const { count } = learned.structure;
    const values = clampedTheta(graph, learned.theta, learned.structure);
    const theta = input(0);
    const open = graph.apply1('formula', [values], {
      ...{ name: 'undecided θ', shape: [count] },
      outputs: [{ of: theta.times(constant(1).minus(theta)), per: 'element' }],
    });
    return graph.apply1('dot', [open, savingsIn(graph, term, learned)], {});
  });
  const total = undecided.reduce((sum, term) => graph.apply1('add', [sum, term], { alpha: 1, beta: 1 }));
  return graph.apply1('add', [power, graph.apply1('scaleBy', [total, graph.input(PUSH, [])], {})], {
    ...{ alpha: 1, beta: 1 },
  });
}

/** θ of each structure as the network uses it, and the power they give. */
export async function readStructures(session: Session, term: PowerTerm) {
  const theta: Record<string, number[]> = {};
  for (const { theta: name } of term.structures) theta[name] = clampTheta((await session.read(name)).data);
  return {
    theta,
    power: powerAt(
      term,
      term.structures.map((learned) => theta[learned.theta]!),
    ),
  };
}

/** Sets θ of each structure, one list for each. */
export function writeStructures(session: Session, term: PowerTerm, thetas: readonly (readonly number[])[]): void {
  term.structures.forEach(({ theta }, at) => {
    session.write(theta, f32([thetas[at]!.length], thetas[at]!));
  });
}

/** The power of values of θ, in [0, 1], one list for each structure. */
export function powerAt(term: PowerTerm, thetas: readonly (readonly number[])[]): number {
  const { model = 'analytic', structures } = term;
  if (model !== 'analytic') {
    return structures.reduce(
      (sum, { structure, share }, at) =>
        sum + (share * modelledPower(model, structure, thetas[at]!)) / modelledExactPower(model, structure),
      0,
    );
  }
  return structures.reduce((left, learned, structure) => {
    const saved = savings(term, learned, []);
    return left - thetas[structure]!.reduce((sum, value, at) => sum + value * saved[at]!, 0);
  }, 1);
}
