// Reverse-mode differentiation of a graph: a table with one rule per operation, and the walk that applies it. The
// gradient is more nodes of the same graph, under the label of what they differentiate. An operation without a rule
// throws its name. Rules that are not the derivative of what the operation computes (straight-through estimators) say
// so; the finite-difference test checks those against the surrogate that is named here.

import { UserError } from '../../tensor/errors.ts';
import { f32, sizeOf } from '../../tensor/tensor.ts';
import { constant, input, squareRoot, whereGreater } from './expression.ts';
import { formulaGradient } from './formula-gradient.ts';
import { concerning, type Graph, type Node, type Value } from './graph.ts';
import { apart } from './movement.ts';
import type { OpAttributes, OpName, Transposed } from './ops.ts';
import { Recomputation } from './recompute.ts';
import { isRename } from './renames.ts';
import { convGeometryOf } from './window.ts';

type Cotangents = readonly (Value | undefined)[];
/**
 * `wanted[i]`: whether the gradient of input i is asked for, where a rule can save work by knowing; `isTarget`: whether
 * it is that of a value itself that is asked for, not only of what the value depends on.
 */
type Rule<K extends OpName> = (
  node: Node<K>,
  cotangents: Cotangents,
  graph: Graph,
  wanted: readonly boolean[],
  isTarget: (value: Value) => boolean,
) => (Value | undefined)[];

const addition: OpAttributes['add'] = { alpha: 1, beta: 1 };

