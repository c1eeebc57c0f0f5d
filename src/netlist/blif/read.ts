// Reader of the combinational part of BLIF (Berkeley Logic Interchange Format): .model, .inputs, .outputs, .names with don't-cares and
// either output phase, .subckt between models of the same file, comments and line continuation. The first model is the circuit.
// Refused by name: .latch and every other construct. Undriven nets are errors unless the lenient reading is asked for.

import { didYouMean, type Place, SourceText, type Token } from '../diagnostics.ts';
import { type Elaborated, elaborate, Module, type NamedNet } from '../elaborate.ts';
import { type Cube, coverBuilder } from './cover.ts';

export interface BlifOptions {
  /** Names the source in messages. */
  readonly file?: string;
  /** Undriven nets become the constant 0 and are listed in the result. */
  readonly lenient?: boolean;
}

/** Reads a circuit; its bits may have any names (see ports.ts for what makes it a multiplier). Throws a located UserError. */
export function readBlif(text: string, options: BlifOptions = {}): Elaborated {
  const source = new SourceText(text, options.file ?? 'blif');
  const modules = new Map<string, Module>();
  const parser = new BlifParser(source, modules);
  for (const line of logicalLines(source)) parser.line(line);
  const root = parser.finish();
  return elaborate(source, modules, root, { lenient: options.lenient ?? false });
}

/** Non-empty lines as tokens: comments removed, lines that end in a backslash joined with the next. */
function* logicalLines(source: SourceText): Generator<[Token, ...Token[]]> {
  let tokens: Token[] = [];
  for (const [index, whole] of source.lines.entries()) {
    const comment = whole.indexOf('#');
    const line = comment < 0 ? whole : whole.slice(0, comment);
    const continued = /\\\s*$/.test(line);
    for (const match of (continued ? line.replace(/\\\s*$/, '') : line).matchAll(/\S+/g)) {
      tokens.push({ text: match[0], line: index + 1, column: match.index + 1 });
    }
    if (continued) continue;
    if (tokens[0]) yield tokens as [Token, ...Token[]];
    tokens = [];
  }
  if (tokens[0]) yield tokens as [Token, ...Token[]];
}

const COMMANDS = ['.model', '.inputs', '.outputs', '.names', '.subckt', '.end'];

interface OpenCover {
  readonly inputs: readonly string[];
  readonly output: Token;
  readonly cubes: Cube[];
  phase: '0' | '1' | null;
}

class BlifParser {
  private readonly source: SourceText;
  private readonly modules: Map<string, Module>;
  private root: Module | null = null;
  private module: Module | null = null;
  private cover: OpenCover | null = null;

  constructor(source: SourceText, modules: Map<string, Module>) {
    this.source = source;
    this.modules = modules;
  }

  line([command, ...rest]: [Token, ...Token[]]): void {
    if (!command.text.startsWith('.')) {
      this.cube(command, rest);
      return;
    }
    this.closeCover();
    switch (command.text) {
      case '.model':
        this.model(command, rest);
        break;
      case '.inputs':
        for (const net of rest) this.input(this.opened(command), net);
        break;
      case '.outputs':
        for (const net of rest) this.output(this.opened(command), net);
        break;
      case '.names':
        this.names(this.opened(command), command, rest);
        break;
      case '.subckt':
        this.subcircuit(this.opened(command), command, rest);
        break;
      case '.end':
        this.opened(command);
        this.module = null;
        break;
      case '.latch':
        this.source.fail(command, '.latch is a storage element', 'a combinational circuit: .names and .subckt only');
        break;
      default:
        this.source.fail(
          command,
          `unknown command "${command.text}"${didYouMean(command.text, COMMANDS)}`,
          `one of ${COMMANDS.join(' ')}`,
        );
    }
  }

  finish(): Module {
    this.closeCover();
    if (!this.root) this.source.fail({ line: 1, column: 1 }, 'no model', '.model with .inputs, .outputs and .names');
    if (this.root.outputs.size === 0) {
      this.source.fail(this.source.end, `model "${this.root.name}" has no outputs`, '.outputs with at least one net');
    }
    return this.root;
  }

  private opened(command: Token): Module {
    return this.module ?? this.source.fail(command, `${command.text} outside of a model`, '.model before it');
  }

