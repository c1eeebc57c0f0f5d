// Logits of an ONNX file as the program computes them, for the images that networks.py has too.

import { Graph } from '../../src/engine/graph/graph.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { Layers, type MultiplyingLayer, multiplyFloat, type Parameter } from '../../src/nn/layers.ts';
import type { OnnxModel } from '../../src/nn/onnx/model.ts';
import { fromStored } from '../../src/nn/parameters.ts';
import { readStored } from '../../src/tensor/stored.ts';
import type { HostTensor } from '../../src/tensor/tensor.ts';

export type ImageShape = readonly [height: number, width: number, channels: number];

/** What networks.py writes of each file. */
export interface Expected {
  readonly image: ImageShape;
  readonly logits: readonly (readonly number[])[];
}

/** Element i, counted as PyTorch does, channels before pixels: ((73·i + 11) mod 97) / 48 − 1; [n, h, w, c]. */
export function images(n: number, [height, width, channels]: ImageShape): Float32Array {
  const result = new Float32Array(n * height * width * channels);
  for (let at = 0; at < result.length; at++) {
    const [c, pixel] = [at % channels, Math.floor(at / channels)];
    const [x, y, image] = [pixel % width, Math.floor(pixel / width) % height, Math.floor(pixel / width / height)];
    const i = ((image * channels + c) * height + y) * width + x;
    result[at] = ((73 * i + 11) % 97) / 48 - 1;
  }
  return result;
}

export interface Network {
  readonly logits: readonly (readonly number[])[];
  readonly parameters: readonly Parameter[];
  readonly layers: readonly MultiplyingLayer[];
  readonly graph: Graph;
}

/** The logits of images, in plain loops. */
export async function logitsOf(model: OnnxModel, shape: ImageShape, n = 3, input = images(n, shape)): Promise<Network> {
  const graph = new Graph();
  const nn = new Layers(graph, { training: false, multiply: multiplyFloat });
  const logits = model.build(nn, graph.input('images', [n, ...shape]), model.classes);
  graph.output('logits', logits);
  const { tensors } = model.weights(shape);
  const session = await referenceBackend().openSession();
  for (const { name, value } of nn.parameters) {
    const stored = readStored(tensors.get(name)!) as HostTensor;
    session.write(name, fromStored(name, stored, value.shape, nn.multiplying));
  }
  const program = await session.compile(graph);
  program.write('images', input);
  await program.run();
  const flat = Array.from(await program.read('logits'));
  await session.dispose();
  const rows = Array.from({ length: n }, (_, k) => flat.slice(k * model.classes, (k + 1) * model.classes));
  return { logits: rows, parameters: nn.parameters, layers: nn.multiplying, graph };
}

/** The largest difference of two tables. */
export function farthest(a: readonly (readonly number[])[], b: readonly (readonly number[])[]): number {
  return Math.max(...a.flatMap((row, k) => row.map((value, c) => Math.abs(value - b[k]![c]!))));
}

/** Logits less the logarithm of the sum of their exponentials. */
export const logSoftmax = (rows: readonly (readonly number[])[]): number[][] =>
  rows.map((row) => {
    const sum = Math.log(row.reduce((all, value) => all + Math.exp(value), 0));
    return row.map((value) => value - sum);
  });
