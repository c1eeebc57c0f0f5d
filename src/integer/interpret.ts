// Runs a network of integers on an image, one loop per kind of operation, each as network.ts defines it. Sums are
// formed modulo 2^32, which is exact, since their bounds are proved to lie within 32 bits. The one thing done for speed
// is that a multiplier's table is turned, so that the innermost loop, over the outputs, stays in the row of one
// activation.
// Invariant: results are functions of the network and the image alone; with `checked`, every value is compared with the
// bounds that are proved for it.

import { infer } from '../engine/graph/inference.ts';
import { stridesOf } from '../engine/graph/movement.ts';
import { convolutionTaps, windowTaps } from '../engine/graph/window.ts';
import { computeOperation } from '../engine/reference/backend.ts';
import { roundedCode } from '../engine/reference/quantization.ts';
import { operandValues, type ProductTable } from '../multiplier/table.ts';
import { invariant, UserError } from '../tensor/errors.ts';
import { formatShape, sizeOf } from '../tensor/tensor.ts';
import type { FloatOperation, IntegerNetwork, IntegerOperation, ProductOperation, Requantisation } from './network.ts';
import { roundedQuotient } from './requantise.ts';

/** The values of a tensor; float32 on islands. */
export type Values = Int32Array | Float32Array;

export interface RunOptions {
  /** Whether every value is compared with its proved bounds; an invariant is broken where one lies outside. */
  readonly checked?: boolean;
}

/** Runs a network on an image, raw 8-bit values [H, W, C]; returns the values of all its tensors, by number. */
export type Run = (image: ArrayLike<number>, options?: RunOptions) => readonly Values[];

/** Prepares a network to be run on many images. Memory is reused: values are those of the last run. */
export function interpreter(network: IntegerNetwork): Run {
  const { tensors, operations } = network;
  const values = tensors.map(({ form, shape }): Values => {
    return form === 'float' ? new Float32Array(sizeOf(shape)) : new Int32Array(sizeOf(shape));
  });
  const steps = operations.map((operation) => stepOf(network, operation, values));
  return (image, { checked = false } = {}) => {
    const [input] = values;
    if (image.length !== input!.length) {
      throw new UserError(`an image of ${image.length} values; ${formatShape(tensors[0]!.shape)} were expected`);
    }
    input!.set(image);
    for (const step of steps) step();
    if (checked) checkBounds(network, values);
    return values;
  };
}

/** The real values of the logits, from the values of all tensors. */
export function logitsOf({ tensors, output }: IntegerNetwork, values: readonly Values[]): Float64Array {
  const { scale, zero } = tensors[output]!;
  return Float64Array.from(values[output]!, (q, at) => (q - zero) * scale[at % scale.length]!);
}

/** The number of the largest logit, the first of equals. */
export function classOf(logits: ArrayLike<number>): number {
  let best = 0;
  for (let k = 1; k < logits.length; k++) if (logits[k]! > logits[best]!) best = k;
  return best;
}

function checkBounds({ tensors }: IntegerNetwork, values: readonly Values[]): void {
  for (const [at, { name, form, low, high }] of tensors.entries()) {
    if (form === 'float') continue;
    for (const q of values[at]!) invariant(q >= low && q <= high, `${name}: ${q} lies outside [${low}, ${high}]`);
  }
}

type Step = () => void;

function stepOf(network: IntegerNetwork, operation: IntegerOperation, values: readonly Values[]): Step {
  const { tensors } = network;
  const inputs = operation.inputs.map((number) => values[number]!);
  const out = values[operation.output]!;
  const [x] = inputs;
  const from = tensors[operation.inputs[0]!]!;
  const to = tensors[operation.output]!;
  const channels = from.shape.at(-1) ?? 1;
  switch (operation.kind) {
    case 'lookUp': {
      const { tables } = operation;
      return () => {
        for (let at = 0; at < out.length; at++) out[at] = tables[(at % channels) * 256 + x![at]!]!;
      };
    }
    case 'product':
      return product(network, operation, x!, out as Int32Array);
    case 'requantise':
      return requantise(operation, channels, x!, out);
    case 'add': {
      const { low, high } = operation;
      return () => {
        for (let at = 0; at < out.length; at++) out[at] = limit(x![at]! + inputs[1]![at]!, low, high);
      };
    }
    case 'limit': {
      const { low, high } = operation;
      return () => {
        for (let at = 0; at < out.length; at++) out[at] = limit(x![at]!, low, high);
      };
    }
    case 'maxPool':
      return pool(operation, from.shape, x!, out, Number.NEGATIVE_INFINITY, Math.max);
    case 'sumPool': {
      // Taps that lie in the padding have the zero point.
      const { zero } = from;
      const padding = operation.size[0] * operation.size[1] * zero;
      return pool(operation, from.shape, x!, out, padding, (sum, value) => sum + (value - zero));
    }
    case 'move': {
      const { boxes } = operation.movement;
      return () => {
        out.fill(to.zero);
        for (const { input, extents, from, to } of boxes) {
          const count = sizeOf(extents);
          const places = stridesOf(extents);
          for (let n = 0; n < count; n++) {
            let [source, target] = [from.first, to.first];
            for (let axis = 0; axis < extents.length; axis++) {
              const at = Math.floor(n / places[axis]!) % extents[axis]!;
              source += at * from.strides[axis]!;
              target += at * to.strides[axis]!;
            }
            out[target] = inputs[input]![source]!;
          }
        }
      };
    }
    case 'reshape':
      return () => out.set(x!);
    case 'dequantise': {
      const { scale, zero } = from;
      return () => {
        for (let at = 0; at < out.length; at++) out[at] = (x![at]! - zero) * scale[at % scale.length]!;
      };
    }
    case 'quantise': {
      const { scale, zero, low, high } = to;
      return () => {
        for (let at = 0; at < out.length; at++) out[at] = limit(roundedCode(x![at]! / scale[0]!, zero), low, high);
      };
    }
    case 'float':
      return island(network, operation, values, out);
  }
}

