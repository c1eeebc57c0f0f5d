// Products of codes as ONNX, in either of two ways. `qdq`: QuantizeLinear and DequantizeLinear around an operator in
// float32, weights as 8-bit initialisers. `qonnx`: `Quant` nodes (domain qonnx.custom_op.general), which round and
// scale back at once, weights as floats on their grid. An approximate multiplier's layer is an operation of the domain
// tram.axm (axm.ts) on the same operands, or, where products are to be exact, the standard operator. Zero points that
// are no integer of 8 bits (between two codes, or beyond them) cannot be said in QDQ: activations are then rounded by
// plain operators, and of weights the rest is taken off behind DequantizeLinear.

import type { Node, Value } from '../../engine/graph/graph.ts';
import type { FrozenLayer, FrozenMultiplier, FrozenNetwork } from '../../integer/frozen.ts';
import { productsOfError } from '../../multiplier/error.ts';
import { codeOfPattern } from '../../multiplier/operands.ts';
import { errorOfRemoval } from '../../multiplier/removal.ts';
import type { ElementName } from '../../onnx/tensors.ts';
import { elementTypes } from '../../onnx/tensors.ts';
import { invariant } from '../../tensor/errors.ts';
import { type HostTensor, type Shape, sizeOf } from '../../tensor/tensor.ts';
import { AXM_DOMAIN, axmConv, axmQuantConv, tapIndex } from './axm.ts';
import { type Attributes, BATCH, type OnnxGraph } from './graph.ts';
import type { Statics } from './statics.ts';
import { imageExtents, type Place, type Tensors, transposed } from './tensors.ts';

export type OnnxStyle = 'qdq' | 'qonnx';
export const QONNX_DOMAIN = 'qonnx.custom_op.general';

/** Weights [kh, kw, I/groups, O] as ONNX has them, [O, I/groups, kh, kw]. */
const WEIGHT_ORDER = [3, 2, 0, 1] as const;

/** What integers stand for: (integer − zero)·scale, of `bits` bits. */
interface Grid {
  readonly scale: ArrayLike<number>;
  /** Of the integers as they are written, of either sign. */
  readonly zero: ArrayLike<number>;
  readonly bits: number;
  /** Integers are codes less half their range. */
  readonly signed: boolean;
}

interface Quantized {
  /** The tensor of the real values. */
  readonly real: string;
  /** The tensor of the integers; in QONNX there is none. */
  readonly integers?: string;
}

export class Products {
  readonly #graph: OnnxGraph;
  readonly #tensors: Tensors;
  readonly #statics: Statics;
  readonly #layers: ReadonlyMap<string, FrozenLayer>;
  readonly #multipliers: readonly FrozenMultiplier[];
  readonly #known = new Map<string, Quantized>();
  readonly #options: ProductOptions;
  /** The layers whose products are looked up in a table. */
  readonly approximate: string[] = [];

  constructor(frozen: FrozenNetwork, graph: OnnxGraph, tensors: Tensors, statics: Statics, options: ProductOptions) {
    this.#graph = graph;
    this.#tensors = tensors;
    this.#statics = statics;
    this.#layers = new Map(frozen.layers.map((layer) => [layer.name, layer]));
    this.#multipliers = frozen.multipliers;
    this.#options = options;
  }

  /** Functions that the nodes of the domain tram.axm call. */
  functions(operators: number) {
    if (this.approximate.length === 0) return [];
    return this.#options.style === 'qdq' ? [axmConv(operators)] : [axmConv(operators), axmQuantConv(operators)];
  }

  /** A product of float32 operands. */
  float(node: Node<'conv2d'>): Place {
    const [x, weight] = node.inputs as [Value, Value];
    const linear = this.#isLinear(node);
    const w = this.#statics.of(weight);
    if (linear) {
      const name = this.#graph.constant('FLOAT', w.shape.slice(2), w.data, `${node.label}.weight`);
      return this.#matMul(this.#rowsOf(x), name, node.outputs[0]!);
    }
    const { extents, values } = transposed(w, WEIGHT_ORDER);
    const name = this.#graph.constant('FLOAT', extents, values, `${node.label}.weight`);
    return this.#conv(this.#tensors.image(x), name, extents, node);
  }

