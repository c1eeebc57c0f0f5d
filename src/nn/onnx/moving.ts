// Operators that bring values into another form: shapes, axes, parts, means over axes. Of constants they give constants
// (./constants.ts), of what is computed tensors of which as little as can be is moved (./layout.ts). Extents in a file
// are those for as many images as it was exported for.

import { meanOver } from '../../engine/operations/repetitions.ts';
import type { OnnxTensor } from '../../onnx/tensors.ts';
import { UserError } from '../../tensor/errors.ts';
import { formatShape, type Shape, sizeOf } from '../../tensor/tensor.ts';
import type { Operand } from './building.ts';
import type { Call } from './call.ts';
import {
  broadcastShapes,
  type Constant,
  combineConstants,
  concatConstants,
  constantOf,
  expandConstant,
  filled,
  integersOf,
  rangeConstant,
  reshapeConstant,
  scalarOf,
  takeConstant,
  transposeConstant,
  wholeNumbers,
} from './constants.ts';
import {
  arranged,
  axisIn,
  batchBehind,
  reshaped,
  shapeOf,
  shifted,
  type Tensor,
  tensorOf,
  transposed,
} from './layout.ts';
import { FIRST, IMAGES } from './multiplying.ts';
import type { Operator } from './operators.ts';

export const constantFrom = ({ type, shape, data }: OnnxTensor, initialiser?: string): Constant => ({
  ...constantOf(shape, data, ['FLOAT', 'FLOAT16', 'BFLOAT16', 'DOUBLE'].includes(type)),
  initialiser,
});

const constant: Operator = (call) => {
  const value = call.value('value');
  if (typeof value === 'object' && 'data' in value) return constantFrom(value);
  const real = call.value('value_float');
  if (typeof real === 'number') return constantOf([], [real], true);
  const whole = call.value('value_int');
  if (typeof whole === 'number') return constantOf([], [whole], false);
  const reals = call.numbers('value_floats');
  if (reals) return constantOf([reals.length], reals, true);
  const wholes = call.numbers('value_ints');
  if (wholes) return wholeNumbers(wholes);
  throw new UserError('its value is of a kind that is not supported; expected numbers');
};

const shape: Operator = (call) => {
  const x = call.operand(0);
  const extents = x.kind === 'constant' ? x.shape : call.building.fileShape(x);
  return wholeNumbers(
    extents.slice(call.number('start', 0), call.value('end') === undefined ? undefined : call.number('end', 0)),
  );
};

/** The same elements under another shape, given as the file means it. */
function reshapeTo(call: Call, x: Tensor, target: Shape): Tensor {
  const { building } = call;
  const { exported } = building.batch;
  const from = building.fileShape(x);
  const batch = batchBehind(from, x.batch, target, exported);
  if (sizeOf(from) !== sizeOf(target)) {
    throw new UserError(`${formatShape(from)} as ${formatShape(target)}; expected as many elements`);
  }
  if (x.batch !== undefined && batch === undefined && building.scale !== 1) {
    throw new UserError(
      'it joins images with what lies before them, and was exported for a fixed number of images; export it with dynamic_axes for the batch',
    );
  }
  return reshaped(x, building.withImages(target, batch), batch);
}

const reshape: Operator = (call) => {
  call.only('allowzero', 0);
  const x = call.operand(0);
  const wanted = integersOf(call.constant(1, 'shape'), 'its shape');
  const from = x.kind === 'constant' ? x.shape : call.building.fileShape(x);
  const known = wanted.map((extent, axis) => (extent === 0 ? (from[axis] ?? 0) : extent));
  const rest = sizeOf(from) / sizeOf(known.filter((extent) => extent !== -1));
  const target = known.map((extent) => (extent === -1 ? rest : extent));
  const isWhole =
    target.every((extent) => Number.isInteger(extent) && extent >= 1) && known.filter((one) => one === -1).length <= 1;
  if (!isWhole) throw new UserError(`${formatShape(from)} as ${formatShape(wanted)}; expected as many elements`);
  return x.kind === 'constant' ? reshapeConstant(x, target) : reshapeTo(call, x, target);
};

