// Quantised multiplication of a layer: both operands become codes, the product is that of the layer's multiplier. Three
// modes make three graphs of the same network: `calibrate` finds ranges in one pass (min-max, then the MSE clip
// search), `train` learns them, `evaluate` uses what is stored. What is learnt is the quantiser's choice: with `clips`
// factors of the ranges (weights: minimum and maximum of each step, activations: moving average), with `steps` the
// stored scales themselves (./steps.ts), so that training computes with what evaluation does.
// A range holds 0 unless the published observers are asked for: then every zero point is a code, and nothing is clamped
// away.
// All state lives in variables named `<layer>.<what>`; see `stateName`.

import type { Graph, Node, Value } from '../engine/graph/graph.ts';
import type { Granularity, OperandWidths } from '../engine/graph/ops.ts';
import type { Multiplier } from '../multiplier/multiplier.ts';
import type { WeightCodeChoice } from '../multiplier/weight-codes.ts';
import type { Multiply, MultiplyingLayer } from '../nn/layers.ts';
import { invariant } from '../tensor/errors.ts';
import { sizeOf } from '../tensor/tensor.ts';
import { nodeError } from './products.ts';
import { heldBack } from './steps.ts';
import { codesName, exchangeCodes } from './weight-codes.ts';

export type QuantMode = 'calibrate' | 'train' | 'evaluate';

/**
 * What the observers take for the range of values: their extremes and 0, or the extremes alone as the published program
 * does.
 */
export const rangeNames = ['with-zero', 'as-observed'] as const;
export type RangeName = (typeof rangeNames)[number];

/**
 * What a quantiser learns: factors of the observed ranges (OmniQuant's learned clipping, as published), or the size of
 * its step (LSQ, Esser et al., 2020).
 */
export const quantizerNames = ['clips', 'steps'] as const;
export type QuantizerName = (typeof quantizerNames)[number];

export interface QuantOptions {
  readonly mode: QuantMode;
  /** Default: clips. */
  readonly quantizer?: QuantizerName;
  /** Default: with-zero. */
  readonly range?: RangeName;
  /** Weights: one scale per output channel, or one per layer. */
  readonly channelwise: boolean;
  readonly widthsOf: (layer: MultiplyingLayer) => OperandWidths;
  readonly multiplierOf: (layer: MultiplyingLayer) => Multiplier;
  /** What weights are stored as under a multiplier that is not exact; default: nearest. */
  readonly weightCodes?: WeightCodeChoice;
}

/** Clip search of the published MSE observer: 80 candidates, 1 % apart, |x − x_fq|^2.4. */
export const CLIP_SEARCH = { steps: 80, shrink: 0.01, exponent: 2.4 } as const;
/** Share of the new observation in the moving average of activation ranges. */
export const RANGE_MOMENTUM = 0.1;

export type OperandName = 'weight' | 'input';
export type StateName = 'scale' | 'zero_point' | 'min' | 'max' | 'clip_upper' | 'clip_lower';

/** What a quantiser stores: what its codes follow from, and the ranges behind that where clips are learnt. */
export const statesOf = (quantizer: QuantizerName, operand: OperandName): readonly StateName[] => {
  if (quantizer === 'steps') return ['scale', 'zero_point'];
  const clips = ['scale', 'zero_point', 'clip_upper', 'clip_lower'] as const;
  // Extremes of weights are taken anew in each step.
  return operand === 'weight' ? clips : [...clips, 'min', 'max'];
};

/** The variable of a layer's quantiser state. */
export function stateName(layer: string, operand: OperandName, state: StateName): string {
  return `${layer}.${operand}_${state}`;
}

/** The trainable clip factors of the layers, for the optimiser. */
export function clipVariables(graph: Graph, layers: readonly MultiplyingLayer[]): Value[] {
  const names = layers.flatMap(({ name }) =>
    (['weight', 'input'] as const).flatMap((operand) =>
      (['clip_upper', 'clip_lower'] as const).map((state) => stateName(name, operand, state)),
    ),
  );
  return names.map((name) => graph.variables.get(name)).filter((value) => value !== undefined);
}

/** u = logit of the clip factor f that the search found: ln(f / (1 − f + 1e-5)). */
export function clipLogit(factor: number): number {
  return Math.log(factor / (1 - factor + 1e-5));
}

interface Codes {
  readonly codes: Value;
  readonly scale: Value;
  readonly zero: Value;
}

