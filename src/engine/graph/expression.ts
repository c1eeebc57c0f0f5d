// What one element of a tensor is, as an expression of the elements at the same place in other tensors, and of sums and
// maxima over the row (the last axis) that it lies in. Expressions are the one definition from which the reference, the
// WebAssembly and the CUDA kernels of an operation are made (formula.ts), and its gradient (derivative.ts).
// Invariant: equal expressions are one object, so that what is computed twice is seen to be. Every operator but `exp`,
// `log` and `erf` is rounded once, to nearest, to float32: devices that compute them one by one agree to the last bit.
// Those three are made of the others (functions.ts) where a device computes them, and are the functions themselves in
// the reference.

import { invariant } from '../../tensor/errors.ts';

export const unary = [
  'negate',
  'absolute',
  'squareRoot',
  'nearest',
  'powerOfTwo',
  'exp',
  'log',
  'erf',
  'held',
] as const;
export const binary = ['add', 'subtract', 'multiply', 'divide', 'minimum', 'maximum'] as const;
/**
 * `whereGreater`: (a, b, c, d) → c where a > b, else d. `rowSum`, `rowMax`: over the row; `rowLength`: its number of
 * elements.
 */
const others = ['input', 'constant', 'whereGreater', 'rowSum', 'rowMax', 'rowLength'] as const;

export type Unary = (typeof unary)[number];
export type Binary = (typeof binary)[number];
export type Kind = Unary | Binary | (typeof others)[number];

/** An expression, or a constant. */
export type Term = Expression | number;

export class Expression {
  readonly kind: Kind;
  readonly operands: readonly Expression[];
  /** The number of an input, or the value of a constant; else 0. */
  readonly value: number;

  constructor(kind: Kind, operands: readonly Expression[], value: number) {
    this.kind = kind;
    this.operands = operands;
    this.value = value;
  }

  plus(other: Term): Expression {
    return make('add', [this, other]);
  }

  minus(other: Term): Expression {
    return make('subtract', [this, other]);
  }

  times(other: Term): Expression {
    return other === 1 ? this : make('multiply', [this, other]);
  }

  over(other: Term): Expression {
    return make('divide', [this, other]);
  }

  negated(): Expression {
    return make('negate', [this]);
  }
}

const known = new Map<string, Expression>();
const numbers = new WeakMap<Expression, number>();

function make(kind: Kind, terms: readonly Term[], value = 0): Expression {
  const operands = terms.map((term) => (typeof term === 'number' ? constant(term) : term));
  const key = `${kind} ${Object.is(value, -0) ? '-0' : value} ${operands.map((one) => numbers.get(one)).join(' ')}`;
  const made = known.get(key);
  if (made) return made;
  const expression = new Expression(kind, operands, value);
  numbers.set(expression, known.size);
  known.set(key, expression);
  return expression;
}

/** The element of an operand, by its number. */
export const input = (index: number): Expression => make('input', [], index);
export const constant = (value: number): Expression => make('constant', [], value);

export const exp = (x: Expression): Expression => make('exp', [x]);
/** The natural logarithm. */
export const log = (x: Expression): Expression => make('log', [x]);
/** The error function 2/√π ∫₀ˣ exp(−t²) dt. */
export const erf = (x: Expression): Expression => make('erf', [x]);
export const squareRoot = (x: Expression): Expression => make('squareRoot', [x]);
export const absolute = (x: Expression): Expression => make('absolute', [x]);
/** The nearest integer, of two the even one. */
export const nearest = (x: Expression): Expression => make('nearest', [x]);
/** 2ⁿ of an integer from −126 to 127. */
export const powerOfTwo = (n: Expression): Expression => make('powerOfTwo', [n]);
export const minimum = (a: Term, b: Term): Expression => make('minimum', [a, b]);
export const maximum = (a: Term, b: Term): Expression => make('maximum', [a, b]);
/** c where a > b, else d. */
export const whereGreater = (a: Term, b: Term, c: Term, d: Term): Expression => make('whereGreater', [a, b, c, d]);
/** The same value, which differentiation takes for a constant. */
export const held = (x: Expression): Expression => make('held', [x]);