const flatten: Operator = (call) => {
  const x = call.operand(0);
  const from = x.kind === 'constant' ? x.shape : call.building.fileShape(x);
  const at = call.number('axis', 1);
  const axis = at < 0 ? at + from.length : at;
  const target = [sizeOf(from.slice(0, axis)), sizeOf(from.slice(axis))];
  return x.kind === 'constant' ? reshapeConstant(x, target) : reshapeTo(call, x, target);
};

const squeeze: Operator = (call) => {
  const x = call.operand(0);
  const from = x.kind === 'constant' ? x.shape : shapeOf(x);
  const batch = x.kind === 'constant' ? undefined : x.batch;
  const images = batch?.axis;
  const axes =
    call.axes('axes', 1, from.length) ?? [...from.keys()].filter((axis) => from[axis] === 1 && axis !== images);
  if (axes.some((axis) => from[axis] !== 1 || axis === images)) {
    throw new UserError(
      `it leaves out the axes ${formatShape(axes)} of ${formatShape(from)}; expected extents of 1, and not that of the images`,
    );
  }
  const kept = [...from.keys()].filter((axis) => !axes.includes(axis));
  const target = kept.map((axis) => from[axis]!);
  if (x.kind === 'constant') return reshapeConstant(x, target);
  return reshaped(x, target, batch && { ...batch, axis: kept.indexOf(batch.axis) });
};

const unsqueeze: Operator = (call) => {
  const x = call.operand(0);
  const from = x.kind === 'constant' ? x.shape : shapeOf(x);
  const given = call.list('axes', 1) ?? [];
  const rank = from.length + given.length;
  const axes = given.map((axis) => axisIn(rank, axis));
  const places = [...Array(rank).keys()].filter((axis) => !axes.includes(axis));
  if (places.length !== from.length) throw new UserError(`its axes are ${formatShape(given)}; expected each once`);
  const target = Array<number>(rank).fill(1);
  for (const [at, axis] of places.entries()) target[axis] = from[at]!;
  if (x.kind === 'constant') return reshapeConstant(x, target);
  return reshaped(x, target, x.batch && { ...x.batch, axis: places[x.batch.axis]! });
};

const transpose: Operator = (call) => {
  const x = call.operand(0);
  const rank = x.kind === 'constant' ? x.shape.length : x.order.length;
  const axes = call.numbers('perm') ?? [...Array(rank).keys()].reverse();
  return x.kind === 'constant' ? transposeConstant(x, axes) : transposed(x, axes);
};

/** Elements `from` to `to` − 1 of a tensor along an axis. */
function part(call: Call, x: Tensor, axis: number, from: number, to: number): Tensor {
  const extent = shapeOf(x)[axis]!;
  if (from === 0 && to === extent) return x;
  if (axis === x.batch?.axis)
    throw new UserError('it takes some of the images; expected all of them to be treated alike');
  return { ...x, value: call.nn.slice(x.value, x.order.indexOf(axis), from, to) };
}

const slice: Operator = (call) => {
  const x = call.operand(0);
  const from = x.kind === 'constant' ? x.shape : call.building.fileShape(x);
  const [starts, ends] = [call.list('starts', 1), call.list('ends', 2)];
  if (!starts || !ends) throw new UserError('it has no starts or ends');
  const axes = call.axes('axes', 3, from.length) ?? [...starts.keys()];
  const steps = call.list('steps', 4) ?? starts.map(() => 1);
  return axes.reduce<Operand>((whole, axis, at) => {
    const extent = from[axis]!;
    const step = steps[at]!;
    const within = (place: number, least: number, most: number) =>
      Math.min(Math.max(place < 0 ? place + extent : place, least), most);
    if (whole.kind === 'constant') {
      const [first, end] =
        step > 0
          ? [within(starts[at]!, 0, extent), within(ends[at]!, 0, extent)]
          : [within(starts[at]!, 0, extent - 1), within(ends[at]!, -1, extent - 1)];
      const count = Math.max(Math.ceil((end - first) / step), 0);
      return takeConstant(
        whole,
        axis,
        Array.from({ length: count }, (_, k) => first + k * step),
      );
    }
    if (step !== 1) throw new UserError(`its step is ${step}; expected 1`);
    const [first, end] = [within(starts[at]!, 0, extent), within(ends[at]!, 0, extent)];
    if (axis === whole.batch?.axis && first === 0 && end === extent) return whole;
    return part(call, whole, axis, first, end);
  }, x);
};

