// The operations of the domain `tram.axm`: a convolution whose products are those of a given table, with what it
// computes written out in standard operators (a FunctionProto), so that a program that does not know it can run it. One
// position of the window is a row of patterns, a weight the row of the table that they are looked up in; a tap of
// padding is a pattern that no operand has, and its product is 0.
//   AxMConv(x, x_scale, x_zero_point, w, w_scale, w_zero_point, products, rows, columns) → y
//     = x_scale·w_scale[o]·Σ_valid taps (products[w, x] − w_zero_point[o]·x − x_zero_point·(w − w_zero_point[o]))
//   AxMQuantConv: the same of x and w that are not integers but what these stand for, (integer − zero point)·scale.
// x: integers [N, C, H, W]; w: [O, C/group, kh, kw]; products: int32 [2^weight bits, 2^activation bits] by bit patterns
// (two's complement where x and w are signed types); rows [H', kh] and columns [W', kw]: which row and column of x each
// tap reads, H and W where that is padding: what strides, pads and dilations say.

import type { ConvGeometry } from '../../engine/graph/ops.ts';
import { axesOf, tapsAlong } from '../../engine/graph/window.ts';
import type { Draft } from '../../onnx/messages.ts';
import type { FunctionProto, NodeProto } from '../../onnx/schema.ts';
import { type ElementName, elementTypes, writeTensor } from '../../onnx/tensors.ts';
import type { Shape } from '../../tensor/tensor.ts';
import { type Attributes, nodeOf, valueInfo } from './graph.ts';

export const AXM_DOMAIN = 'tram.axm';

export const axmInputs = [
  ...['x', 'x_scale', 'x_zero_point', 'w', 'w_scale', 'w_zero_point', 'products', 'rows', 'columns'],
] as const;

/** For people and other programs; only `group` is read by the function. */
export const axmAttributes = [
  ...['group', 'kernel_shape', 'strides', 'pads', 'dilations', 'multiplier', 'weight_bits', 'activation_bits'],
];

/** Which row (or column) each tap of each position reads; the extent itself where it is padding. */
export function tapIndex(
  x: Shape,
  kernel: readonly [number, number],
  geometry: ConvGeometry,
): readonly [rows: TapIndex, columns: TapIndex] {
  const [rows, columns] = axesOf(x, kernel, geometry).map((axis): TapIndex => {
    const taps = tapsAlong(axis);
    const values = new Float64Array(taps.length * axis.size).fill(axis.extent);
    taps.forEach((inside, position) => {
      for (const { tap, at } of inside) values[position * axis.size + tap] = at;
    });
    return { shape: [taps.length, axis.size], values };
  });
  return [rows!, columns!];
}

export interface TapIndex {
  readonly shape: Shape;
  readonly values: Float64Array;
}

/** A list of nodes by names of one's own. */
class Body {
  readonly nodes: Draft<NodeProto>[] = [];

  node(name: string, op: string, inputs: readonly string[], attributes?: Attributes): string {
    this.nodes.push(nodeOf(op, inputs, [name], attributes));
    return name;
  }

  whole(name: string, values: readonly number[]): string {
    return this.node(name, 'Constant', [], { value: { tensor: writeTensor('', 'INT64', [values.length], values) } });
  }

  number(name: string, type: ElementName, value: number): string {
    return this.node(name, 'Constant', [], { value: { tensor: writeTensor('', type, [], [value]) } });
  }

  cast(name: string, from: string, to: ElementName): string {
    return this.node(name, 'Cast', [from], { to: elementTypes[to] });
  }

  /** Sum over axes, which do not stay. */
  sum(name: string, of: string, axes: readonly number[]): string {
    return this.node(name, 'ReduceSum', [of, this.whole(`${name}_axes`, axes)], { keepdims: 0 });
  }
}

const proto = (name: string, body: Body, operators: number, domains: readonly string[] = []): Draft<FunctionProto> => ({
  ...{ name, domain: AXM_DOMAIN, input: axmInputs, output: ['y'], attribute: axmAttributes, node: body.nodes },
  opsetImport: [{ domain: '', version: operators }, ...domains.map((domain) => ({ domain, version: 1 }))],
});

