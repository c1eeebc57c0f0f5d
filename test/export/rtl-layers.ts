// Layers as integers, made by hand for the Verilog: a product and its requantisation with random weights, bounds as
// they are proved, and in plain loops what the format says that the layer computes.

import type { IntegerNetwork, ProductOperation, RequantiseOperation } from '../../src/integer/network.ts';
import { operandValue, type ProductTable } from '../../src/multiplier/table.ts';
import { Random } from '../../src/tensor/random.ts';

export interface LayerRecipe {
  readonly name: string;
  readonly table: ProductTable;
  readonly multiplier: string;
  readonly kind?: 'convolution' | 'linear';
  /** Of the input: rows, columns, channels. */
  readonly image: readonly [number, number, number];
  readonly outputs: number;
  readonly kernel?: readonly [number, number];
  readonly stride?: readonly [number, number];
  readonly padding?: readonly [number, number];
  readonly dilation?: readonly [number, number];
  readonly groups?: number;
  readonly step?: 1 | 2;
  readonly zeroRow?: boolean;
  readonly activationZero?: number;
  readonly limits?: readonly [number, number];
  readonly fraction?: number;
}

export interface HandMade {
  readonly network: IntegerNetwork;
  readonly product: ProductOperation;
  readonly requantise: RequantiseOperation;
}

export function handMade(recipe: LayerRecipe, seed: number): HandMade {
  const { table, image, outputs, kernel = [1, 1], groups = 1, step = 1, fraction = 2 } = recipe;
  const geometry = {
    stride: recipe.stride ?? ([1, 1] as const),
    padding: recipe.padding ?? ([0, 0] as const),
    dilation: recipe.dilation ?? ([1, 1] as const),
    groups,
  };
  const random = new Random(seed, 7);
  const integer = (low: number, high: number) => low + Math.floor((high - low + 1) * random.uniform());
  const channels = image[2] / groups;
  const weightShape = [...kernel, channels, outputs] as const;
  const { weightBits, activationBits, signed } = table;
  const range = (bits: number) =>
    (signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1]) as [number, number];
  const weights = Int16Array.from({ length: kernel[0] * kernel[1] * channels * outputs }, () =>
    integer(...range(weightBits)),
  );
  const middle = signed ? 0 : 2 ** (weightBits - 1);
  const size = [0, 1].map((axis) => {
    const { stride, padding, dilation } = geometry;
    return (
      Math.floor((image[axis]! + 2 * padding[axis]! - dilation[axis]! * (kernel[axis]! - 1) - 1) / stride[axis]!) + 1
    );
  });
  const product: ProductOperation = {
    ...{ kind: 'product', inputs: [0], output: 1, label: recipe.name, layer: recipe.name },
    layerKind: recipe.kind ?? 'convolution',
    ...{ geometry, weights, weightShape, step, multiplier: 0 },
    weightZero: Int32Array.from({ length: outputs }, () =>
      recipe.zeroRow ? step * middle : step * middle + integer(-3, 3),
    ),
    activationZero: recipe.activationZero ?? (signed ? -5 : 11),
    ...(recipe.zeroRow
      ? {
          zeroRow: Int32Array.from(
            { length: 2 ** activationBits },
            (_, x) => step * productOf(table, middle, operandValue(x, activationBits, signed)),
          ),
        }
      : {}),
    accumulators: { terms: [0, 0], products: [0, 0] },
  };
  const bounds = proved(product, table);
  const half = Math.max(1, -bounds.terms[0], bounds.terms[1]);
  const [low, high] = recipe.limits ?? [0, 255];
  const requantise: RequantiseOperation = {
    ...{ kind: 'requantise', inputs: [1], output: 2, label: recipe.name, fraction, low, high },
    bias: Int32Array.from({ length: outputs }, () => integer(-half, half)),
    multiplier: Int32Array.from({ length: outputs }, (_, o) =>
      o === 3 ? 0 : (random.uniform() < 0.3 ? -1 : 1) * integer(2 ** 29, 2 ** 30),
    ),
    shift: Uint8Array.from(
      { length: outputs },
      () => integer(30, 31) + Math.floor(Math.log2((half * 2 ** fraction) / (high - low))),
    ),
    offset: Int32Array.from({ length: outputs }, () => integer(low, high)),
  };
  const positions = recipe.kind === 'linear' ? image.slice(0, -1) : size;
  const tensor = (name: string, shape: readonly number[], [least, most]: readonly [number, number]) =>
    ({ name, form: 'codes', shape, scale: [1], zero: 0, low: least, high: most }) as const;
  const network: IntegerNetwork = {
    ...{ name: recipe.name, classes: outputs, output: 2 },
    multipliers: [{ name: recipe.multiplier, table, exact: false }],
    tensors: [
      tensor('x', image, range(activationBits)),
      tensor('sums', [...positions, outputs], bounds.terms),
      tensor('y', [...positions, outputs], [low, high]),
    ],
    operations: [{ ...product, accumulators: bounds }, requantise],
  };
  return { network, product: network.operations[0] as ProductOperation, requantise };
}