const split: Operator = (call) => {
  const x = call.operand(0);
  const from = x.kind === 'constant' ? x.shape : shapeOf(x);
  const axis = axisIn(from.length, call.number('axis', 0));
  const count = call.number('num_outputs', call.node.outputs.length);
  const equal = Array.from({ length: count }, () => Math.ceil(from[axis]! / count));
  const sizes = call.list('split', 1) ?? equal.with(-1, from[axis]! - equal[0]! * (count - 1));
  if (sizes.length !== call.node.outputs.length || sizes.reduce((sum, size) => sum + size, 0) !== from[axis]) {
    throw new UserError(
      `its parts are ${formatShape(sizes)} of ${from[axis]}; expected as many as outputs, all together`,
    );
  }
  let end = 0;
  return sizes.map((size) => {
    const first = end;
    end += size;
    if (x.kind === 'tensor') return part(call, x, axis, first, end);
    return takeConstant(
      x,
      axis,
      Array.from({ length: size }, (_, k) => first + k),
    );
  });
};

/** Elements of an axis by their numbers; one number leaves the axis out. */
const gather: Operator = (call) => {
  const x = call.operand(0);
  const from = x.kind === 'constant' ? x.shape : shapeOf(x);
  const axis = axisIn(from.length, call.number('axis', 0));
  const index = call.constant(1, 'indices');
  const extent = x.kind === 'tensor' && axis === x.batch?.axis ? undefined : from[axis]!;
  if (extent === undefined)
    throw new UserError('it takes some of the images; expected all of them to be treated alike');
  const places = Array.from(index.data, (place) => (place < 0 ? place + extent : place));
  if (!places.every((place) => Number.isInteger(place) && place >= 0 && place < extent)) {
    throw new UserError(`its indices reach beyond the ${extent} elements of axis ${axis}`);
  }
  const target = [...from.slice(0, axis), ...index.shape, ...from.slice(axis + 1)];
  if (x.kind === 'constant')
    return reshapeConstant(
      { ...takeConstant(x, axis, places), initialiser: x.isFloat ? x.initialiser : undefined },
      target,
    );
  const runs = runsOf(places).map(([first, end]) => part(call, x, axis, first, end));
  const all =
    runs.length === 1
      ? runs[0]!
      : {
          ...x,
          value: call.nn.concat(
            runs.map(({ value }) => value),
            x.order.indexOf(axis),
          ),
        };
  const { batch } = x;
  return reshaped(all, target, batch && batch.axis > axis ? shifted(batch, index.shape.length - 1) : batch);
};

/** Numbers as runs of neighbours: 3 4 5 1 → 3 to 6, 1 to 2. */
function runsOf(places: readonly number[]): readonly (readonly [number, number])[] {
  const runs: [number, number][] = [];
  for (const place of places) {
    const last = runs.at(-1);
    if (last && last[1] === place) last[1]++;
    else runs.push([place, place + 1]);
  }
  return runs;
}