/** The rules that exist; gradient operations themselves are not differentiated a second time. */
export const gradientRules: { readonly [K in OpName]?: Rule<K> } = {
  formula: formulaGradient,
  move: (node, [g], graph, wanted) => movementGradient(node, g!, graph, wanted),
  allReduce: allReduceGradient,
  add: ({ attributes: { alpha, beta } }, [g], graph) => [scaled(graph, g!, alpha), scaled(graph, g!, beta)],
  affine: ({ attributes: { scale } }, [g], graph) => [scaled(graph, g!, scale)],
  scaleBy: ({ inputs: [x, s] }, [g], graph) => [
    graph.apply1('scaleBy', [g!, s!], {}),
    graph.apply1('dot', [g!, x!], {}),
  ],
  dot: ({ inputs: [a, b] }, [g], graph) => [
    graph.apply1('scaleBy', [b!, g!], {}),
    graph.apply1('scaleBy', [a!, g!], {}),
  ],
  broadcast: (_, [g], graph) => [graph.apply1('sum', [g!], {})],
  reshape: ({ inputs: [x] }, [g], graph) => [graph.apply1('reshape', [g!], { shape: x!.shape })],
  stopGradient: () => [undefined],
  /** The same elements, drawn again. */
  dropout: ({ inputs: [, key], attributes }, [g], graph) => [
    graph.apply1('dropout', [g!, key!], attributes),
    undefined,
  ],
  relu: ({ outputs: [y], attributes }, [g], graph) => [graph.apply1('reluGradient', [g!, y!], attributes)],
  /** Surrogate: the identity. */
  clampStraightThrough: (_, [g]) => [g],
  gatherImages: () => [undefined, undefined],
  /** Of batches of images, which no parameter is before. */
  mixImages: () => [undefined, undefined, undefined],
  imageToFloat: () => [undefined],
  bias: (_, [g], graph) => [g, graph.apply1('channelSum', [g!], {})],
  /** g repeated over the sum's operand, times the other factor where there is one. */
  repeatSum: ({ inputs, attributes: { scale } }, [g], graph) =>
    inputs.map(({ shape }, index) => {
      const other = inputs.length > 1 ? [inputs[1 - index]!] : [];
      const of = other.length > 0 ? input(0).times(scale).times(input(1)) : input(0).times(scale);
      const attributes = { name: 'repeatSum gradient', shape, outputs: [{ of, per: 'element' }] } as const;
      return graph.apply1('formula', [g!, ...other], attributes);
    }),
  conv2d: ({ inputs: [x, w], attributes }, [g], graph) => [
    graph.apply1('conv2dInputGradient', [g!, w!], { ...attributes, inputShape: x!.shape }),
    graph.apply1('conv2dWeightGradient', [x!, g!], { ...attributes, weightShape: w!.shape }),
  ],
  /** With y = a·b: da = g·bᵀ, db = aᵀ·g, and the same with either operand transposed. */
  matrixProduct: ({ inputs: [a, b], attributes: { transposed, scale } }, [g], graph, wanted) => {
    const product = (left: Value, right: Value, transposed: Transposed) =>
      graph.apply1('matrixProduct', [left, right], { transposed, scale });
    const rules = {
      none: [() => product(g!, b!, 'second'), () => product(a!, g!, 'first')],
      first: [() => product(b!, g!, 'second'), () => product(a!, g!, 'none')],
      second: [() => product(g!, b!, 'none'), () => product(g!, a!, 'first')],
    } as const;
    return rules[transposed].map((rule, index) => (wanted[index] ? rule() : undefined));
  },
  gatherRows: ({ inputs: [x], attributes: { index } }, [g], graph) => [
    graph.apply1('gatherRowsGradient', [g!], { index, count: x!.shape[0]! }),
  ],
  batchNorm: ({ inputs: [x, gamma], outputs: [, mean, variance], attributes }, [g, gMean, gVariance], graph) => {
    const [dx, dgamma, dbeta] = g
      ? graph.apply('batchNormGradient', [g, x!, gamma!, mean!, variance!], attributes)
      : [];
    if (!gMean && !gVariance) return [dx, dgamma, dbeta];
    const ofStatistics = statisticsGradient(graph, x!, mean!, gMean, gVariance);
    return [dx ? graph.apply1('add', [dx, ofStatistics], addition) : ofStatistics, dgamma, dbeta];
  },
  /** With s = 1/√(variance + ε): dx = g·gamma·s, dmean = −gamma·s·dbeta, dvariance = −gamma·s²·dgamma/2. */
  batchNormInference: ({ inputs: [x, gamma, , mean, variance], attributes }, [g], graph) => {
    const [, dgamma, dbeta] = graph.apply('batchNormGradient', [g!, x!, gamma!, mean!, variance!], attributes);
    const inverse = (of: number) => constant(1).over(squareRoot(input(of).plus(attributes.epsilon)));
    const dx = graph.apply1('formula', [g!, gamma!, variance!], {
      ...{ name: 'batchNormInference gradient', shape: x!.shape },
      outputs: [{ of: input(0).times(input(1).times(inverse(2))), per: 'element' }],
    });
    const slope = input(0).times(inverse(3)).negated();
    const ofStatistics = graph.apply('formula', [gamma!, dbeta!, dgamma!, variance!], {
      ...{ name: 'statistics gradient', shape: mean!.shape },
      outputs: [
        { of: slope.times(input(1)), per: 'element' },
        { of: slope.times(inverse(3)).times(input(2)).times(0.5), per: 'element' },
      ],
    });
    return [dx, dgamma, dbeta, ...ofStatistics];
  },
  maxPool: ({ inputs: [x], attributes }, [g], graph) => [graph.apply1('maxPoolGradient', [g!, x!], attributes)],
  averagePool: ({ inputs: [x], attributes }, [g], graph) => [
    graph.apply1('averagePoolGradient', [g!], { ...attributes, inputShape: x!.shape }),
  ],
  softmaxCrossEntropy: ({ inputs: [, labels], outputs: [, probabilities], attributes }, [g], graph) => [
    graph.apply1('softmaxCrossEntropyGradient', [g!, probabilities!, labels!], attributes),
    undefined,
  ],
  minMax: ({ inputs: [x], outputs: [min, max], attributes }, [gMin, gMax], graph) => [
    graph.apply1('minMaxGradient', [gMin ?? zerosLike(graph, min!), gMax ?? zerosLike(graph, max!), x!, min!, max!], {
      granularity: attributes.granularity,
    }),
  ],
  clipScale: ({ inputs, attributes }, [gScale], graph) => [
    ...graph.apply('clipScaleGradient', [gScale!, ...inputs], attributes),
  ],
  /**
   * Surrogate: rounding is the identity; g is the gradient of the dequantised codes. A value inside the range stays
   * where it is when the zero point moves, one that is clamped moves by −scale. Zero points of channels are constants.
   */
  quantize: ({ inputs, attributes }, [g], graph, wanted) => {
    const [dx, dscale] = graph.apply('quantizeGradient', [g!, ...inputs], attributes);
    if (!wanted[2] || attributes.granularity === 'channel') return [dx, dscale];
    const [inside, all] = [dx!, g!].map((value) => graph.apply1('sum', [value], {}));
    const clamped = graph.apply1('add', [inside!, all!], { alpha: 1, beta: -1 });
    return [dx, dscale, graph.apply1('scaleBy', [clamped, inputs[1]!], {})];
  },
  /** Codes take the gradient of their dequantised value; scale and zero point get theirs where the codes were made. */
  dequantize: (_, [g]) => [g],
  /**
   * Surrogate for the operands: the exact product of the dequantised operands, or, where the error's slopes are given,
   * that product and an error with these slopes at the codes q = v/scale + zero. The structure has its true derivative,
   * and so have the scales that multiply the error: Σ g·(y − exact)/scale, where Σ g·exact per channel is Σ dw·w
   * because the product is linear in w, and Σ g·y is known in front of a batch norm. With slopes a scale also moves the
   * codes, ∂q/∂scale = −v/scale²: less Σ v·dv/scale with dv what the operand v got through the error. Slopes by codes
   * move the other operand: the sums are those of exact products with it.
   */
  axmConv2d: (node, [g], graph, wanted, isTarget) => {
    const [xq, wq, xScale, xZero, wScale, wZero, m, weightSlopes, activationSlopes] = node.inputs;
    const { weightBits, activationBits, error } = node.attributes;
    const geometry = convGeometryOf(node.attributes);
    const x = graph.apply1('dequantize', [xq!, xScale!, xZero!], { granularity: 'tensor' });
    const w = graph.apply1('dequantize', [wq!, wScale!, wZero!], { granularity: 'channel' });
    if (weightSlopes?.shape.length === 1) return throughRows(weightSlopes, activationSlopes!);
    const dx = inputGradient(w);
    const [dw, dm] = wanted[6] ? ofStructure() : [weightGradient(x)];
    if (error.kind === 'none') return [dx, dw];
    if (!weightSlopes || !activationSlopes) {
      const ofError = dotDifference(dw!, w);
      return [dx, dw, over(sum(ofError), xScale!), undefined, over(ofError, wScale!), undefined, dm];
    }
    const slopes = { ...geometry, weightBits, activationBits };
    const dwError = graph.apply1('axmErrorWeightGradient', [g!, xq!, wq!, xScale!, weightSlopes], slopes);
    const dxError = graph.apply1('axmErrorInputGradient', [g!, xq!, wq!, wScale!, activationSlopes], slopes);
    const dwWhole = add(dw!, dwError, 1);
    const ofWeightScales = dotDifference(dwWhole, w);
    const ofError = add(sum(ofWeightScales), dot(dwError, w), 1);
    const dxScale = over(add(ofError, dot(dxError, x), -1), xScale!);
    return [add(dx, dxError, 1), dwWhole, dxScale, undefined, over(ofWeightScales, wScale!), undefined, dm];

    function ofStructure(): readonly Value[] {
      const operands = [g!, xq!, wq!, xScale!, xZero!, wScale!];
      const index = indexReadBy(m!, isTarget);
      const attributes = { ...geometry, weightBits, activationBits, ...(index && { index }) };
      return graph.apply('axmConv2dGradients', operands, attributes);
    }
    /** With Σ dx·x in place of what x got through the error: less Σ g·exact, which is Σ dw·w less w's share. */
    function throughRows(ofActivations: Value, ofWeights: Value): (Value | undefined)[] {
      const dx = inputGradient(moved(w, wq!, ofWeights, wScale!));
      const dw = weightGradient(movedOfTensor(xq!, ofActivations, xScale!, xZero!));
      const ofWeightScales = dotDifference(dw, w);
      const ofInputScale = add(sum(ofWeightScales), add(dot(dw, w), dot(dx, x), -1), 1);
      return [dx, dw, over(ofInputScale, xScale!), undefined, over(ofWeightScales, wScale!), undefined];
    }
    /** value + scale·slopes[code] */
    function moved(value: Value, codes: Value, slopes: Value, scale: Value): Value {
      const slope = graph.apply1('lookUp', [codes, slopes], {});
      const of = input(0).plus(input(2).times(input(1)));
      const attributes = { name: 'moved operand', shape: value.shape, outputs: [{ of, per: 'element' }] } as const;
      return graph.apply1('formula', [value, slope, scale], attributes);
    }
    /** The same of codes that have one scale: a value for each code, looked up in one pass. */
    function movedOfTensor(codes: Value, slopes: Value, scale: Value, zero: Value): Value {
      const { shape } = slopes;
      const every = graph.constant(
        f32(
          shape,
          Float32Array.from({ length: shape[0]! }, (_, code) => code),
        ),
      );
      const value = input(0).minus(input(3)).times(input(2));
      const of = value.plus(input(2).times(input(1)));
      const attributes = { name: 'moved operand', shape, outputs: [{ of, per: 'element' }] } as const;
      const table = graph.apply1('formula', [every, slopes, scale, zero], attributes);
      return graph.apply1('lookUp', [codes, table], {});
    }
    /** Σ g·y − Σ a·b per channel. */
    function dotDifference(a: Value, b: Value): Value {
      const y = node.outputs[0]!;
      return graph.apply1('channelDotDifference', [...(dotBeforeNorm(graph, g!, y) ?? [g!, y]), a, b], {});
    }
    function inputGradient(weight: Value): Value {
      return graph.apply1('conv2dInputGradient', [g!, weight], { ...geometry, inputShape: xq!.shape });
    }
    function weightGradient(input: Value): Value {
      return graph.apply1('conv2dWeightGradient', [input, g!], { ...geometry, weightShape: wq!.shape });
    }
    function sum(value: Value): Value {
      return graph.apply1('sum', [value], {});
    }
    function dot(a: Value, b: Value): Value {
      return graph.apply1('dot', [a, b], {});
    }
    function over(a: Value, b: Value): Value {
      return graph.apply1('divide', [a, b], {});
    }
    function add(a: Value, b: Value, beta: number): Value {
      return graph.apply1('add', [a, b], { alpha: 1, beta });
    }
  },
  structureMatrix: ({ inputs: [theta], attributes }, [g], graph) => [
    graph.apply1('structureMatrixGradient', [g!], { ...attributes, count: theta!.shape[0]! }),
  ],
};

