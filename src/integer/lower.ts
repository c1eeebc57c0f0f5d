// From the evaluation graph of a network at rest to integers, node by node in the graph's order. Products become exact
// integer sums; what follows them (bias, batch norm, ReLU) is kept in mind (pending.ts) until a quantiser or a join
// reads it, and is then one requantisation. What no integer operation expresses is done in float32, from there to the
// next quantiser.
// Constants (weights, their quantisers, exchanged codes) are computed by the reference kernels of the graph's own
// nodes: the codes are those that the program multiplies.

import type { Node, Value } from '../engine/graph/graph.ts';
import type { OpName } from '../engine/graph/ops.ts';
import { computeOperation } from '../engine/reference/backend.ts';
import { invariant, UserError } from '../tensor/errors.ts';
import { type HostTensor, sameShape } from '../tensor/tensor.ts';
import type { FrozenLayer, FrozenMultiplier, FrozenNetwork } from './frozen.ts';
import { Maker } from './make.ts';
import type { IntegerNetwork } from './network.ts';
import { type Draft, isIdentity, isLimited, type Lowered, type Pending, rangeOf, untouched } from './pending.ts';
import { codeTarget, rules, single, type Walk } from './rules.ts';
import { STREAM_BITS } from './stream-bits.ts';

export interface LowerOptions {
  /** Bits of values in fixed point, between layers: 12 … 31; default 28. */
  readonly streamBits?: number;
}

/** The network as integers. Throws a UserError where it has a layer whose sums need more than 32 bits. */
export function lower(frozen: FrozenNetwork, { streamBits = STREAM_BITS.usual }: LowerOptions = {}): IntegerNetwork {
  const { least, most } = STREAM_BITS;
  if (!(Number.isInteger(streamBits) && streamBits >= least && streamBits <= most)) {
    throw new UserError(`--stream-bits ${streamBits}: a whole number from ${least} to ${most} was expected`);
  }
  return new Lowering(frozen, streamBits).network();
}

class Lowering implements Walk {
  readonly maker: Maker;
  readonly streamBits: number;
  readonly #frozen: FrozenNetwork;
  readonly #values = new Map<Value, Lowered>();
  readonly #readers = new Map<Value, Node[]>();
  readonly #layers: ReadonlyMap<string, FrozenLayer>;

  constructor(frozen: FrozenNetwork, streamBits: number) {
    this.#frozen = frozen;
    this.streamBits = streamBits;
    this.maker = new Maker(frozen);
    this.#layers = new Map(frozen.layers.map((layer) => [layer.name, layer]));
  }

  network(): IntegerNetwork {
    const { image, logits } = this.#frozen;
    this.#values.set(image, untouched(this.maker.image(single(image.shape))));
    for (const node of this.#needed()) {
      const inputs = node.inputs.map((value) => this.#read(value));
      if (inputs.every((one) => one.kind === 'constant')) this.#fold(node, inputs);
      else this.#keep(node, this.#lower(node, inputs));
    }
    const found = this.#read(logits);
    invariant(found.kind !== 'constant', 'the logits do not depend on the image');
    return this.maker.network(found.kind === 'float' ? found.tensor : this.fixed(found, 'logits'));
  }

  /** The nodes that the logits depend on, and who reads what. */
  #needed(): Node[] {
    const wanted = new Set<Value>([this.#frozen.logits]);
    const nodes: Node[] = [];
    for (const node of this.#frozen.graph.nodes.toReversed()) {
      if (!node.outputs.some((value) => wanted.has(value))) continue;
      nodes.push(node);
      for (const value of node.inputs) {
        wanted.add(value);
        this.#readers.set(value, [...this.readersOf(value), node]);
      }
    }
    return nodes.reverse();
  }

  #read(value: Value): Lowered {
    const known = this.#values.get(value);
    if (known) return known;
    const { source } = value;
    if (source.kind === 'constant') return { kind: 'constant', tensor: source.tensor };
    invariant(source.kind === 'variable', 'the network reads an input beside the image');
    const tensor = this.#frozen.variables.get(source.name);
    invariant(tensor, `no variable ${source.name}`);
    return { kind: 'constant', tensor };
  }

  #fold({ op, attributes, outputs }: Node, inputs: readonly Lowered[]): void {
    const operands = inputs.map((one) => constantOf(one));
    computeOperation(op, attributes, operands, outputs).forEach((tensor, at) => {
      this.#values.set(outputs[at]!, { kind: 'constant', tensor });
    });
  }

