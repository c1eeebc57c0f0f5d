// A network at rest as an ONNX graph, operation by operation: what an image decides becomes nodes, what it does not
// initialisers. Images come raw, u8 [N, C, H, W]; normalisation is part of the graph.
// Invariant: every operation of an evaluated network has a form here, or the export is refused with its name.

import type { Node, Value } from '../../engine/graph/graph.ts';
import type { AverageGeometry, OpName, PoolGeometry } from '../../engine/graph/ops.ts';
import { axesOf, commonArea, countsAlong, outputsOf } from '../../engine/graph/window.ts';
import type { FrozenNetwork } from '../../integer/frozen.ts';
import { UserError } from '../../tensor/errors.ts';
import { type Shape, sizeOf } from '../../tensor/tensor.ts';
import { lowerFormula } from './formulas.ts';
import { BATCH, OnnxGraph, valueInfo } from './graph.ts';
import { lowerMove } from './movements.ts';
import { type OnnxStyle, Products } from './products.ts';
import { Statics } from './statics.ts';
import { imageExtents, type Place, Tensors } from './tensors.ts';

export interface LowerOptions {
  readonly style: OnnxStyle;
  /** Whether approximate layers are written as if they multiplied exactly. */
  readonly exact: boolean;
}

export interface OnnxNetwork {
  readonly bytes: Uint8Array;
  /** Names of the layers with products of a table. */
  readonly approximate: readonly string[];
  /** Whether any number of images can be given at once. */
  readonly anyBatch: boolean;
}

export const INPUT = 'images';
export const OUTPUT = 'logits';

export function lowerNetwork(frozen: FrozenNetwork, { style, exact }: LowerOptions): OnnxNetwork {
  const statics = new Statics(frozen);
  const live = liveNodes(frozen.logits);
  const nodes = frozen.graph.nodes.filter((node) => live.has(node) && !statics.find(node.outputs[0]!));
  const anyBatch = nodes.every(({ outputs }) => outputs.every(({ shape }) => shape[0] === 1));
  const graph = new OnnxGraph();
  for (const name of [INPUT, OUTPUT]) graph.unique(name);
  const tensors = new Tensors(graph, statics, anyBatch);
  const products = new Products(frozen, graph, tensors, statics, { style, exact, anyBatch });
  const lowering: Lowering = { graph, tensors, products, statics, style };
  const { image, logits, model, stage } = frozen;
  tensors.put(image, { name: INPUT, extents: imageExtents(image.shape), order: 'images' });
  for (const node of nodes) {
    graph.label = node.label;
    const places = lower(node, lowering);
    places.forEach((place, at) => {
      tensors.put(node.outputs[at]!, place);
    });
  }
  graph.finish(tensors.rows(logits), OUTPUT);
  const batch = (shape: Shape) => (anyBatch ? [BATCH, ...shape.slice(1)] : shape);
  const bytes = graph.model({
    ...{ name: model, properties: { model, stage }, functions: (operators) => products.functions(operators) },
    doc: `${model}, stage ${stage}: raw pixels 0 … 255 to logits`,
    input: valueInfo(INPUT, style === 'qdq' ? 'UINT8' : 'FLOAT', batch(imageExtents(image.shape))),
    output: valueInfo(OUTPUT, 'FLOAT', batch(logits.shape)),
  });
  return { bytes, approximate: products.approximate, anyBatch };
}

/** The nodes that a value depends on. */
function liveNodes(logits: Value): ReadonlySet<Node> {
  const live = new Set<Node>();
  const pending: Value[] = [logits];
  for (let value = pending.pop(); value; value = pending.pop()) {
    const { source } = value;
    if (source.kind !== 'node' || live.has(source.node)) continue;
    live.add(source.node);
    pending.push(...source.node.inputs);
  }
  return live;
}

interface Lowering {
  readonly graph: OnnxGraph;
  readonly tensors: Tensors;
  readonly products: Products;
  readonly statics: Statics;
  readonly style: OnnxStyle;
}

type Lower<K extends OpName> = (node: Node<K>, lowering: Lowering) => Place;

/** The same place, or one like it, with another tensor. */
const at = (place: Place, name: string): Place => ({ ...place, name });

