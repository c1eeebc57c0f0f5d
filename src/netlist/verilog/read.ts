// Reader of structural Verilog: modules with scalar and vector ports, nets, assigns of expressions over bits
// (expressions.ts), gate primitives, and instances of modules in the same file or of library cells, connected by name
// or position.
// Legal Verilog outside of that is declined where it stands (`Unsupported`): Yosys reads it. What is wrong in any case
// is an error.
// Nets must be declared before use, but for the implicit ones of the standard; widths must agree exactly.

import { type Build, primitives } from '../cells.ts';
import { didYouMean, type Place, SourceText } from '../diagnostics.ts';
import { type CellLibrary, type Elaborated, type ElaborationOptions, elaborate } from '../elaborate.ts';
import type { Instance, NamedNet } from '../module.ts';
import { ONE, ZERO } from '../network.ts';
import { Expressions } from './expressions.ts';
import {
  type Bits,
  type Direction,
  isAnonymous,
  type Limits,
  ModuleScope,
  type ParsedInstance,
  type Pin,
  type Range,
} from './scope.ts';
import { KEYWORDS, NETS, PRIMITIVES, TokenStream, type VerilogToken } from './tokens.ts';

export interface VerilogOptions extends ElaborationOptions {
  /** Names the source in messages. */
  readonly file?: string;
}

export interface VerilogCircuit extends Elaborated {
  /** Ports of the circuit that are declared signed. */
  readonly signedPorts: readonly string[];
}

/**
 * Reads a circuit. Throws a located UserError; an `Unsupported` one for what is no structural Verilog but may be
 * Verilog.
 */
export function readVerilog(text: string, options: VerilogOptions = {}): VerilogCircuit {
  const source = new SourceText(text, options.file ?? 'verilog');
  const scopes = new VerilogParser(source).parse();
  for (const scope of scopes.values()) connectInstances(source, scope, scopes, options.cells);
  const modules = new Map([...scopes].map(([name, { module }]) => [name, module]));
  const elaborated = elaborate(source, modules, options);
  const root = scopes.get(elaborated.network.name)!;
  const notes = [...elaborated.notes, ...ascendingNote(root)];
  return { ...elaborated, notes, signedPorts: root.signedPorts };
}

/** Ports like `[0:7]`, whose first index is the most significant bit. */
export function ascendingNoteOf(ports: readonly string[]): string[] {
  if (ports.length === 0) return [];
  return [`declared from the most significant bit ([0:n]) and read so: ${ports.join(', ')}`];
}

function ascendingNote({ order, vectors }: ModuleScope): string[] {
  return ascendingNoteOf(
    order.filter((name) => {
      const range = vectors.get(name)?.range;
      return range && range.left < range.right;
    }),
  );
}

class VerilogParser {
  readonly #source: SourceText;
  readonly #tokens: TokenStream;
  readonly #limits: Limits = { nets: 0 };

  constructor(source: SourceText) {
    this.#source = source;
    this.#tokens = new TokenStream(source);
  }