/**
 * Which parameter each entry of a structure matrix reads, where its gradient goes on to the parameters alone; undefined
 * of a matrix that is made otherwise, or whose own gradient is asked for.
 */
function indexReadBy(m: Value, isTarget: (value: Value) => boolean): readonly number[] | undefined {
  const { source } = m;
  if (isTarget(m) || source.kind !== 'node') return undefined;
  if (isRename(source.node)) return indexReadBy(source.node.inputs[0]!, isTarget);
  return source.node.op === 'structureMatrix'
    ? (source.node as Node as Node<'structureMatrix'>).attributes.index
    : undefined;
}

/**
 * Two factors per channel whose product is Σ g·x where g is the gradient of a batch norm's operand x, without a pass
 * over either. With s = 1/√(variance + ε): g = gamma·s·(h − mean(h) − x̂·mean(h·x̂)), where Σ h·x̂ is dgamma and
 * Σ x̂² = n·variance·s², so Σ g·x = gamma·dgamma·(1 − variance·s²) = gamma·dgamma·ε/(variance + ε). That is next to
 * nothing, for the norm takes all scales out; a sum over elements has rounding errors in its place.
 */
function dotBeforeNorm(graph: Graph, g: Value, x: Value): readonly [Value, Value] | undefined {
  if (g.source.kind !== 'node' || g.source.index !== 0 || g.source.node.op !== 'batchNormGradient') return undefined;
  const { inputs, outputs, attributes } = g.source.node as Node as Node<'batchNormGradient'>;
  const [, of, gamma, mean, variance] = inputs;
  if (of !== x || !isMeanOf(x, mean!)) return undefined;
  const { epsilon } = attributes;
  const left = input(0).times(constant(epsilon).over(input(1).plus(epsilon)));
  const factor = graph.apply1('formula', [outputs[1]!, variance!], {
    ...{ name: 'scale behind a norm', shape: variance!.shape },
    outputs: [{ of: left, per: 'element' }],
  });
  return [gamma!, factor];
}

