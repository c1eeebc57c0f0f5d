// The forward pass as a person would write it: short lines, a name used again where what it held is done with, a group
// of lines for each block. Images are [N, C, H, W] from the first layer on (`image`); what has other axes, or was
// normalised over its channels, is as the engine has it, the channel last (`plain`). A graph is of one image, so its
// first axis is what a batch multiplies, and no operation may move or join along it.
// Invariant: a name is given to another value only when no line to come, written or waiting, reads the old one.

import type { Value } from '../../engine/graph/graph.ts';
import type { FrozenNetwork } from '../../integer/frozen.ts';
import { invariant, UserError } from '../../tensor/errors.ts';
import type { Modules } from './modules.ts';
import { operationText } from './operations.ts';
import { assignedSum, plainText, WIDTH } from './python.ts';
import { type Step, stepsOf } from './steps.ts';

export type Layout = 'image' | 'plain';

/** What an operation is written as. */
export interface Written {
  readonly text: string;
  readonly layout: Layout;
  /** Signs stand in it, so that it needs parentheses in front of a method. */
  readonly open?: boolean;
  /** Whether it is a name of PyTorch's for the same tensor, and no call. */
  readonly same?: boolean;
  /** The name that it is given if it gets a line of its own. */
  readonly hint?: string;
}

/** What an operation is written with: its operands as text. */
export interface Operands {
  readonly modules: Modules;
  layoutOf(value: Value): Layout;
  isDependent(value: Value): boolean;
  /** An operand in a layout; `closed`: fit for a method or an index behind it. */
  take(value: Value, layout: Layout, closed?: boolean): string;
  /** The name of a function of the module that is written with these lines below its name. */
  helper(wanted: string, linesOf: (name: string) => readonly string[]): string;
}

interface Held extends Written {
  readonly calls: number;
  readonly products: number;
  readonly names: ReadonlySet<string>;
  /** Of a line that has been written. */
  readonly name?: string;
}

const NAMES = ['x', 'y', 'z', 'u', 'v', 'w', 'p', 'q', 'r', 's'];
const INDENT = '        ';
/** A line ends before it has more calls than this. */
const MOST_CALLS = 3;

export const toPlain = '.permute(0, 2, 3, 1)';
export const toImage = '.permute(0, 3, 1, 2)';

export class Forward {
  readonly lines: string[] = [];
  readonly #modules: Modules;
  readonly #steps: readonly Step[];
  readonly #blocks: readonly string[];
  readonly #helper: Operands['helper'];
  readonly #held = new Map<Value, Held>();
  /** Steps to come that read a value. */
  readonly #left = new Map<Value, number>();
  /** Names that the line in the making reads. */
  #reading = new Set<string>();

  constructor(frozen: FrozenNetwork, modules: Modules, helper: Operands['helper']) {
    this.#modules = modules;
    this.#helper = helper;
    this.#steps = stepsOf(frozen);
    this.#blocks = blocksOf(frozen);
    for (const { inputs } of this.#steps) {
      for (const input of inputs) this.#left.set(input, (this.#left.get(input) ?? 0) + 1);
    }
    const name = 'image';
    this.#held.set(frozen.image, { text: name, name, layout: 'image', calls: 0, products: 0, names: new Set([name]) });
  }

  write(): readonly string[] {
    let group: string | undefined;
    for (const step of this.#steps) {
      const block = this.#blocks.find((one) => step.label === one || step.label.startsWith(`${one}.`)) ?? '';
      if (block !== group) {
        this.#flushAll();
        this.#modules.beginGroup();
        if (group !== undefined) this.lines.push('');
        if (block !== '') this.lines.push(`${INDENT}# ${plainText(block)}`);
        group = block;
      }
      this.#write(step);
    }
    return this.lines;
  }

