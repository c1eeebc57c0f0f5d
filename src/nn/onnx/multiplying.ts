// Operators with weights, normalisations, products and pools: what they are of Layers, with the values of their tensors
// kept in PyTorch's form, which is also ONNX's.

import { layerNorm, softmax } from '../../engine/operations/normalizations.ts';
import { UserError } from '../../tensor/errors.ts';
import { f32, formatShape, type Shape, sameShape, sizeOf } from '../../tensor/tensor.ts';
import type { Call } from './call.ts';
import type { Constant } from './constants.ts';
import { arranged, axisIn, type BatchAxis, reshaped, shapeOf, type Tensor, tensorOf, withLast } from './layout.ts';
import type { Operator } from './operators.ts';

/** Images as the engine has them: [N, H, W, C]. */
export const IMAGES = [0, 2, 3, 1];
/** The first axis is that of the images. */
export const FIRST: BatchAxis = { axis: 0, slower: 1 };

/** A row of numbers, one per channel. */
function channels(call: Call, at: number, what: string, count: number): Constant {
  const constant = call.constant(at, what);
  if (sizeOf(constant.shape) === count && constant.shape.every((extent) => extent === 1 || extent === count))
    return constant;
  throw new UserError(`its ${what} has the shape ${formatShape(constant.shape)}; expected [${count}]`);
}

/** Zeros or what a pool ignores, before and behind the image, [top, left, bottom, right]. */
function padsOf(call: Call, [height, width]: Shape, reach: Shape, stride: Shape): readonly number[] {
  const auto = call.text('auto_pad', 'NOTSET', ['NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER']);
  const pads = call.numbers('pads') ?? [0, 0, 0, 0];
  if (auto === 'NOTSET') {
    if (pads.length === 4 && pads.every((pad) => pad >= 0)) return pads;
    throw new UserError(`its pads are ${formatShape(pads)}; expected 4 of at least 0`);
  }
  if (auto === 'VALID') return [0, 0, 0, 0];
  const both = [height!, width!].map((extent, axis) => {
    const whole = Math.max((Math.ceil(extent / stride[axis]!) - 1) * stride[axis]! + reach[axis]! - extent, 0);
    const less = Math.floor(whole / 2);
    return auto === 'SAME_UPPER' ? [less, whole - less] : [whole - less, less];
  });
  return [both[0]![0]!, both[1]![0]!, both[0]![1]!, both[1]![1]!];
}

function pairOf(call: Call, name: string): readonly [number, number] {
  const value = call.numbers(name) ?? [1, 1];
  if (value.length === 2 && value.every((one) => one >= 1)) return value as unknown as readonly [number, number];
  throw new UserError(`its ${name} is ${formatShape(value)}; expected two numbers of at least 1`);
}

const reachOf = (size: Shape, dilation: Shape): number[] => size.map((taps, axis) => (taps - 1) * dilation[axis]! + 1);

const conv: Operator = (call) => {
  const { nn, building, node } = call;
  const image = call.image(0);
  const weight = call.constant(1, 'weights');
  if (weight.shape.length !== 4)
    throw new UserError(`its weights have ${weight.shape.length} axes; expected 4, those of images`);
  const [out, perGroup, kh, kw] = weight.shape as [number, number, number, number];
  const kernel = call.numbers('kernel_shape');
  if (kernel && !sameShape(kernel, [kh, kw])) {
    throw new UserError(`its kernel_shape is ${formatShape(kernel)}, its weights are ${formatShape(weight.shape)}`);
  }
  const [stride, dilation, groups] = [pairOf(call, 'strides'), pairOf(call, 'dilations'), call.number('group', 1)];
  const [, inputs, ...extents] = shapeOf(image) as [number, number, number, number];
  if (inputs !== perGroup * groups) {
    throw new UserError(`its weights are for ${perGroup * groups} channels, its input has ${inputs}`);
  }
  const [top, left, bottom, right] = padsOf(call, extents, reachOf([kh, kw], dilation), stride) as [
    number,
    number,
    number,
    number,
  ];
  const name = building.layer(node, weight);
  let x = arranged(image, IMAGES);
  const isEven = top === bottom && left === right;
  if (!isEven) {
    // One layer pads all sides alike: the rest are zeros of the image.
    if (top + bottom > 0) x = nn.pad(x, 1, top, bottom);
    if (left + right > 0) x = nn.pad(x, 2, left, right);
  }
  const padding = isEven ? ([top, left] as const) : 0;
  const bias = call.inputs[2] === undefined ? undefined : channels(call, 2, 'bias', out);
  const y = nn.conv(name, x, {
    ...{
      out: building.outputsOf(node, out),
      kernel: [kh, kw],
      stride,
      padding,
      dilation,
      groups,
      bias: bias !== undefined,
    },
  });
  building.keep(`${name}.weight`, weight, weight.shape);
  if (bias) building.keep(`${name}.bias`, bias, [out]);
  return tensorOf(y, FIRST, IMAGES);
};