/** Whether a mean is that of the batch x itself: a batch norm with statistics from elsewhere passes scales on. */
function isMeanOf(x: Value, { source }: Value): boolean {
  return source.kind === 'node' && source.node.op === 'batchNorm' && source.node.inputs[0] === x;
}

/** What x gets through the mean and the biased variance of each of its channels: (gMean + 2·gVariance·(x − mean))/n. */
function statisticsGradient(
  graph: Graph,
  x: Value,
  mean: Value,
  gMean: Value | undefined,
  gVariance: Value | undefined,
): Value {
  const [ofMean, ofVariance] = [gMean ?? zerosLike(graph, mean), gVariance ?? zerosLike(graph, mean)];
  const count = sizeOf(x.shape) / sizeOf(mean.shape);
  const of = input(2)
    .plus(
      input(3)
        .times(2)
        .times(input(0).minus(input(1))),
    )
    .over(count);
  const attributes = { name: 'statistics gradient', shape: x.shape, outputs: [{ of, per: 'element' }] } as const;
  return graph.apply1('formula', [x, mean, ofMean, ofVariance], attributes);
}

/** Boxes of a movement that was made of several: each has blocks, and text, of its own. */
const MOST_BOXES = 16;

function scaled(graph: Graph, value: Value, factor: number): Value {
  return factor === 1 ? value : graph.apply1('affine', [value], { scale: factor, offset: 0 });
}