  private model(command: Token, rest: Token[]): void {
    const name = rest[0];
    if (!name || rest.length > 1) this.source.fail(command, `.model with ${rest.length} names`, 'one name');
    if (this.modules.has(name.text)) this.source.fail(name, `a second model "${name.text}"`, 'a name of its own');
    this.module = new Module(name.text);
    this.modules.set(name.text, this.module);
    this.root ??= this.module;
  }

  private input(module: Module, net: Token): void {
    if (module.drivers.has(net.text) || module.inputs.has(net.text)) {
      this.source.fail(net, `input "${net.text}" is driven already`, 'each input once and no driver for it');
    }
    module.inputs.set(net.text, named(net));
  }

  private output(module: Module, net: Token): void {
    if (module.outputs.has(net.text)) {
      this.source.fail(net, `output "${net.text}" is listed twice`, 'each output once');
    }
    module.outputs.set(net.text, named(net));
    module.use(net.text, net);
  }

  private names(module: Module, command: Token, rest: Token[]): void {
    const output = rest.at(-1);
    if (!output) this.source.fail(command, '.names without a net', 'the inputs, if any, and the output of a cover');
    const inputs = rest.slice(0, -1);
    for (const net of inputs) module.use(net.text, net);
    this.cover = { inputs: inputs.map((net) => net.text), output, cubes: [], phase: null };
  }

  private cube(first: Token, rest: Token[]): void {
    const cover = this.cover;
    if (!cover) this.source.fail(first, `"${first.text}" outside of a cover`, `a command: ${COMMANDS.join(' ')}`);
    const fields = [first, ...rest];
    const width = cover.inputs.length;
    const parts = width === 0 ? 1 : 2;
    if (fields.length !== parts) {
      this.source.fail(
        first,
        `a cover row of ${fields.length} fields`,
        width === 0 ? 'the output value' : 'the input values and the output value',
      );
    }
    const literals = width === 0 ? '' : first.text;
    const foreign = literals.search(/[^01-]/);
    if (foreign >= 0) {
      const place = { line: first.line, column: first.column + foreign };
      this.source.fail(place, `"${literals[foreign]}" in a cover`, '0, 1 or -');
    }
    if (literals.length !== width) {
      this.source.fail(
        first,
        `${literals.length} values for the ${width} inputs of "${cover.output.text}"`,
        `${width} of 0, 1 or -`,
      );
    }
    const output = fields.at(-1)!;
    if (output.text !== '0' && output.text !== '1') {
      this.source.fail(output, `the output value "${output.text}"`, '0 or 1');
    }
    if (cover.phase !== null && cover.phase !== output.text) {
      this.source.fail(output, 'both output values in one cover', `${cover.phase} as in its first row`);
    }
    cover.phase = output.text;
    cover.cubes.push(literals);
  }

  private closeCover(): void {
    if (!this.cover) return;
    const { inputs, output, cubes, phase } = this.cover;
    this.cover = null;
    this.module!.drive(this.source, output.text, {
      kind: 'function',
      inputs,
      build: coverBuilder(inputs.length, cubes, phase !== '0'),
      line: output.line,
      column: output.column,
    });
  }

  private subcircuit(module: Module, command: Token, rest: Token[]): void {
    const [name, ...pins] = rest;
    if (!name) this.source.fail(command, '.subckt without a model', 'a model name and connections formal=actual');
    const connections = new Map<string, NamedNet>();
    for (const pin of pins) {
      const equals = pin.text.indexOf('=');
      const formal = pin.text.slice(0, Math.max(0, equals));
      const actual = pin.text.slice(equals + 1);
      if (formal === '' || actual === '') this.source.fail(pin, `the connection "${pin.text}"`, 'formal=actual');
      if (connections.has(formal)) this.source.fail(pin, `port "${formal}" is connected twice`, 'each port once');
      connections.set(formal, { net: actual, ...place(pin) });
    }
    module.instances.push({ module: name.text, connections, ...place(name) });
  }
}

function place({ line, column }: Place): Place {
  return { line, column };
}

function named(token: Token): NamedNet {
  return { net: token.text, ...place(token) };
}