const forms: { readonly [K in OpName]?: Lower<K> } = {
  imageToFloat: ({ inputs, attributes }, { graph, tensors, style }) => {
    const place = tensors.of(inputs[0]!);
    const channels = (values: readonly number[]) => graph.constant('FLOAT', [values.length, 1, 1], values);
    const pixels = style === 'qdq' ? graph.node('Cast', [place.name], { attributes: { to: 1 } }) : place.name;
    const scaled = graph.node('Mul', [pixels, channels(attributes.scale)]);
    return at(place, graph.node('Add', [scaled, channels(attributes.offset)]));
  },
  add: ({ inputs, attributes: { alpha, beta } }, lowering) => {
    const { graph } = lowering;
    const { names, place } = together(inputs, lowering);
    const times = (name: string, factor: number) =>
      factor === 1 ? name : graph.node('Mul', [name, graph.scalar(factor)]);
    return at(place, graph.node('Add', [times(names[0]!, alpha), times(names[1]!, beta)]));
  },
  divide: ({ inputs }, lowering) => {
    const { names, place } = together(inputs, lowering);
    return at(place, lowering.graph.node('Div', names));
  },
  affine: ({ inputs, attributes: { scale, offset } }, { graph, tensors }) => {
    const place = tensors.of(inputs[0]!);
    return at(place, graph.node('Add', [graph.node('Mul', [place.name, graph.scalar(scale)]), graph.scalar(offset)]));
  },
  scaleBy: ({ inputs }, { graph, tensors }) => {
    const place = tensors.of(inputs[0]!);
    return at(place, graph.node('Mul', [place.name, tensors.rows(inputs[1]!)]));
  },
  relu: ({ inputs, attributes: { limit } }, { graph, tensors }) => {
    const place = tensors.of(inputs[0]!);
    if (limit === undefined) return at(place, graph.node('Relu', [place.name]));
    return at(place, graph.node('Clip', [place.name, graph.scalar(0), graph.scalar(limit)]));
  },
  clampStraightThrough: ({ inputs, attributes: { low, high } }, { graph, tensors }) => {
    const place = tensors.of(inputs[0]!);
    return at(place, graph.node('Clip', [place.name, graph.scalar(low), graph.scalar(high)]));
  },
  bias: ({ inputs }, { graph, tensors }) => {
    const place = channelsLast(inputs[0]!, tensors);
    const channels = inputs[1]!.shape[0]!;
    const bias = tensors.rows(inputs[1]!, place.order === 'images' ? [channels, 1, 1] : [channels]);
    return at(place, graph.node('Add', [place.name, bias]));
  },
  batchNormInference: ({ inputs, attributes: { epsilon } }, { graph, tensors, statics }) => {
    const [x, ...vectors] = inputs as [Value, Value, Value, Value, Value];
    const place = channelsLast(x, tensors);
    const names = vectors.map((value) => tensors.rows(value));
    if (place.order === 'images' || place.extents.length === 2) {
      const attributes = { epsilon: { real: epsilon } };
      return at(place, graph.node('BatchNormalization', [place.name, ...names], { attributes }));
    }
    // The operator has its channels on the second axis.
    const [gamma, beta, mean, variance] = vectors.map((value) => statics.of(value).data);
    const factors = gamma!.map((factor, c) => factor / Math.sqrt(variance![c]! + epsilon));
    const shifts = beta!.map((shift, c) => shift - mean![c]! * factors[c]!);
    const [scale, offset] = [factors, shifts].map((values) => graph.constant('FLOAT', [values.length], values));
    return at(place, graph.node('Add', [graph.node('Mul', [place.name, scale!]), offset!]));
  },
  reshape: ({ inputs }, { tensors }) => tensors.rowsPlace(inputs[0]!),
  stopGradient: ({ inputs }, { tensors }) => tensors.of(inputs[0]!),
  move: ({ inputs, attributes }, { graph, tensors }) => lowerMove(attributes, inputs, graph, tensors),
  conv2d: (node, { products }) => products.float(node),
  axmConv2d: (node, { products }) => products.quantized(node),
  matrixProduct: ({ inputs, outputs, attributes: { transposed, scale } }, { graph, tensors }) => {
    const rank = inputs[0]!.shape.length;
    const perm = [...new Array<number>(rank).keys()].with(-1, rank - 2).with(-2, rank - 1);
    const operands = inputs.map((value, index) => {
      const rows = tensors.rows(value);
      const isTurned = transposed === (index === 0 ? 'first' : 'second');
      return isTurned ? graph.node('Transpose', [rows], { attributes: { perm } }) : rows;
    });
    const made = graph.node('MatMul', operands);
    const name = scale === 1 ? made : graph.node('Mul', [made, graph.scalar(scale)]);
    return { name, extents: outputs[0]!.shape, order: 'rows' };
  },
  gatherRows: ({ inputs, outputs, attributes: { index } }, { graph, tensors }) => {
    const operands = [tensors.rows(inputs[0]!), graph.constant('INT64', [index.length], index)];
    return {
      name: graph.node('Gather', operands, { attributes: { axis: 0 } }),
      extents: outputs[0]!.shape,
      order: 'rows',
    };
  },
  repeatSum: ({ inputs, outputs, attributes: { scale } }, { graph, tensors }) => {
    const { shape } = outputs[0]!;
    const whole = inputs[0]!.shape;
    const names = inputs.map((value) => tensors.rows(value));
    const product = names.length === 1 ? names[0]! : graph.node('Mul', names);
    const full = [...new Array<number>(whole.length - shape.length).fill(1), ...shape];
    const axes = [...whole.keys()].filter((axis) => full[axis] !== whole[axis]);
    const isMean = scale === sizeOf(shape) / sizeOf(whole);
    const made = isMean
      ? graph.node('ReduceMean', [product], { attributes: { axes, keepdims: 1 } })
      : graph.node('ReduceSum', [product, graph.whole(axes)], { attributes: { keepdims: 1 } });
    const name = isMean || scale === 1 ? made : graph.node('Mul', [made, graph.scalar(scale)]);
    return { name, extents: full, order: 'rows' };
  },
  maxPool: (node, lowering) => pooled('MaxPool', node, lowering),
  averagePool: (node, lowering) => {
    const { graph, tensors } = lowering;
    const { inputs, outputs, attributes } = node;
    const [x] = inputs as [Value];
    const [, height, width] = x.shape;
    const { size, padding, countPadding = true } = attributes;
    const extents = imageExtents(outputs[0]!.shape);
    const isWhole = size[0] === height && size[1] === width && padding.every((rows) => rows === 0);
    if (isWhole) return { name: graph.node('GlobalAveragePool', [tensors.image(x)]), extents, order: 'images' };
    const place = pooled('AveragePool', node, lowering);
    // Means over what a window has of the image or its padding; the operator divides by the whole window.
    if (!countPadding || commonArea(x.shape, attributes) === size[0] * size[1]) return place;
    const [rows, columns] = axesOf(x.shape, size, attributes).map((axis) => countsAlong(axis, countPadding));
    const factors = rows!.flatMap((row) => columns!.map((column) => (size[0] * size[1]) / (row * column)));
    const factor = graph.constant('FLOAT', [1, 1, rows!.length, columns!.length], factors);
    return at(place, graph.node('Mul', [place.name, factor]));
  },
};

