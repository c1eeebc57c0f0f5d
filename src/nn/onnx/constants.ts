// Values of an ONNX graph that no image decides: initialisers, constants, shapes, and what nodes make of them. They are
// computed as the network is built, mostly a few whole numbers that a Reshape or a Slice reads. An initialiser that was
// only brought into another form (transposed, reshaped) still knows its name, under which it is trained.
// Invariant: nothing larger than MOST elements is made of a few bytes.

import { UserError } from '../../tensor/errors.ts';
import { formatShape, type Shape, sizeOf } from '../../tensor/tensor.ts';

export interface Constant {
  readonly kind: 'constant';
  readonly shape: Shape;
  readonly data: ArrayLike<number>;
  readonly isFloat: boolean;
  /** The initialiser whose values these are, in whatever order. */
  readonly initialiser?: string | undefined;
}

/** Elements that a node may make of less. */
const MOST = 2 ** 24;

export const constantOf = (shape: Shape, data: ArrayLike<number>, isFloat: boolean): Constant => ({
  ...{ kind: 'constant', shape, data, isFloat },
});

export const wholeNumbers = (values: readonly number[]): Constant => constantOf([values.length], values, false);

/** The values as a list of whole numbers. */
export function integersOf({ data, shape }: Constant, what: string): readonly number[] {
  const values = Array.from(data);
  if (shape.length <= 1 && values.every(Number.isInteger)) return values;
  throw new UserError(`${what} of shape ${formatShape(shape)}; expected a list of whole numbers`);
}

/** The value of a constant of one element; undefined for others. */
export const scalarOf = (constant: Constant): number | undefined =>
  sizeOf(constant.shape) === 1 ? constant.data[0] : undefined;

function requireSize(shape: Shape): number {
  const size = sizeOf(shape);
  if (shape.every((extent) => Number.isInteger(extent) && extent >= 0) && size <= MOST) return size;
  throw new UserError(`a constant of shape ${formatShape(shape)}; expected at most ${MOST} elements`);
}

/** A constant whose element at each place is an element of another: `from` gives its number. */
function gathered(source: Constant, shape: Shape, from: (index: readonly number[]) => number): Constant {
  const size = requireSize(shape);
  const { data, isFloat } = source;
  const result = source.data instanceof Float32Array ? new Float32Array(size) : new Float64Array(size);
  const index = shape.map(() => 0);
  for (let k = 0; k < size; k++) {
    result[k] = data[from(index)]!;
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis]! >= shape[axis]!; axis--) index[axis] = 0;
  }
  return constantOf(shape, result, isFloat);
}

const stridesOf = (shape: Shape): number[] => shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));

const placeIn = (strides: readonly number[], index: readonly number[]): number =>
  index.reduce((sum, at, axis) => sum + at * strides[axis]!, 0);

/** The same elements under another shape. */
export function reshapeConstant(source: Constant, shape: Shape): Constant {
  if (sizeOf(shape) !== sizeOf(source.shape)) {
    throw new UserError(
      `a constant of shape ${formatShape(source.shape)} as ${formatShape(shape)}; expected as many elements`,
    );
  }
  return { ...source, shape };
}

export function transposeConstant(source: Constant, order: readonly number[]): Constant {
  const strides = stridesOf(source.shape);
  const own = order.map((axis) => strides[axis]!);
  const shape = order.map((axis) => source.shape[axis]!);
  return { ...gathered(source, shape, (index) => placeIn(own, index)), initialiser: source.initialiser };
}

/** Elements `indices` along an axis. */
export function takeConstant(source: Constant, axis: number, indices: readonly number[]): Constant {
  const strides = stridesOf(source.shape);
  const shape = source.shape.with(axis, indices.length);
  return gathered(source, shape, (index) => placeIn(strides, index.with(axis, indices[index[axis]!]!)));
}

export function concatConstants(parts: readonly Constant[], axis: number): Constant {
  const [first] = parts as [Constant];
  const shape = first.shape.with(
    axis,
    parts.reduce((sum, part) => sum + part.shape[axis]!, 0),
  );
  const size = requireSize(shape);
  const fits = parts.every((part) => sizeOf(part.shape.with(axis, 1)) === sizeOf(first.shape.with(axis, 1)));
  if (!fits) throw new UserError('Concat of constants of different shapes');
  const result = new Float64Array(size);
  const outer = sizeOf(shape.slice(0, axis));
  let at = 0;
  for (let block = 0; block < outer; block++)
    for (const { data, shape } of parts) {
      const length = sizeOf(shape.slice(axis));
      for (let k = 0; k < length; k++) result[at++] = data[block * length + k]!;
    }
  return constantOf(shape, result, first.isFloat);
}

/** The shape of both, one repeated over the other, axes counted from the last. */
export function broadcastShapes(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const [x, y] = [a[axis - rank + a.length] ?? 1, b[axis - rank + b.length] ?? 1];
    if (x === y || y === 1) return x;
    if (x === 1) return y;
    throw new UserError(`${formatShape(a)} and ${formatShape(b)}; expected extents that are equal or 1`);
  });
}

/** A constant repeated over a shape. */
export function expandConstant(source: Constant, shape: Shape): Constant {
  const rank = shape.length;
  const own = [...Array<number>(rank - source.shape.length).fill(1), ...source.shape];
  const strides = stridesOf(own).map((stride, axis) => (own[axis] === 1 ? 0 : stride));
  return gathered(source, shape, (index) => placeIn(strides, index));
}

/** Element by element, operands repeated over each other. */
export function combineConstants(
  operands: readonly Constant[],
  of: (...values: number[]) => number,
  isFloat: boolean,
): Constant {
  const shape = operands.map((operand) => operand.shape).reduce(broadcastShapes);
  const spread = operands.map((operand) => expandConstant(operand, shape).data);
  const result = Float64Array.from({ length: requireSize(shape) }, (_, k) => of(...spread.map((data) => data[k]!)));
  return constantOf(shape, result, isFloat);
}

/** A constant of one value everywhere. */
export const filled = (shape: Shape, value: number, isFloat: boolean): Constant =>
  constantOf(shape, new Float64Array(requireSize(shape)).fill(value), isFloat);

/** from, from + step, … below `to`. */
export function rangeConstant(from: number, to: number, step: number, isFloat: boolean): Constant {
  const count = Math.max(Math.ceil((to - from) / step), 0);
  if (!Number.isFinite(count)) throw new UserError(`a range from ${from} to ${to} by ${step}; expected an end`);
  const values = Float64Array.from({ length: requireSize([count]) }, (_, k) => from + k * step);
  return constantOf([count], values, isFloat);
}
