// Reader of structural Verilog: modules with scalar and [n:0] ports, wires, assigns of ~ & ^ | over nets, selects, concatenations and
// sized constants, and instances with named connections of modules in the same file. Everything else is refused where it stands.
// The top module is the first that no other module instantiates. Nets must be declared before use; widths must agree exactly.

import { didYouMean, type Place, SourceText } from '../diagnostics.ts';
import { type Elaborated, elaborate, Module, type NamedNet } from '../elaborate.ts';
import { type Network, ONE, type Signal, ZERO } from '../network.ts';
import { KEYWORDS, TokenStream, type VerilogToken } from './tokens.ts';

export interface VerilogOptions {
  /** Names the source in messages. */
  readonly file?: string;
  /** Undriven nets become the constant 0 and are listed in the result. */
  readonly lenient?: boolean;
}

/** Reads a circuit. Throws a located UserError. */
export function readVerilog(text: string, options: VerilogOptions = {}): Elaborated {
  const source = new SourceText(text, options.file ?? 'verilog');
  const parser = new VerilogParser(source);
  const { modules, top } = parser.parse();
  return elaborate(source, modules, top, { lenient: options.lenient ?? false });
}

/** One-bit nets, least significant first. */
type Bits = readonly string[];

interface Declared {
  readonly module: Module;
  /** The bits of every declared name. */
  readonly nets: Map<string, Bits>;
  readonly bits: Set<string>;
  readonly directions: Map<string, 'input' | 'output'>;
  readonly instances: { readonly module: VerilogToken; readonly pins: readonly Pin[] }[];
  readonly place: Place;
}

interface Pin {
  readonly formal: VerilogToken;
  /** null: left open, as in `.carry()`. */
  readonly actual: Bits | null;
}

const MAX_BUS = 4096;
const MAX_NESTING = 500;
/** One-bit nets of a file, named or not, and bits of one concatenation: wide buses multiply what a short text can ask for. */
const MAX_NETS = 1_000_000;
const MAX_CONCATENATED = 65_536;

class VerilogParser {
  private readonly source: SourceText;
  private readonly tokens: TokenStream;
  private readonly declared = new Map<string, Declared>();
  private nesting = 0;
  private anonymous = 0;
  private nets = 0;

  constructor(source: SourceText) {
    this.source = source;
    this.tokens = new TokenStream(source);
  }

  parse(): { modules: Map<string, Module>; top: Module } {
    while (this.tokens.next.kind !== 'end') this.module();
    const instantiated = new Set<string>();
    for (const { module, instances } of this.declared.values()) {
      for (const one of instances) {
        this.connect(module, one.module, one.pins);
        instantiated.add(one.module.text);
      }
    }
    const all = [...this.declared.values()];
    const top = all.find(({ module }) => !instantiated.has(module.name)) ?? all[0];
    if (!top) this.source.fail({ line: 1, column: 1 }, 'no module', 'module … endmodule');
    if (top.module.outputs.size === 0) {
      this.source.fail(top.place, `module "${top.module.name}" has no outputs`, 'at least one output port');
    }
    return { modules: new Map(all.map(({ module }) => [module.name, module])), top: top.module };
  }

  private module(): void {
    this.tokens.expect('module', 'at the top level of the file');
    const name = this.tokens.name('the name of the module');
    if (this.declared.has(name.text)) this.source.fail(name, `a second module "${name.text}"`, 'a name of its own');
    const scope: Declared = {
      module: new Module(name.text),
      nets: new Map(),
      bits: new Set(),
      directions: new Map(),
      instances: [],
      place: name,
    };
    this.declared.set(name.text, scope);
    const header = this.tokens.accept('(') ? this.header(scope) : [];
    this.tokens.expect(';', 'after the ports of the module');
    while (!this.tokens.accept('endmodule')) this.item(scope);
    for (const port of header) {
      if (!scope.directions.has(port.text)) {
        this.source.fail(port, `port "${port.text}" has no direction`, 'input or output declared for it');
      }
    }
  }

