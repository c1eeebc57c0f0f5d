// A model definition from an ONNX graph: called with layers it goes through the nodes and calls what each is of them.
// The same graph gives the float network, its calibration and the quantised one, and a table of its tensors' values.
// Invariant: what cannot be said with the layer library is refused by the name of its node, when the model is first
// built, and nothing is left out or approximated without a word.

import { Graph, type Value } from '../../engine/graph/graph.ts';
import { type OnnxGraph, type OnnxNode, told } from '../../onnx/graph.ts';
import { quoted, UserError } from '../../tensor/errors.ts';
import type { StoredTensor } from '../../tensor/stored.ts';
import { formatShape, sizeOf } from '../../tensor/tensor.ts';
import { Layers, multiplyFloat } from '../layers.ts';
import type { Model } from '../models/model.ts';
import { Building, type Operand } from './building.ts';
import { Call } from './call.ts';
import { arranged, reshaped, shapeOf, tensorOf } from './layout.ts';
import { constantFrom } from './moving.ts';
import { FIRST, IMAGES } from './multiplying.ts';
import { moduleOf } from './names.ts';
import { operatorOf } from './operators.ts';
import { simplified } from './patterns.ts';

export interface OnnxModel extends Model {
  /** Classes that the file's network tells apart; its classifier may be begun anew for others. */
  readonly classes: number;
  /** Values of the model's tensors in their stored form, by name, for images [height, width, channels]. */
  readonly weights: (image: readonly [number, number, number]) => Weights;
}

export interface Weights {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** What was done in a way that its owner should know. */
  readonly notes: readonly string[];
}

/** Between the logits and the layer that gives them these may stand: they do not ask how many there are. */
const BETWEEN = [
  'Identity',
  'Dropout',
  'Flatten',
  'Squeeze',
  'GlobalAveragePool',
  'AveragePool',
  'ReduceMean',
  'Relu',
  'Cast',
];

/** Where images' extents are free and nobody says any. */
const USUAL_SIZE = 32;

/** The model of a graph. Throws a UserError that names the node for what is not supported. */
export function modelOf(graph: OnnxGraph, name: string): OnnxModel {
  const { nodes, output, notes } = simplified(graph);
  const head = headOf(nodes, output);
  const network = (nn: Layers, image: Value, wanted: number | undefined) => {
    const [images, ...extents] = image.shape as [number, number, number, number];
    requireImage(graph, extents);
    const exported = graph.input.shape[0] ?? images;
    const building = new Building(nn, graph.opset, { images, exported }, { node: head, classes: wanted });
    const values = new Map<string, Operand>([[graph.input.name, inputOf(graph, image)]]);
    for (const [name, tensor] of graph.initialisers) values.set(name, constantFrom(tensor, name));
    for (const node of nodes) nn.graph.labelled(moduleOf(node), () => work(node, building, values));
    return { building, logits: logitsOf(values.get(output), images, wanted) };
  };
  /** Built for two images, of which nothing may be taken for one, with the classes of the file. */
  const trial = (extents: readonly number[]) => {
    const nn = new Layers(new Graph(), { training: false, multiply: multiplyFloat });
    return { nn, ...network(nn, nn.graph.input('image', [2, ...extents]), undefined) };
  };
  const image = imageOf(graph);
  const { nn, building, logits } = trial([image.height, image.width, image.channels]);
  const classes = logits.shape[1]!;
  const classifier = building.headName ?? nn.multiplying.at(-1)?.name ?? '';
  return {
    ...{ name, description: `a network from ${name}.onnx`, minimumSize: 1, classes },
    card: {
      ...{ imageSize: image.height, image, classes, classifier },
      source: graph.producer === '' ? 'ONNX' : `ONNX by ${graph.producer}`,
    },
    build: (nn, image, wanted) => network(nn, image, wanted).logits,
    weights: (extents) => {
      const { building } = trial(extents);
      return { tensors: building.weights, notes: [...notes, ...building.notes] };
    },
  };
}

