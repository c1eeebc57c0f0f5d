// The modules and buffers of the written network: their lines in `__init__`, and their tensors by the names of its
// state dict. Weights of integer products are the bit patterns that hardware stores, [outputs, inputs/groups, kh, kw].
// Invariant: the table that a layer is given makes the errors that the graph multiplies with, pair by pair.

import type { Node, Value } from '../../engine/graph/graph.ts';
import type { ConvGeometry, OpAttributes } from '../../engine/graph/ops.ts';
import type { FrozenMultiplier, FrozenNetwork } from '../../integer/frozen.ts';
import { errorByCodes } from '../../multiplier/error.ts';
import { codeOfPattern } from '../../multiplier/operands.ts';
import { errorOfRemoval } from '../../multiplier/removal.ts';
import { errorFromZero } from '../../multiplier/zero-row.ts';
import { invariant, UserError } from '../../tensor/errors.ts';
import { f32, type HostTensor, type Shape, sizeOf, tensor } from '../../tensor/tensor.ts';
import { Identifiers, identifiersOf } from '../identifiers.ts';
import type { FollowedLayer } from './execution.ts';
import { assignedCall, numberText, optionText, pairText, tupleText } from './python.ts';
import type { LayerStep } from './steps.ts';

/** What a module of PyTorch has already, and must keep. */
const TAKEN =
  `forward training train eval parameters buffers modules children named_parameters named_buffers named_modules state_dict
  named_children load_state_dict register_buffer register_parameter register_module add_module get_submodule get_parameter
  get_buffer get_extra_state set_extra_state apply cuda ipu xpu cpu type float double half bfloat16 to_empty to requires_grad_
  zero_grad share_memory extra_repr compile dump_patches call_super_init T_destination register_forward_hook
  register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook register_backward_hook
  register_load_state_dict_post_hook register_state_dict_pre_hook register_load_state_dict_pre_hook
  register_state_dict_post_hook image`.split(/\s+/);

/** The module names that a network's `__init__` begins with. */
const LOCAL = ['self', 'super', 'torch', 'nn', 'F', 'ProductTable', 'AxMConv2d', 'AxMLinear', 'BatchNorm', 'Network'];

export class Modules {
  /** By the names of the state dict. */
  readonly tensors = new Map<string, HostTensor>();
  readonly followed: FollowedLayer[] = [];
  /** Lines of `__init__`, by the groups of the forward pass. */
  readonly lines: string[] = [];
  /** Multipliers that layers have, by the name of their table. */
  readonly tables = new Map<string, FrozenMultiplier>();
  readonly #names = new Identifiers(TAKEN);
  readonly #frozen: FrozenNetwork;
  readonly #constants: ReadonlyMap<Value, HostTensor>;
  readonly #tableNames: readonly string[];
  readonly #buffers = new Map<object, Map<string, string>>();

