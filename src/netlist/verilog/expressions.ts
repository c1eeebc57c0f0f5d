// Expressions of structural Verilog, as the nets that hold their bits: selects, concatenations, replications, sized
// constants, the operators of bits and of logic, comparison for equality and `?:`.
// Invariant: operands are of equal widths wherever Verilog would extend one of them (with rules that depend on the
// context); what would need an extension is declined, never guessed.

import { type Build, multiplexer, primitives } from '../cells.ts';
import type { SourceText } from '../diagnostics.ts';
import { ONE, ZERO } from '../network.ts';
import { type Bits, MAX_BUS, type ModuleScope, type Range } from './scope.ts';
import type { TokenStream, VerilogToken } from './tokens.ts';

const MAX_NESTING = 500;
/** Bits of one concatenation or replication. */
const MAX_CONCATENATED = 65_536;
/** Decimal digits of the widest constant, 2^4096. */
const MAX_DIGITS = 1234;

type Operator = (expressions: Expressions, at: VerilogToken, left: Bits, right: Bits) => Bits;

const bitwise =
  (build: Build): Operator =>
  (expressions, at, left, right) => {
    expressions.sameWidth(at, left, right);
    return left.map((net, bit) => expressions.scope.intermediate(at, [net, right[bit]!], build, 2));
  };
const logical =
  (build: Build): Operator =>
  (expressions, at, left, right) => {
    const [a, b] = [expressions.truth(at, left), expressions.truth(at, right)];
    return [expressions.scope.intermediate(at, [a, b], build)];
  };
const equality =
  (build: Build): Operator =>
  (expressions, at, left, right) => [
    expressions.reduce(at, bitwise(primitives.xnor)(expressions, at, left, right), build),
  ];

/** From the weakest to the strongest binding. */
const OPERATORS: readonly Readonly<Record<string, Operator>>[] = [
  { '||': logical(primitives.or) },
  { '&&': logical(primitives.and) },
  { '|': bitwise(primitives.or) },
  { '^': bitwise(primitives.xor), '~^': bitwise(primitives.xnor), '^~': bitwise(primitives.xnor) },
  { '&': bitwise(primitives.and) },
  { '==': equality(primitives.and), '!=': equality(primitives.nand) },
];

const REDUCTIONS: Readonly<Record<string, Build>> = {
  '!': primitives.nor,
  '&': primitives.and,
  '|': primitives.or,
  '^': primitives.xor,
  '~&': primitives.nand,
  '~|': primitives.nor,
  '~^': primitives.xnor,
  '^~': primitives.xnor,
};

export class Expressions {
  readonly scope: ModuleScope;
  readonly #source: SourceText;
  readonly #tokens: TokenStream;
  #nesting = 0;

  constructor(source: SourceText, tokens: TokenStream, scope: ModuleScope) {
    this.#source = source;
    this.#tokens = tokens;
    this.scope = scope;
  }