const concat: Operator = (call) => {
  const { building } = call;
  const operands = call.inputs.map((_, at) => call.operand(at));
  const [first] = operands as [Operand];
  const rank = first.kind === 'constant' ? first.shape.length : first.order.length;
  const axis = axisIn(rank, call.number('axis', 0));
  if (operands.every((one) => one.kind === 'constant')) return concatConstants(operands, axis);
  const tensors = operands.map((one) => building.tensor(one, call.node));
  const { batch, order } = tensors.find((one) => one.batch !== undefined) ?? tensors[0]!;
  if (axis === batch?.axis) throw new UserError('it joins images; expected all of them to be treated alike');
  const values = tensors.map((one) => {
    const own = shapeOf(one);
    // What is there once for the images of the file is there for each of ours.
    const isOnce = batch && !one.batch && own[batch.axis] === building.batch.exported;
    const whole = isOnce ? building.expanded(one, building.withImages(own, batch), batch) : one;
    return arranged(whole, order);
  });
  return tensorOf(call.nn.concat(values, order.indexOf(axis)), batch, order);
};

const expand: Operator = (call) => {
  const { building } = call;
  const x = call.operand(0);
  const wanted = integersOf(call.constant(1, 'shape'), 'its shape');
  if (x.kind === 'constant' && (!x.isFloat || x.initialiser === undefined))
    return expandConstant(x, broadcastShapes(x.shape, wanted));
  const tensor = building.tensor(x, call.node);
  const from = building.fileShape(tensor);
  const target = broadcastShapes(from, wanted);
  const batch = shifted(tensor.batch, target.length - from.length);
  return building.expanded(tensor, building.withImages(target, batch), batch);
};

const pad: Operator = (call) => {
  call.text('mode', 'constant', ['constant']);
  const x = call.tensor(0);
  const rank = x.order.length;
  const value = call.inputs[2] === undefined ? call.number('value', 0) : scalarOf(call.constant(2, 'value'));
  if (value !== 0) throw new UserError(`it pads with ${value}; expected zeros`);
  const pads = call.list('pads', 1) ?? [];
  const axes = call.axes('axes', 3, rank) ?? [...Array(rank).keys()];
  if (pads.length !== 2 * axes.length)
    throw new UserError(`its pads are ${formatShape(pads)}; expected two for each axis`);
  return axes.reduce<Tensor>((tensor, axis, at) => {
    const [before, behind] = [pads[at]!, pads[at + axes.length]!];
    if (before === 0 && behind === 0) return tensor;
    if (axis === tensor.batch?.axis) throw new UserError('it pads the images with more of them');
    const extent = shapeOf(tensor)[axis]!;
    // Less than none is a part.
    const cut = part(call, tensor, axis, Math.max(-before, 0), extent - Math.max(-behind, 0));
    call.building.requireSize(shapeOf(cut).with(axis, Math.max(before, 0) + extent + Math.max(behind, 0)));
    return { ...cut, value: call.nn.pad(cut.value, cut.order.indexOf(axis), Math.max(before, 0), Math.max(behind, 0)) };
  }, x);
};

/** Means, or sums, over some axes. */
const reduce =
  (isMean: boolean): Operator =>
  (call) => {
    const x = call.operand(0);
    const rank = x.kind === 'constant' ? x.shape.length : x.order.length;
    const axes = call.axes('axes', 1, rank) ?? [...Array(rank).keys()];
    call.only('noop_with_empty_axes', 0);
    const isKept = call.number('keepdims', 1) === 1;
    if (x.kind === 'constant') throw new UserError('it is applied to constants, which is not supported');
    const from = shapeOf(x);
    if (axes.length === 0 || axes.some((axis) => axis === x.batch?.axis)) {
      throw new UserError(
        `its axes are ${formatShape(axes)} of ${formatShape(from)}; expected some, and not that of the images`,
      );
    }
    const count = axes.reduce((product, axis) => product * from[axis]!, 1);
    const mean = reducedMean(call, x, axes);
    const whole = isMean
      ? mean
      : { ...mean, value: x.value.graph.apply1('affine', [mean.value], { scale: count, offset: 0 }) };
    if (isKept) return whole;
    const left = [...from.keys()].filter((axis) => !axes.includes(axis));
    return reshaped(
      whole,
      left.map((axis) => from[axis]!),
      x.batch && { ...x.batch, axis: left.indexOf(x.batch.axis) },
    );
  };