/** x [N, …, I] by weights of I inputs and O outputs; `strides`: of the weights as [O, I]. */
function linear(
  call: Call,
  x: Tensor,
  weight: Constant,
  sizes: readonly [number, number],
  strides: Shape,
  bias: number | undefined,
): Tensor {
  const { nn, building, node } = call;
  const [inputs, out] = sizes;
  const shape = shapeOf(x);
  const last = shape.length - 1;
  if (shape.length < 2 || shape[last] !== inputs) {
    throw new UserError(`its weights are for ${inputs} features, its input has the shape ${formatShape(shape)}`);
  }
  const outputs = building.outputsOf(node, out);
  const name = building.layer(node, weight);
  const apart = withImagesApart(x, building.batch.images);
  const end = apart.order.length - 1;
  // Images first, so that the layer's multiplications are those of one image.
  const first = apart.batch ? [apart.batch.axis] : [];
  const order = [...first, ...apart.order.filter((axis) => axis !== end && !first.includes(axis)), end];
  const shift = bias === undefined ? undefined : channels(call, bias, 'bias', out);
  const y = nn.linear(name, arranged(apart, order), outputs, { bias: shift !== undefined });
  building.keep(`${name}.weight`, weight, [out, inputs], strides);
  if (shift) building.keep(`${name}.bias`, shift, [out]);
  return reshaped(tensorOf(y, apart.batch, order), shape.with(last, outputs), x.batch);
}

/** The same with an axis for the images alone, but never the last. */
function withImagesApart(x: Tensor, images: number): Tensor {
  const { batch } = x;
  const shape = shapeOf(x);
  if (!batch || batch.axis === shape.length - 1) return { ...x, batch: undefined };
  const { axis, slower } = batch;
  const parts = [slower, images, shape[axis]! / slower / images];
  const kept = parts.flatMap((extent, part) => (part === 1 || extent > 1 ? [extent] : []));
  const own = { axis: axis + (slower > 1 ? 1 : 0), slower: 1 };
  return reshaped(x, shape.toSpliced(axis, 1, ...kept), own);
}

const gemm: Operator = (call) => {
  call.only('alpha', 1);
  call.only('transA', 0);
  call.only('beta', 1);
  const isStored = call.number('transB', 0) === 1;
  const weight = call.constant(1, 'weights');
  const [a, b] = weight.shape as [number, number];
  const [inputs, out] = isStored ? [b, a] : [a, b];
  return linear(
    call,
    call.tensor(0),
    weight,
    [inputs, out],
    isStored ? [inputs, 1] : [1, out],
    call.inputs[2] ? 2 : undefined,
  );
};

/** A product with a matrix of weights, [I, O], and perhaps a bias. */
const product: Operator = (call) => {
  const weight = call.constant(1, 'weights');
  if (weight.shape.length !== 2) {
    throw new UserError(`it multiplies by a constant of shape ${formatShape(weight.shape)}; expected a matrix`);
  }
  const [inputs, out] = weight.shape as [number, number];
  return linear(call, call.tensor(0), weight, [inputs, out], [1, out], call.inputs[2] ? 2 : undefined);
};

