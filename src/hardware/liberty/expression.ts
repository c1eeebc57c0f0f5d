// Boolean expressions of Liberty (`function`, `when`): ! and postfix ' for not, * & or a space for and, + | for or, ^
// for exclusive or, the constants 0 and 1, parentheses. Evaluated on words, 32 vectors at a time.
// Invariant: `program` is in postfix order and leaves exactly one value; nesting and length are bounded. Binding: not,
// exclusive or, and, or.
// Source: Liberty User Guide, "function attribute".

import { invariant } from '../../tensor/errors.ts';

export type Operation =
  | { readonly kind: 'pin'; readonly pin: string }
  | { readonly kind: 'constant'; readonly value: 0 | 1 }
  | { readonly kind: 'not' | 'and' | 'or' | 'xor' };

export interface BooleanExpression {
  readonly text: string;
  /** Each pin once, in order of appearance. */
  readonly pins: readonly string[];
  readonly program: readonly Operation[];
}

const MAX_LENGTH = 4096;
const MAX_NESTING = 100;

/** The parsed expression, or the reason why it is none. */
export function parseExpression(text: string): BooleanExpression | { readonly error: string } {
  if (text.length > MAX_LENGTH) return { error: `an expression of ${text.length} characters` };
  const tokens = text.match(/[A-Za-z_][A-Za-z0-9_[\]]*|[01]|[!'*&+|^()]|\S/g) ?? [];
  const program: Operation[] = [];
  const pins: string[] = [];
  let position = 0;
  let nesting = 0;
  try {
    or();
  } catch (error) {
    if (error instanceof SyntaxError) return { error: error.message };
    throw error;
  }
  if (position < tokens.length) return { error: `"${tokens[position]}" behind the expression` };
  return { text, pins, program };

  function or(): void {
    and();
    while (tokens[position] === '+' || tokens[position] === '|') binary('or', and);
  }

  function and(): void {
    xor();
    for (;;) {
      const token = tokens[position];
      if (token === '*' || token === '&') binary('and', xor);
      else if (token !== undefined && /^[A-Za-z_01!(]/.test(token)) {
        xor();
        program.push({ kind: 'and' });
      } else break;
    }
  }

  function xor(): void {
    unary();
    while (tokens[position] === '^') binary('xor', unary);
  }

  function binary(kind: 'and' | 'or' | 'xor', operand: () => void): void {
    position++;
    operand();
    program.push({ kind });
  }

  function unary(): void {
    let inverted = false;
    for (; tokens[position] === '!'; position++) inverted = !inverted;
    primary();
    for (; tokens[position] === "'"; position++) inverted = !inverted;
    if (inverted) program.push({ kind: 'not' });
  }

  function primary(): void {
    const token = tokens[position++];
    if (token === '(') {
      if (++nesting > MAX_NESTING) throw new SyntaxError(`more than ${MAX_NESTING} nested parentheses`);
      or();
      nesting--;
      if (tokens[position++] !== ')') throw new SyntaxError('a parenthesis without its end');
    } else if (token === '0' || token === '1') {
      program.push({ kind: 'constant', value: token === '1' ? 1 : 0 });
    } else if (token !== undefined && /^[A-Za-z_]/.test(token)) {
      program.push({ kind: 'pin', pin: token });
      if (!pins.includes(token)) pins.push(token);
    } else throw new SyntaxError(token === undefined ? 'the end of the expression' : `"${token}"`);
  }
}

/** The same expression of other pins, in a text with all its parentheses. */
export function renamedExpression({ program }: BooleanExpression, rename: (pin: string) => string): BooleanExpression {
  const signs = { and: ' * ', or: ' + ', xor: ' ^ ' } as const;
  const stack: string[] = [];
  for (const operation of program) {
    if (operation.kind === 'pin') stack.push(rename(operation.pin));
    else if (operation.kind === 'constant') stack.push(String(operation.value));
    else if (operation.kind === 'not') stack.push(`!${stack.pop()}`);
    else {
      const b = stack.pop();
      stack.push(`(${stack.pop()}${signs[operation.kind]}${b})`);
    }
  }
  const renamed = parseExpression(stack.pop()!);
  invariant(!('error' in renamed), 'an expression whose own text is none');
  return renamed;
}

export type Words = Int32Array<ArrayBuffer>;

/** Evaluates on words of equal length; bit k of word n is vector 32n + k. The result is always a fresh array. */
export function evaluateExpression(
  expression: BooleanExpression,
  length: number,
  value: (pin: string) => Words,
): Words {
  const stack: Words[] = [];
  for (const operation of expression.program) {
    if (operation.kind === 'pin') stack.push(value(operation.pin).slice());
    else if (operation.kind === 'constant') stack.push(new Int32Array(length).fill(-operation.value));
    else if (operation.kind === 'not') {
      const a = stack.at(-1)!;
      for (let n = 0; n < length; n++) a[n] = ~a[n]!;
    } else {
      const b = stack.pop()!;
      const a = stack.at(-1)!;
      if (operation.kind === 'and') for (let n = 0; n < length; n++) a[n] = a[n]! & b[n]!;
      else if (operation.kind === 'or') for (let n = 0; n < length; n++) a[n] = a[n]! | b[n]!;
      else for (let n = 0; n < length; n++) a[n] = a[n]! ^ b[n]!;
    }
  }
  return stack[0]!;
}

/** The truth table over the given pins (at most 5): bit p of the number is the value where pin k is bit k of p. */
export function truthTable(expression: BooleanExpression, pins: readonly string[]): number {
  const lanes = 2 ** pins.length;
  const pattern = (pin: string): Words => {
    const k = pins.indexOf(pin);
    let word = 0;
    for (let p = 0; p < 32; p++) word |= ((p >> k) & 1) << p;
    return Int32Array.of(word);
  };
  const value = evaluateExpression(expression, 1, pattern)[0]!;
  return lanes >= 32 ? value >>> 0 : value & (2 ** lanes - 1);
}