  /** The port list: declarations, or names alone that the body declares. */
  private header(scope: Declared): VerilogToken[] {
    const names: VerilogToken[] = [];
    if (this.tokens.accept(')')) return names;
    let direction: { keyword: VerilogToken; width: number | null } | null = null;
    do {
      if (this.tokens.isNext('input') || this.tokens.isNext('output')) {
        const keyword = this.tokens.take();
        this.tokens.accept('wire');
        direction = { keyword, width: this.range() };
      }
      const name = this.tokens.name('a port');
      if (direction) this.declarePort(scope, direction.keyword, name, direction.width);
      else names.push(name);
    } while (this.tokens.accept(','));
    this.tokens.expect(')', 'after the last port');
    return names;
  }

  private item(scope: Declared): void {
    const first = this.tokens.next;
    if (first.kind === 'end') this.source.fail(first, 'the end of the file', '"endmodule"');
    if (this.tokens.accept('input') || this.tokens.accept('output')) {
      this.tokens.accept('wire');
      const width = this.range();
      do this.declarePort(scope, first, this.tokens.name('a port'), width);
      while (this.tokens.accept(','));
    } else if (this.tokens.accept('wire')) {
      const width = this.range();
      do {
        const name = this.tokens.name('a net');
        const bits = this.redeclaredPort(scope, name, width) ?? this.declare(scope, name, width);
        if (this.tokens.accept('=')) this.assign(scope, name, bits);
      } while (this.tokens.accept(','));
    } else if (this.tokens.accept('assign')) {
      do {
        const at = this.tokens.next;
        const target = this.target(scope);
        this.tokens.expect('=', 'after the target of the assign');
        this.assign(scope, at, target);
      } while (this.tokens.accept(','));
    } else {
      this.instance(scope);
      return;
    }
    this.tokens.expect(';', 'at the end of the statement');
  }

  private instance(scope: Declared): void {
    const items = `one of ${KEYWORDS.slice(1).join(', ')}, or an instance of a module`;
    const module = this.tokens.name(items);
    if (this.tokens.next.kind !== 'name' || this.tokens.afterNext.text !== '(') {
      this.source.fail(module, `"${module.text}"${didYouMean(module.text, KEYWORDS)}`, items);
    }
    this.tokens.name('the name of the instance');
    this.tokens.expect('(', 'before the connections');
    const pins: Pin[] = [];
    if (!this.tokens.accept(')')) {
      do {
        this.tokens.expect('.', 'before the name of a port (connections are by name)');
        const formal = this.tokens.name('the name of a port');
        this.tokens.expect('(', 'after the name of the port');
        const actual = this.tokens.isNext(')') ? null : this.expression(scope);
        this.tokens.expect(')', 'after the connection');
        if (pins.some((pin) => pin.formal.text === formal.text)) {
          this.source.fail(formal, `port "${formal.text}" is connected twice`, 'each port once');
        }
        pins.push({ formal, actual });
      } while (this.tokens.accept(','));
      this.tokens.expect(')', 'after the last connection');
    }
    this.tokens.expect(';', 'after the instance');
    scope.instances.push({ module, pins });
  }

  /** Matches the pins of an instance, bit by bit, with the ports of its module, which may come later in the file. */
  private connect(module: Module, target: VerilogToken, pins: readonly Pin[]): void {
    const connections = new Map<string, NamedNet>();
    const scope = this.declared.get(target.text);
    for (const { formal, actual } of scope ? pins : []) {
      const bits = scope!.directions.has(formal.text) ? scope!.nets.get(formal.text)! : null;
      if (!bits) {
        const ports = [...scope!.directions.keys()];
        const hint = didYouMean(formal.text, ports);
        this.source.fail(formal, `"${target.text}" has no port "${formal.text}"${hint}`, `one of ${ports.join(', ')}`);
      }
      if (actual && actual.length !== bits.length) {
        this.source.fail(formal, `${actual.length} bits connected to "${formal.text}"`, `${bits.length} bits`);
      }
      const isOutput = scope!.directions.get(formal.text) === 'output';
      actual?.forEach((net, bit) => {
        if (isOutput && isAnonymous(net)) {
          this.source.fail(formal, `output "${formal.text}" connected to an expression`, 'a net');
        }
        connections.set(bits[bit]!, { net, line: formal.line, column: formal.column });
      });
    }
    module.instances.push({ module: target.text, connections, line: target.line, column: target.column });
  }