function lower(node: Node, lowering: Lowering): readonly Place[] {
  // A quantiser's codes are written where they are multiplied.
  if (node.op === 'quantize') return [];
  if (node.op === 'formula') return lowerFormula(node as Node<'formula'>, lowering.graph, lowering.tensors);
  const form = forms[node.op] as Lower<OpName> | undefined;
  if (!form) throw new UserError(`${node.label || 'the network'}: the operation ${node.op} has no form in ONNX`);
  return [form(node, lowering)];
}

/** Operands of one shape, in one order: that of images where one of them is. */
function together(
  values: readonly Value[],
  { tensors }: Lowering,
): { readonly names: string[]; readonly place: Place } {
  const dynamic = values.filter((value) => !tensors.isStatic(value));
  const image = dynamic.map((value) => tensors.of(value)).find(({ order }) => order === 'images');
  if (image) return { names: values.map((value) => tensors.image(value)), place: image };
  const place = tensors.of(dynamic[0]!);
  return { names: values.map((value) => tensors.rows(value, place.extents)), place };
}

/** Where a value lies with its channels on an axis of their own: as an image, or last. */
function channelsLast(value: Value, tensors: Tensors): Place {
  const place = tensors.of(value);
  if (place.order === 'images' || place.extents.at(-1) === value.shape.at(-1)) return place;
  return { name: tensors.rows(value), extents: value.shape, order: 'rows' };
}

/** A window over an image; padding behind it reaches as far as the last window does. */
function pooled(
  op: 'MaxPool' | 'AveragePool',
  {
    inputs,
    outputs,
    attributes,
  }: {
    readonly inputs: readonly Value[];
    readonly outputs: readonly Value[];
    readonly attributes: PoolGeometry | AverageGeometry;
  },
  { graph, tensors }: Lowering,
): Place {
  const [x] = inputs as [Value];
  const { size, stride, padding, ceil = false } = attributes;
  const behind = axesOf(x.shape, size, attributes).map((axis) => {
    const last = (outputsOf(axis) - 1) * axis.stride + axis.size - axis.extent - axis.padding;
    return ceil ? Math.max(0, last) : axis.padding;
  });
  const counts =
    op === 'AveragePool'
      ? { count_include_pad: 'countPadding' in attributes && attributes.countPadding === false ? 0 : 1 }
      : {};
  const made = graph.node(op, [tensors.image(x)], {
    attributes: { kernel_shape: size, strides: stride, pads: [...padding, ...behind], ...counts },
  });
  return { name: made, extents: imageExtents(outputs[0]!.shape), order: 'images' };
}