  parse(): Map<string, ModuleScope> {
    const scopes = new Map<string, ModuleScope>();
    while (this.#tokens.next.kind !== 'end') {
      const hollow = this.#tokens.next.hollow ?? false;
      this.#tokens.expect('module', 'at the top level of the file');
      const name = this.#tokens.name('the name of the module');
      if (scopes.has(name.text)) this.#source.fail(name, `a second module "${name.text}"`, 'a name of its own');
      const scope = new ModuleScope(this.#source, this.#tokens, this.#limits, name);
      scope.module.hollow = hollow;
      scopes.set(name.text, scope);
      new ModuleParser(this.#source, this.#tokens, scope).parse();
    }
    if (scopes.size === 0) this.#source.fail({ line: 1, column: 1 }, 'no module', 'module … endmodule');
    return scopes;
  }
}

/** Parses one module, from behind its name to its endmodule. */
class ModuleParser {
  readonly #source: SourceText;
  readonly #tokens: TokenStream;
  readonly #scope: ModuleScope;
  readonly #expressions: Expressions;

  constructor(source: SourceText, tokens: TokenStream, scope: ModuleScope) {
    this.#source = source;
    this.#tokens = tokens;
    this.#scope = scope;
    this.#expressions = new Expressions(source, tokens, scope);
  }

  parse(): void {
    const scope = this.#scope;
    const header = this.#tokens.accept('(') ? this.#header() : [];
    scope.order = header.map((port) => port.text);
    this.#tokens.expect(';', 'after the ports of the module');
    while (!this.#tokens.accept('endmodule')) this.#item();
    for (const port of header) {
      if (!scope.directions.has(port.text)) {
        this.#source.fail(port, `port "${port.text}" has no direction`, 'input or output declared for it');
      }
    }
    const listed = new Set(scope.order);
    scope.order.push(...[...scope.directions.keys()].filter((name) => !listed.has(name)));
    scope.orderPorts();
  }

  /** The port list: declarations, or names alone that the body declares. */
  #header(): VerilogToken[] {
    const names: VerilogToken[] = [];
    if (this.#tokens.accept(')')) return names;
    let declared: { direction: Direction; signed: boolean; range: Range | null } | null = null;
    do {
      if (this.#tokens.isOneOf(['input', 'output'])) {
        const direction = this.#tokens.take().text as Direction;
        declared = { direction, ...this.#netType() };
      }
      const name = this.#tokens.name('a port');
      if (declared) this.#scope.declarePort(declared.direction, name, declared.range, declared.signed);
      names.push(name);
    } while (this.#tokens.accept(','));
    this.#tokens.expect(')', 'after the last port');
    return names;
  }

  /** The kind, sign and range of what is declared; the kind makes no difference. */
  #netType(): { signed: boolean; range: Range | null } {
    while (this.#tokens.isOneOf(NETS)) this.#tokens.take();
    const signed = this.#tokens.accept('signed');
    if (!signed) this.#tokens.accept('unsigned');
    return { signed, range: this.#expressions.range() };
  }

  #item(): void {
    const first = this.#tokens.next;
    if (first.kind === 'end') this.#source.fail(first, 'the end of the file', '"endmodule"');
    if (this.#tokens.accept(';')) return;
    if (this.#tokens.isOneOf(['input', 'output'])) this.#ports(this.#tokens.take().text as Direction);
    else if (this.#tokens.isOneOf(NETS)) this.#nets();
    else if (this.#tokens.isOneOf(['supply0', 'supply1'])) this.#supplies(this.#tokens.take().text === 'supply1');
    else if (this.#tokens.accept('assign')) this.#assigns();
    else if (this.#tokens.isOneOf(PRIMITIVES)) this.#gates(this.#tokens.take());
    else if (this.#tokens.accept('specify')) {
      while (!this.#tokens.accept('endspecify')) {
        if (this.#tokens.next.kind === 'end') this.#tokens.refuse('"endspecify"');
        this.#tokens.take();
      }
      return;
    } else this.#instances();
    this.#tokens.expect(';', 'at the end of the statement');
  }

  #ports(direction: Direction): void {
    const { signed, range } = this.#netType();
    do this.#scope.declarePort(direction, this.#tokens.name('a port'), range, signed);
    while (this.#tokens.accept(','));
  }

  #nets(): void {
    const { range } = this.#netType();
    do {
      const name = this.#tokens.name('a net');
      const { bits } = this.#scope.redeclaredPort(name, range) ?? this.#scope.declare(name, range);
      if (this.#tokens.accept('=')) this.#assign(name, bits);
    } while (this.#tokens.accept(','));
  }

  #supplies(one: boolean): void {
    const range = this.#expressions.range();
    do {
      const name = this.#tokens.name('a net');
      const { bits } = this.#scope.declare(name, range);
      const signal = one ? ONE : ZERO;
      this.#scope.connect(
        name,
        bits,
        bits.map(() => this.#scope.intermediate(name, [], () => signal, 0)),
      );
    } while (this.#tokens.accept(','));
  }

  #assigns(): void {
    this.#delay();
    do {
      const at = this.#tokens.next;
      const target = this.#expressions.target();
      this.#tokens.expect('=', 'after the target of the assign');
      this.#assign(at, target);
    } while (this.#tokens.accept(','));
  }

  #assign(at: Place, target: Bits): void {
    const value = this.#expressions.expression();
    if (!this.#tokens.isOneOf([',', ';'])) this.#tokens.refuse('";" at the end of the statement');
    if (value.length !== target.length) {
      this.#source.decline(at, `${value.length} bits assigned to ${target.length} bits`, 'equal widths');
    }
    this.#scope.connect(at, target, value);
  }

  /** `#3` or `#(1, 2)`: the time a gate takes is not its function. */
  #delay(): void {
    if (!this.#tokens.accept('#')) return;
    if (!this.#tokens.accept('(')) {
      if (this.#tokens.next.kind !== 'number') this.#tokens.refuse('a delay');
      this.#tokens.take();
      return;
    }
    while (!this.#tokens.accept(')')) {
      if (this.#tokens.next.kind !== 'number' && !this.#tokens.isOneOf([',', ':'])) this.#tokens.refuse('a delay');
      this.#tokens.take();
    }
  }

  /** `and #1 name (output, input, …), (…);` */
  #gates(kind: VerilogToken): void {
    this.#delay();
    do {
      if (this.#tokens.next.kind === 'name') this.#tokens.take();
      const at = this.#tokens.expect('(', 'before the connections of the gate');
      const terminals: Bits[] = [];
      do terminals.push(this.#expressions.connection());
      while (this.#tokens.accept(','));
      this.#tokens.expect(')', 'after the connections of the gate');
      this.#gate(kind, at, terminals);
    } while (this.#tokens.accept(','));
  }

  #gate(kind: VerilogToken, at: Place, terminals: readonly Bits[]): void {
    const type = kind.text as (typeof PRIMITIVES)[number];
    const wide = terminals.find((bits) => bits.length !== 1);
    if (wide) this.#source.decline(at, `${wide.length} bits connected to "${type}"`, 'one bit');
    const nets = terminals.map(([net]) => net!);
    // The last terminal of buf and not is the input, the first one of the others the output.
    const forward = type === 'buf' || type === 'not';
    const outputs = forward ? nets.slice(0, -1) : nets.slice(0, 1);
    const inputs = forward ? nets.slice(-1) : nets.slice(1);
    if (outputs.length === 0 || inputs.length === 0) {
      this.#source.fail(at, `"${type}" of ${nets.length} terminals`, 'an output and an input');
    }
    const build: Build = primitives[type];
    const { line, column } = at;
    for (const output of outputs) {
      if (isAnonymous(output)) this.#source.fail(at, `the output of "${type}" connected to an expression`, 'a net');
      const gates = inputs.length + 1;
      this.#scope.module.drive(this.#source, output, { kind: 'function', inputs, build, gates, line, column });
    }
  }

  #instances(): void {
    const items = `one of ${KEYWORDS.slice(1).join(', ')}, or an instance of a module`;
    const module = this.#tokens.name(items);
    if (this.#tokens.next.kind !== 'name' || this.#tokens.afterNext.text !== '(') {
      this.#source.decline(module, `"${module.text}"${didYouMean(module.text, KEYWORDS)}`, items);
    }
    do {
      this.#tokens.name('the name of the instance');
      this.#tokens.expect('(', 'before the connections');
      const pins = this.#tokens.isNext(')') ? [] : this.#pins();
      this.#tokens.expect(')', 'after the last connection');
      this.#scope.instances.push({ module, pins });
    } while (this.#tokens.accept(','));
  }

  #pins(): Pin[] {
    const pins: Pin[] = [];
    const connected = new Set<string>();
    do {
      const place = this.#tokens.next;
      const named = this.#tokens.accept('.');
      if (pins.length > 0 && named !== (pins[0]!.formal !== null)) {
        this.#source.fail(place, 'connections by name beside others by position', 'one of the two');
      }
      if (!named) {
        const open = this.#tokens.isOneOf([',', ')']);
        pins.push({ formal: null, actual: open ? null : this.#expressions.connection(), place });
        continue;
      }
      const formal = this.#tokens.name('the name of a port');
      this.#tokens.expect('(', 'after the name of the port');
      const actual = this.#tokens.isNext(')') ? null : this.#expressions.connection();
      this.#tokens.expect(')', 'after the connection');
      if (connected.has(formal.text)) {
        this.#source.fail(formal, `port "${formal.text}" is connected twice`, 'each port once');
      }
      connected.add(formal.text);
      pins.push({ formal, actual, place: formal });
    } while (this.#tokens.accept(','));
    return pins;
  }
}

/**
 * Matches the pins of a module's instances, bit by bit, with the ports of their modules, which may come later in the
 * file.
 */
function connectInstances(
  source: SourceText,
  scope: ModuleScope,
  scopes: ReadonlyMap<string, ModuleScope>,
  cells: CellLibrary | undefined,
): void {
  for (const instance of scope.instances) {
    const { module } = instance;
    const target = scopes.get(module.text);
    const cell = target?.module.hollow ? cells?.cell(module.text, pinNames(instance.pins)) : undefined;
    const connections =
      target && (cell === undefined || typeof cell === 'string')
        ? busConnections(source, instance, target)
        : cellConnections(source, instance);
    const { line, column } = module;
    const connected: Instance = { module: module.text, connections, line, column };
    scope.module.instances.push(connected);
  }
}

const pinNames = (pins: readonly Pin[]) => pins.flatMap(({ formal }) => (formal ? [formal.text] : []));

function busConnections(
  source: SourceText,
  { module, pins }: ParsedInstance,
  target: ModuleScope,
): Map<string, NamedNet> {
  const connections = new Map<string, NamedNet>();
  const { order, directions, vectors } = target;
  for (const [position, { formal, actual, place }] of pins.entries()) {
    const name = formal ? formal.text : order[position];
    const direction = name === undefined ? undefined : directions.get(name);
    if (name === undefined || !direction) {
      const found = formal
        ? `"${module.text}" has no port "${formal.text}"${didYouMean(formal.text, directions.keys())}`
        : `${pins.length} connections for the ${order.length} ports of "${module.text}"`;
      source.fail(place, found, `one of ${order.join(', ')}`);
    }
    const { bits } = vectors.get(name)!;
    if (actual && actual.length !== bits.length) {
      source.decline(place, `${actual.length} bits connected to "${name}"`, `${bits.length} bits`);
    }
    connect(source, connections, bits, actual ?? [], place, direction === 'output' ? name : null);
  }
  return connections;
}

/** Pins of a cell that the file does not define are of one bit; which are outputs is found out later. */
function cellConnections(source: SourceText, { module, pins }: ParsedInstance): Map<string, NamedNet> {
  const connections = new Map<string, NamedNet>();
  for (const { formal, actual, place } of pins) {
    if (!formal) {
      source.fail(
        place,
        `"${module.text}", which this file does not define, connected by position`,
        'a module of this file, or a cell of a library with connections by name, like .A(net)',
      );
    }
    if (!actual) continue;
    if (actual.length !== 1) {
      source.fail(
        module,
        `"${module.text}", which this file does not define, with ${actual.length} bits connected to "${formal.text}"`,
        'a module of this file, or a cell of a library with one bit for each pin',
      );
    }
    connect(source, connections, [formal.text], actual, place, null);
  }
  return connections;
}

function connect(
  source: SourceText,
  connections: Map<string, NamedNet>,
  formals: Bits,
  actuals: Bits,
  { line, column }: Place,
  output: string | null,
): void {
  actuals.forEach((net, bit) => {
    if (output !== null && isAnonymous(net)) {
      source.fail({ line, column }, `output "${output}" connected to an expression`, 'a net');
    }
    connections.set(formals[bit]!, { net, line, column });
  });
}
