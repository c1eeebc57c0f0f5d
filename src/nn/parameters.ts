// Parameters as they start and as they are stored: seeded initialisation, and the translation between the engine's
// layout (channel axis last) and the one of PyTorch checkpoints (weights [O, I/groups, kh, kw], linear weights [O, I]).

import { reverseAxes } from '../tensor/axes.ts';
import { UserError } from '../tensor/errors.ts';
import { Random, streams } from '../tensor/random.ts';
import type { TensorInPlace } from '../tensor/safetensors.ts';
import { f32, formatShape, type HostTensor, type Shape, sameShape, sizeOf } from '../tensor/tensor.ts';
import type { MultiplyingLayer, Parameter } from './layers.ts';

/**
 * The initial value of the parameter at this position of the model's list; a function of the seed and the position
 * alone.
 */
export function initialTensor({ value, initial }: Parameter, seed: number, position: number): HostTensor {
  const random = new Random(seed, streams.weights, position);
  const draw = (): number => {
    if (initial.kind === 'normal') return initial.deviation * random.normal();
    if (initial.kind === 'uniform') return initial.bound * (2 * random.uniform() - 1);
    return initial.value;
  };
  const values = new Float32Array(sizeOf(value.shape));
  for (let at = 0; at < values.length; at++) values[at] = draw();
  return f32(value.shape, values);
}

/** [kh, kw, I, O] → [O, I, kh, kw]. */
function toOihw({ shape, data }: HostTensor): HostTensor {
  const [kh, kw, i, o] = shape as [number, number, number, number];
  return f32([o, i, kh, kw], reverseAxes(data, [kh * kw, i, o]));
}

/** [O, I, kh, kw] → [kh, kw, I, O]. */
function toHwio({ shape, data }: HostTensor): HostTensor {
  const [o, i, kh, kw] = shape as [number, number, number, number];
  return f32([kh, kw, i, o], reverseAxes(data, [o, i, kh * kw]));
}

const weightName = ({ name }: MultiplyingLayer): string => `${name}.weight`;

/** The shape of an engine tensor in its stored form. */
export function storedShape(name: string, shape: Shape, layers: readonly MultiplyingLayer[]): Shape {
  const layer = layers.find((candidate) => weightName(candidate) === name);
  if (!layer) return shape;
  const [kh, kw, inputs, outputs] = shape as [number, number, number, number];
  return layer.kind === 'linear' ? [outputs, inputs] : [outputs, inputs, kh, kw];
}

/** The stored form of an engine tensor: weights of multiplying layers in PyTorch's layout, everything else as it is. */
export function toStored(name: string, tensor: HostTensor, layers: readonly MultiplyingLayer[]): HostTensor {
  const layer = layers.find((candidate) => weightName(candidate) === name);
  if (!layer) return tensor;
  const stored = toOihw(tensor);
  return layer.kind === 'linear' ? { ...stored, shape: stored.shape.slice(0, 2) } : stored;
}

/** As `toStored`, for a file: weights are turned about where they are to lie. */
export function storedInPlace(
  name: string,
  tensor: HostTensor,
  layers: readonly MultiplyingLayer[],
): HostTensor | TensorInPlace {
  if (!layers.some((candidate) => weightName(candidate) === name)) return tensor;
  const { shape, data } = tensor;
  const [kh, kw, i, o] = shape as [number, number, number, number];
  return {
    ...{ dtype: 'f32', shape: storedShape(name, shape, layers) },
    write: ({ buffer, byteOffset }) => {
      reverseAxes(data, [kh * kw, i, o], new Float32Array(buffer, byteOffset, data.length));
    },
  };
}

/** The engine form of a stored tensor; a shape that does not fit the model is a UserError. */
export function fromStored(
  name: string,
  tensor: HostTensor,
  shape: Shape,
  layers: readonly MultiplyingLayer[],
): HostTensor {
  const layer = layers.find((candidate) => weightName(candidate) === name);
  const square = layer && tensor.shape.length === 2 ? { ...tensor, shape: [...tensor.shape, 1, 1] } : tensor;
  const loaded = layer && square.shape.length === 4 ? toHwio(square) : square;
  if (sameShape(loaded.shape, shape)) return loaded;
  throw new UserError(
    `tensor ${name} has the shape ${formatShape(tensor.shape)}, which does not fit the model's ${formatShape(shape)}; was the checkpoint made for another model or data set?`,
  );
}
