// The matrix products of a network that are no layers, since both operands are computed: QKᵀ and PV of attention. They
// stay in float32 whatever a run quantises, and whoever counts multiplications names them.

import type { Graph } from '../engine/graph/graph.ts';
import type { OpAttributes } from '../engine/graph/ops.ts';
import { sizeOf } from '../tensor/tensor.ts';

export interface MatrixProducts {
  /** The layer or block that they belong to. */
  readonly name: string;
  /** Multiplications per image. */
  readonly macs: number;
}

/** Those of a graph built for `images` images, one entry for each layer or block. */
export function matrixProducts({ nodes }: Graph, images: number): readonly MatrixProducts[] {
  const found = new Map<string, number>();
  for (const { op, label, inputs, outputs, attributes } of nodes) {
    if (op !== 'matrixProduct') continue;
    const { transposed } = attributes as OpAttributes['matrixProduct'];
    const inner = inputs[0]!.shape.at(transposed === 'first' ? -2 : -1)!;
    found.set(label, (found.get(label) ?? 0) + (sizeOf(outputs[0]!.shape) * inner) / images);
  }
  return [...found].map(([name, macs]) => ({ name, macs }));
}
