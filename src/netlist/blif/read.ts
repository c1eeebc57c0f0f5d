// Reader of the combinational part of BLIF (Berkeley Logic Interchange Format): .model, .inputs, .outputs, .names with
// don't-cares and either output phase, .subckt and .gate of models in the same file or of library cells, .conn,
// comments and line continuation.
// What does not change the function (timing, attributes, external don't-cares) is left out with a note. Refused by
// name: .latch in a model that the circuit needs, and every other construct. Undriven nets that an output needs are
// errors unless the lenient reading is asked for.

import { clipped } from '../../tensor/names.ts';
import { primitives } from '../cells.ts';
import { didYouMean, type Place, SourceText, type Token } from '../diagnostics.ts';
import { type Elaborated, type ElaborationOptions, elaborate, MAX_GATES } from '../elaborate.ts';
import { Module, type NamedNet } from '../module.ts';
import { type Cube, coverBuilder } from './cover.ts';

export interface BlifOptions extends ElaborationOptions {
  /** Names the source in messages. */
  readonly file?: string;
}

/**
 * Reads a circuit; its bits may have any names (see ports.ts for what makes it a multiplier). Throws a located
 * UserError.
 */
export function readBlif(text: string, options: BlifOptions = {}): Elaborated {
  const source = new SourceText(text, options.file ?? 'blif');
  const parser = new BlifParser(source);
  for (const line of logicalLines(source)) parser.line(line);
  const { modules, notes } = parser.finish();
  const elaborated = elaborate(source, modules, options);
  return { ...elaborated, notes: [...notes, ...elaborated.notes] };
}

/** Non-empty lines as tokens: comments removed, lines that end in a backslash joined with the next. */
function* logicalLines(source: SourceText): Generator<[Token, ...Token[]]> {
  let tokens: Token[] = [];
  let number = 0;
  for (const whole of source.lines()) {
    number++;
    const comment = whole.indexOf('#');
    const line = (comment < 0 ? whole : whole.slice(0, comment)).trimEnd();
    const continued = line.endsWith('\\');
    for (const { 0: text, index } of (continued ? line.slice(0, -1) : line).matchAll(/\S+/g)) {
      const place = { line: number, column: index + 1 };
      if (CONTROL.test(text)) source.fail(place, `a control character in "${clipped(text, 60)}"`, 'plain text');
      tokens.push({ text, ...place });
    }
    if (continued) continue;
    if (tokens[0]) yield tokens as [Token, ...Token[]];
    tokens = [];
  }
  if (tokens[0]) yield tokens as [Token, ...Token[]];
}

const CONTROL = /\p{Cc}/u;
const COMMANDS = ['.model', '.inputs', '.outputs', '.names', '.subckt', '.gate', '.conn', '.end'];
/** Lines of SIS, ABC and EBLIF that say nothing about the function. */
const IGNORED = new Set(
  `.area .delay .wire .wire_load_slope .wire_load .input_arrival .default_input_arrival .input_required .default_input_required
  .output_required .default_output_required .output_arrival .default_output_arrival .input_drive .default_input_drive .output_load
  .default_output_load .max_input_load .default_max_input_load .clock .attr .param .cname`.split(/\s+/),
);
const STORAGE = new Set(['.latch', '.mlatch']);

interface OpenCover {
  readonly inputs: readonly string[];
  readonly output: Token;
  readonly cubes: Cube[];
  literals: number;
  phase: '0' | '1' | null;
}

class BlifParser {
  readonly #source: SourceText;
  readonly #modules = new Map<string, Module>();
  readonly #ignored = new Set<string>();
  #module: Module | null = null;
  #cover: OpenCover | null = null;
  #inDontCares = false;
  #dontCares = false;

  constructor(source: SourceText) {
    this.#source = source;
  }