export function productOf({ weightBits, activationBits, data }: ProductTable, w: number, x: number): number {
  return data[(w & (2 ** weightBits - 1)) * 2 ** activationBits + (x & (2 ** activationBits - 1))]!;
}

/** What a tap adds at an output: the bare product, and the whole term. */
function termsOf(product: ProductOperation, table: ProductTable, w: number, x: number, o: number): [number, number] {
  const bare = productOf(table, w, x);
  const zero = product.weightZero[o]!;
  const row = product.zeroRow ? product.zeroRow[x & (2 ** table.activationBits - 1)]! : zero * x;
  return [bare, product.step * bare - row - product.activationZero * (product.step * w - zero)];
}

function proved(product: ProductOperation, table: ProductTable): ProductOperation['accumulators'] {
  const outputs = product.weightShape.at(-1)!;
  const bounds = [new Float64Array(2 * outputs), new Float64Array(2 * outputs)];
  product.weights.forEach((w, at) => {
    const o = at % outputs;
    const least = [0, 0];
    const most = [0, 0];
    for (let x = 0; x < 2 ** table.activationBits; x++) {
      termsOf(product, table, w, operandValue(x, table.activationBits, table.signed), o).forEach((term, n) => {
        least[n] = Math.min(least[n]!, term);
        most[n] = Math.max(most[n]!, term);
      });
    }
    bounds.forEach((of, n) => {
      of[2 * o]! += least[n]!;
      of[2 * o + 1]! += most[n]!;
    });
  });
  const over = (of: Float64Array) => [Math.min(0, ...of), Math.max(0, ...of)] as const;
  return { products: over(bounds[0]!), terms: over(bounds[1]!) };
}

/** The codes of the outputs, [position][O], as the format defines them. */
export function computed({ network, product, requantise }: HandMade, input: Int32Array): Int32Array {
  const { table } = network.multipliers[0]!;
  const [kh, kw, channels, outputs] = product.weightShape as readonly [number, number, number, number];
  const [height, width, all] =
    product.layerKind === 'linear'
      ? [1, input.length / channels, channels]
      : (network.tensors[0]!.shape as readonly [number, number, number]);
  const positions = network.tensors[1]!.shape.slice(0, -1);
  const rowLength = product.layerKind === 'linear' ? positions.reduce((a, b) => a * b, 1) : positions[1]!;
  const count = positions.reduce((a, b) => a * b, 1);
  const { stride, padding, dilation, groups } = product.geometry;
  const results = new Int32Array(count * outputs);
  for (let p = 0; p < count; p++) {
    for (let o = 0; o < outputs; o++) {
      let sum = 0;
      for (let ky = 0; ky < kh; ky++) {
        for (let kx = 0; kx < kw; kx++) {
          const y = Math.floor(p / rowLength) * stride[0] - padding[0] + ky * dilation[0];
          const x = (p % rowLength) * stride[1] - padding[1] + kx * dilation[1];
          if (y < 0 || y >= height || x < 0 || x >= width) continue;
          for (let i = 0; i < channels; i++) {
            const channel = Math.floor(o / (outputs / groups)) * channels + i;
            const code = input[(y * width + x) * all + channel]!;
            sum += termsOf(product, table, product.weights[((ky * kw + kx) * channels + i) * outputs + o]!, code, o)[1];
          }
        }
      }
      results[p * outputs + o] = requantised(requantise, sum, o);
    }
  }
  return results;
}

export function requantised(
  {
    fraction,
    bias,
    multiplier,
    shift,
    offset,
    low,
    high,
  }: Omit<RequantiseOperation, 'kind' | 'inputs' | 'output' | 'label'>,
  value: number,
  o: number,
): number {
  const product = ((BigInt(value) << BigInt(fraction)) + BigInt(bias[o]!)) * BigInt(multiplier[o]!);
  const divisor = 1n << BigInt(shift[o]!);
  const floor = product >> BigInt(shift[o]!);
  const twice = 2n * (product - floor * divisor);
  const rounded = twice > divisor || (twice === divisor && (floor & 1n) === 1n) ? floor + 1n : floor;
  const all = rounded + BigInt(offset[o]!);
  return Number(all < BigInt(low) ? BigInt(low) : all > BigInt(high) ? BigInt(high) : all);
}
