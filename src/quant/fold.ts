// Batch norm folded into the layer before it: a convolution or linear layer whose output nothing but a batch norm reads
// takes over its scale and shift, w' = w·γ/√(σ² + ε) and b' = β + (b − μ)·γ/√(σ² + ε), and the network computes the
// same without it. Which ones can be is found in the graph. A batch norm that stands before its convolution
// (pre-activation networks), or behind a sum or a concatenation, stays.

import type { Graph, Value } from '../engine/graph/graph.ts';
import { f32, type HostTensor } from '../tensor/tensor.ts';

/** A batch norm, by the name of its layer. */
export interface BatchNorm {
  readonly name: string;
  readonly epsilon: number;
}

export interface FoundBatchNorms {
  /** Those that can be folded, by the layer that takes them. */
  readonly behind: ReadonlyMap<string, BatchNorm>;
  /** The names of the others. */
  readonly left: readonly string[];
}

/** Looks at the batch norms of a network built for evaluation in float32; `layers`: names of those that multiply. */
export function findBatchNorms(graph: Graph, layers: ReadonlySet<string>): FoundBatchNorms {
  const behind = new Map<string, BatchNorm>();
  const left: string[] = [];
  const readers = new Map<Value, number>();
  for (const { inputs } of graph.nodes) for (const input of inputs) readers.set(input, (readers.get(input) ?? 0) + 1);
  /** The layer that made a value which nothing else reads, through a bias and reshapes. */
  const makerOf = (value: Value): string | undefined => {
    const { source } = value;
    if (source.kind !== 'node' || readers.get(value) !== 1) return undefined;
    const { node } = source;
    if (node.op === 'conv2d') return layers.has(node.label) ? node.label : undefined;
    const keepsChannels = node.op === 'reshape' && node.inputs[0]!.shape.at(-1) === value.shape.at(-1);
    return node.op === 'bias' || keepsChannels ? makerOf(node.inputs[0]!) : undefined;
  };
  for (const node of graph.nodes) {
    if (node.op !== 'batchNormInference') continue;
    const layer = makerOf(node.inputs[0]!);
    const { epsilon } = node.attributes as { readonly epsilon: number };
    if (layer === undefined || behind.has(layer)) left.push(node.label);
    else behind.set(layer, { name: node.label, epsilon });
  }
  return { behind, left };
}

/** The tensors of a model, in the engine's layouts, with batch norms folded; theirs are gone. */
export function foldBatchNorms(
  tensors: ReadonlyMap<string, HostTensor>,
  behind: ReadonlyMap<string, BatchNorm>,
): Map<string, HostTensor> {
  const folded = new Map(tensors);
  for (const [layer, { name, epsilon }] of behind) {
    const [gamma, beta, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map((what) => {
      const { data } = tensors.get(`${name}.${what}`)!;
      folded.delete(`${name}.${what}`);
      return data;
    });
    folded.delete(`${name}.num_batches_tracked`);
    const factors = Float64Array.from(gamma!, (one, c) => one / Math.sqrt(variance![c]! + epsilon));
    const channels = factors.length;
    const { shape, data } = tensors.get(`${layer}.weight`)!;
    const bias = tensors.get(`${layer}.bias`)?.data ?? new Float32Array(channels);
    folded.set(
      `${layer}.weight`,
      f32(
        shape,
        Float32Array.from(data, (w, at) => w * factors[at % channels]!),
      ),
    );
    const shifted = Float32Array.from(factors, (factor, c) => beta![c]! + (bias[c]! - mean![c]!) * factor);
    folded.set(`${layer}.bias`, f32([channels], shifted));
  }
  return folded;
}
