// Each operation of an evaluation graph in PyTorch's words. Where PyTorch rounds otherwise than the program (functions
// by series, sums over rows, products in float32), `isExact` says so; all else gives equal bits.
// Invariant: what has no words here is refused by name, never left out.

import type { Formula } from '../../engine/graph/formula.ts';
import { hasReductions, placeOf } from '../../engine/graph/formula.ts';
import type { Node, Value } from '../../engine/graph/graph.ts';
import type { AverageGeometry, OpName } from '../../engine/graph/ops.ts';
import { UserError } from '../../tensor/errors.ts';
import { f32, formatShape, type HostTensor, type Shape, sizeOf } from '../../tensor/tensor.ts';
import { formulaFunction, isReproducible, knownFormula } from './formulas.ts';
import type { Layout, Operands, Written } from './forward.ts';
import { permuted } from './modules.ts';
import { movedAs } from './movements.ts';
import { numberText, optionText, pairText, tupleText } from './python.ts';

type Writer<K extends OpName> = (node: Node<K>, operands: Operands) => Written;

/** What a node is written as. Throws a UserError. */
export function operationText(node: Node, operands: Operands): Written {
  const write = writers[node.op] as Writer<OpName> | undefined;
  if (!write) throw refused(node, `the operation ${node.op} is not written for PyTorch`);
  return write(node, operands);
}

/** Whether PyTorch gives the same bits as the program. */
export function isExact({ op, attributes }: Node): boolean {
  if (op === 'formula') return isReproducible(attributes as Formula);
  return !['conv2d', 'matrixProduct', 'repeatSum'].includes(op);
}

const refused = ({ label }: Pick<Node, 'label'>, why: string): UserError =>
  new UserError(`${label === '' ? 'the network' : label}: ${why}`);