  constructor(frozen: FrozenNetwork, constants: ReadonlyMap<Value, HostTensor>) {
    this.#frozen = frozen;
    this.#constants = constants;
    this.#tableNames = identifiersOf(
      frozen.multipliers.map(({ name }) => name),
      LOCAL,
    );
  }

  constant(value: Value): HostTensor {
    const found = this.#constants.get(value);
    invariant(found, 'a constant that was not computed');
    return found;
  }

  /** The module of a layer that multiplies. */
  layer(step: LayerStep): string {
    return step.product.op === 'axmConv2d' ? this.#integer(step) : this.#float(step);
  }

  batchNorm(node: Node<'batchNormInference'>, axis: 1 | -1): string {
    const [, ...values] = node.inputs;
    const { epsilon } = node.attributes;
    const name = this.#names.add(node.label, 'norm');
    for (const [at, what] of ['weight', 'bias', 'running_mean', 'running_var'].entries()) {
      this.tensors.set(`${name}.${what}`, this.constant(values[at]!));
    }
    const options = [
      ...optionText('eps', numberText(epsilon), numberText(1e-5)),
      ...optionText('axis', numberText(axis), '1'),
    ];
    this.#add(name, 'BatchNorm', [String(sizeOf(values[0]!.shape)), ...options]);
    return name;
  }

  layerNorm(label: string, weight: Value, bias: Value, epsilon: number): string {
    const name = this.#names.add(label, 'norm');
    this.tensors.set(`${name}.weight`, this.constant(weight)).set(`${name}.bias`, this.constant(bias));
    const options = optionText('eps', numberText(epsilon), numberText(1e-5));
    this.#add(name, 'nn.LayerNorm', [String(sizeOf(weight.shape)), ...options]);
    return name;
  }

  /** A tensor that is no layer's; of one source and shape there is one. */
  buffer(source: object, wanted: string, { shape, data, dtype }: HostTensor): string {
    const byShape = this.#buffers.get(source) ?? new Map<string, string>();
    this.#buffers.set(source, byShape);
    const known = byShape.get(String(shape));
    if (known !== undefined) return known;
    const name = this.#names.add(wanted, 'constant');
    byShape.set(String(shape), name);
    this.tensors.set(name, { shape, data, dtype });
    this.lines.push(`        self.register_buffer("${name}", torch.zeros(${tupleText(shape)}))`);
    return name;
  }

  /** A blank line between the modules of one group and those of the next. */
  beginGroup(): void {
    if (this.lines.length > 0 && this.lines.at(-1) !== '') this.lines.push('');
  }

  #add(name: string, kind: string, values: readonly string[]): void {
    this.lines.push(...assignedCall('        ', `self.${name}`, kind, values));
  }

  #float({ label, layerKind, product, bias }: LayerStep): string {
    const name = this.#names.add(label, 'layer');
    const weight = this.constant(product.inputs[1]!);
    const [, , , outputs] = weight.shape as [number, number, number, number];
    const stored = asStored(weight);
    const isLinear = layerKind === 'linear';
    this.tensors.set(`${name}.weight`, isLinear ? { ...stored, shape: stored.shape.slice(0, 2) } : stored);
    if (bias) this.tensors.set(`${name}.bias`, this.constant(bias));
    const { groups } = product.attributes as ConvGeometry;
    const inputs = String(weight.shape[2]! * groups);
    const noBias = optionText('bias', bias ? 'True' : 'False', 'True');
    if (isLinear) this.#add(name, 'nn.Linear', [inputs, String(outputs), ...noBias]);
    else this.#add(name, 'nn.Conv2d', [inputs, String(outputs), ...geometryText(weight.shape, product), ...noBias]);
    return name;
  }

  #integer({ label, layerKind, product, quantiser, bias }: LayerStep): string {
    const name = this.#names.add(label, 'layer');
    const operands = this.#frozen.layers.find((layer) => layer.name === label)?.operands;
    invariant(operands && quantiser, `${label}: no operands of an integer product are known`);
    const multiplier = this.#frozen.multipliers[operands.multiplier]!;
    const { signed, weightBits, activationBits } = multiplier.table;
    this.#requireErrors(label, product as Node as Node<'axmConv2d'>, multiplier, operands.ownZero);
    const [, codes, inputScale, inputZero, weightScale, weightZero] = product.inputs.map((value, at) =>
      at === 0 ? undefined : this.constant(value),
    ) as [undefined, ...HostTensor[]];
    const offsets = { weight: signed ? 2 ** (weightBits - 1) : 0, input: signed ? 2 ** (activationBits - 1) : 0 };
    if (!Number.isInteger(inputZero!.data[0]!)) {
      throw new UserError(`${label}: a zero point of activations of ${inputZero!.data[0]}; expected a code`);
    }
    const moved = ({ shape, data }: HostTensor, by: number) =>
      f32(
        shape,
        Float32Array.from(data, (zero) => zero - by),
      );
    const patterns = Uint8Array.from(codes!.data, (code) => (signed ? codeOfPattern(code, weightBits) : code));
    const zeros = moved(weightZero!, offsets.weight);
    const own: [string, HostTensor][] = [
      ['weight', asStored(tensor('u8', codes!.shape, patterns))],
      ['weight_scale', weightScale!],
      ['weight_zero', zeros],
      ['input_scale', inputScale!],
      ['input_zero', moved(inputZero!, offsets.input)],
    ];
    if (bias) own.push(['bias', this.constant(bias)]);
    for (const [what, value] of own) this.tensors.set(`${name}.${what}`, value);
    const table = this.#tableNames[operands.multiplier]!;
    this.tables.set(table, multiplier);
    this.followed.push({
      ...{ name, kind: layerKind, product, step: zeros.data.every(Number.isInteger) ? 1 : 2 },
      ...(signed && { signedBits: activationBits }),
    });
    const { groups } = product.attributes as ConvGeometry;
    const [, , perGroup, outputs] = codes!.shape as [number, number, number, number];
    const channels = [table, String(perGroup * groups), String(outputs)];
    const given = operands.ownZero === undefined ? [] : [`own_zero=${operands.ownZero}`];
    if (layerKind === 'linear') {
      this.#add(name, 'AxMLinear', [...channels, ...optionText('bias', bias ? 'True' : 'False', 'True'), ...given]);
    } else {
      const biased = optionText('bias', bias ? 'True' : 'False', 'False');
      this.#add(name, 'AxMConv2d', [...channels, ...geometryText(codes!.shape, product), ...biased, ...given]);
    }
    return name;
  }

  /** Compares the errors that the graph multiplies with against those of the table. */
  #requireErrors(
    label: string,
    { attributes, inputs }: Node<'axmConv2d'>,
    { table }: FrozenMultiplier,
    ownZero: number | undefined,
  ): void {
    const { error, weightBits, activationBits } = attributes;
    const { signed } = table;
    invariant(
      table.weightBits === weightBits && table.activationBits === activationBits,
      `${label}: a table of other widths`,
    );
    const zero = ownZero !== undefined && signed ? codeOfPattern(ownZero, weightBits) : ownZero;
    const plain = errorByCodes(table);
    const expected = zero === undefined ? plain : errorFromZero(plain, table, zero);
    const given = error.kind === 'none' ? undefined : this.constant(inputs[6]!).data;
    const found = error.kind === 'removal' ? errorOfRemoval({ weightBits, activationBits, removed: given! }) : given;
    invariant(
      expected.every((one, pair) => one === (found?.[pair] ?? 0)),
      `${label}: the table is not what the network multiplies with`,
    );
  }
}