function work(node: OnnxNode, building: Building, values: Map<string, Operand>): void {
  try {
    const inputs = node.inputs.map((name) => {
      const value = values.get(name);
      if (value || name === '') return value;
      throw new UserError(`it reads ${quoted(name)}, an output that is not supported (a mask, indices, statistics)`);
    });
    const call = new Call(node, building, inputs);
    const given = operatorOf(node)(call);
    call.finish();
    const outputs = Array.isArray(given) ? (given as readonly Operand[]) : [given as Operand];
    for (const [at, output] of outputs.entries()) {
      if (output.kind === 'tensor') building.requireSize(output.value.shape);
      values.set(node.outputs[at]!, output);
    }
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${told(node)}: ${error.message}`);
  }
}

/** Height, width and channels of the images; an extent that is free is the usual one. */
function imageOf({ input: { shape } }: OnnxGraph) {
  if (shape.length === 2) {
    const pixels = shape[1] ?? USUAL_SIZE ** 2;
    const [channels, side] = [1, 3]
      .map((count) => [count, Math.sqrt(pixels / count)] as const)
      .find(([, one]) => Number.isInteger(one)) ?? [1, 0];
    return side > 0 ? { height: side, width: side, channels } : { height: 1, width: pixels, channels: 1 };
  }
  const [, channels = 3, height = USUAL_SIZE, width = USUAL_SIZE] = shape;
  return { height, width, channels };
}

/** Throws where images of [height, width, channels] are not those that the graph takes. */
function requireImage({ input: { name, shape } }: OnnxGraph, [height, width, channels]: readonly number[]): void {
  const found = `images of ${height}×${width}×${channels}`;
  const text = formatShape(shape.map((extent) => extent ?? 'any') as unknown as number[]);
  if (shape.length !== 4 && shape.length !== 2) {
    throw new UserError(`its input ${name} has the shape ${text}; expected images [N, channels, height, width]`);
  }
  const own = shape.length === 4 ? [channels, height, width] : [height! * width! * channels!];
  if (shape.slice(1).every((extent, axis) => extent === undefined || extent === own[axis])) return;
  throw new UserError(
    `its input ${name} takes [N, channels, height, width] = ${text}, not ${found}; use images of that size, or export the network for these`,
  );
}

/** The images as the graph takes them: [N, C, H, W], or their values in that order in a row. */
function inputOf({ input: { shape } }: OnnxGraph, image: Value): Operand {
  const tensor = tensorOf(image, FIRST, IMAGES);
  if (shape.length === 4) return tensor;
  const [images, ...rest] = image.shape as [number, ...number[]];
  return reshaped(tensor, [images, sizeOf(rest)], FIRST);
}

/** The logits [N, classes] of what the graph gives. */
function logitsOf(output: Operand | undefined, images: number, classes: number | undefined): Value {
  if (!output) throw new UserError('its output is given by none of its nodes; expected logits');
  const shape = output.kind === 'constant' ? output.shape : shapeOf(output);
  const [n, own = 0, ...rest] = shape;
  if (output.kind === 'constant' || n !== images || output.batch?.axis !== 0 || own === 0 || sizeOf(rest) !== 1) {
    throw new UserError(
      `it gives the shape ${formatShape(shape)} for ${images} images; expected a row of logits for each`,
    );
  }
  if (classes !== undefined && own !== classes) {
    throw new UserError(
      `it tells ${own} classes apart, and its end cannot be made for ${classes}; use data of ${own} classes`,
    );
  }
  return arranged(reshaped(output, [images, own], FIRST), [0, 1]);
}

/** The node whose outputs are the logits, one for each; undefined where something stands between that counts them. */
function headOf(nodes: readonly OnnxNode[], output: string): OnnxNode | undefined {
  const makers = new Map(nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  let node = makers.get(output);
  while (node && node.domain === '' && BETWEEN.includes(node.op)) node = makers.get(node.inputs[0]!);
  return node && ['Conv', 'Gemm', 'Linear'].includes(node.op) ? node : undefined;
}