  /** A product of codes. */
  quantized(node: Node<'axmConv2d'>): Place {
    const [codes, weights, xScale, xZero, wScale, wZero] = node.inputs as [Value, Value, Value, Value, Value, Value];
    const { weightBits, activationBits } = node.attributes;
    const { source } = codes;
    invariant(source.kind === 'node' && source.node.op === 'quantize', 'a product of codes that no quantiser made');
    const x = source.node.inputs[0]!;
    const table = this.#options.exact ? undefined : this.#tableOf(node);
    const stored = this.#statics.of(weights);
    const zeros = this.#statics.of(wZero).data;
    const half = 2 ** (weightBits - 1);
    // Weights around the middle of their codes are signed integers around 0, as other programs have them.
    const isCentred = !table && zeros.every((zero) => zero === half);
    const xGrid = gridOf(this.#statics.of(xScale).data, this.#statics.of(xZero).data, activationBits, !!table?.signed);
    const wGrid = gridOf(this.#statics.of(wScale).data, zeros, weightBits, table ? table.signed : isCentred);
    const linear = this.#isLinear(node);
    if (!table) {
      const input = linear ? this.#rowsOf(x) : { name: this.#tensors.image(x) };
      const { real } = this.#activation(input.name, xGrid);
      const order = linear ? ([0, 1, 2, 3] as const) : WEIGHT_ORDER;
      const w = this.#weight(node.label, stored, order, wGrid, linear);
      const extents = WEIGHT_ORDER.map((axis) => stored.shape[axis]!);
      return linear
        ? this.#matMul({ ...input, name: real } as Place, w.real, node.outputs[0]!)
        : this.#conv(real, w.real, extents, node);
    }
    // A linear layer is a convolution of one tap: tokens are the pixels of a column.
    const { real, integers } = this.#activation(this.#tensors.image(x), xGrid);
    const w = this.#weight(node.label, stored, WEIGHT_ORDER, wGrid, false);
    this.approximate.push(node.label);
    return this.#approximate(node, table, integers ?? real, w.integers ?? w.real, xGrid, wGrid);
  }

  #isLinear({ label }: Node): boolean {
    return this.#layers.get(label)?.kind === 'linear';
  }

  /** [N, T, 1, I] as a matrix product takes it: [N, I] of one token, else [N, T, I]. */
  #rowsOf(x: Value): Place {
    const [n, tokens, , features] = x.shape as [number, number, number, number];
    const extents = tokens === 1 ? [n, features] : [n, tokens, features];
    return { name: this.#tensors.rows(x, extents), extents, order: 'rows' };
  }

  #matMul({ name, extents }: Place, weight: string, output: Value): Place {
    const made = this.#graph.node('MatMul', [name, weight]);
    return { name: made, extents: [...extents.slice(0, -1), output.shape.at(-1)!], order: 'rows' };
  }