  line([command, ...rest]: [Token, ...Token[]]): void {
    if (this.#inDontCares && command.text !== '.end') return;
    this.#inDontCares = false;
    if (!command.text.startsWith('.')) {
      this.#cube(command, rest);
      return;
    }
    this.#closeCover();
    switch (command.text) {
      case '.model':
        this.#model(command, rest);
        break;
      case '.inputs':
        for (const net of rest) this.#input(this.#opened(command), net);
        break;
      case '.outputs':
        for (const net of rest) this.#output(this.#opened(command), net);
        break;
      case '.names':
        this.#names(this.#opened(command), command, rest);
        break;
      case '.subckt':
      case '.gate':
        this.#subcircuit(this.#opened(command), command, rest);
        break;
      case '.end':
        this.#opened(command);
        this.#module = null;
        break;
      case '.conn':
        this.#connection(this.#opened(command), command, rest);
        break;
      case '.blackbox':
        this.#opened(command).hollow = true;
        break;
      case '.exdc':
        this.#opened(command);
        this.#inDontCares = true;
        this.#dontCares = true;
        break;
      default:
        this.#other(command);
    }
  }

  #other(command: Token): void {
    const { text } = command;
    if (IGNORED.has(text)) this.#ignored.add(text);
    else if (STORAGE.has(text)) {
      this.#opened(command).refusal ??= {
        found: `${text} is a storage element`,
        expected: 'a combinational circuit: .names and .subckt only',
        ...place(command),
      };
    } else {
      this.#source.fail(
        command,
        `unknown command "${text}"${didYouMean(text, COMMANDS)}`,
        `one of ${COMMANDS.join(' ')}`,
      );
    }
  }

  finish(): { modules: Map<string, Module>; notes: string[] } {
    this.#closeCover();
    if (this.#modules.size === 0) {
      this.#source.fail({ line: 1, column: 1 }, 'no model', '.model with .inputs, .outputs and .names');
    }
    const notes: string[] = [];
    if (this.#ignored.size > 0) {
      notes.push(`lines that do not change the function were not read (${[...this.#ignored].join(', ')})`);
    }
    if (this.#dontCares) notes.push('external don’t-cares (.exdc) were not read: the circuit is taken as it is');
    return { modules: this.#modules, notes };
  }

  #opened(command: Token): Module {
    return this.#module ?? this.#source.fail(command, `${command.text} outside of a model`, '.model before it');
  }

  #model(command: Token, rest: Token[]): void {
    const name = rest[0];
    if (!name || rest.length > 1) this.#source.fail(command, `.model with ${rest.length} names`, 'one name');
    if (this.#modules.has(name.text)) this.#source.fail(name, `a second model "${name.text}"`, 'a name of its own');
    this.#module = new Module(name.text, place(name));
    this.#modules.set(name.text, this.#module);
  }

  #input(module: Module, net: Token): void {
    if (module.drivers.has(net.text) || module.inputs.has(net.text)) {
      this.#source.fail(net, `input "${net.text}" is driven already`, 'each input once and no driver for it');
    }
    module.inputs.set(net.text, named(net));
  }

  #output(module: Module, net: Token): void {
    if (module.outputs.has(net.text)) {
      this.#source.fail(net, `output "${net.text}" is listed twice`, 'each output once');
    }
    module.outputs.set(net.text, named(net));
    module.use(net.text, net);
  }

  #names(module: Module, command: Token, rest: Token[]): void {
    const output = rest.at(-1);
    if (!output) this.#source.fail(command, '.names without a net', 'the inputs, if any, and the output of a cover');
    const inputs = rest.slice(0, -1);
    for (const net of inputs) module.use(net.text, net);
    this.#cover = { inputs: inputs.map((net) => net.text), output, cubes: [], literals: 0, phase: null };
  }

  #cube(first: Token, rest: Token[]): void {
    const cover = this.#cover;
    if (!cover) this.#source.fail(first, `"${first.text}" outside of a cover`, `a command: ${COMMANDS.join(' ')}`);
    const fields = [first, ...rest];
    const width = cover.inputs.length;
    const parts = width === 0 ? 1 : 2;
    if (fields.length !== parts) {
      this.#source.fail(
        first,
        `a cover row of ${fields.length} fields`,
        width === 0 ? 'the output value' : 'the input values and the output value',
      );
    }
    const literals = width === 0 ? '' : first.text;
    const foreign = literals.search(/[^01-]/);
    if (foreign >= 0) {
      const place = { line: first.line, column: first.column + foreign };
      this.#source.fail(place, `"${literals[foreign]}" in a cover`, '0, 1 or -');
    }
    if (literals.length !== width) {
      this.#source.fail(
        first,
        `${literals.length} values for the ${width} inputs of "${cover.output.text}"`,
        `${width} of 0, 1 or -`,
      );
    }
    const output = fields.at(-1)!;
    if (output.text !== '0' && output.text !== '1') {
      this.#source.fail(output, `the output value "${output.text}"`, '0 or 1');
    }
    if (cover.phase !== null && cover.phase !== output.text) {
      this.#source.fail(output, 'both output values in one cover', `${cover.phase} as in its first row`);
    }
    cover.phase = output.text;
    cover.literals += Math.max(1, literals.replaceAll('-', '').length);
    if (cover.literals > MAX_GATES)
      this.#source.fail(first, `more than ${MAX_GATES} values in a cover`, 'smaller ones');
    cover.cubes.push(literals);
  }

  #closeCover(): void {
    if (!this.#cover) return;
    const { inputs, output, cubes, literals, phase } = this.#cover;
    this.#cover = null;
    this.#module!.drive(this.#source, output.text, {
      kind: 'function',
      inputs,
      build: coverBuilder(inputs.length, cubes, phase !== '0'),
      gates: literals + inputs.length + cubes.length,
      line: output.line,
      column: output.column,
    });
  }

  /** `.conn from to`: two names of one net. */
  #connection(module: Module, command: Token, rest: Token[]): void {
    const [from, to] = rest;
    if (!from || !to || rest.length > 2) this.#source.fail(command, `.conn of ${rest.length} nets`, 'two nets');
    module.use(from.text, from);
    const build = primitives.buf;
    module.drive(this.#source, to.text, { kind: 'function', inputs: [from.text], build, gates: 0, ...place(to) });
  }

  #subcircuit(module: Module, command: Token, rest: Token[]): void {
    const [name, ...pins] = rest;
    if (!name)
      this.#source.fail(command, `${command.text} without a model`, 'a model name and connections formal=actual');
    const connections = new Map<string, NamedNet>();
    for (const pin of pins) {
      const equals = pin.text.indexOf('=');
      const formal = pin.text.slice(0, Math.max(0, equals));
      const actual = pin.text.slice(equals + 1);
      if (formal === '' || actual === '') this.#source.fail(pin, `the connection "${pin.text}"`, 'formal=actual');
      if (connections.has(formal)) this.#source.fail(pin, `port "${formal}" is connected twice`, 'each port once');
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