  private declarePort(scope: Declared, keyword: VerilogToken, name: VerilogToken, width: number | null): void {
    const direction = keyword.text as 'input' | 'output';
    const ports = direction === 'input' ? scope.module.inputs : scope.module.outputs;
    for (const net of this.declare(scope, name, width)) {
      ports.set(net, { net, line: name.line, column: name.column });
      if (direction === 'output') scope.module.use(net, name);
    }
    scope.directions.set(name.text, direction);
  }

  /** `wire` with the name of a port declares nothing new. */
  private redeclaredPort(scope: Declared, name: VerilogToken, width: number | null): Bits | null {
    if (!scope.directions.has(name.text)) return null;
    const bits = scope.nets.get(name.text)!;
    if (bits.length !== (width ?? 1)) {
      this.source.fail(name, `"${name.text}" of ${width ?? 1} bits`, `${bits.length} bits as the port has`);
    }
    return bits;
  }

  private declare(scope: Declared, name: VerilogToken, width: number | null): Bits {
    if (scope.nets.has(name.text)) this.source.fail(name, `"${name.text}" is declared twice`, 'one declaration');
    const bits = width === null ? [name.text] : Array.from({ length: width }, (_, bit) => `${name.text}[${bit}]`);
    const taken = bits.find((net) => scope.bits.has(net));
    if (taken) this.source.fail(name, `"${taken}" is declared twice`, 'one declaration');
    this.count(name, bits.length);
    scope.nets.set(name.text, bits);
    for (const net of bits) scope.bits.add(net);
    return bits;
  }

  /** `[msb:0]` → its width; null without a range. */
  private range(): number | null {
    if (!this.tokens.accept('[')) return null;
    const high = this.tokens.integer('the index of the highest bit', MAX_BUS - 1);
    this.tokens.expect(':', 'in a range');
    const low = this.tokens.next;
    if (this.tokens.integer('0', MAX_BUS - 1) !== 0)
      this.source.fail(low, `a range down to ${low.text}`, '0 as the lowest index');
    this.tokens.expect(']', 'after the range');
    return high + 1;
  }

  private assign(scope: Declared, at: Place, target: Bits): void {
    const value = this.expression(scope);
    if (value.length !== target.length) {
      this.source.fail(at, `${value.length} bits assigned to ${target.length} bits`, 'equal widths');
    }
    target.forEach((net, bit) => {
      const { line, column } = at;
      scope.module.drive(this.source, net, { kind: 'function', inputs: [value[bit]!], build: same, line, column });
    });
  }

  private target(scope: Declared): Bits {
    if (this.tokens.accept('{')) return this.concatenation(() => this.target(scope));
    return this.select(scope, false);
  }

  private expression(scope: Declared): Bits {
    return this.binary(scope, 0);
  }

  /** Operators from the weakest to the strongest binding: | ^ &. */
  private binary(scope: Declared, level: number): Bits {
    const operator = OPERATORS[level];
    if (!operator) return this.unary(scope);
    let left = this.binary(scope, level + 1);
    while (this.tokens.isNext(operator.symbol)) {
      const at = this.tokens.take();
      const right = this.binary(scope, level + 1);
      if (left.length !== right.length) {
        this.source.fail(at, `"${at.text}" of ${left.length} and ${right.length} bits`, 'equal widths');
      }
      left = left.map((net, bit) =>
        this.intermediate(scope, at, [net, right[bit]!], (network, [a, b]) => network.addGate(operator.gate, a!, b!)),
      );
    }
    return left;
  }

  private unary(scope: Declared): Bits {
    const at = this.tokens.next;
    if (++this.nesting > MAX_NESTING)
      this.source.fail(at, 'an expression nested too deeply', `at most ${MAX_NESTING} levels`);
    const bits = this.primary(scope, at);
    this.nesting--;
    return bits;
  }

  private primary(scope: Declared, at: VerilogToken): Bits {
    if (this.tokens.accept('~')) {
      return this.unary(scope).map((net) =>
        this.intermediate(scope, at, [net], (network, [a]) => network.addGate('not', a!)),
      );
    }
    if (this.tokens.accept('(')) {
      const bits = this.expression(scope);
      this.tokens.expect(')', 'after the expression');
      return bits;
    }
    if (this.tokens.accept('{')) return this.concatenation(() => this.expression(scope));
    if (at.kind === 'number') return this.constant(scope, this.tokens.take());
    return this.select(scope, true);
  }