/** A product of two matrices that are both computed, as in attention. */
const matMul: Operator = (call) => {
  const { nn, building } = call;
  const [a, b] = [call.operand(0), call.operand(1)];
  if (a.kind === 'constant')
    throw new UserError('it multiplies a constant by what is computed; expected the constant behind it');
  if (b.kind === 'constant') return product(call);
  const rank = a.order.length;
  const [shapeA, shapeB] = [shapeOf(a), shapeOf(b)];
  if (rank < 2 || b.order.length !== rank || shapeA[rank - 1] !== shapeB[rank - 2]) {
    throw new UserError(
      `it multiplies ${formatShape(shapeA)} by ${formatShape(shapeB)}; expected matrices that fit, with as many axes before`,
    );
  }
  const [rows, columns] = [rank - 2, rank - 1];
  const leading = shapeA.slice(0, -2).map((extent, axis) => Math.max(extent, shapeB[axis]!));
  const batch = a.batch ?? b.batch;
  const wholeA = building.expanded(a, [...leading, ...shapeA.slice(-2)], batch);
  const wholeB = building.expanded(b, [...leading, ...shapeB.slice(-2)], batch);
  const outer = wholeA.order.filter((axis) => axis < rows);
  // A matrix that lies transposed in memory is read so.
  const second = wholeB.order.indexOf(columns) < wholeB.order.indexOf(rows);
  const valueA = arranged(wholeA, [...outer, rows, columns]);
  const valueB = arranged(wholeB, [...outer, ...(second ? [columns, rows] : [rows, columns])]);
  return tensorOf(nn.matrixProduct(valueA, valueB, second ? 'second' : 'none'), batch, [...outer, rows, columns]);
};

const batchNorm: Operator = (call) => {
  const { nn, building, node } = call;
  call.idle('training_mode', 'spatial');
  const x = call.tensor(0);
  const rank = x.order.length;
  if (rank < 2) throw new UserError('its input has one axis; expected channels as the second');
  const count = shapeOf(x)[1]!;
  const parts = ['weight', 'bias', 'running_mean', 'running_var'] as const;
  const constants = parts.map((what, at) => channels(call, at + 1, what, count));
  const name = building.layer(node, constants[0]!);
  // ONNX's momentum is what stays, ours what comes.
  const momentum = Number((1 - call.number('momentum', 0.9)).toFixed(9));
  const order = withLast(x.order, 1);
  const value = nn.batchNorm(name, arranged(x, order), { epsilon: call.number('epsilon', 1e-5), momentum });
  for (const [at, what] of parts.entries()) building.keep(`${name}.${what}`, constants[at]!, [count]);
  return tensorOf(value, x.batch, order);
};

/** Normalisation over the last axis, with a scale and a shift or without. */
const rowNorm: Operator = (call) => {
  const { nn, building, node } = call;
  const x = call.tensor(0);
  const last = x.order.length - 1;
  call.idle('stash_type');
  if (node.op === 'LayerNormalization' && axisIn(last + 1, call.number('axis', -1)) !== last) {
    throw new UserError('it normalises more axes than the last; expected axis −1');
  }
  const epsilon = call.number('epsilon', 1e-5);
  const order = withLast(x.order, last);
  const value = arranged(x, order);
  const count = value.shape.at(-1)!;
  const [scale, shift] = [1, 2].map((at) =>
    call.inputs[at] === undefined ? undefined : channels(call, at, at === 1 ? 'scale' : 'shift', count),
  );
  if (scale && shift) {
    const name = building.layer(node, scale);
    building.keep(`${name}.weight`, scale, [count]);
    building.keep(`${name}.bias`, shift, [count]);
    return tensorOf(nn.layerNorm(name, value, epsilon), x.batch, order);
  }
  const row = (of: number) => nn.graph.constant(f32([count], new Float32Array(count).fill(of)));
  const weight = scale ? building.tensor({ ...scale, shape: [count] }, node).value : row(1);
  return tensorOf(layerNorm(value, weight, row(0), epsilon), x.batch, order);
};

const softmaxOf: Operator = (call) => {
  const x = call.tensor(0);
  const shape = shapeOf(x);
  const rank = shape.length;
  const axis = axisIn(rank, call.number('axis', call.building.opset < 13 ? 1 : -1));
  // Before opset 13 all axes from this one on were one.
  if (call.building.opset < 13 && sizeOf(shape.slice(axis + 1)) > 1) {
    throw new UserError(
      `its axis is ${axis} of ${rank} in opset ${call.building.opset}, all behind it together; export with opset_version=17`,
    );
  }
  const order = withLast(x.order, axis);
  return tensorOf(softmax(arranged(x, order)), x.batch, order);
};

/**
 * Windows of a pool as Layers has them: padding alike on both sides, and a last window that may reach beyond. Where
 * ONNX pads more behind, that is the same if the windows are as many.
 */
