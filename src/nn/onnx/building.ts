// A network in the making from an ONNX graph: values by their names, and what initialisers become, tensors that are
// trained, with their values for whoever wants them. What the operators do is in operators.ts and the files beside it.

import { placeOf } from '../../engine/graph/formula.ts';
import type { Value } from '../../engine/graph/graph.ts';
import { repeated } from '../../engine/operations/repetitions.ts';
import type { OnnxNode } from '../../onnx/graph.ts';
import { UserError } from '../../tensor/errors.ts';
import { rowMajor, type StoredTensor } from '../../tensor/stored.ts';
import { f32, formatShape, type Shape, sizeOf } from '../../tensor/tensor.ts';
import type { Layers } from '../layers.ts';
import { broadcastShapes, type Constant } from './constants.ts';
import { arranged, type BatchAxis, rearranged, reshaped, shapeOf, shifted, type Tensor, tensorOf } from './layout.ts';
import { layerName, Names, tensorName } from './names.ts';

export type Operand = Constant | Tensor;

/** Elements of a value for one image; a damaged file may ask for any number. */
const MOST_ELEMENTS = 2 ** 28;

export interface Batch {
  /** Images of the network that is built. */
  readonly images: number;
  /** Images that the graph was exported for; where it takes any number, as many as those. */
  readonly exported: number;
}

/** The layer that gives the logits, and how many it is to give. */
export interface Head {
  /** Undefined where no layer alone decides how many there are. */
  readonly node: OnnxNode | undefined;
  /** Undefined: as many as the file has. */
  readonly classes: number | undefined;
}

export class Building {
  readonly nn: Layers;
  readonly opset: number;
  readonly batch: Batch;
  /** Values of the tensors, by their names in the model and in their stored form. */
  readonly weights = new Map<string, StoredTensor>();
  /** What was done in a way that its owner should know. */
  readonly notes: string[] = [];
  /** Images of the network for one of the graph. */
  readonly scale: number;
  /** The name of the layer that gives the logits, when it is there. */
  headName: string | undefined;
  readonly #head: Head;
  readonly #names = new Names();
  /** What has become of an initialiser: a layer's name, or a tensor. */
  readonly #layers = new Map<string, string>();
  readonly #parameters = new Map<string, Tensor>();

  constructor(nn: Layers, opset: number, batch: Batch, head: Head) {
    this.nn = nn;
    this.opset = opset;
    this.batch = batch;
    this.#head = head;
    this.scale = batch.images / batch.exported;
  }

  /** Outputs of a node's layer: those of the file; of the one that gives the logits as many as there are classes. */
  outputsOf(node: OnnxNode, inFile: number): number {
    return node === this.#head.node ? (this.#head.classes ?? inFile) : inFile;
  }

  /** The extents as the file means them: with as many images as it was exported for. */
  fileShape(tensor: Tensor): number[] {
    const shape = shapeOf(tensor);
    if (tensor.batch) shape[tensor.batch.axis]! /= this.scale;
    return shape;
  }

  /** The shape of a file for the network that is built. */
  withImages(shape: Shape, batch: BatchAxis | undefined): Shape {
    return batch ? shape.with(batch.axis, shape[batch.axis]! * this.scale) : shape;
  }