  /** `{high, …, low}`, after its opening brace. */
  private concatenation(part: () => Bits): Bits {
    if (++this.nesting > MAX_NESTING) {
      this.source.fail(this.tokens.next, 'a concatenation nested too deeply', `at most ${MAX_NESTING} levels`);
    }
    const parts: Bits[] = [];
    let width = 0;
    do {
      const at = this.tokens.next;
      parts.push(part());
      width += parts.at(-1)!.length;
      if (width > MAX_CONCATENATED) {
        this.source.fail(at, 'a concatenation too wide', `at most ${MAX_CONCATENATED} bits`);
      }
    } while (this.tokens.accept(','));
    this.tokens.expect('}', 'after the concatenation');
    this.nesting--;
    return parts.reverse().flat();
  }

  /** `name`, `name[3]` or `name[7:4]`. */
  private select(scope: Declared, isUse: boolean): Bits {
    const name = this.tokens.name('a net, a constant, "~", "(" or "{"');
    const bits = scope.nets.get(name.text);
    if (!bits) {
      const hint = didYouMean(name.text, scope.nets.keys());
      this.source.fail(name, `unknown net "${name.text}"${hint}`, 'a net declared before');
    }
    let selected = bits;
    if (this.tokens.accept('[')) {
      if (bits.length === 1 && bits[0] === name.text)
        this.source.fail(name, `a select of the one-bit net "${name.text}"`, 'a bus');
      const last = bits.length - 1;
      const high = this.tokens.integer(`a bit of "${name.text}"`, last);
      const low = this.tokens.accept(':') ? this.tokens.integer(`a bit of "${name.text}"`, high) : high;
      this.tokens.expect(']', 'after the select');
      selected = bits.slice(low, high + 1);
    }
    if (isUse) for (const net of selected) scope.module.use(net, name);
    return selected;
  }

  /** `4'b0101`, `8'hff` or `4'd5`. */
  private constant(scope: Declared, token: VerilogToken): Bits {
    const match = /^(\d+)'([bodhBODH])([0-9a-fA-F_]+)$/.exec(token.text);
    const width = Number(match?.[1]);
    if (!match || !(width >= 1 && width <= MAX_BUS)) {
      this.source.fail(token, `the number "${token.text}"`, "a sized constant without x and z, like 1'b0");
    }
    const radix = { b: 2, o: 8, d: 10, h: 16 }[match[2]!.toLowerCase()]!;
    const digits = [...match[3]!.replaceAll('_', '')].map((digit) => Number.parseInt(digit, 16));
    if (digits.some((digit) => digit >= radix))
      this.source.fail(token, `the number "${token.text}"`, `digits below ${radix}`);
    const value = digits.reduce((sum, digit) => sum * BigInt(radix) + BigInt(digit), 0n);
    if (value >> BigInt(width) !== 0n)
      this.source.fail(token, `the number "${token.text}"`, `a value of ${width} bits`);
    return Array.from({ length: width }, (_, bit) => {
      const signal = (value >> BigInt(bit)) & 1n ? ONE : ZERO;
      return this.intermediate(scope, token, [], () => signal);
    });
  }

  private count(at: Place, bits: number): void {
    this.nets += bits;
    if (this.nets > MAX_NETS) this.source.fail(at, `more than ${MAX_NETS} nets`, 'a smaller circuit');
  }

  /** A net without a name that holds a part of an expression. */
  private intermediate(scope: Declared, at: Place, inputs: readonly string[], build: Build): string {
    this.count(at, 1);
    const net = `${ANONYMOUS}${++this.anonymous}`;
    scope.module.drive(this.source, net, { kind: 'function', inputs, build, line: at.line, column: at.column });
    return net;
  }
}

type Build = (network: Network, inputs: readonly Signal[]) => Signal;

const OPERATORS = [
  { symbol: '|', gate: 'or' },
  { symbol: '^', gate: 'xor' },
  { symbol: '&', gate: 'and' },
] as const;

/** No identifier contains a space. */
const ANONYMOUS = 'expression ';

function isAnonymous(net: string): boolean {
  return net.startsWith(ANONYMOUS);
}

const same: Build = (_, [signal]) => signal!;