/** [kh, kw, I/groups, O] as [O, I/groups, kh, kw]. */
const asStored = (weight: HostTensor): HostTensor => permuted(weight, [3, 2, 0, 1]);

/** Axis k of the result is axis order[k] of the tensor. */
export function permuted({ dtype, shape, data }: HostTensor, order: readonly number[]): HostTensor {
  const strides = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  const extents: Shape = order.map((axis) => shape[axis]!);
  const steps = order.map((axis) => strides[axis]!);
  const out = data.slice();
  const index = extents.map(() => 0);
  let from = 0;
  for (let at = 0; at < out.length; at++) {
    out[at] = data[from]!;
    for (let axis = extents.length - 1; axis >= 0; axis--) {
      from += steps[axis]!;
      if (++index[axis]! < extents[axis]!) break;
      index[axis] = 0;
      from -= steps[axis]! * extents[axis]!;
    }
  }
  return { dtype, shape: extents, data: out };
}

/** The kernel and what of its geometry is not usual. */
function geometryText([height, width]: Shape, { attributes }: Node): string[] {
  const { stride, padding, dilation, groups } = attributes as OpAttributes['conv2d'];
  return [
    pairText([height!, width!]),
    ...optionText('stride', pairText(stride), '1'),
    ...optionText('padding', pairText(padding), '0'),
    ...optionText('dilation', pairText(dilation), '1'),
    ...optionText('groups', String(groups), '1'),
  ];
}