  expression(): Bits {
    return this.#nested('an expression', () => {
      const condition = this.#binary(0);
      const at = this.#tokens.next;
      if (!this.#tokens.accept('?')) return condition;
      const one = this.expression();
      this.#tokens.expect(':', 'between the two values');
      const zero = this.expression();
      this.sameWidth(at, one, zero);
      const select = this.truth(at, condition);
      return one.map((net, bit) => this.scope.intermediate(at, [zero[bit]!, net, select], multiplexer, 4));
    });
  }

  /** A net, a part of one, or a concatenation of such. */
  target(): Bits {
    if (this.#tokens.accept('{')) return this.#concatenation(() => this.target());
    if (this.#tokens.next.kind === 'name' && this.#tokens.afterNext.text !== '[')
      this.scope.implicit(this.#tokens.next);
    return this.#select(false);
  }

  /** What a pin is connected to: a name that is not declared becomes a net. */
  connection(): Bits {
    const { next, afterNext } = this.#tokens;
    if (next.kind === 'name' && /^[,)]$/.test(afterNext.text)) this.scope.implicit(next);
    return this.expression();
  }

  /** `[left:right]` of integer expressions; null without a range. */
  range(): Range | null {
    if (!this.#tokens.accept('[')) return null;
    const at = this.#tokens.next;
    const left = this.#sum();
    this.#tokens.expect(':', 'in a range');
    const right = this.#sum();
    this.#tokens.expect(']', 'after the range');
    if (Math.min(left, right) < 0 || Math.max(left, right) >= MAX_BUS) {
      this.#source.fail(at, `a range from ${left} to ${right}`, `indices from 0 to ${MAX_BUS - 1}`);
    }
    return { left, right };
  }

  sameWidth(at: VerilogToken, left: Bits, right: Bits): void {
    if (left.length !== right.length) {
      this.#source.decline(at, `"${at.text}" of ${left.length} and ${right.length} bits`, 'equal widths');
    }
  }

  reduce(at: VerilogToken, bits: Bits, build: Build): string {
    return this.scope.intermediate(at, bits, build, bits.length + 1);
  }

  /** One bit that says whether any bit is 1. */
  truth(at: VerilogToken, bits: Bits): string {
    return bits.length === 1 ? bits[0]! : this.reduce(at, bits, primitives.or);
  }

  #nested<T>(what: string, parse: () => T): T {
    if (++this.#nesting > MAX_NESTING) {
      this.#source.fail(this.#tokens.next, `${what} nested too deeply`, `at most ${MAX_NESTING} levels`);
    }
    const result = parse();
    this.#nesting--;
    return result;
  }

  #binary(level: number): Bits {
    const operators = OPERATORS[level];
    if (!operators) return this.#unary();
    let left = this.#binary(level + 1);
    while (this.#tokens.next.kind === 'symbol' && Object.hasOwn(operators, this.#tokens.next.text)) {
      const at = this.#tokens.take();
      left = operators[at.text]!(this, at, left, this.#binary(level + 1));
    }
    return left;
  }

  #unary(): Bits {
    return this.#nested('an expression', () => this.#primary(this.#tokens.next));
  }

  #primary(at: VerilogToken): Bits {
    if (this.#tokens.accept('~')) return this.#unary().map((net) => this.scope.intermediate(at, [net], primitives.not));
    if (at.kind === 'symbol' && Object.hasOwn(REDUCTIONS, at.text)) {
      this.#tokens.take();
      return [this.reduce(at, this.#unary(), REDUCTIONS[at.text]!)];
    }
    if (this.#tokens.accept('(')) {
      const bits = this.expression();
      this.#tokens.expect(')', 'after the expression');
      return bits;
    }
    if (this.#tokens.accept('{')) {
      return this.#isReplication() ? this.#replication(at) : this.#concatenation(() => this.expression());
    }
    if (at.kind === 'number') return this.#constant(this.#tokens.take());
    return this.#select(true);
  }

  #isReplication(): boolean {
    return this.#tokens.next.kind === 'number' && this.#tokens.afterNext.text === '{';
  }

  /** `{n{…}}`, after its opening brace. */
  #replication(at: VerilogToken): Bits {
    const count = this.#tokens.integer('how often the bits are repeated', MAX_CONCATENATED);
    this.#tokens.expect('{', 'before what is repeated');
    const bits = this.#concatenation(() => this.expression());
    this.#tokens.expect('}', 'after the replication');
    if (count === 0 || count * bits.length > MAX_CONCATENATED) {
      this.#source.fail(at, `a replication of ${count} × ${bits.length} bits`, `1 to ${MAX_CONCATENATED} bits`);
    }
    return Array.from({ length: count }, () => bits).flat();
  }

  /** `{high, …, low}`, after its opening brace. */
  #concatenation(part: () => Bits): Bits {
    return this.#nested('a concatenation', () => {
      const at = this.#tokens.next;
      const parts: Bits[] = [];
      let width = 0;
      do {
        parts.push(part());
        width += parts.at(-1)!.length;
        if (width > MAX_CONCATENATED) {
          this.#source.fail(at, 'a concatenation too wide', `at most ${MAX_CONCATENATED} bits`);
        }
      } while (this.#tokens.accept(','));
      this.#tokens.expect('}', 'after the concatenation');
      return parts.reverse().flat();
    });
  }

  /** `name`, `name[3]` or `name[7:4]`. */
  #select(isUse: boolean): Bits {
    const name = this.#tokens.name('a net, a constant, "~", "(" or "{"');
    const { bits, range } = this.scope.vector(name);
    let selected = bits;
    if (this.#tokens.accept('[')) {
      if (range === null) this.#source.fail(name, `a select of the one-bit net "${name.text}"`, 'a bus');
      const left = this.#position(name, range);
      const right = this.#tokens.accept(':') ? this.#position(name, range) : left;
      this.#tokens.expect(']', 'after the select');
      if (right > left)
        this.#source.fail(name, `a select of "${name.text}" against its range`, 'the order of the range');
      selected = bits.slice(right, left + 1);
    }
    if (isUse) for (const net of selected) this.scope.module.use(net, name);
    return selected;
  }

  /** The significance of the bit whose index comes next. */
  #position(name: VerilogToken, { left, right }: Range): number {
    const [least, most] = [Math.min(left, right), Math.max(left, right)];
    const at = this.#tokens.next;
    const index = this.#tokens.integer(`a bit of "${name.text}"`, most);
    if (index < least) this.#source.fail(at, `"${index}"`, `a bit of "${name.text}", an integer from ${least}`);
    return Math.abs(index - right);
  }

  /** `4'b0101`, `8'hff`, `4'd5` or `4'sd5`. */
  #constant(token: VerilogToken): Bits {
    const match = /^(\d{1,9})'[sS]?([bodhBODH])([0-9a-fA-F_]+)$/.exec(token.text);
    const width = Number(match?.[1]);
    if (!match || !(width >= 1 && width <= MAX_BUS)) {
      this.#source.decline(token, `the number "${token.text}"`, "a sized constant without x and z, like 1'b0");
    }
    const radix = { b: 2, o: 8, d: 10, h: 16 }[match[2]!.toLowerCase()]!;
    const digits = match[3]!
      .replaceAll('_', '')
      .toLowerCase()
      .replace(/^0+(?=.)/, '');
    const foreign = radix < 16 && [...digits.slice(0, MAX_BUS)].some((digit) => !(Number.parseInt(digit, 16) < radix));
    if (foreign) this.#source.fail(token, `the number "${token.text}"`, `digits below ${radix}`);
    const tooLong = digits.length > (radix === 10 ? MAX_DIGITS : width);
    const value = tooLong ? 0n : BigInt(radix === 10 ? digits : `${PREFIX[radix]}${digits}`);
    if (tooLong || value >> BigInt(width) !== 0n) {
      this.#source.fail(token, `the number "${token.text}"`, `a value of ${width} bits`);
    }
    const binary = value.toString(2).padStart(width, '0');
    return Array.from({ length: width }, (_, bit) => {
      const signal = binary[width - 1 - bit] === '1' ? ONE : ZERO;
      return this.scope.intermediate(token, [], () => signal, 0);
    });
  }

  /** An integer expression of numbers, + - and *. */
  #sum(): number {
    return this.#nested('an expression', () => {
      let value = this.#product();
      for (;;) {
        if (this.#tokens.accept('+')) value += this.#product();
        else if (this.#tokens.accept('-')) value -= this.#product();
        else return value;
      }
    });
  }

  #product(): number {
    let value = this.#factor();
    while (this.#tokens.accept('*')) value *= this.#factor();
    return value;
  }

  #factor(): number {
    if (!this.#tokens.accept('(')) return this.#tokens.integer('an index', 1e6);
    const value = this.#sum();
    this.#tokens.expect(')', 'after the index');
    return value;
  }
}

const PREFIX: Readonly<Record<number, string>> = { 2: '0b', 8: '0o', 16: '0x' };