const writers: { readonly [K in OpName]?: Writer<K> } = {
  imageToFloat: ({ inputs: [x], attributes }, operands) => {
    const perChannel = (values: readonly number[]) => f32([values.length, 1, 1], values);
    const scale = operands.modules.buffer(attributes.scale, 'pixel_scale', perChannel(attributes.scale));
    const offset = operands.modules.buffer(attributes.offset, 'pixel_offset', perChannel(attributes.offset));
    const text = `${operands.take(x!, 'image')}.float() * self.${scale} + self.${offset}`;
    return { text, layout: 'image', open: true };
  },
  relu: ({ inputs: [x], attributes: { limit } }, operands) => {
    const layout = operands.layoutOf(x!);
    if (limit === undefined || limit === 6) {
      return { text: `F.relu${limit ?? ''}(${operands.take(x!, layout)})`, layout };
    }
    return { text: `${operands.take(x!, layout, true)}.clamp(0, ${numberText(limit)})`, layout };
  },
  clampStraightThrough: ({ inputs: [x], attributes: { low, high } }, operands) => {
    const layout = operands.layoutOf(x!);
    return { text: `${operands.take(x!, layout, true)}.clamp(${numberText(low)}, ${numberText(high)})`, layout };
  },
  stopGradient: ({ inputs: [x] }, operands) => {
    const layout = operands.layoutOf(x!);
    return { text: operands.take(x!, layout, true), layout, same: true };
  },
  affine: ({ inputs: [x], attributes: { scale, offset } }, operands) => {
    const layout = operands.layoutOf(x!);
    const factor = scale === 1 ? '' : ` * ${numberText(scale)}`;
    const added = offset === 0 ? '' : ` + ${numberText(offset)}`;
    return { text: `${operands.take(x!, layout, true)}${factor}${added}`, layout, open: true };
  },
  add: ({ inputs, label, attributes: { alpha, beta }, outputs: [y] }, operands) => {
    const { layout, texts } = aligned(inputs, label, y!.shape, operands);
    const term = (text: string, factor: number) => (factor === 1 ? text : `${numberText(factor)} * ${text}`);
    const [a, b] = texts as [string, string];
    const text = beta === -1 ? `${term(a, alpha)} - ${b}` : `${term(a, alpha)} + ${term(b, beta)}`;
    return { text, layout, open: true };
  },
  bias: (node, operands) => signed(node as Node, node.outputs[0]!.shape, '+', operands),
  divide: (node, operands) => signed(node as Node, node.outputs[0]!.shape, '/', operands),
  scaleBy: (node, operands) => signed(node as Node, node.outputs[0]!.shape, '*', operands),
  batchNormInference: (node, operands) => {
    const [x] = node.inputs as [Value];
    const layout = operands.layoutOf(x);
    const axis = layout === 'image' || x.shape.length === 2 ? 1 : -1;
    return { text: `self.${operands.modules.batchNorm(node, axis)}(${operands.take(x, layout)})`, layout };
  },
  maxPool: (node, operands) => pool(node, 'F.max_pool2d', [], operands),
  averagePool: (node, operands) => {
    const { countPadding = true } = node.attributes as AverageGeometry;
    return pool(node, 'F.avg_pool2d', countPadding ? [] : ['count_include_pad=False'], operands);
  },
  matrixProduct: (node, operands) => {
    const { transposed, scale } = node.attributes;
    if (node.inputs.some((value) => operands.isDependent(value) && value.shape.length < 3)) {
      throw refused(node, 'a product of matrices without an axis for the batch');
    }
    const operand = (value: Value, exchanged: boolean) => {
      const text = operands.isDependent(value)
        ? operands.take(value, 'plain', true)
        : constantText(value, node.label, operands.modules.constant(value), operands);
      return exchanged ? `${text}.transpose(-2, -1)` : text;
    };
    const [a, b] = node.inputs as [Value, Value];
    const text = `${operand(a, transposed === 'first')} @ ${operand(b, transposed === 'second')}`;
    return { text: scale === 1 ? text : `${text} * ${numberText(scale)}`, layout: 'plain', open: true };
  },
  repeatSum: (node, operands) => {
    const [x, other] = node.inputs as [Value, Value?];
    const { shape, scale } = node.attributes;
    const axes = shape.flatMap((extent, axis) => (extent === x.shape[axis] ? [] : [axis]));
    if (shape.length !== x.shape.length || shape[0] !== x.shape[0] || !axes.every((axis) => shape[axis] === 1)) {
      throw refused(node, `a sum of ${formatShape(x.shape)} to ${formatShape(shape)} reaches over the batch`);
    }
    const multiplied = other
      ? `(${aligned([x, other], node.label, x.shape, operands, true).texts.join(' * ')})`
      : undefined;
    const text = multiplied ?? operands.take(x, 'plain', true);
    const over = axes.length === 1 ? String(axes[0]) : tupleText(axes);
    const isMean = Math.abs(scale * (sizeOf(x.shape) / sizeOf(shape)) - 1) < 1e-12;
    if (isMean) return { text: `${text}.mean(${over}, keepdim=True)`, layout: 'plain' };
    const factor = scale === 1 ? '' : ` * ${numberText(scale)}`;
    return { text: `${text}.sum(${over}, keepdim=True)${factor}`, layout: 'plain', open: true };
  },
  reshape: ({ inputs: [x], attributes: { shape } }, operands) => reshaped(x!, shape, operands),
  move: (node, operands) => moved(node, operands),
  formula: (node, operands) => formulaText(node, operands),
};

function signed({ inputs, label }: Node, shape: Shape, sign: string, operands: Operands): Written {
  const { layout, texts } = aligned(inputs, label, shape, operands);
  return { text: texts.join(` ${sign} `), layout, open: true };
}

/** Operands that are joined element by element, in one layout; constants are laid out so that they are repeated. */
function aligned(
  inputs: readonly Value[],
  label: string,
  shape: Shape,
  operands: Operands,
  mustBePlain = false,
): { readonly layout: Layout; readonly texts: string[] } {
  const dependent = inputs.filter((value) => operands.isDependent(value));
  const layout: Layout =
    !mustBePlain && shape.length === 4 && dependent.every((value) => operands.layoutOf(value) === 'image')
      ? 'image'
      : 'plain';
  const texts = inputs.map((value) => {
    if (!operands.isDependent(value))
      return constantText(value, label, besideOf(value, shape, layout, operands), operands);
    if (value.shape.length !== shape.length || value.shape[0] !== shape[0]) {
      throw new UserError(
        `a value of ${formatShape(value.shape)} is repeated over ${formatShape(shape)}; with batches it needs all axes`,
      );
    }
    return operands.take(value, layout, true);
  });
  return { layout, texts };
}

