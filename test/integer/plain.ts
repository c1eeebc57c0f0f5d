// A network of integers computed as its format says it, sentence by sentence, and as slowly: every product a look-up,
// every requantisation in integers of any size. It shares nothing with the interpreter, and both must agree.
// It refuses an integer outside of its tensor's bounds, and a partial sum outside of its accumulator's.

import { stridesOf } from '../../src/engine/graph/movement.ts';
import type {
  IntegerNetwork,
  IntegerOperation,
  PoolWindow,
  ProductOperation,
  Requantisation,
} from '../../src/integer/network.ts';
import type { Shape } from '../../src/tensor/tensor.ts';

type Integers = readonly number[];

/** All tensors for an image, by their numbers; islands are not computed. */
export function plainTensors(network: IntegerNetwork, image: ArrayLike<number>): Map<number, Integers> {
  const values = new Map<number, Integers>([[0, Array.from(image)]]);
  for (const operation of network.operations) {
    const { output } = operation;
    const { name, low, high, shape } = network.tensors[output]!;
    const result = perform(network, operation, (number) => values.get(number)!);
    const size = shape.reduce((product, extent) => product * extent, 1);
    if (result.length !== size) throw new Error(`${name}: ${result.length} elements for the shape ${shape}`);
    const outside = result.find((value) => !(value >= low && value <= high));
    if (outside !== undefined) throw new Error(`${name}: ${outside} is outside of its bounds, ${low} to ${high}`);
    // Limits may be −0, integers are not.
    values.set(
      output,
      result.map((value) => value + 0),
    );
  }
  return values;
}

function perform(
  network: IntegerNetwork,
  operation: IntegerOperation,
  tensorOf: (number: number) => Integers,
): Integers {
  const { tensors } = network;
  const [first] = operation.inputs;
  const x = tensorOf(first!);
  const from = tensors[first!]!;
  const to = tensors[operation.output]!;
  const limited = (value: number, { low, high }: { low: number; high: number }) => Math.min(Math.max(value, low), high);
  switch (operation.kind) {
    case 'lookUp': {
      const channels = from.shape.at(-1)!;
      return x.map((pixel, at) => operation.tables[256 * (at % channels) + pixel]!);
    }
    case 'product':
      return products(network, operation, x, from.shape, to.shape);
    case 'requantise': {
      const channels = to.shape.at(-1)!;
      return x.map((value, at) => limited(requantise(operation, at % channels, value), operation));
    }
    case 'add': {
      const b = tensorOf(operation.inputs[1]!);
      return x.map((a, at) => limited(a + b[at]!, operation));
    }
    case 'limit':
      return x.map((value) => limited(value, operation));
    case 'reshape':
      return x;
    case 'maxPool':
      return windows(operation, from.shape, to.shape, (taps) =>
        Math.max(...taps.flatMap((at) => (at === undefined ? [] : [x[at]!]))),
      );
    case 'sumPool':
      return windows(operation, from.shape, to.shape, (taps) =>
        taps.reduce<number>((sum, at) => sum + (at === undefined ? from.zero : x[at]!), 0),
      );
    case 'move': {
      const { boxes, shape } = operation.movement;
      const result = new Array<number>(shape.reduce((size, extent) => size * extent, 1)).fill(to.zero);
      for (const { input, extents, from: source, to: target } of boxes) {
        const values = tensorOf(operation.inputs[input]!);
        for (const place of places(extents)) {
          const at = ({ first: start, strides }: typeof source) =>
            place.reduce((sum, index, axis) => sum + index * strides[axis]!, start);
          result[at(target)] = values[at(source)]!;
        }
      }
      return result;
    }
    default:
      throw new Error(`${operation.kind} is no operation on integers`);
  }
}