function zerosLike(graph: Graph, value: Value): Value {
  return graph.apply1('affine', [value], { scale: 0, offset: 0 });
}

export interface GradientOptions {
  /** Blocks whose values are not kept for the backward pass but computed again in it, by label: see ./recompute.ts. */
  readonly recompute?: readonly string[];
  /** Operations in such blocks whose results are kept all the same; default: none. */
  readonly kept?: readonly OpName[];
  /** Called with a target and its gradient as soon as that is whole, while the backward pass is being appended. */
  readonly onWhole?: (target: Value, gradient: Value) => void;
}

/**
 * Appends to the graph the gradient of a scalar with respect to the given values (f32 [] → one value of each target's
 * shape, undefined where the scalar does not depend on the target). Only what lies between the targets and the scalar
 * is differentiated.
 */
export function gradients(
  scalar: Value,
  targets: readonly Value[],
  { recompute = [], kept = [], onWhole }: GradientOptions = {},
): (Value | undefined)[] {
  const graph = scalar.graph;
  const recomputation = new Recomputation(graph, recompute, kept);
  const depends = dependents(graph, targets);
  const asked = new Set(targets);
  const cotangents = new Map<Value, Value>([[scalar, graph.scalar(1)]]);
  const wholeBehind = firstReaders(graph, targets);
  const tellWhole = (node: Node) => {
    for (const target of wholeBehind.get(node) ?? []) {
      const gradient = cotangents.get(target);
      if (gradient) onWhole?.(target, gradient);
    }
  };
  for (const node of graph.nodes.slice().reverse()) {
    if (node.outputs.some((output) => cotangents.has(output)) && node.inputs.some((input) => depends.has(input)))
      differentiate(node);
    tellWhole(node);
  }
  return targets.map((target) => cotangents.get(target));

  function differentiate(node: Node): void {
    const given = node.outputs.map((output) => cotangents.get(output));
    const wanted = node.inputs.map((input) => depends.has(input));
    const seen = recomputation.seenBackward(node);
    graph.labelled(node.label, () => {
      const results = applyRule(seen, given, graph, wanted, (value) => asked.has(value));
      node.inputs.forEach((input, index) => {
        const result = results[index];
        if (!result || !wanted[index]) return;
        const sum = cotangents.get(input);
        cotangents.set(input, sum ? sumOf(graph, sum, result) : result);
      });
    });
  }
}

/** The targets that a node is the first to read: behind it, going backward, nothing is added to their gradients. */
function firstReaders(graph: Graph, targets: readonly Value[]): ReadonlyMap<Node, readonly Value[]> {
  const left = new Set(targets);
  const found = new Map<Node, Value[]>();
  for (const node of graph.nodes) {
    const own = node.inputs.filter((input) => left.delete(input));
    if (own.length > 0) found.set(node, own);
  }
  return found;
}