  #conv(x: string, weight: string, weightExtents: Shape, node: Node<'conv2d'> | Node<'axmConv2d'>): Place {
    const made = this.#graph.node('Conv', [x, weight], { attributes: geometryOf(node, weightExtents) });
    return { name: made, extents: imageExtents(node.outputs[0]!.shape), order: 'images' };
  }

  #approximate(node: Node<'axmConv2d'>, table: Table, x: string, w: string, xGrid: Grid, wGrid: Grid): Place {
    const { inputs, outputs, attributes } = node;
    const [kh, kw] = inputs[1]!.shape as [number, number];
    const [rows, columns] = tapIndex(inputs[0]!.shape, [kh, kw], attributes);
    const vector = (values: ArrayLike<number>) => this.#graph.constant('FLOAT', [values.length], values);
    const extents = WEIGHT_ORDER.map((axis) => inputs[1]!.shape[axis]!);
    const operands = [
      ...[x, this.#graph.scalar(xGrid.scale[0]!), this.#graph.scalar(xGrid.zero[0]!)],
      ...[w, vector(wGrid.scale), vector(wGrid.zero), this.#products(table)],
      ...[rows, columns].map(({ shape, values }) => this.#graph.constant('INT64', shape, values)),
    ];
    const { weightBits, activationBits } = attributes;
    const made = this.#graph.node(this.#options.style === 'qdq' ? 'AxMConv' : 'AxMQuantConv', operands, {
      domain: AXM_DOMAIN,
      attributes: {
        ...geometryOf(node, extents),
        ...{ multiplier: table.name, weight_bits: weightBits, activation_bits: activationBits },
      },
    });
    const image = imageExtents(outputs[0]!.shape);
    this.#graph.say(made, 'FLOAT', this.#options.anyBatch ? [BATCH, ...image.slice(1)] : image);
    return { name: made, extents: image, order: 'images' };
  }

  readonly #tables: { readonly data: Int32Array; readonly name: string }[] = [];

  /** The tensor of a table; equal ones are one. */
  #products({ data, name, weightBits, activationBits }: Table): string {
    const known = this.#tables.find(
      (one) => one.data.length === data.length && one.data.every((p, at) => p === data[at]),
    );
    if (known) return known.name;
    const made = this.#graph.constant('INT32', [2 ** weightBits, 2 ** activationBits], data, `${name}.products`);
    this.#tables.push({ data, name: made });
    return made;
  }

  /** What the layer multiplies with, as it is evaluated; undefined where products are exact. */
  #tableOf(node: Node<'axmConv2d'>): Table | undefined {
    const { error, weightBits, activationBits } = node.attributes;
    if (error.kind === 'none') return undefined;
    const given = this.#statics.of(node.inputs[6]!).data;
    const widths = { weightBits, activationBits };
    const errors =
      error.kind === 'removal' ? Int32Array.from(errorOfRemoval({ ...widths, removed: given })) : (given as Int32Array);
    const own = this.#layers.get(node.label)?.operands?.multiplier;
    const multiplier = own === undefined ? undefined : this.#multipliers[own];
    const signed = multiplier?.table.signed ?? false;
    return { ...widths, signed, name: multiplier?.name ?? node.label, data: byPatterns(errors, widths, signed) };
  }

  #activation(x: string, grid: Grid): Quantized {
    const key = [x, grid.scale[0], grid.zero[0], grid.bits, grid.signed].join(' ');
    const known = this.#known.get(key);
    if (known) return known;
    const made = this.#options.style === 'qonnx' ? this.#quant(x, grid, []) : this.#roundedActivation(x, grid);
    this.#known.set(key, made);
    return made;
  }

  #roundedActivation(x: string, grid: Grid): Quantized {
    const graph = this.#graph;
    const type = typeOf(grid);
    const [low, high] = rangeOf(grid);
    const zero = grid.zero[0]!;
    const scale = graph.scalar(grid.scale[0]!);
    if (isCode(zero, type)) {
      const point = graph.scalar(zero, type);
      const rounded = graph.node('QuantizeLinear', [x, scale, point]);
      const limits = [graph.scalar(low, type), graph.scalar(high, type)];
      const integers = grid.bits < 8 ? graph.node('Clip', [rounded, ...limits]) : rounded;
      return { integers, real: graph.node('DequantizeLinear', [integers, scale, point]) };
    }
    // round(x/s + f) + k of a zero point k + f, limited to the codes.
    const whole = Math.floor(zero);
    const steps = graph.node('Div', [x, scale]);
    const placed = zero === whole ? steps : graph.node('Add', [steps, graph.scalar(zero - whole)]);
    const moved = graph.node('Add', [graph.node('Round', [placed]), graph.scalar(whole)]);
    const limited = graph.node('Clip', [moved, graph.scalar(low), graph.scalar(high)]);
    const real = graph.node('Mul', [graph.node('Sub', [limited, graph.scalar(zero)]), scale]);
    return { real, integers: graph.node('Cast', [limited], { attributes: { to: elementTypes[type] } }) };
  }

  /** A layer's weights from their codes; per output channel, the first axis of a convolution's or the last. */
  #weight(label: string, codes: HostTensor, order: readonly number[], grid: Grid, isMatrix: boolean): Quantized {
    const graph = this.#graph;
    const { extents, values } = transposed(codes, order);
    const integers = grid.signed ? values.map((code) => code - 2 ** (grid.bits - 1)) : values;
    const shape = isMatrix ? extents.slice(2) : extents;
    const outputs = codes.shape[3]!;
    const along = isMatrix ? [1, outputs] : [outputs, 1, 1, 1];
    if (this.#options.style === 'qonnx') {
      const size = sizeOf(extents) / outputs;
      const real = integers.map((integer, at) => {
        const o = isMatrix ? at % outputs : Math.floor(at / size);
        return Math.fround((integer - grid.zero[o]!) * grid.scale[o]!);
      });
      return this.#quant(graph.constant('FLOAT', shape, real, `${label}.weight`), grid, along);
    }
    const type = typeOf(grid);
    const stored = graph.constant(type, shape, integers, `${label}.weight`);
    // The zero point as far as it is a number of the type, and what is left of it.
    const [low, high] = rangeOf(grid);
    const zeros = Array.from(grid.zero, (zero) => Math.min(Math.max(Math.floor(zero), low), high));
    const scale = graph.constant('FLOAT', [outputs], grid.scale);
    const attributes: Attributes = { axis: isMatrix ? 1 : 0 };
    const operands = [stored, scale, graph.constant(type, [outputs], zeros)];
    const real = graph.node('DequantizeLinear', operands, { attributes });
    const rests = zeros.map((zero, o) => (grid.zero[o]! - zero) * grid.scale[o]!);
    if (rests.every((rest) => rest === 0)) return { integers: stored, real };
    return { integers: stored, real: graph.node('Sub', [real, graph.constant('FLOAT', along, rests)]) };
  }

  /** A Quant node; scales and zero points stand along `extents`. */
  #quant(x: string, { scale, zero, bits, signed }: Grid, extents: Shape): Quantized {
    const inputs = [
      ...[x, this.#graph.constant('FLOAT', extents, scale), this.#graph.constant('FLOAT', extents, zero)],
      this.#graph.scalar(bits),
    ];
    const attributes = { signed: signed ? 1 : 0, narrow: 0, rounding_mode: 'ROUND' };
    return { real: this.#graph.node('Quant', inputs, { domain: QONNX_DOMAIN, attributes }) };
  }
}