function requantise({ fraction, bias, multiplier, shift, offset }: Requantisation, channel: number, q: number): number {
  const c = multiplier.length === 1 ? 0 : channel;
  const product = (BigInt(q) * (1n << BigInt(fraction)) + BigInt(bias[c]!)) * BigInt(multiplier[c]!);
  const [unit, shifted] = [1n << BigInt(shift[c]!), product >> BigInt(shift[c]!)];
  const twice = 2n * (product - shifted * unit);
  const isUp = twice > unit || (twice === unit && shifted % 2n !== 0n);
  return Number(shifted + (isUp ? 1n : 0n)) + offset[c]!;
}

function products(
  { multipliers }: IntegerNetwork,
  operation: ProductOperation,
  x: Integers,
  from: Shape,
  to: Shape,
): Integers {
  const { weights, weightShape, geometry, step, weightZero, activationZero, zeroRow, accumulators } = operation;
  const { table } = multipliers[operation.multiplier]!;
  const [height, width, channels] = imageOf(from);
  const [outHeight, outWidth, outputs] = imageOf(to);
  const [kh, kw, groupInputs] = weightShape as [number, number, number, number];
  const result: number[] = [];
  for (const [oy, ox, o] of places([outHeight, outWidth, outputs]) as [number, number, number][]) {
    let [sum, bare] = [0, 0];
    for (const [ky, kx, i] of places([kh, kw, groupInputs]) as [number, number, number][]) {
      const iy = oy * geometry.stride[0] + ky * geometry.dilation[0] - geometry.padding[0];
      const ix = ox * geometry.stride[1] + kx * geometry.dilation[1] - geometry.padding[1];
      if (iy < 0 || iy >= height || ix < 0 || ix >= width) continue;
      const group = Math.floor(o / (outputs / geometry.groups));
      const code = x[(iy * width + ix) * channels + group * groupInputs + i]!;
      const weight = weights[((ky * kw + kx) * groupInputs + i) * outputs + o]!;
      const pattern = code & (2 ** table.activationBits - 1);
      const product = table.data[(weight & (2 ** table.weightBits - 1)) * 2 ** table.activationBits + pattern]!;
      const row = zeroRow ? zeroRow[pattern]! : weightZero[o]! * code;
      sum += step * product - row - activationZero * (step * weight - weightZero[o]!);
      bare += product;
      within(operation.layer, sum, accumulators.terms);
      within(operation.layer, bare, accumulators.products);
    }
    result.push(sum);
  }
  return result;
}

function within(layer: string, sum: number, [low, high]: readonly [number, number]): void {
  if (sum < low || sum > high) throw new Error(`${layer}: a partial sum of ${sum} is not from ${low} to ${high}`);
}

/** Per output element the elements of its window, undefined where they are padding. */
function windows(
  { size, stride, padding }: PoolWindow,
  from: Shape,
  to: Shape,
  of: (taps: (number | undefined)[]) => number,
): Integers {
  const [height, width, channels] = imageOf(from);
  return (places(imageOf(to)) as [number, number, number][]).map(([oy, ox, c]) =>
    of(
      places(size).map(([ky, kx]) => {
        const [iy, ix] = [oy * stride[0] - padding[0] + ky!, ox * stride[1] - padding[1] + kx!];
        return iy < 0 || iy >= height || ix < 0 || ix >= width ? undefined : (iy * width + ix) * channels + c;
      }),
    ),
  );
}

function imageOf(shape: Shape): [number, number, number] {
  if (shape.length === 3) return [shape[0]!, shape[1]!, shape[2]!];
  const channels = shape.at(-1)!;
  return [shape.reduce((size, extent) => size * extent, 1) / channels, 1, channels];
}

/** All places of a box, the last axis first. */
function places(extents: readonly number[]): number[][] {
  const strides = stridesOf(extents);
  const count = extents.reduce((size, extent) => size * extent, 1);
  return Array.from({ length: count }, (_, at) =>
    extents.map((extent, axis) => Math.floor(at / strides[axis]!) % extent),
  );
}