/** A constant as it is repeated over a shape by PyTorch's rules. */
function besideOf(value: Value, shape: Shape, layout: Layout, { modules }: Operands): HostTensor {
  const constant = modules.constant(value);
  const place = placeOf(value.shape, shape);
  if (place === 'one') return { ...constant, shape: [] };
  if (value.shape.length === shape.length && value.shape[0] !== 1 && shape[0] !== 1) {
    throw new UserError(`a constant of ${formatShape(value.shape)} stands beside each image; with batches it cannot`);
  }
  if (layout === 'plain') return constant;
  if (place === 'channel') return { ...constant, shape: [value.shape[0]!, 1, 1] };
  const whole = [...Array<number>(shape.length - value.shape.length).fill(1), ...value.shape];
  return permuted({ ...constant, shape: whole }, [0, 3, 1, 2]);
}

/** A constant as a buffer of the network, called after the variables that it is made of, else after its reader. */
function constantText(value: Value, label: string, tensor: HostTensor, { modules }: Operands): string {
  return `self.${modules.buffer(value, nameOf(value, label), tensor)}`;
}

function nameOf(value: Value, label: string): string {
  const names = new Set<string>();
  const seen = new Set<Value>();
  const pending = [value];
  for (let next = pending.pop(); next; next = pending.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    if (next.source.kind === 'variable') names.add(next.source.name);
    if (next.source.kind === 'node') pending.push(...next.source.node.inputs);
  }
  if (names.size > 0) return [...names].sort().join('_and_');
  return label === '' ? 'constant' : `${label}_constant`;
}

function pool(
  node: Node<'maxPool'> | Node<'averagePool'>,
  name: string,
  more: readonly string[],
  operands: Operands,
): Written {
  const { size, stride, padding, ceil = false } = node.attributes;
  if (padding.some((one, axis) => 2 * one > size[axis]!)) {
    throw refused(
      node,
      `a pool of ${pairText(size)} padded by ${pairText(padding)}; PyTorch's have half a window at most`,
    );
  }
  const isWhole = node.outputs[0]!.shape[1] === 1 && node.outputs[0]!.shape[2] === 1;
  const options = [
    ...(isWhole ? [] : optionText('stride', pairText(stride), pairText(size))),
    ...optionText('padding', pairText(padding), '0'),
    ...(ceil ? ['ceil_mode=True'] : []),
    ...more,
  ];
  const text = `${name}(${[operands.take(node.inputs[0]!, 'image'), pairText(size), ...options].join(', ')})`;
  return { text, layout: 'image' };
}

function reshaped(x: Value, shape: Shape, operands: Operands): Written {
  const own = operands.layoutOf(x);
  const isPixel = x.shape.length === 4 && x.shape[1] === 1 && x.shape[2] === 1;
  if (own === 'image' && isPixel && shape.length === 2 && shape[1] === x.shape[3]) {
    return { text: `${operands.take(x, 'image', true)}.flatten(1)`, layout: 'plain' };
  }
  const isTokens = shape.length === 3 && shape[0] === x.shape[0] && shape[2] === x.shape[3];
  if (own === 'image' && isTokens) {
    return { text: `${operands.take(x, 'image', true)}.flatten(2).transpose(1, 2)`, layout: 'plain' };
  }
  const toPixel = shape.length === 4 && shape[0] === x.shape[0] && shape[1] === 1 && shape[2] === 1;
  if (toPixel && x.shape.length === 2) {
    return { text: `${operands.take(x, 'plain', true)}[:, :, None, None]`, layout: 'image' };
  }
  if (toPixel && own === 'image' && isPixel)
    return { text: operands.take(x, 'image', true), layout: 'image', same: true };
  const text = operands.take(x, 'plain', true);
  if (formatShape(shape) === formatShape(x.shape)) return { text, layout: 'plain', same: true };
  if (shape.length === 2 && shape[0] === x.shape[0]) return { text: `${text}.flatten(1)`, layout: 'plain' };
  return { text: `${text}.reshape(-1, ${shape.slice(1).join(', ')})`, layout: 'plain' };
}

/** Axes of the engine as PyTorch's of an image, and those of PyTorch's as the engine's. */
const torchAxis = [0, 2, 3, 1];

