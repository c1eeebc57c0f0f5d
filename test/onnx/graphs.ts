// ONNX graphs made by hand, for what no exporter at hand writes.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelOf, type OnnxModel } from '../../src/nn/onnx/model.ts';
import { readGraph } from '../../src/onnx/graph.ts';
import type { Draft } from '../../src/onnx/messages.ts';
import {
  type AttributeProto,
  attributeTypes,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  writeModel,
} from '../../src/onnx/schema.ts';
import { type ElementName, elementTypes, writeTensor } from '../../src/onnx/tensors.ts';

export type Attributes = Readonly<Record<string, number | string | readonly number[]>>;

/** A node; numbers that are no whole ones are floats, `floats` names those that are all the same. */
export function node(
  op: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Attributes = {},
  floats: readonly string[] = ['alpha', 'beta', 'epsilon', 'momentum', 'min', 'max', 'value'],
): Draft<NodeProto> {
  const attribute = Object.entries(attributes).map(([name, value]): Draft<AttributeProto> => {
    if (typeof value === 'string') return { name, type: attributeTypes.STRING, s: Buffer.from(value) };
    if (typeof value !== 'number') return { name, type: attributeTypes.INTS, ints: [...value] };
    if (floats.includes(name)) return { name, type: attributeTypes.FLOAT, f: value };
    return { name, type: attributeTypes.INT, i: value };
  });
  return { opType: op, name: `${op}_${outputs[0]}`, input: [...inputs], output: [...outputs], attribute };
}

export const floats = (
  name: string,
  shape: readonly number[],
  values: ArrayLike<number>,
  type: ElementName = 'FLOAT',
) => writeTensor(name, type, shape, values);

export const wholes = (name: string, values: readonly number[]) => writeTensor(name, 'INT64', [values.length], values);

export interface Graphed {
  readonly nodes: readonly Draft<NodeProto>[];
  readonly constants?: readonly Draft<TensorProto>[];
  /** [N, C, H, W]; a text for an extent that is free. */
  readonly image?: readonly (number | string)[];
  readonly opset?: number;
  readonly output?: string;
}

export function modelProto({
  nodes,
  constants = [],
  image = ['n', 1, 4, 5],
  opset = 17,
  output = 'y',
}: Graphed): Draft<ModelProto> {
  const dim = image.map((extent) => (typeof extent === 'number' ? { dimValue: extent } : { dimParam: extent }));
  const tensorType = { elemType: elementTypes.FLOAT, shape: { dim } };
  return {
    irVersion: 8,
    opsetImport: [{ domain: '', version: opset }],
    graph: {
      ...{ name: 'test', node: [...nodes], initializer: [...constants] },
      input: [{ name: 'x', type: { tensorType } }],
      output: [{ name: output }],
    },
  };
}

export const folder = (): string => mkdtempSync(join(tmpdir(), 'tram-onnx-'));

/** The file of a model, in a folder. */
export function written(place: string, draft: Draft<ModelProto>, name = 'net.onnx'): string {
  const path = join(place, name);
  writeFileSync(path, writeModel(draft));
  return path;
}

export const modelAt = (path: string): OnnxModel => modelOf(readGraph(path), 'net');
