// Operators that compute element by element. Each is said twice: in numbers, for what no image decides, and as an
// operation of the engine. Sums and products with one number are affine; what has a method of Layers is that.

import {
  absolute,
  constant,
  type Expression,
  erf,
  exp,
  log,
  maximum,
  minimum,
  squareRoot,
  whereGreater,
} from '../../engine/graph/expression.ts';
import type { Value } from '../../engine/graph/graph.ts';
import { formula } from '../../engine/operations/formula.ts';
import { UserError } from '../../tensor/errors.ts';
import { sameShape } from '../../tensor/tensor.ts';
import type { Layers } from '../layers.ts';
import type { Operand } from './building.ts';
import type { Call } from './call.ts';
import { combineConstants, scalarOf } from './constants.ts';
import type { Operator } from './operators.ts';

/** An element-wise operator of one operand; what it needs of the node is asked for before. */
interface Unary {
  readonly number: (x: number) => number;
  readonly value: (nn: Layers, x: Value) => Value;
}

const of = (name: string, number: Unary['number'], meaning: (x: Expression) => Expression): Unary => {
  const operation = formula(name, meaning);
  return { number, value: (_, x) => operation(x) };
};

const method = (name: 'relu' | 'sigmoid' | 'tanh' | 'gelu' | 'silu' | 'hardSwish', number: Unary['number']): Unary => ({
  number,
  value: (nn, x) => nn[name](x),
});

const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
const ramp = (x: number): number => Math.min(Math.max(x / 6 + 0.5, 0), 1);
/** Only networks compute these; no shape needs them. */
const none = (): never => {
  throw new UserError('it is applied to constants, which is not supported');
};

/** log(1 + eˣ) without overflow. */
const softplus = (x: Expression): Expression => maximum(x, 0).plus(log(exp(absolute(x).negated()).plus(1)));

const unaries: Readonly<Record<string, Unary | ((call: Call) => Unary)>> = {
  Relu: method('relu', (x) => Math.max(x, 0)),
  Sigmoid: method('sigmoid', logistic),
  Tanh: method('tanh', Math.tanh),
  HardSwish: method('hardSwish', (x) => x * ramp(x)),
  Gelu: (call) => {
    const isExact = call.text('approximate', 'none', ['none', 'tanh']) === 'none';
    return isExact ? method('gelu', none) : of('gelu of tanh', none, tanhGelu);
  },
  Erf: of('erf', none, erf),
  Exp: of('exp', Math.exp, exp),
  Log: of('log', Math.log, log),
  Sqrt: of('square root', Math.sqrt, squareRoot),
  Abs: of('absolute', Math.abs, absolute),
  Neg: { number: (x) => -x, value: (_, x) => affine(x, -1, 0) },
  Reciprocal: of(
    'reciprocal',
    (x) => 1 / x,
    (x) => constant(1).over(x),
  ),
  Softplus: of('softplus', (x) => Math.log1p(Math.exp(x)), softplus),
  Softsign: of(
    'softsign',
    (x) => x / (1 + Math.abs(x)),
    (x) => x.over(absolute(x).plus(1)),
  ),
  Mish: of('mish', none, (x) => x.times(constant(1).minus(constant(2).over(exp(softplus(x).times(2)).plus(1))))),
  LeakyRelu: (call) => {
    const slope = call.number('alpha', 0.01);
    return { number: none, value: (nn, x) => nn.leakyRelu(x, slope) };
  },
  Elu: (call) => {
    const alpha = call.number('alpha', 1);
    return of('elu', none, (x) => whereGreater(x, 0, x, exp(minimum(x, 0)).minus(1).times(alpha)));
  },
  HardSigmoid: (call) => {
    const [slope, middle] = [call.number('alpha', 0.2), call.number('beta', 0.5)];
    if (Math.abs(slope - 1 / 6) < 1e-6 && middle === 0.5) return { number: ramp, value: (nn, x) => nn.hardSigmoid(x) };
    return of('hardSigmoid', none, (x) => minimum(maximum(x.times(slope).plus(middle), 0), 1));
  },
  Clip: (call) => {
    const bound = (name: string, at: number, usual: number) => {
      const given = call.inputs[at] === undefined ? call.number(name, usual) : scalarOf(call.constant(at, name));
      if (given === undefined) throw new UserError(`its ${name} is no number; expected one`);
      // The largest float32 and what is beyond it bound nothing.
      return Math.abs(given) > 3.4e38 ? usual : given;
    };
    const [low, high] = [bound('min', 1, Number.NEGATIVE_INFINITY), bound('max', 2, Number.POSITIVE_INFINITY)];
    const number = (x: number) => Math.min(Math.max(x, low), high);
    if (low === 0)
      return { number, value: (nn, x) => (high === Number.POSITIVE_INFINITY ? nn.relu(x) : limited(x, high)) };
    return of('clip', number, (x) => minimum(maximum(x, low), high));
  },
  Floor: { number: Math.floor, value: none },
  Ceil: { number: Math.ceil, value: none },
  Not: { number: (x) => (x ? 0 : 1), value: none },
};

/** ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) = x/(1 + exp(−2·…)). */
function tanhGelu(x: Expression): Expression {
  const inner = x.plus(x.times(x).times(x).times(0.044715)).times(-2 * Math.sqrt(2 / Math.PI));
  return x.over(exp(inner).plus(1));
}

const limited = (x: Value, limit: number): Value => x.graph.apply1('relu', [x], { limit });

const affine = (x: Value, scale: number, offset: number): Value =>
  scale === 1 && offset === 0 ? x : x.graph.apply1('affine', [x], { scale, offset });

/** An element-wise operator of two operands. */
interface Binary {
  readonly number: (a: number, b: number) => number;
  readonly value: (nn: Layers, a: Value, b: Value) => Value;
  /** By a number; `first`: the number is the first operand. Undefined where it is computed as with any operand. */
  readonly by?: (x: Value, number: number, first: boolean) => Value | undefined;
  /** Whether the result is true or false. */
  readonly isTruth?: boolean;
}

const difference = formula('difference', (a, b) => a.minus(b));
const quotient = formula('quotient', (a, b) => a.over(b));
const largest = formula('maximum', (a, b) => maximum(a, b));
const smallest = formula('minimum', (a, b) => minimum(a, b));
const sloped = formula('prelu', (x, slope) => whereGreater(x, 0, x, x.times(slope)));
const square = formula('square', (x) => x.times(x));
const cube = formula('cube', (x) => x.times(x).times(x));

const truth = (number: (a: number, b: number) => boolean): Binary => ({
  number: (a, b) => (number(a, b) ? 1 : 0),
  value: none,
  isTruth: true,
});

const binaries: Readonly<Record<string, Binary>> = {
  Add: { number: (a, b) => a + b, value: (nn, a, b) => nn.add(a, b), by: (x, number) => affine(x, 1, number) },
  Sub: {
    number: (a, b) => a - b,
    value: (_, a, b) =>
      sameShape(a.shape, b.shape) ? a.graph.apply1('add', [a, b], { alpha: 1, beta: -1 }) : difference(a, b),
    by: (x, number, first) => (first ? affine(x, -1, number) : affine(x, 1, -number)),
  },
  Mul: { number: (a, b) => a * b, value: (nn, a, b) => nn.multiply(a, b), by: (x, number) => affine(x, number, 0) },
  Div: {
    number: (a, b) => a / b,
    value: (_, a, b) => quotient(a, b),
    by: (x, number, first) => (first ? undefined : affine(x, 1 / number, 0)),
  },
  Pow: {
    number: (a, b) => a ** b,
    value: none,
    by: (x, number, first) => (first ? undefined : powered(x, number)),
  },
  PRelu: { number: none, value: (_, a, b) => sloped(a, b) },
  Equal: truth((a, b) => a === b),
  Greater: truth((a, b) => a > b),
  GreaterOrEqual: truth((a, b) => a >= b),
  Less: truth((a, b) => a < b),
  LessOrEqual: truth((a, b) => a <= b),
  And: truth((a, b) => a !== 0 && b !== 0),
  Or: truth((a, b) => a !== 0 || b !== 0),
  Mod: { number: (a, b) => a - b * Math.floor(a / b), value: none },
};

