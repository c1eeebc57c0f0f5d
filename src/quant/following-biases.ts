// The constants that θ takes out of a layer: in each output channel the mean, over positions and images, of what its
// products lose. A batch norm behind the layer subtracts them in the same step, but a bias moves by its learning rate
// alone; so where only a bias follows they are added back as θ moves. They are a function of θ in the graph, and with
// that θ's gradient is the one that a batch norm leaves: of what it takes away but for the mean.
// Invariant: at means of 0 the network is to the bit the one that has its biases alone.

import { input, rowSum } from '../engine/graph/expression.ts';
import type { Value } from '../engine/graph/graph.ts';
import type { StructureMultiplier } from '../multiplier/multiplier.ts';
import { removedShares } from './products.ts';

/** The variable of a layer's means of its partial products, [outputs, weightBits · activationBits]; not trained. */
export const constantsName = (layer: string) => `${layer}#constants`;

/** bias + Σ_ij m_ij · means_ij, [outputs], m the shares that θ removes. */
export function withConstants(layer: string, bias: Value, multiplier: StructureMultiplier): Value {
  const { graph } = bias;
  const { weightBits, activationBits } = multiplier.structure;
  const [outputs, products] = [bias.shape[0]!, weightBits * activationBits];
  const removed = graph.apply1('reshape', [removedShares(graph, multiplier)], { shape: [products] });
  const means = graph.variable(constantsName(layer), [outputs, products]);
  const constants = graph.apply1('formula', [removed, means], {
    ...{ name: 'constants', shape: [outputs, products] },
    outputs: [{ of: rowSum(input(0).times(input(1))), per: 'row' }],
  });
  const perOutput = graph.apply1('reshape', [constants], { shape: [outputs] });
  return graph.apply1('add', [bias, perOutput], { alpha: 1, beta: 1 });
}