export const rowLength: Expression = make('rowLength', []);
/** Σ over the row. */
export const rowSum = (x: Expression): Expression => make('rowSum', [x]);
export const rowMax = (x: Expression): Expression => make('rowMax', [x]);
export const rowMean = (x: Expression): Expression => rowSum(x).over(rowLength);

/** The same operator on other operands. */
export function withOperands({ kind, value }: Expression, operands: readonly Expression[]): Expression {
  return make(kind, operands, value);
}

/** A part by its kind, as a file has it; a kind that there is not is an invariant. */
export function expressionOf(kind: string, operands: readonly Expression[], value: number): Expression {
  invariant(([...unary, ...binary, ...others] as readonly string[]).includes(kind), `no expression is a ${kind}`);
  return make(kind as Kind, operands, value);
}

/** All that expressions are made of, each once, operands first. */
export function partsOf(expressions: readonly Expression[]): Expression[] {
  const found = new Set<Expression>();
  const pending = [...expressions].reverse();
  while (pending.length > 0) {
    const top = pending.at(-1)!;
    const missing = top.operands.filter((operand) => !found.has(operand));
    if (missing.length === 0 || found.has(top)) found.add(pending.pop()!);
    else pending.push(...missing.reverse());
  }
  return [...found];
}

/** Expressions rebuilt from the bottom: `replace` gives what stands for a part, whose operands are replaced already. */
export function rewrite(
  expressions: readonly Expression[],
  replace: (part: Expression) => Expression,
): readonly Expression[] {
  const results = new Map<Expression, Expression>();
  for (const part of partsOf(expressions)) {
    const operands = part.operands.map((operand) => results.get(operand)!);
    results.set(part, replace(operands.length === 0 ? part : withOperands(part, operands)));
  }
  return expressions.map((expression) => results.get(expression)!);
}

/** Operators whose value is one per row. */
export const isReduction = ({ kind }: Expression): boolean => kind === 'rowSum' || kind === 'rowMax';

/** A text that is the same for equal expressions: a line per part, which names its operands by their lines. */
export function textOf(expressions: readonly Expression[]): string {
  const parts = partsOf(expressions);
  const lineOf = new Map(parts.map((part, line) => [part, line]));
  const lines = parts.map(({ kind, value, operands }) =>
    [kind, ...(operands.length > 0 ? operands.map((one) => lineOf.get(one)) : [value])].join(' '),
  );
  return [...lines, `= ${expressions.map((one) => lineOf.get(one)).join(' ')}`].join('\n');
}

const arithmetic: { readonly [K in Unary | Binary]: (a: number, b: number) => number } = {
  negate: (a) => -a,
  absolute: Math.abs,
  squareRoot: Math.sqrt,
  powerOfTwo: (a) => 2 ** a,
  exp: Math.exp,
  log: Math.log,
  held: (a) => a,
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
  minimum: Math.min,
  maximum: Math.max,
  nearest: (a) => {
    const rounded = Math.round(a);
    return Math.abs(a % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
  },
  erf: errorFunction,
};

/** What an operator gives in double precision. */
export function compute(kind: Kind, a: number, b: number, c: number, d: number): number {
  if (kind === 'whereGreater') return a > b ? c : d;
  const operator = arithmetic[kind as Unary | Binary];
  invariant(operator, `${kind} is not computed element by element`);
  return operator(a, b);
}

/**
 * erf to some units of the last place of a double: its Taylor series where that is short, else the continued fraction
 * of erfc.
 */
export function errorFunction(x: number): number {
  if (Number.isNaN(x)) return x;
  const size = Math.abs(x);
  if (size > 6) return Math.sign(x);
  if (size < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = size;
  for (let n = 60; n > 0; n--) fraction = size + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-size * size) / (fraction * Math.sqrt(Math.PI)));
}