function moved(node: Node<'move'>, operands: Operands): Written {
  const { inputs, attributes } = node;
  const moving = movedAs(
    attributes,
    inputs.map(({ shape }) => shape),
  );
  const dependent = inputs.filter((value) => operands.isDependent(value));
  const layout: Layout = dependent.every((value) => operands.layoutOf(value) === 'image') ? 'image' : 'plain';
  const axisOf = (axis: number): number => {
    if (axis === 0) throw refused(node, `${attributes.name} along the axis of the batch`);
    return layout === 'image' ? torchAxis[axis]! : axis;
  };
  const [x] = inputs as [Value];
  const rank = x.shape.length;
  const text = (closed = true) => operands.take(x, layout, closed);
  switch (moving.kind) {
    case 'concat': {
      const batch = dependent[0]!;
      const texts = inputs.map((value) => {
        if (operands.isDependent(value)) return operands.take(value, layout);
        const constant = operands.modules.constant(value);
        const shown = constantText(
          value,
          node.label,
          layout === 'image' ? permuted(constant, [0, 3, 1, 2]) : constant,
          operands,
        );
        const rest = Array<string>(rank - 1).fill('-1');
        return `${shown}.expand(${[`len(${operands.take(batch, layout)})`, ...rest].join(', ')})`;
      });
      return { text: `torch.cat([${texts.join(', ')}], ${axisOf(moving.axis)})`, layout };
    }
    case 'slice': {
      const index = [...Array<string>(axisOf(moving.axis)).fill(':'), `${moving.from}:${moving.to}`];
      return { text: `${text()}[${index.join(', ')}]`, layout };
    }
    case 'pad': {
      const behind = rank - 1 - axisOf(moving.axis);
      const sizes = [...Array<number>(2 * behind).fill(0), moving.before, moving.behind];
      return { text: `F.pad(${text(false)}, ${tupleText(sizes)})`, layout };
    }
    case 'roll': {
      const axes = moving.axes.map(axisOf);
      const shifts = moving.shifts.map((by, at) => {
        const extent = x.shape[moving.axes[at]!]!;
        return 2 * by > extent ? by - extent : by;
      });
      return { text: `torch.roll(${text(false)}, ${tupleText(shifts)}, ${tupleText(axes)})`, layout };
    }
    case 'permute': {
      const order = moving.order.map((axis) => (layout === 'image' ? torchAxis[axis]! : axis));
      if (order[0] !== 0) throw refused(node, 'permute moves the axis of the batch');
      return { ...permutedText(text(), order), layout: 'plain' };
    }
    case 'part': {
      const hint = moving.parts === 3 ? ['query', 'key', 'value'][moving.part]! : undefined;
      return { text: `${text()}[:, :, ${moving.part}].transpose(1, 2)`, layout: 'plain', ...(hint && { hint }) };
    }
  }
}

function permutedText(text: string, order: readonly number[]): { readonly text: string; readonly same?: boolean } {
  const changed = order.flatMap((from, axis) => (from === axis ? [] : [axis]));
  if (changed.length === 0) return { text, same: true };
  if (changed.length === 2) return { text: `${text}.transpose(${changed.join(', ')})` };
  return { text: `${text}.permute(${order.join(', ')})` };
}

function formulaText(node: Node<'formula'>, operands: Operands): Written {
  const { attributes, inputs } = node;
  const { shape, outputs } = attributes;
  const byRows = hasReductions(outputs.map(({ of }) => of));
  const known = knownFormula(attributes);
  if (known?.kind === 'sign') return signed(node as Node, shape, known.sign, operands);
  if (known?.kind === 'function') {
    const [x] = inputs as [Value];
    const layout = byRows ? 'plain' : operands.layoutOf(x);
    return { text: `${known.name}(${operands.take(x, layout)}${known.more})`, layout };
  }
  if (known?.kind === 'layerNorm' && inputs.slice(1).every((value) => !operands.isDependent(value))) {
    const [x, weight, bias] = inputs as [Value, Value, Value];
    const name = operands.modules.layerNorm(node.label, weight, bias, known.epsilon);
    return { text: `self.${name}(${operands.take(x, 'plain')})`, layout: 'plain' };
  }
  if (outputs.length > 1) throw refused(node, `the formula ${attributes.name} has several results`);
  const { layout, texts } = aligned(inputs, node.label, shape, operands, byRows);
  const name = operands.helper(attributes.name, (own) => formulaFunction(own, attributes, inputs.length));
  return { text: `${name}(${texts.join(', ')})`, layout };
}