function windowsOf(call: Call, image: Tensor) {
  const extents = shapeOf(image).slice(2);
  const size = call.numbers('kernel_shape') ?? [];
  if (size.length !== 2) throw new UserError(`its kernel_shape is ${formatShape(size)}; expected two extents`);
  call.only('dilations', [1, 1]);
  const stride = pairOf(call, 'strides');
  const isCeil = call.number('ceil_mode', 0) === 1;
  const pads = padsOf(call, extents, size, stride);
  const axes = extents.map((extent, axis) => {
    const [before, behind] = [pads[axis]!, pads[axis + 2]!];
    const steps = (extent + before + behind - size[axis]!) / stride[axis]!;
    const count = (isCeil ? Math.ceil(steps) : Math.floor(steps)) + 1;
    // No window begins behind the image.
    const isBehind = isCeil && (count - 1) * stride[axis]! >= extent + before;
    return { before, behind, wanted: isBehind ? count - 1 : count, extent };
  });
  /** Windows that Layers makes with the padding before on both sides. */
  const made = ({ extent, before }: { extent: number; before: number }, axis: number, ceil: boolean) => {
    const steps = (extent + 2 * before - size[axis]!) / stride[axis]!;
    const count = Math.floor(steps) + 1;
    return ceil && steps >= 0 && !Number.isInteger(steps) && count * stride[axis]! < extent + before
      ? count + 1
      : count;
  };
  const ceil = [isCeil, !isCeil].find((choice) => axes.every((one, axis) => made(one, axis, choice) === one.wanted));
  return { size: size as unknown as readonly [number, number], stride, axes, ceil, isCeil };
}

const uneven = 'its pads differ on two sides in a way that is not supported; export it with explicit padding of zeros';

const maxPool: Operator = (call) => {
  const image = call.image(0);
  call.idle('storage_order');
  const { size, stride, axes, ceil } = windowsOf(call, image);
  if (ceil === undefined) throw new UserError(uneven);
  const padding = axes.map(({ before }) => before) as unknown as readonly [number, number];
  return tensorOf(call.nn.maxPool(arranged(image, IMAGES), size, stride, padding, { ceil }), FIRST, IMAGES);
};

const averagePool: Operator = (call) => {
  const { nn } = call;
  const image = call.image(0);
  const countPadding = call.number('count_include_pad', 0) === 1;
  const { size, stride, axes, ceil, isCeil } = windowsOf(call, image);
  const isEven = axes.every(({ before, behind }) => before === behind);
  const isBare = axes.every(({ before, behind }) => before + behind === 0);
  let x = arranged(image, IMAGES);
  if (isEven && ceil === isCeil) {
    const padding = axes.map(({ before }) => before) as unknown as readonly [number, number];
    return tensorOf(
      nn.averagePool(x, size, stride, padding, { ceil, countPadding: countPadding || isBare }),
      FIRST,
      IMAGES,
    );
  }
  if (!countPadding) {
    if (ceil === undefined) throw new UserError(uneven);
    const padding = axes.map(({ before }) => before) as unknown as readonly [number, number];
    return tensorOf(nn.averagePool(x, size, stride, padding, { ceil, countPadding: false }), FIRST, IMAGES);
  }
  if (isCeil) throw new UserError(uneven);
  for (const [axis, { before, behind }] of axes.entries())
    if (before + behind > 0) x = nn.pad(x, axis + 1, before, behind);
  return tensorOf(nn.averagePool(x, size, stride), FIRST, IMAGES);
};

const globalPool =
  (kind: 'averagePool' | 'maxPool'): Operator =>
  (call) => {
    const image = arranged(call.image(0), IMAGES);
    const [, height, width] = image.shape as [number, number, number, number];
    return tensorOf(call.nn[kind](image, [height, width]), FIRST, IMAGES);
  };

export const multiplying: Readonly<Record<string, Operator>> = {
  Conv: conv,
  Gemm: gemm,
  MatMul: matMul,
  BatchNormalization: batchNorm,
  LayerNormalization: rowNorm,
  Softmax: softmaxOf,
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: globalPool('averagePool'),
  GlobalMaxPool: globalPool('maxPool'),
};

/** What patterns become. */
export const fused: Readonly<Record<string, Operator>> = {
  Linear: product,
  LayerNorm: rowNorm,
  Gelu: (call) => ({ ...call.tensor(0), value: call.nn.gelu(call.tensor(0).value) }),
  Silu: (call) => ({ ...call.tensor(0), value: call.nn.silu(call.tensor(0).value) }),
  HardSwish: (call) => ({ ...call.tensor(0), value: call.nn.hardSwish(call.tensor(0).value) }),
};