  #write(step: Step): void {
    this.#reading = new Set();
    if (step.output.shape.length < 2) {
      throw new UserError(
        `${step.label || 'the network'}: a value without an axis for the batch; PyTorch's networks take batches`,
      );
    }
    const isJoin = step.inputs.length > 1;
    for (const input of new Set(step.inputs)) {
      const held = this.#heldOf(input);
      const isCrowded = isSum(step) && isLong(`${held.text}${' '.repeat(40)}`);
      const hasMany = isCrowded || (isJoin || isPool(step) ? held.calls > 1 : held.calls >= MOST_CALLS);
      if (held.name === undefined && (hasMany || (step.kind === 'layer' && held.products > 0))) this.#flush(input);
    }
    const read = step.inputs.map((input) => this.#heldOf(input));
    const written = step.kind === 'layer' ? this.#layer(step) : operationText(step.node, this.#operands());
    for (const input of step.inputs) this.#left.set(input, this.#left.get(input)! - 1);
    for (const input of step.inputs) if (this.#heldOf(input).name === undefined) this.#held.delete(input);
    const sum = (what: 'calls' | 'products') => read.reduce((total, one) => total + (one.name ? 0 : one[what]), 0);
    this.#held.set(step.output, {
      ...written,
      calls: sum('calls') + (written.same ? 0 : 1),
      products: sum('products') + (step.kind === 'layer' ? 1 : 0),
      names: this.#reading,
    });
    const readers = this.#left.get(step.output) ?? 0;
    if (readers === 0) this.lines.push(`${INDENT}return ${written.text}`);
    else if (readers > 1 || isLong(written.text) || isPixels(step) || written.hint) this.#flush(step.output);
  }

  #layer(step: Step & { kind: 'layer' }): Written {
    const layout = step.layerKind === 'linear' ? 'plain' : 'image';
    const x = this.#operands().take(step.inputs[0], layout);
    return { text: `self.${this.#modules.layer(step)}(${x})`, layout };
  }

  #operands(): Operands {
    return {
      modules: this.#modules,
      layoutOf: (value) => this.#heldOf(value).layout,
      isDependent: (value) => this.#held.has(value),
      helper: this.#helper,
      take: (value, layout, closed = false) => {
        const { text, layout: own, open, names } = this.#heldOf(value);
        for (const name of names) this.#reading.add(name);
        const inner = open && (closed || own !== layout) ? `(${text})` : text;
        if (own === layout) return inner;
        invariant(value.shape.length === 4, 'an image without its four axes');
        return `${inner}${layout === 'image' ? toImage : toPlain}`;
      },
    };
  }

  #heldOf(value: Value): Held {
    const held = this.#held.get(value);
    invariant(held, 'a value is read before it is written');
    return held;
  }

  #flushAll(): void {
    this.#reading = new Set();
    for (const [value, { name }] of this.#held) if (name === undefined) this.#flush(value);
  }

  /** Gives a value a line of its own, and a name. */
  #flush(value: Value): void {
    const held = this.#heldOf(value);
    const name = this.#freeName(value, held);
    if (held.text !== name) this.lines.push(...assignedSum(INDENT, name, held.text));
    this.#held.set(value, { text: name, name, layout: held.layout, calls: 0, products: 0, names: new Set([name]) });
  }

  #freeName(of: Value, { hint }: Held): string {
    const busy = new Set(['image']);
    for (const [value, { name, names }] of this.#held) {
      if (value === of) continue;
      if (name === undefined) for (const one of names) busy.add(one);
      else if ((this.#left.get(value) ?? 0) > 0) busy.add(name);
    }
    for (const name of this.#reading) if (!this.#heldOf(of).names.has(name)) busy.add(name);
    const wanted = hint === undefined ? NAMES : [hint];
    const free = wanted.find((name) => !busy.has(name));
    if (free !== undefined) return free;
    for (let n = 2; ; n++) if (!busy.has(`${wanted[0]}${n}`)) return `${wanted[0]}${n}`;
  }
}

/** Whether a line of it has no room for another call. */
const isLong = (text: string): boolean => text.length > WIDTH - 24;

const isPixels = (step: Step): boolean => step.kind === 'node' && step.node.op === 'imageToFloat';

/** Whether a constant, which may have a long name, stands beside an operand. */
const isSum = (step: Step): boolean => step.kind === 'node' && step.node.inputs.length > step.inputs.length;

const isPool = (step: Step): boolean =>
  step.kind === 'node' && (step.node.op === 'maxPool' || step.node.op === 'averagePool');

/** Labels that stand before a dot in others and are no layer's, the outermost first: parts of the model. */
function blocksOf({ graph, layers }: FrozenNetwork): string[] {
  const labels = [...new Set(graph.nodes.map(({ label }) => label))].filter((label) => label !== '');
  const prefixes = new Set(
    labels.flatMap((label) => [...label.matchAll(/\./g)].map(({ index }) => label.slice(0, index))),
  );
  for (const { name } of layers) prefixes.delete(name);
  return labels.filter((label) => prefixes.has(label)).sort((a, b) => a.length - b.length);
}
