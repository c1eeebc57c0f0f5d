// Learned step sizes (LSQ, Esser et al., 2020; with an offset LSQ+, Bhalgat et al., 2020): the scales and zero points
// that quantisers have stored are themselves what learns, from the gradient of `quantize`. How they move keeps them
// what they must be: a scale changes by a factor and stays above 0, a zero point stays a code, with what is left of its
// way in a variable of the optimiser. To first order the moves are those of LSQ and LSQ+.
// Zero points of weights stay where calibration put them; so do those of activations that cannot be negative.

import { exp, input, maximum, minimum, nearest } from '../engine/graph/expression.ts';
import type { Node, Value } from '../engine/graph/graph.ts';
import type { OpName } from '../engine/graph/ops.ts';
import { SMALLEST_SCALE } from '../engine/reference/quantization.ts';
import { f32, sizeOf } from '../tensor/tensor.ts';

/** How a variable learns that is no plain number: a rule's change of it is turned into what it may be. */
export interface Manner {
  readonly variable: Value;
  /** What the rule sees for the gradient of the variable. */
  readonly gradient: (found: Value) => Value;
  /** Variables and what they become when the rule would add `change`. */
  readonly moved: (change: Value) => readonly (readonly [Value, Value])[];
}

/** A step of training changes no scale by a larger factor than exp of this, or its inverse. */
const LARGEST_CHANGE = 0.1;
/** The remainder of a zero point that has moved by a part of a code, −½ … ½, in a variable of this end. */
const REST = '#rest';

/** The scales and zero points that learn in a network built to train with the quantiser `steps`; `nodes`: its own. */
export function learnedSteps(nodes: readonly Node[], { holdsZero }: { readonly holdsZero: boolean }): Manner[] {
  const found = new Map<Value, Manner>();
  for (const node of nodes) {
    if (node.op !== 'quantize') continue;
    const quantizer = node as Node<OpName> as Node<'quantize'>;
    const [x, scale, zero] = quantizer.inputs as readonly [Value, Value, Value];
    if (scale.source.kind !== 'variable' || found.has(scale)) continue;
    const share = lsqShare(quantizer);
    found.set(scale, positive(scale, share));
    if (!isWeight(scale) && zero.source.kind === 'variable' && !isNonNegative(x)) {
      found.set(zero, wholeNumber(zero, scale, share, holdsZero ? 2 ** quantizer.attributes.bits - 1 : undefined));
    }
  }
  return [...found.values()];
}

const isWeight = ({ source }: Value): boolean => source.kind === 'variable' && source.name.endsWith('.weight_scale');

/** How many values have a step (of activations, those of one example), and the largest code beside the zero point. */
function served({ inputs: [x, scale], attributes: { bits, granularity } }: Node<'quantize'>) {
  const { shape } = x!;
  if (!isWeight(scale!)) return { count: sizeOf(shape) / shape[0]!, most: 2 ** bits - 1 };
  return { count: sizeOf(shape) / (granularity === 'channel' ? shape.at(-1)! : 1), most: 2 ** (bits - 1) - 1 };
}

/** The largest code up to which scales move as LSQ says, and as the error of a multiplier would have them. */
const FREE_CODES = 15;

/** (15/Q)^1.5 above so many codes: a move of share·∂L/∂(ln s)/s², with s a range over Q, is longer by the inverse. */
const heldBy = (most: number): number => Math.min(1, (FREE_CODES / most) ** 1.5);

/**
 * What the gradient of a step is multiplied with: 1/√(N·Q) as in LSQ, held back above FREE_CODES. With eight bits there
 * is next to nothing to gain by the size of a step, and steps that swing by a fifth, as they do at LSQ's share, move
 * the means of approximate products further than running statistics can follow (measured: docs/targets.md).
 */
function lsqShare(quantizer: Node<'quantize'>): number {
  const { count, most } = served(quantizer);
  return heldBy(most) / Math.sqrt(count * most);
}

/**
 * The scale as an approximate product reads it: the same value, whose gradient through the multiplier's error is held
 * back once more: rounding moves a scale either way, the error is a part of the layer's output that grows with ln s. Up
 * to four bits that is well (measured: docs/quantization.md).
 */
export function heldBack(scale: Value, quantizer: Node<'quantize'>): Value {
  const held = heldBy(served(quantizer).most);
  const { shape } = scale;
  const outputs = [{ of: input(0), per: 'element' }] as const;
  const attributes = { name: 'scale of a product', shape, outputs, gradient: [input(2).times(held)] };
  return held === 1 ? scale : scale.graph.apply1('formula', [scale], attributes);
}

/** The factor is a constant beside the value, so that the formulas of all layers have one kernel. */
const scaled = (value: Value, factor: number): Value =>
  value.graph.apply1('scaleBy', [value, value.graph.constant(f32([], [factor]))], {});

/** s ← s·exp(Δ/s): above 0 wherever Δ leads, and s + Δ where Δ is small. */
function positive(scale: Value, share: number): Manner {
  const [s, change] = [input(0), input(1)];
  const relative = minimum(maximum(change.over(s), -LARGEST_CHANGE), LARGEST_CHANGE);
  const of = maximum(s.times(exp(relative)), SMALLEST_SCALE);
  return {
    variable: scale,
    gradient: (found) => scaled(found, share),
    moved: (by) => [
      [
        scale,
        scale.graph.apply1('formula', [scale, by], {
          name: 'step size',
          shape: scale.shape,
          outputs: [{ of, per: 'element' }],
        }),
      ],
    ],
  };
}

/**
 * The lower end of the range is β = −zero·scale; a rule moves β as LSQ+ does, and the zero point goes as many whole
 * codes as that has come to. `most`: the largest code, where the zero point is to be one.
 */
function wholeNumber(zero: Value, scale: Value, share: number, most: number | undefined): Manner {
  const { graph, source } = zero;
  const name = source.kind === 'variable' ? source.name : '';
  const rest = graph.variable(`${name}${REST}`, []);
  const [z, r, s, change] = [input(0), input(1), input(2), input(3)];
  const wanted = r.minus(minimum(maximum(change.over(s), -1), 1));
  const codes = nearest(wanted);
  const moved = z.plus(codes);
  const outputs = [
    { of: most === undefined ? moved : minimum(maximum(moved, 0), most), per: 'element' },
    { of: wanted.minus(codes), per: 'element' },
  ] as const;
  const overScale = { name: 'zero point gradient', shape: [], outputs: [{ of: z.over(r), per: 'element' }] } as const;
  return {
    variable: zero,
    gradient: (found) => scaled(graph.apply1('formula', [found, scale], overScale), -share),
    moved: (by) => {
      const next = graph.apply('formula', [zero, rest, scale, by], { name: 'zero point', shape: [], outputs });
      return [
        [zero, next[0]!],
        [rest, next[1]!],
      ];
    },
  };
}

/** Whether a value cannot be negative, by how it was made. */
function isNonNegative({ source }: Value): boolean {
  if (source.kind !== 'node') return false;
  const { op, inputs } = source.node;
  if (op === 'relu') return true;
  const keepsSign = op === 'maxPool' || op === 'averagePool' || op === 'reshape' || op === 'move' || op === 'dropout';
  return keepsSign && (op === 'move' ? inputs : inputs.slice(0, 1)).every(isNonNegative);
}