/** AxMConv in standard operators; one output channel at a time, so that memory is that of the windows of one image. */
export function axmConv(operators: number): Draft<FunctionProto> {
  const body = new Body();
  const windows = windowsIn(body);
  body.node('weight_shape', 'Shape', ['w']);
  body.whole('zero', [0]);
  body.whole('one', [1]);
  body.whole('minus_one', [-1]);
  body.node('outputs', 'Slice', ['weight_shape', 'zero', 'one']);
  body.node('row_shape', 'Concat', ['outputs', 'minus_one'], { axis: 0 });
  // A row of the table for each weight, [O, taps].
  body.node('products_shape', 'Shape', ['products']);
  body.node('weight_patterns', 'Slice', ['products_shape', 'zero', 'one']);
  body.cast('weight_modulus', 'weight_patterns', 'INT32');
  body.cast('weight_integers', 'w', 'INT32');
  body.node('weight_shifted', 'Add', ['weight_integers', 'weight_modulus']);
  body.node('weight_codes', 'Mod', ['weight_shifted', 'weight_modulus']);
  body.node('one_more', 'Add', ['patterns', 'integer_one']);
  body.node('weight_starts', 'Mul', ['weight_codes', 'one_more']);
  body.node('starts', 'Reshape', ['weight_starts', 'row_shape']);
  body.cast('weight_doubles', 'w', 'DOUBLE');
  body.node('weights', 'Reshape', ['weight_doubles', 'row_shape']);
  // The table, each row with a product of 0 behind it.
  body.whole('table_pads', [0, 0, 0, 1]);
  body.node('padded_table', 'Pad', ['products', 'table_pads'], { mode: 'constant' });
  body.node('table_row', 'Reshape', ['padded_table', 'minus_one']);
  body.cast('table', 'table_row', 'DOUBLE');
  // The group of each output.
  body.node('per_group', 'Div', ['outputs', windows.groups]);
  body.node('outputs_scalar', 'Squeeze', ['outputs', 'zero']);
  body.number('from', 'INT64', 0);
  body.number('step', 'INT64', 1);
  body.node('numbers', 'Range', ['from', 'outputs_scalar', 'step']);
  body.node('group_of', 'Div', ['numbers', 'per_group']);
  body.cast('scale', 'x_scale', 'DOUBLE');
  body.cast('weight_scales', 'w_scale', 'DOUBLE');
  body.node('scales', 'Mul', ['scale', 'weight_scales']);
  body.cast('weight_zeros', 'w_zero_point', 'DOUBLE');
  body.cast('zero_point', 'x_zero_point', 'DOUBLE');
  const perOutput = ['starts', 'weights', 'group_of', 'scales', 'weight_zeros'];
  body.node('sums', 'Scan', perOutput, {
    num_scan_inputs: perOutput.length,
    scan_output_axes: [1],
    body: { graph: oneOutput() },
  });
  body.cast('y', 'sums', 'FLOAT');
  return proto('AxMConv', body, operators);
}

/** The patterns of each window, [N, H', W', group, taps], and their values, which are 0 where a tap is padding. */
function windowsIn(body: Body): { readonly groups: string } {
  body.node('all_products_shape', 'Shape', ['products']);
  body.whole('first', [1]);
  body.whole('second', [2]);
  body.node('pattern_count', 'Slice', ['all_products_shape', 'first', 'second']);
  body.cast('patterns', 'pattern_count', 'INT32');
  body.number('integer_one', 'INT32', 1);
  body.cast('integers', 'x', 'INT32');
  body.node('shifted', 'Add', ['integers', 'patterns']);
  body.node('codes', 'Mod', ['shifted', 'patterns']);
  // A row and a column behind the image, which padding reads.
  body.whole('pads', [0, 0, 0, 0, 0, 0, 1, 1]);
  body.whole('scalar', []);
  body.node('no_operand', 'Reshape', ['patterns', 'scalar']);
  body.node('padded_codes', 'Pad', ['codes', 'pads', 'no_operand'], { mode: 'constant' });
  body.node('padded_integers', 'Pad', ['integers', 'pads'], { mode: 'constant' });
  body.node('group_number', 'Constant', [], { value_int: { of: 'group', type: 'INT' } });
  body.whole('list', [-1]);
  body.node('groups', 'Reshape', ['group_number', 'list']);
  body.whole('from_first', [0]);
  body.whole('to_third', [3]);
  for (const of of ['codes', 'integers']) {
    body.node(`${of}_rows`, 'Gather', [`padded_${of}`, 'rows'], { axis: 2 });
    body.node(`${of}_taps`, 'Gather', [`${of}_rows`, 'columns'], { axis: 4 });
    body.node(`${of}_positions`, 'Transpose', [`${of}_taps`], { perm: [0, 2, 4, 1, 3, 5] });
    body.node(`${of}_shape`, 'Shape', [`${of}_positions`]);
    body.node(`${of}_outer`, 'Slice', [`${of}_shape`, 'from_first', 'to_third']);
    body.node(`${of}_wanted`, 'Concat', [`${of}_outer`, 'groups', 'list'], { axis: 0 });
    body.node(`${of}_windows`, 'Reshape', [`${of}_positions`, `${of}_wanted`]);
  }
  body.node('inside', 'Less', ['codes_windows', 'no_operand']);
  body.cast('valid', 'inside', 'DOUBLE');
  body.cast('values', 'integers_windows', 'DOUBLE');
  body.sum('value_sums', 'values', [4]);
  return { groups: 'groups' };
}

