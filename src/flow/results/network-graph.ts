// The network of a run as a graph to be looked at: its multiplying layers, and what joins or pools values between them,
// in the order of computation. Normalisations, activations and reshapes belong to what they follow and are no nodes.
// Invariant: edges are those of the graph that is trained, built anew from the model's definition; where that would
// mean to run a file of the user's, the layers of the manifest stand alone and `withoutEdges` says why.

import type { Graph, Node, Value } from '../../engine/graph/graph.ts';
import { findModel } from '../../nn/models/registry.ts';
import type { Shape } from '../../tensor/tensor.ts';
import { imageTask } from '../../train/images.ts';
import { buildNetwork } from '../../train/task.ts';
import type { Manifest } from '../run/manifest.ts';
import { isInMemory } from '../run/material.ts';
import { isModelFile } from '../settings/model-name.ts';

export type NetworkNodeKind = 'input' | 'convolution' | 'linear' | 'add' | 'concat' | 'multiply' | 'product' | 'pool';

/** A place of the network where values are multiplied, joined or pooled. */
export interface NetworkNode {
  readonly kind: NetworkNodeKind;
  /** The layer, or the block that it belongs to; '' for none. */
  readonly name: string;
  /** What it gives for one image: height, width, channels, or what its values are; empty where not known. */
  readonly shape: readonly number[];
  /** Of a convolution: kernel, stride and groups, in words; else ''. */
  readonly detail: string;
  /** Numbers of the nodes whose values it takes, all before it. */
  readonly from: readonly number[];
}

export interface NetworkGraph {
  readonly nodes: readonly NetworkNode[];
  /** Why only the layers are known, not how they are joined; null where the edges are told. */
  readonly withoutEdges: string | null;
}

export function networkGraph({ configuration, inputs }: Manifest): NetworkGraph {
  const { model } = configuration;
  if (isModelFile(model) || isInMemory(model)) {
    return {
      nodes: inputs.layers.map(({ name, kind = 'convolution' }) => ({ kind, name, shape: [], detail: '', from: [] })),
      withoutEdges: `how its layers are joined is not shown: ${model} is no model of the program, and is not run for a look`,
    };
  }
  const { image, classes, scale, mean, deviation } = inputs.data;
  const task = imageTask(findModel(model), { ...image, classes, scale, mean, deviation });
  const { graph, layers, logits } = buildNetwork(task, { kind: 'float' }, 'evaluate', 1);
  const kinds = new Map(layers.multiplying.map(({ name, kind }) => [name, kind]));
  return { nodes: contracted(graph, kinds, logits?.values), withoutEdges: null };
}

/** The nodes that are shown; the others hand on the numbers of those whose values reach them. */
function contracted(
  graph: Graph,
  layers: ReadonlyMap<string, 'convolution' | 'linear'>,
  end: Value | undefined,
): NetworkNode[] {
  const image = graph.inputs.get('images');
  const nodes: NetworkNode[] = [
    { kind: 'input', name: 'image', shape: perImage(image?.shape ?? []), detail: '', from: [] },
  ];
  /** By value: the numbers of the nodes that it is of. */
  const origins = new Map<Value, readonly number[]>();
  if (image) origins.set(image, [0]);
  for (const node of graph.nodes) {
    const from = [...new Set(node.inputs.flatMap((value) => origins.get(value) ?? []))];
    // What depends on no image, such as a table of positions that is made ready, is no part of the picture.
    if (from.length === 0) continue;
    const kind = kindOf(node, from, layers);
    let own = from;
    if (kind !== undefined) {
      own = [nodes.length];
      nodes.push({ kind, name: node.label, shape: perImage(node.outputs[0]!.shape), detail: detailOf(node), from });
    }
    for (const output of node.outputs) origins.set(output, own);
    // Behind the logits stands the loss.
    if (node.outputs.some((output) => output === end)) break;
  }
  return nodes;
}

function kindOf(
  { op, label, attributes, inputs }: Node,
  from: readonly number[],
  layers: ReadonlyMap<string, 'convolution' | 'linear'>,
): NetworkNodeKind | undefined {
  if (op === 'conv2d') return layers.get(label) ?? 'convolution';
  if (op === 'matrixProduct') return 'product';
  if (op === 'maxPool' || op === 'averagePool') return 'pool';
  if (from.length < 2) return undefined;
  if (op === 'add') return 'add';
  const name = 'name' in attributes ? attributes.name : undefined;
  if (op === 'move') return 'concat';
  if (op === 'formula') return name === 'product' ? 'multiply' : 'add';
  return inputs.length > 1 ? 'add' : undefined;
}

function detailOf({ op, inputs, attributes }: Node): string {
  if (op === 'maxPool') return 'largest of each window';
  if (op === 'averagePool') return 'mean of each window';
  if (op !== 'conv2d') return '';
  const [height, width] = inputs[1]!.shape;
  const { stride, groups } = attributes as Node<'conv2d'>['attributes'];
  const steps = new Set(stride);
  const told = [`${height}×${width}`];
  if ([...steps].some((step) => step !== 1)) told.push(`stride ${[...steps].join('×')}`);
  if (groups !== 1) told.push(`${groups} groups`);
  return told.join(', ');
}

const perImage = (shape: Shape): readonly number[] => shape.slice(1);