export interface ProductOptions {
  readonly style: OnnxStyle;
  /** Whether all layers multiply exactly. */
  readonly exact: boolean;
  readonly anyBatch: boolean;
}

interface Table {
  readonly name: string;
  readonly weightBits: number;
  readonly activationBits: number;
  readonly signed: boolean;
  /** By bit patterns. */
  readonly data: Int32Array;
}

/** Products by the patterns of operands, from errors by codes: those of a signed multiplier are shifted by half. */
function byPatterns(
  errors: Int32Array,
  widths: { readonly weightBits: number; readonly activationBits: number },
  signed: boolean,
): Int32Array {
  if (!signed) return productsOfError(errors, widths);
  const { weightBits, activationBits } = widths;
  const [halfW, halfX] = [2 ** (weightBits - 1), 2 ** (activationBits - 1)];
  return errors.map((_, pair) => {
    const w = codeOfPattern(pair >> activationBits, weightBits);
    const x = codeOfPattern(pair & (2 ** activationBits - 1), activationBits);
    return (w - halfW) * (x - halfX) + errors[(w << activationBits) | x]!;
  });
}

function gridOf(scale: ArrayLike<number>, zero: ArrayLike<number>, bits: number, signed: boolean): Grid {
  const half = signed ? 2 ** (bits - 1) : 0;
  return { scale, zero: Float64Array.from(zero, (one) => one - half), bits, signed };
}

const typeOf = ({ signed }: Grid): ElementName => (signed ? 'INT8' : 'UINT8');
const rangeOf = ({ bits, signed }: Grid): readonly [number, number] =>
  signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];

/** Whether a zero point is a number of the type. */
const isCode = (zero: number, type: ElementName): boolean =>
  Number.isInteger(zero) && (type === 'INT8' ? zero >= -128 && zero <= 127 : zero >= 0 && zero <= 255);

function geometryOf({ attributes }: Node<'conv2d'> | Node<'axmConv2d'>, [, , kh, kw]: Shape): Attributes {
  const { stride, padding, dilation, groups } = attributes;
  return {
    ...{ kernel_shape: [kh!, kw!], strides: stride, dilations: dilation, group: groups },
    pads: [...padding, ...padding],
  };
}
