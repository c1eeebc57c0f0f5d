// Codes of weights exchanged for others before they are multiplied (multiplier/weight-codes.ts), as a layer's graph has
// it: a table of the session says for each code which one is stored. Gradients are straight-through, as those of
// rounding: a weight learns as if its code had stayed; the scale knows that the code did not.
// Invariant: what a product node reads is the code that hardware would store.

import { input } from '../engine/graph/expression.ts';
import type { Graph, Node, Value } from '../engine/graph/graph.ts';
import type { Granularity } from '../engine/graph/ops.ts';
import type { Multiplier } from '../multiplier/multiplier.ts';
import { tensor } from '../tensor/tensor.ts';

/**
 * The variable that holds a layer's table, f32 [2^weightBits]: a code for each code. That for a structure, which moves
 * with θ, is another one than that for what the structure becomes.
 */
export function codesName(layer: string, { kind }: Pick<Multiplier, 'kind'>): string {
  return `${layer}.${kind === 'structure' ? 'structure_codes' : 'weight_codes'}`;
}

/** Whether a variable holds such a table. */
export const isCodesName = (name: string): boolean => /\.(structure|weight)_codes$/.test(name);

const NAME = 'weight of another code';

export interface Exchanged {
  /** The variable that holds the table. */
  readonly table: string;
  readonly bits: number;
  readonly granularity: Granularity;
  readonly scale: Value;
  readonly zero: Value;
  /** The scale as the difference between the codes is multiplied with it: the same value. */
  readonly scaleOfDifference: Value;
}

/** The codes that are stored for the given ones. */
export function exchangeCodes(
  graph: Graph,
  codes: Value,
  { table, bits, granularity, scale, zero, scaleOfDifference }: Exchanged,
): Value {
  const count = 2 ** bits;
  const own = graph.constant(
    tensor(
      'f32',
      [count],
      Float32Array.from({ length: count }, (_, code) => code),
    ),
  );
  const moves = graph.apply1('add', [graph.variable(table, [count]), own], { alpha: 1, beta: -1 });
  const still = (value: Value) => graph.apply1('stopGradient', [value], {});
  const move = still(graph.apply1('lookUp', [codes, moves], {}));
  const weight = graph.apply1('dequantize', [codes, scale, zero], { granularity });
  const of = input(0).plus(input(1).times(input(2)));
  const attributes = { name: NAME, shape: codes.shape, outputs: [{ of, per: 'element' }] } as const;
  const moved = graph.apply1('formula', [weight, move, scaleOfDifference], attributes);
  // A whole number of steps: the code comes back as it is.
  return graph.apply1('quantize', [moved, still(scale), still(zero)], { bits, granularity });
}

/** The codes of a product's weights as their quantiser has them, before any were exchanged. */
export function quantizedCodes(codes: Value): Value {
  const made = nodeOf(codes, 'quantize')?.inputs[0];
  const moved = made && nodeOf(made, 'formula');
  if (!moved || (moved as Node<'formula'>).attributes.name !== NAME) return codes;
  return nodeOf(moved.inputs[0]!, 'dequantize')!.inputs[0]!;
}

const nodeOf = ({ source }: Value, op: Node['op']): Node | undefined =>
  source.kind === 'node' && source.node.op === op ? source.node : undefined;