  /** What several read is kept as a tensor, unless it is one already. */
  #keep({ outputs, label }: Node, lowered: Lowered): void {
    const value = outputs[0]!;
    const reads = this.readersOf(value).length + (value === this.#frozen.logits ? 1 : 0);
    const isKept = reads > 1 && lowered.kind === 'pending' && lowered.tensor.form !== 'pixels';
    if (!isKept || lowered.tensor.form === 'codes') return void this.#values.set(value, lowered);
    const tensor = this.fixed(lowered, label);
    tensor.isShared = true;
    this.#values.set(value, untouched(tensor));
  }

  #lower(node: Node, inputs: readonly Lowered[]): Lowered {
    const rule = rules[node.op] as
      | ((walk: Walk, node: Node, inputs: readonly Lowered[]) => Lowered | undefined)
      | undefined;
    const isInteger = inputs.every(({ kind }) => kind !== 'float');
    return (isInteger && rule?.(this, node, inputs)) || this.#island(node, inputs);
  }

  /** In float32: codes where a quantiser reads the float, else the engine's operation. */
  #island(node: Node, inputs: readonly Lowered[]): Lowered {
    const { op, attributes, outputs, label } = node;
    const { shape } = outputs[0]!;
    const [first, scale, zero] = inputs;
    if (op === 'quantize' && first?.kind === 'float') {
      const target = codeTarget(this, node as Node as Node<'quantize'>, constantOf(scale!), constantOf(zero!));
      return untouched(this.maker.quantised(first.tensor, single(shape), label, target));
    }
    const operands = inputs.map((one, at) => {
      if (one.kind === 'constant') return one.tensor;
      if (one.kind === 'float') return one.tensor;
      return this.maker.dequantised(this.fixed(one, label), node.inputs[at]!.shape, label);
    });
    invariant(
      outputs.slice(1).every((value) => this.readersOf(value).length === 0),
      `${op} has two results`,
    );
    return { kind: 'float', tensor: this.maker.float(op as OpName, attributes, operands, shape, label) };
  }

  readersOf(value: Value): readonly Node[] {
    return this.#readers.get(value) ?? [];
  }

  layerOf({ label }: Node): { layer: FrozenLayer; multiplier: FrozenMultiplier } {
    const layer = this.#layers.get(label);
    invariant(layer?.operands, `the product ${label} belongs to no layer that multiplies codes`);
    return { layer, multiplier: this.#frozen.multipliers[layer.operands.multiplier]! };
  }

  fixed(pending: Pending, reader: string, isJoined = false): Draft {
    const { tensor, shape, low, high } = pending;
    // What stands outside all layers and blocks is named after what it reads.
    const label = reader === '' ? tensor.name.replace(/\.[^.]*$/, '') : reader;
    const isThere =
      tensor.form === 'fixed' &&
      isIdentity(pending) &&
      'group' in tensor.scale &&
      !(isJoined && tensor.scale.divisor > 1);
    const made = !isThere
      ? this.maker.fixed(pending, label, this.streamBits, rangeOf(pending))
      : isLimited(pending)
        ? this.maker.limit(tensor, low, high, label)
        : tensor;
    return sameShape(made.shape, shape) ? made : this.maker.reshape(made, shape, label);
  }

  joined(inputs: readonly Pending[], label: string): readonly Draft[] {
    const tensors = inputs.map((one) => this.fixed(one, label, true));
    const [first, ...others] = tensors.map(({ scale }) => {
      invariant('group' in scale, 'a joined value has a step of its own');
      return scale.group;
    });
    for (const group of others) first!.join(group);
    return tensors;
  }
}

function constantOf(lowered: Lowered): HostTensor {
  invariant(lowered.kind === 'constant', 'a quantiser that depends on the image');
  return lowered.tensor;
}