/** The means, the axes with the extent 1. */
function reducedMean(call: Call, x: Tensor, axes: readonly number[]): Tensor {
  const from = shapeOf(x);
  const target = from.map((extent, axis) => (axes.includes(axis) ? 1 : extent));
  const isImage = from.length === 4 && x.batch?.axis === 0 && axes.length === 2 && axes.includes(2) && axes.includes(3);
  if (isImage) return tensorOf(call.nn.averagePool(arranged(x, IMAGES), [from[2]!, from[3]!]), FIRST, IMAGES);
  const others = x.order.filter((axis) => !axes.includes(axis));
  // Rows are summed as such; what is kept of a row stays last where it can.
  const last = others.filter((axis) => axis !== x.batch?.axis).slice(-1);
  const first = others.filter((axis) => !last.includes(axis));
  const value = arranged(x, [...first, ...axes, ...last]);
  const extents = (list: readonly number[]) => list.map((axis) => from[axis]!);
  const flat = call.nn.reshape(value, [
    ...extents(first),
    sizeOf(extents(axes)),
    ...(last.length > 0 ? extents(last) : [1]),
  ]);
  const mean = meanOver(flat, first.length);
  const order = [...first, ...axes, ...last];
  return tensorOf(
    call.nn.reshape(
      mean,
      order.map((axis) => target[axis]!),
    ),
    x.batch,
    order,
  );
}

const reduceProduct: Operator = (call) => {
  const x = call.constant(0, 'input');
  call.idle('axes', 'keepdims');
  const product = Array.from(x.data).reduce((all, one) => all * one, 1);
  if (x.shape.length > 1) throw new UserError('it is applied to a constant of several axes, which is not supported');
  return constantOf(call.number('keepdims', 1) === 1 ? [1] : [], [product], x.isFloat);
};

const same: Operator = (call) => call.operand(0);

const cast: Operator = (call) => {
  const to = call.number('to', 1);
  const isFloat = [1, 10, 11, 16].includes(to);
  const x = call.operand(0);
  if (x.kind === 'constant') {
    if (isFloat) return { ...x, isFloat };
    return combineConstants([x], to === 9 ? (value) => (value === 0 ? 0 : 1) : Math.trunc, false);
  }
  if (!isFloat) throw new UserError('it makes whole numbers of what is computed; expected floats');
  return x;
};

const where: Operator = (call) => {
  const all = [0, 1, 2].map((at) => call.constant(at, 'input'));
  return combineConstants(all, (condition, a, b) => (condition ? a! : b!), all[1]!.isFloat);
};

const constantOfShape: Operator = (call) => {
  const value = call.value('value');
  const given = typeof value === 'object' && 'data' in value ? constantFrom(value) : constantOf([1], [0], true);
  return filled(integersOf(call.constant(0, 'shape'), 'its shape'), given.data[0] ?? 0, given.isFloat);
};

const range: Operator = (call) => {
  const [from, to, step] = [0, 1, 2].map((at) => scalarOf(call.constant(at, 'bound')) ?? Number.NaN);
  return rangeConstant(from!, to!, step!, (call.operand(0) as Constant).isFloat);
};

const dropout: Operator = (call) => {
  call.idle('ratio', 'seed', 'is_test');
  return call.operand(0);
};

export const moving: Readonly<Record<string, Operator>> = {
  Constant: constant,
  Shape: shape,
  Reshape: reshape,
  Flatten: flatten,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Transpose: transpose,
  Slice: slice,
  Split: split,
  Gather: gather,
  Concat: concat,
  Expand: expand,
  Pad: pad,
  ReduceMean: reduce(true),
  ReduceSum: reduce(false),
  ReduceProd: reduceProduct,
  Identity: same,
  Dropout: dropout,
  Cast: cast,
  Where: where,
  ConstantOfShape: constantOfShape,
  Range: range,
};