/** The body of the loop over outputs; it sees what the function has. */
function oneOutput() {
  const body = new Body();
  body.node('own_codes', 'Gather', ['codes_windows', 'own_group'], { axis: 3 });
  body.node('places', 'Add', ['own_codes', 'own_starts']);
  body.node('found', 'Gather', ['table', 'places'], { axis: 0 });
  body.sum('product_sum', 'found', [3]);
  body.node('own_values', 'Gather', ['value_sums', 'own_group'], { axis: 3 });
  body.node('by_weight_zero', 'Mul', ['own_values', 'own_zero']);
  body.node('own_valid', 'Gather', ['valid', 'own_group'], { axis: 3 });
  body.node('from_zero', 'Sub', ['own_weights', 'own_zero']);
  body.node('valid_weights', 'Mul', ['own_valid', 'from_zero']);
  body.sum('weight_sum', 'valid_weights', [3]);
  body.node('by_zero', 'Mul', ['weight_sum', 'zero_point']);
  body.node('without_values', 'Sub', ['product_sum', 'by_weight_zero']);
  body.node('integer_sum', 'Sub', ['without_values', 'by_zero']);
  body.node('sum', 'Mul', ['integer_sum', 'own_scale']);
  return {
    name: 'one_output',
    node: body.nodes,
    input: [
      valueInfo('own_starts', 'INT32', [undefined]),
      valueInfo('own_weights', 'DOUBLE', [undefined]),
      valueInfo('own_group', 'INT64', []),
      valueInfo('own_scale', 'DOUBLE', []),
      valueInfo('own_zero', 'DOUBLE', []),
    ],
    output: [valueInfo('sum', 'DOUBLE', [undefined, undefined, undefined])],
  };
}

/** AxMQuantConv: the integers behind x and w, then AxMConv. */
export function axmQuantConv(operators: number): Draft<FunctionProto> {
  const body = new Body();
  body.whole('last', [-1]);
  body.whole('per_output', [-1, 1, 1, 1]);
  const integers = (of: string, scale: string, zero: string): string => {
    body.node(`${of}_steps`, 'Div', [of, scale]);
    body.node(`${of}_placed`, 'Add', [`${of}_steps`, zero]);
    body.node(`${of}_rounded`, 'Round', [`${of}_placed`]);
    return body.cast(`${of}_integers`, `${of}_rounded`, 'INT32');
  };
  body.node('w_scales', 'Reshape', ['w_scale', 'per_output']);
  body.node('w_zeros', 'Reshape', ['w_zero_point', 'per_output']);
  const x = integers('x', 'x_scale', 'x_zero_point');
  const w = integers('w', 'w_scales', 'w_zeros');
  const inputs = axmInputs.map((name) => ({ x, w })[name as string] ?? name);
  const handed: Attributes = Object.fromEntries(
    axmAttributes.map((name) => [name, { of: name, type: attributeKinds[name] ?? 'INT' }]),
  );
  body.nodes.push({ ...nodeOf('AxMConv', inputs, ['y'], handed), domain: AXM_DOMAIN });
  return proto('AxMQuantConv', body, operators, [AXM_DOMAIN]);
}

const attributeKinds: Readonly<Record<string, 'INTS' | 'STRING'>> = {
  ...{ kernel_shape: 'INTS', strides: 'INTS', pads: 'INTS', dilations: 'INTS', multiplier: 'STRING' },
};