/** A `Multiply` that quantises both operands and multiplies codes. */
export function multiplyQuantized(options: QuantOptions): Multiply {
  const seen: Extremes = new WeakMap();
  return (layer, x, weight) => {
    const { graph } = x;
    const { mode, range = 'with-zero', quantizer = 'clips' } = options;
    const widths = options.widthsOf(layer);
    const { weightBits, activationBits } = widths;
    const isStored = mode === 'evaluate' || (mode === 'train' && quantizer === 'steps');
    const observe = { mode: isStored ? 'evaluate' : mode, holdsZero: range === 'with-zero', seen } as const;
    const granularity: Granularity = options.channelwise ? 'channel' : 'tensor';
    const input = operandCodes(graph, observe, layer.name, 'input', x, activationBits, 'tensor');
    const weights = operandCodes(graph, observe, layer.name, 'weight', weight, weightBits, granularity);
    const perOutput = (value: Value) =>
      sizeOf(value.shape) === 1 && value.shape.length === 0
        ? graph.apply1('broadcast', [value], { count: weight.shape[3]! })
        : value;
    const multiplier = options.multiplierOf(layer);
    const { error, inputs } = nodeError(graph, multiplier, widths, mode === 'train');
    const learnsSteps = mode === 'train' && quantizer === 'steps' && error.kind !== 'none';
    const scaleOf = ({ codes, scale }: Codes) => {
      const { source } = codes;
      return learnsSteps && source.kind === 'node' ? heldBack(scale, source.node as Node as Node<'quantize'>) : scale;
    };
    const { codes, scale, zero } = weights;
    const stored =
      error.kind !== 'none' && options.weightCodes === 'best'
        ? exchangeCodes(graph, codes, {
            ...{ table: codesName(layer.name, multiplier), bits: weightBits, granularity, scale, zero },
            scaleOfDifference: scaleOf(weights),
          })
        : codes;
    const operands = [
      input.codes,
      stored,
      scaleOf(input),
      input.zero,
      perOutput(scaleOf(weights)),
      perOutput(weights.zero),
    ];
    const attributes = { ...layer.geometry, weightBits, activationBits, error };
    return graph.apply1('axmConv2d', [...operands, ...inputs], attributes);
  };
}

/** Of values that several layers take, as at the beginning of a block: the extremes over all devices. */
type Extremes = WeakMap<Value, readonly [Value, Value]>;

/** The extremes over all devices, in one reduction; no gradient goes there. */
function extremesOfAll(min: Value, max: Value): [Value, Value] {
  const { graph } = min;
  if (graph.replicas === 1) return [min, max];
  const negated = (value: Value) => graph.apply1('affine', [value], { scale: -1, offset: 0 });
  const [lowest, highest] = graph.reduced('min', [min, negated(max)]);
  return [lowest!, negated(highest!)];
}

function operandCodes(
  graph: Graph,
  { mode, holdsZero, seen }: { readonly mode: QuantMode; readonly holdsZero: boolean; readonly seen: Extremes },
  layer: string,
  operand: OperandName,
  x: Value,
  bits: number,
  granularity: Granularity,
): Codes {
  const shape = granularity === 'tensor' ? [] : [x.shape.at(-1)!];
  const state = (name: StateName, of: readonly number[] = shape) => graph.variable(stateName(layer, operand, name), of);
  const storedScale = state('scale');
  const storedZero = state('zero_point');
  const quantize = (scale: Value, zero: Value): Codes => ({
    codes: graph.apply1('quantize', [x, scale, zero], { bits, granularity }),
    scale,
    zero,
  });
  if (mode === 'evaluate') return quantize(storedScale, storedZero);

  const [scale, zero] =
    mode === 'calibrate'
      ? calibratedScale()
      : operand === 'weight'
        ? learnedScale(...extremes(x))
        : learnedScale(...movingRange());
  graph.assign(storedScale, scale!);
  graph.assign(storedZero, zero!);
  return quantize(scale!, zero!);

  function extremes(of: Value): [Value, Value] {
    const [min, max] = graph.apply('minMax', [of], { granularity, holdsZero });
    return [min!, max!];
  }

  function calibratedScale(): readonly Value[] {
    invariant(graph.replicas === 1, 'calibration searches clips over its whole batch');
    const [min, max] = extremes(x);
    const factor = graph.apply1('clipSearch', [x, min, max], { bits, granularity, ...CLIP_SEARCH });
    graph.output(stateName(layer, operand, 'clip_upper'), factor);
    if (operand === 'input') {
      graph.assign(state('min'), min);
      graph.assign(state('max'), max);
    }
    return graph.apply('rangeToScale', [min, max, factor], { bits });
  }

  function movingRange(): [Value, Value] {
    // The layer waits for what is reduced: no two ask for the same.
    const known = graph.replicas > 1 ? seen.get(x) : undefined;
    const [min, max] = known ?? extremesOfAll(...extremes(graph.apply1('stopGradient', [x], {})));
    seen.set(x, [min, max]);
    const moved = [state('min'), state('max')].map((running, at) => {
      const next = graph.apply1('add', [running, at === 0 ? min : max], {
        alpha: 1 - RANGE_MOMENTUM,
        beta: RANGE_MOMENTUM,
      });
      graph.assign(running, next);
      return next;
    });
    return [moved[0]!, moved[1]!];
  }

  function learnedScale(min: Value, max: Value): readonly Value[] {
    return graph.apply('clipScale', [min, max, state('clip_upper'), state('clip_lower')], { bits });
  }
}