function powered(x: Value, exponent: number): Value {
  if (exponent === 1) return x;
  if (exponent === 2) return square(x);
  if (exponent === 3) return cube(x);
  if (exponent === 0.5) return formula('square root', squareRoot)(x);
  if (exponent === -1) return formula('reciprocal', (one) => constant(1).over(one))(x);
  throw new UserError(`the power ${exponent}; expected 1, 2, 3, ½ or −1`);
}

function applyUnary(call: Call, { number, value }: Unary): Operand {
  const x = call.operand(0);
  if (x.kind === 'constant') return combineConstants([x], number, x.isFloat);
  return { ...x, value: value(call.nn, x.value) };
}

function applyBinary(call: Call, { number, value, by, isTruth = false }: Binary): Operand {
  const [a, b] = [call.operand(0), call.operand(1)];
  if (a.kind === 'constant' && b.kind === 'constant') {
    const isFloat = a.isFloat && !isTruth;
    // Whole numbers divide to whole numbers, towards 0.
    const whole = call.node.op === 'Div' && !a.isFloat;
    return combineConstants([a, b], whole ? (x, y) => Math.trunc(x / y) : number, isFloat);
  }
  for (const [x, other, first] of [
    [a, b, false],
    [b, a, true],
  ] as const) {
    const scalar = other.kind === 'constant' ? scalarOf(other) : undefined;
    if (x.kind !== 'tensor' || scalar === undefined) continue;
    if (other.kind === 'constant' && other.shape.length > x.order.length) continue;
    const found = by?.(x.value, scalar, first);
    if (found) return { ...x, value: found };
  }
  if (value === none) throw new UserError('it is applied to what is computed from the image, which is not supported');
  const { values, like } = call.building.together([a, b], call.node);
  return { ...like, value: value(call.nn, values[0]!, values[1]!) };
}

/** Sums, products, maxima, minima and means of any number of operands. */
function applyMany(call: Call, op: 'Max' | 'Min' | 'Sum' | 'Mean'): Operand {
  const numbers = {
    Max: Math.max,
    Min: Math.min,
    Sum: (a: number, b: number) => a + b,
    Mean: (a: number, b: number) => a + b,
  };
  const pairs = {
    Max: (_: Layers, a: Value, b: Value) => largest(a, b),
    Min: (_: Layers, a: Value, b: Value) => smallest(a, b),
    Sum: (nn: Layers, a: Value, b: Value) => nn.add(a, b),
    Mean: (nn: Layers, a: Value, b: Value) => nn.add(a, b),
  };
  const [first, ...rest] = call.inputs.map((_, at) => call.operand(at)) as [Operand, ...Operand[]];
  const all = rest.reduce<Operand>((sum, next) => {
    if (sum.kind === 'constant' && next.kind === 'constant')
      return combineConstants([sum, next], numbers[op], sum.isFloat);
    const { values, like } = call.building.together([sum, next], call.node);
    return { ...like, value: pairs[op](call.nn, values[0]!, values[1]!) };
  }, first);
  if (op !== 'Mean') return all;
  const share = 1 / call.inputs.length;
  if (all.kind === 'constant') return combineConstants([all], (x) => x * share, true);
  return { ...all, value: affine(all.value, share, 0) };
}

export const arithmetic: Readonly<Record<string, Operator>> = {
  ...Object.fromEntries(
    Object.entries(unaries).map(([name, unary]) => [
      name,
      (call: Call) => applyUnary(call, typeof unary === 'function' ? unary(call) : unary),
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(binaries).map(([name, binary]) => [name, (call: Call) => applyBinary(call, binary)]),
  ),
  Max: (call) => applyMany(call, 'Max'),
  Min: (call) => applyMany(call, 'Min'),
  Sum: (call) => applyMany(call, 'Sum'),
  Mean: (call) => applyMany(call, 'Mean'),
};