  /** A name for the layer of a node, whose weights are these. */
  layer(node: OnnxNode, { initialiser, shape }: Constant): string {
    const other = initialiser === undefined ? undefined : this.#layers.get(initialiser);
    const name = this.#names.unique(layerName(node, other === undefined ? initialiser : undefined));
    if (initialiser !== undefined && other === undefined) this.#layers.set(initialiser, name);
    if (node === this.#head.node) this.headName = name;
    // Exporters keep equal vectors once; equal matrices are one that two layers share.
    if (other !== undefined && shape.length > 1) {
      this.notes.push(
        `the layers ${other} and ${name} share their weights in the file; here they begin alike, each with its own`,
      );
    }
    return name;
  }

  /** Keeps values of a tensor of the model; `strides`: elements between neighbours along each axis. */
  keep(name: string, { data, isFloat }: Constant, shape: Shape, strides: readonly number[] = rowMajor(shape)): void {
    if (!isFloat) throw new UserError(`${name} is of whole numbers; expected floats`);
    const values = data instanceof Float32Array ? data : Float32Array.from(data);
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const read = (from: number, count: number) => bytes.subarray(4 * from, 4 * (from + count));
    this.weights.set(name, { storage: { type: 'F32', count: values.length, read }, shape, offset: 0, strides });
  }

  /** An operand as a value of the network: of constants, those that the file may train are trained. */
  tensor(operand: Operand, node: OnnxNode): Tensor {
    if (operand.kind === 'tensor') return operand;
    const { initialiser, isFloat, shape, data } = operand;
    if (!isFloat) throw new UserError('whole numbers where real ones are computed; expected floats');
    if (initialiser === undefined || sizeOf(shape) === 1) {
      return tensorOf(this.nn.graph.constant(f32(shape, Float32Array.from(data))), undefined);
    }
    const key = `${initialiser} ${formatShape(shape)}`;
    const known = this.#parameters.get(key);
    if (known) return known;
    const name = this.#names.unique(tensorName(node, initialiser));
    this.keep(name, operand, shape);
    const made = tensorOf(this.nn.parameter(name, shape), undefined);
    this.#parameters.set(key, made);
    return made;
  }

  /** A tensor repeated over a shape, axes counted from the last. */
  expanded(tensor: Tensor, shape: Shape, batch: BatchAxis | undefined): Tensor {
    const own = shapeOf(tensor);
    const rank = shape.length;
    const lifted =
      rank === own.length
        ? tensor
        : reshaped(
            tensor,
            [...Array<number>(rank - own.length).fill(1), ...own],
            shifted(tensor.batch, rank - own.length),
          );
    const before = shapeOf(lifted);
    if (before.every((extent, axis) => extent === shape[axis])) return lifted;
    const isRepeated = (axis: number) => before[axis] !== shape[axis];
    // What is repeated stands first: of such an operand every device has the form.
    const order = [...lifted.order.filter(isRepeated), ...lifted.order.filter((axis) => !isRepeated(axis))];
    this.requireSize(shape);
    const value = repeated(
      arranged(lifted, order),
      order.map((axis) => shape[axis]!),
    );
    return tensorOf(value, batch, order);
  }

  /**
   * Operands of one operation, element by element: values that the engine repeats over each other, and a tensor with
   * the shape and the order of what they make.
   */
  together(operands: readonly Operand[], node: OnnxNode): { readonly values: readonly Value[]; readonly like: Tensor } {
    const tensors = operands.map((operand) => this.tensor(operand, node));
    const shape = tensors.map(shapeOf).reduce<Shape>(broadcastShapes, []);
    this.requireSize(shape);
    const batch = tensors
      .map((one) => shifted(one.batch, shape.length - one.order.length))
      .find((one) => one !== undefined);
    const lifted = tensors.map((one) => {
      const own = shapeOf(one);
      const ones = Array<number>(shape.length - own.length).fill(1);
      return ones.length === 0 ? { ...one, batch } : reshaped(one, [...ones, ...own], batch);
    });
    const size = ({ value }: Tensor) => sizeOf(value.shape);
    const largest = lifted.reduce((most, one) => (size(one) > size(most) ? one : most));
    const whole = size(largest) === sizeOf(shape) ? largest : this.expanded(largest, shape, batch);
    const tensorsNow = lifted.map((one) => {
      if (one === largest) return whole;
      const own = placed(arranged(one, whole.order), whole.value.shape);
      return own
        ? { ...one, value: own, order: whole.order }
        : rearranged(this.expanded(one, shape, batch), whole.order);
    });
    return { values: tensorsNow.map(({ value }) => value), like: { ...whole, batch } };
  }

  requireSize(shape: Shape): void {
    const perImage = sizeOf(shape) / this.batch.images;
    if (shape.every((extent) => extent > 0) && perImage <= MOST_ELEMENTS) return;
    throw new UserError(`a value of shape ${formatShape(shape)}; expected 1 to ${MOST_ELEMENTS} elements of an image`);
  }
}

/** An operand in a form that has a place in a formula of the shape; undefined where there is none. */
function placed(value: Value, shape: Shape): Value | undefined {
  const channels = value.shape.at(-1)!;
  const isRow = sizeOf(value.shape) === channels && channels > 1 && value.shape.length > 1 && channels === shape.at(-1);
  const bare = isRow ? value.graph.apply1('reshape', [value], { shape: [channels] }) : value;
  return placeOf(bare.shape, shape) === undefined ? undefined : bare;
}