/** Two movements to different places, as of the gradients of slices, are one: nothing is to be added there. */
function sumOf(graph: Graph, a: Value, b: Value): Value {
  const [first, second] = [movementOf(a), movementOf(b)];
  if (first && second) {
    const behind = second.boxes.map((box) => ({ ...box, input: box.input + first.inputs.length }));
    const boxes = [...first.boxes, ...behind];
    if (boxes.length <= MOST_BOXES && apart(a.shape, boxes)) {
      const attributes = { name: first.name, shape: a.shape, boxes };
      return graph.apply1('move', [...first.inputs, ...second.inputs], attributes);
    }
  }
  return graph.apply1('add', [a, b], addition);
}

function movementOf({ source }: Value) {
  if (source.kind !== 'node' || source.node.op !== 'move') return undefined;
  return { ...(source.node as Node as Node<'move'>).attributes, inputs: source.node.inputs };
}

function applyRule(
  node: Node,
  cotangents: Cotangents,
  graph: Graph,
  wanted: readonly boolean[],
  isTarget: (value: Value) => boolean,
): (Value | undefined)[] {
  const rule = gradientRules[node.op] as Rule<OpName> | undefined;
  return concerning(node, () => {
    if (!rule)
      throw new UserError(`no gradient rule for the operation ${node.op}; add one to src/engine/graph/gradients.ts`);
    return rule(node, cotangents, graph, wanted, isTarget);
  });
}

/**
 * What is differentiated is the sum of the replicas' scalars, each a part of the whole: what a result contributes to
 * it, it contributes on every replica. That of an extreme goes to the replicas that have it, shared evenly.
 */
function allReduceGradient(
  { inputs, outputs, attributes: { kind } }: Node<'allReduce'>,
  cotangents: Cotangents,
  graph: Graph,
): (Value | undefined)[] {
  if (graph.replicas === 1) return [...cotangents];
  const given = cotangents.flatMap((g, index) => (g ? [{ g, index }] : []));
  const attained = given.map(({ index }) => {
    const [x, y] = [input(0), input(1)];
    const of = whereGreater(x, y, 0, whereGreater(y, x, 0, 1));
    const shape = outputs[index]!.shape;
    const formula = { name: 'extreme attained', shape, outputs: [{ of, per: 'element' }] } as const;
    return kind === 'min' || kind === 'max'
      ? [graph.apply1('formula', [inputs[index]!, outputs[index]!], formula)]
      : [];
  });
  const reduced = graph.reduced('sum', [...given.map(({ g }) => g), ...attained.flat()]);
  const found: (Value | undefined)[] = cotangents.map(() => undefined);
  given.forEach(({ index }, at) => {
    const [own] = attained[at]!;
    const g = scaled(graph, reduced[at]!, kind === 'mean' ? 1 / graph.replicas : 1);
    const of = input(0).times(input(1)).over(input(2));
    const formula = { name: 'extreme gradient', shape: g.shape, outputs: [{ of, per: 'element' }] } as const;
    found[index] = own ? graph.apply1('formula', [g, own, reduced[given.length + at]!], formula) : g;
  });
  return found;
}

/** All values that depend on one of the targets, the targets included. */
function dependents(graph: Graph, targets: readonly Value[]): Set<Value> {
  const found = new Set(targets);
  for (const node of graph.nodes) {
    if (node.inputs.some((input) => found.has(input))) for (const output of node.outputs) found.add(output);
  }
  return found;
}

/** Boxes go back the way they came. */
function movementGradient(
  { inputs, attributes: { name, boxes } }: Node<'move'>,
  g: Value,
  graph: Graph,
  wanted: readonly boolean[],
): (Value | undefined)[] {
  return inputs.map(({ shape }, index) => {
    const own = boxes.filter(({ input }) => input === index);
    if (!wanted[index] || own.length === 0) return undefined;
    const back = own.map(({ extents, from, to }) => ({ input: 0, extents, from: to, to: from }));
    return graph.apply1('move', [g], { name: `${name} gradient`, shape, boxes: back });
  });
}