const limit = (value: number, low: number, high: number): number => (value < low ? low : value > high ? high : value);

function requantise(by: Requantisation, channels: number, x: Values, out: Values): Step {
  const { fraction, bias, multiplier, shift, offset, low, high } = by;
  const factor = 2 ** fraction;
  const isCommon = multiplier.length === 1;
  return () => {
    for (let at = 0; at < out.length; at++) {
      const c = isCommon ? 0 : at % channels;
      const quotient = roundedQuotient(x[at]! * factor + bias[c]!, multiplier[c]!, shift[c]!);
      out[at] = limit(quotient + offset[c]!, low, high);
    }
  };
}

function pool(
  window: Extract<IntegerOperation, { kind: 'maxPool' | 'sumPool' }>,
  [height, width, channels]: readonly number[],
  x: Values,
  out: Values,
  start: number,
  join: (so: number, value: number) => number,
): Step {
  const { rows, columns } = windowTaps([1, height!, width!, channels!], window.size, window);
  return () => {
    let at = 0;
    for (const row of rows)
      for (const column of columns)
        for (let c = 0; c < channels!; c++) {
          let found = start;
          for (const { at: y } of row)
            for (const { at: xx } of column) found = join(found, x[(y * width! + xx) * channels! + c]!);
          out[at++] = found;
        }
  };
}

/** step·(AxM(w, x) − activationZero·w), by the patterns of activation, then weight. */
function termsOf(
  { weightBits, activationBits, signed, data }: ProductTable,
  { step, activationZero }: Pick<ProductOperation, 'step' | 'activationZero'>,
): Int32Array {
  const [weights, activations] = [2 ** weightBits, 2 ** activationBits];
  const values = operandValues(weightBits, signed);
  const terms = new Int32Array(data.length);
  for (let x = 0; x < activations; x++)
    for (let w = 0; w < weights; w++) {
      terms[x * weights + w] = step * (data[w * activations + x]! - activationZero * values[w]!);
    }
  return terms;
}

/** Of one table those of each zero point, which layers share. */
const knownTerms = new WeakMap<ProductTable, Map<string, Int32Array>>();

function sharedTerms(table: ProductTable, operation: ProductOperation): Int32Array {
  const key = `${operation.step} ${operation.activationZero}`;
  const known = knownTerms.get(table) ?? new Map<string, Int32Array>();
  const terms = known.get(key) ?? termsOf(table, operation);
  knownTerms.set(table, known.set(key, terms));
  return terms;
}

function product(network: IntegerNetwork, operation: ProductOperation, x: Values, out: Int32Array): Step {
  const { weights, weightShape, geometry, weightZero, activationZero, zeroRow, multiplier } = operation;
  const { table } = network.multipliers[multiplier]!;
  const terms = sharedTerms(table, operation);
  const { weightBits, activationBits } = table;
  const activationMask = 2 ** activationBits - 1;
  const { shape } = network.tensors[operation.inputs[0]!]!;
  const [, width, channels] = shape as [number, number, number];
  const [, kw, inputs, outputs] = weightShape as [number, number, number, number];
  const { rows, columns } = convolutionTaps([1, ...shape], weightShape, geometry);
  const perGroup = outputs / geometry.groups;
  const patterns = Uint16Array.from(weights, (weight) => weight & (2 ** weightBits - 1));
  const sums = new Int32Array(perGroup);
  return () => {
    let at = 0;
    for (const row of rows)
      for (const column of columns)
        for (let group = 0; group < geometry.groups; group++) {
          sums.fill(0);
          const first = group * perGroup;
          // Of the zero points: Σ row(x), or Σ x for each output's, less activationZero for every tap that is there.
          let total = 0;
          for (const { tap: ky, at: y } of row)
            for (const { tap: kx, at: xx } of column) {
              const pixel = (y * width + xx) * channels + group * inputs;
              let weight = (ky * kw + kx) * inputs * outputs + first;
              for (let i = 0; i < inputs; i++, weight += outputs) {
                const value = x[pixel + i]!;
                const code = value & activationMask;
                total += zeroRow ? zeroRow[code]! : value;
                addRow(sums, terms, code << weightBits, patterns, weight);
              }
            }
          const taps = row.length * column.length * inputs;
          for (let o = 0; o < perGroup; o++) {
            const zero = weightZero[first + o]!;
            out[at++] =
              (sums[o]! - (zeroRow ? total : Math.imul(zero, total)) + Math.imul(zero, activationZero * taps)) | 0;
          }
        }
  };
}

/** sums[o] += the term of one activation with each output's weight. */
function addRow(sums: Int32Array, terms: Int32Array, base: number, patterns: Uint16Array, weight: number): void {
  for (let o = 0; o < sums.length; o++) sums[o] = sums[o]! + terms[base + patterns[weight + o]!]!;
}

function island(network: IntegerNetwork, operation: FloatOperation, values: readonly Values[], out: Values): Step {
  const operands = operation.operands.map((operand) => {
    if (typeof operand !== 'number') return { dtype: 'f32' as const, ...operand };
    return { dtype: 'f32' as const, shape: network.tensors[operand]!.shape, data: values[operand] as Float32Array };
  });
  const { op, attributes } = operation;
  const types = infer(op, operands, attributes);
  return () => out.set(computeOperation(op, attributes, operands, types)[0]!.data);
}
