// Tensors and operations of an integer network in the making. Steps of fixed-point values are known only when all joins
// are, so an operation is noted as what will make it, and made at the end, in order; the bounds of its integers are
// then proved from those of its inputs.
// Invariant: bounds are per channel while they are proved, and hold for every image.

import type { Movement } from '../engine/graph/movement.ts';
import type { OpAttributes, OpName } from '../engine/graph/ops.ts';
import { outputsOf } from '../engine/graph/window.ts';
import { roundHalfEven } from '../engine/reference/kernel.ts';
import { invariant, UserError } from '../tensor/errors.ts';
import type { HostTensor, Shape } from '../tensor/tensor.ts';
import type { FrozenLayer, FrozenNetwork } from './frozen.ts';
import type { FloatOperation, IntegerNetwork, IntegerOperation, IntegerTensor, PoolWindow } from './network.ts';
import { channelsOf, type Draft, type Pending } from './pending.ts';
import { type ProductIntegers, productBounds } from './product.ts';
import { requantisation, requantised } from './requantise.ts';
import { ScaleGroup } from './scales.ts';

type NewDraft = Pick<Draft, 'form' | 'shape' | 'scale' | 'least' | 'most'> & Partial<Pick<Draft, 'zero' | 'limits'>>;

/** Codes that a quantiser makes, in the convention of the multiplier that reads them. */
export interface CodeTarget {
  readonly bits: number;
  readonly scale: number;
  /** As the quantiser has it: a code, or between two. */
  readonly zero: number;
  /** What is taken off a code: half the range where operands are signed. */
  readonly shift: number;
}

const filled = (count: number, value: number) => new Float64Array(count).fill(value);
const INT32 = 2 ** 31 - 1;

export class Maker {
  readonly #frozen: FrozenNetwork;
  readonly #drafts: Draft[] = [];
  readonly #names = new Set<string>();
  readonly #noted: (() => IntegerOperation)[] = [];
  readonly #floats = new Map<Draft, Draft>();

  constructor(frozen: FrozenNetwork) {
    this.#frozen = frozen;
  }

  /** The network, when all is noted. */
  network(output: Draft): IntegerNetwork {
    const { model, classes, multipliers } = this.#frozen;
    const operations = this.#noted.map((make) => make());
    return {
      ...{ name: model, classes, operations, output: output.number },
      multipliers: multipliers.map(({ name, table, exact }) => ({ name, table, exact })),
      tensors: this.#drafts.map(finished),
    };
  }

  image(shape: Shape): Draft {
    const channels = channelsOf(shape);
    const [least, most] = [filled(channels, 0), filled(channels, 255)];
    const draft = this.#draft('', 'image', { form: 'pixels', shape, scale: [1], least, most });
    setBounds(draft, filled(channels, 0), filled(channels, 255));
    return draft;
  }

  /** Codes of raw pixels by a table per channel, [C][256]. */
  lookUp(image: Draft, label: string, target: CodeTarget, tables: Int32Array): Draft {
    const out = this.#codes(label, image.shape, target);
    this.#note(() => {
      const least = tables.reduce((a, b) => Math.min(a, b));
      const most = tables.reduce((a, b) => Math.max(a, b));
      setBounds(out, filled(out.low.length, least), filled(out.low.length, most));
      return { kind: 'lookUp', ...between(label, [image], out), tables };
    });
    return out;
  }

  product(layer: FrozenLayer, input: Draft, shape: Shape, scale: readonly number[], integers: ProductIntegers): Draft {
    const { name, kind, geometry, operands } = layer;
    const { multiplier } = operands!;
    const { table } = this.#frozen.multipliers[multiplier]!;
    // The proof for all codes that a quantiser can give serves steps; that for those which it gives, the bounds.
    const [low, high] = codeRange(operands!.activationBits, table.signed);
    const first = productBounds(layer, table, integers, { shape: input.shape, low, high });
    const out = this.#draft(name, 'sums', {
      ...{ form: 'sums', shape, scale },
      least: Float64Array.from(first.low, (sum, o) => sum * scale[o]!),
      most: Float64Array.from(first.high, (sum, o) => sum * scale[o]!),
    });
    this.#note(() => {
      const codes = { shape: input.shape, low: Math.min(...input.low), high: Math.max(...input.high) };
      const proved = productBounds(layer, table, integers, codes);
      setBounds(out, Float64Array.from(proved.low), Float64Array.from(proved.high));
      return {
        ...{ kind: 'product', ...between(name, [input], out), layer: name, layerKind: kind, geometry },
        ...{ ...integers, multiplier, accumulators: proved.accumulators },
      };
    });
    return out;
  }

  /** A value as codes. */
  codes(pending: Pending, label: string, target: CodeTarget): Draft {
    const { tensor, low, high } = pending;
    const out = this.#codes(label, tensor.shape, target);
    const { scale, zero } = target;
    const whole = Math.floor(zero);
    const limit = (value: number) => within(roundHalfEven(value / scale + zero - whole) + out.zero, codeLimits(target));
    this.#note(() => {
      const limits = [limit(low), limit(high)] as const;
      return this.#requantisation(pending, out, label, { limits, by: scale, plus: zero - whole });
    });
    return out;
  }

  /** A value as fixed point of a group of its own. */
  fixed(pending: Pending, label: string, bits: number, range: Pick<Draft, 'least' | 'most'>): Draft {
    const group = new ScaleGroup();
    group.need(largest(range), bits);
    const { tensor, low, high } = pending;
    const limits = { low, high };
    const out = this.#draft(label, 'fixed', {
      ...{ form: 'fixed', shape: tensor.shape, scale: { group, divisor: 1 }, limits },
      ...range,
    });
    this.#note(() => {
      const [scale] = scaleOf(out);
      const own = [roundHalfEven(limits.low / scale!), roundHalfEven(limits.high / scale!)] as const;
      return this.#requantisation(pending, out, label, { limits: own, by: scale!, plus: 0 });
    });
    return out;
  }

  #requantisation(
    { tensor, factor, offset }: Pending,
    out: Draft,
    label: string,
    { limits, by, plus }: { limits: readonly [number, number]; by: number; plus: number },
  ): IntegerOperation {
    const scales = scaleOf(tensor);
    const step = (c: number) => scales[scales.length === 1 ? 0 : c]!;
    const uniform = [factor, offset, tensor.low, tensor.high].every((all) => all.every((one) => one === all[0]));
    const channels = uniform && scales.length === 1 ? 1 : factor.length;
    const factors = Float64Array.from({ length: channels }, (_, c) => (factor[c]! * step(c)) / by);
    const constant = Float64Array.from(
      { length: channels },
      (_, c) => offset[c]! / by + plus - (tensor.zero === 0 ? 0 : tensor.zero * factors[c]!),
    );
    const made = requantisation({ factor: factors, constant, low: tensor.low, high: tensor.high }, out.zero, limits);
    const ends = [tensor.low, tensor.high].map((all) => all.map((q, c) => requantised(made, c, q)));
    setBounds(
      out,
      ends[0]!.map((end, c) => Math.min(end, ends[1]![c]!)),
      ends[0]!.map((end, c) => Math.max(end, ends[1]![c]!)),
    );
    // Limits that nothing can reach are those that are proved.
    const low = Math.max(
      limits[0],
      out.low.reduce((a, b) => Math.min(a, b)),
    );
    const high = Math.min(
      limits[1],
      out.high.reduce((a, b) => Math.max(a, b)),
    );
    return { kind: 'requantise', ...between(label, [tensor], out), ...made, low: low + 0, high: high + 0 };
  }

  /** The value limited, by what makes the tensor where only this reads it. */
  limit(tensor: Draft, low: number, high: number, label: string): Draft {
    const cut = (value: number) => Math.min(Math.max(value, low), high);
    if (tensor.limits && !tensor.isShared) {
      tensor.limits.low = Math.min(Math.max(tensor.limits.low, low), high);
      tensor.limits.high = Math.min(Math.max(tensor.limits.high, low), high);
      for (const all of [tensor.least, tensor.most]) all.set(all.map(cut));
      return tensor;
    }
    const { shape, scale, least, most } = tensor;
    const out = this.#draft(label, 'limited', {
      form: 'fixed',
      shape,
      scale,
      least: least.map(cut),
      most: most.map(cut),
    });
    this.#note(() => {
      const [step] = scaleOf(tensor);
      const range = [roundHalfEven(low / step!), roundHalfEven(high / step!)] as const;
      setBounds(
        out,
        tensor.low.map((q) => within(q, range)),
        tensor.high.map((q) => within(q, range)),
      );
      return { kind: 'limit', ...between(label, [tensor], out), ...finiteLimits(range, out) };
    });
    return out;
  }

  /** a + b of tensors of one group. */
  add(a: Draft, b: Draft, label: string, bits: number): Draft {
    const least = a.least.map((one, c) => one + b.least[c]!);
    const most = a.most.map((one, c) => one + b.most[c]!);
    groupOf(a).need(largest({ least, most }), bits);
    const limits = { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
    const out = this.#draft(label, 'add', { form: 'fixed', shape: a.shape, scale: a.scale, least, most, limits });
    this.#note(() => {
      const [scale] = scaleOf(out);
      const range = [roundHalfEven(limits.low / scale!), roundHalfEven(limits.high / scale!)] as const;
      setBounds(
        out,
        a.low.map((one, c) => within(one + b.low[c]!, range)),
        a.high.map((one, c) => within(one + b.high[c]!, range)),
      );
      return { kind: 'add', ...between(label, [a, b], out), ...finiteLimits(range, out) };
    });
    return out;
  }

  maxPool(x: Draft, window: PoolWindow, label: string): Draft {
    const { form, scale, least, most, zero } = x;
    const out = this.#draft(label, 'maxPool', { form, shape: pooled(x.shape, window), scale, zero, least, most });
    this.#note(() => {
      setBounds(out, x.low, x.high);
      return { kind: 'maxPool', ...between(label, [x], out), ...window };
    });
    return out;
  }

  /** Sums of windows; what a mean divides by is in the step. */
  sumPool(x: Draft, window: PoolWindow, area: number, label: string): Draft {
    invariant('group' in x.scale, 'a mean of what is no fixed point');
    const taps = window.size[0] * window.size[1];
    // Of a sum of sums, whose integers are larger by what the first divides by.
    x.scale.group.need(largest(x), 32, taps * x.scale.divisor);
    const isPadded = window.padding.some((one) => one > 0) || window.ceil;
    const sum = (value: number, side: -1 | 1) => taps * (isPadded ? side * Math.max(0, side * value) : value);
    const out = this.#draft(label, 'sumPool', {
      ...{ form: 'fixed', shape: pooled(x.shape, window) },
      scale: { group: x.scale.group, divisor: x.scale.divisor * area },
      least: x.least.map((value) => sum(value, -1) / area),
      most: x.most.map((value) => sum(value, 1) / area),
    });
    this.#note(() => {
      setBounds(
        out,
        x.low.map((q) => sum(q, -1)),
        x.high.map((q) => sum(q, 1)),
      );
      return { kind: 'sumPool', ...between(label, [x], out), ...window };
    });
    return out;
  }

  /** Elements elsewhere, of tensors of one group. */
  move(inputs: readonly Draft[], movement: Movement, isFull: boolean, label: string): Draft {
    const [first] = inputs;
    const channels = channelsOf(movement.shape);
    const ends = (of: 'least' | 'most' | 'low' | 'high') => {
      const all = [...inputs.flatMap((one) => Array.from(one[of])), ...(isFull ? [] : [0])];
      const end = of === 'least' || of === 'low' ? Math.min : Math.max;
      return filled(
        channels,
        all.reduce((a, b) => end(a, b)),
      );
    };
    const { form, scale } = first!;
    const range = { least: ends('least'), most: ends('most') };
    const out = this.#draft(label, movement.name, { form, shape: movement.shape, scale, ...range });
    this.#note(() => {
      setBounds(out, ends('low'), ends('high'));
      return { kind: 'move', ...between(label, inputs, out), movement };
    });
    return out;
  }

  /** The same elements and channels under another shape. */
  reshape(x: Draft, shape: Shape, label: string): Draft {
    const { form, scale, zero } = x;
    const kept = channelsOf(shape) === channelsOf(x.shape);
    const spread = (all: Float64Array, end: (a: number, b: number) => number) =>
      kept
        ? all
        : filled(
            channelsOf(shape),
            all.reduce((a, b) => end(a, b)),
          );
    const out = this.#draft(label, 'shaped', {
      ...{ form, shape, scale, zero },
      ...{ least: spread(x.least, Math.min), most: spread(x.most, Math.max) },
    });
    this.#note(() => {
      setBounds(out, spread(x.low, Math.min), spread(x.high, Math.max));
      return { kind: 'reshape', ...between(label, [x], out) };
    });
    return out;
  }

  /** As float32 in the engine's shape. */
  dequantised(x: Draft, shape: Shape, label: string): Draft {
    const known = this.#floats.get(x);
    if (known) return known;
    const out = this.#float(label, 'float', shape);
    this.#floats.set(x, out);
    this.#note(() => ({ kind: 'dequantise', ...between(label, [x], out) }));
    return out;
  }

  /** Float32 to codes. */
  quantised(x: Draft, shape: Shape, label: string, target: CodeTarget): Draft {
    const out = this.#codes(label, shape, target);
    this.#note(() => {
      const [low, high] = codeLimits(target);
      setBounds(out, filled(out.low.length, low), filled(out.low.length, high));
      return { kind: 'quantise', ...between(label, [x], out) };
    });
    return out;
  }

  float<K extends OpName>(
    op: K,
    attributes: OpAttributes[K],
    operands: readonly (Draft | HostTensor)[],
    shape: Shape,
    label: string,
  ): Draft {
    const out = this.#float(label, op, shape);
    const isDraft = (one: Draft | HostTensor): one is Draft => 'number' in one;
    this.#note(() => {
      const operation: FloatOperation<K> = {
        ...{ kind: 'float', ...between(label, operands.filter(isDraft), out), op, attributes },
        operands: operands.map((one) => (isDraft(one) ? one.number : { shape: one.shape, data: floats(one, op) })),
      };
      return operation as unknown as FloatOperation;
    });
    return out;
  }

  #float(label: string, what: string, shape: Shape): Draft {
    const [least, most] = [filled(1, Number.NEGATIVE_INFINITY), filled(1, Number.POSITIVE_INFINITY)];
    const out = this.#draft(label, what, { form: 'float', shape, scale: [1], least, most });
    setBounds(out, least, most);
    return out;
  }

  #codes(label: string, shape: Shape, target: CodeTarget): Draft {
    // Never −0, as all that is a part of the network.
    const zero = Math.floor(target.zero) - target.shift + 0;
    invariant(Number.isInteger(target.zero), `${label}: activations have their zero between two codes`);
    const [low, high] = codeLimits(target).map((code) => (code - zero) * target.scale) as [number, number];
    const channels = channelsOf(shape);
    const range = { least: filled(channels, low), most: filled(channels, high) };
    return this.#draft(label, 'codes', { form: 'codes', shape, scale: [target.scale], zero, ...range });
  }

  #draft(label: string, what: string, { zero = 0, limits, ...rest }: NewDraft): Draft {
    const base = label === '' ? what : `${label}.${what}`;
    let name = base;
    for (let count = 2; this.#names.has(name); count++) name = `${base}.${count}`;
    this.#names.add(name);
    const nothing = new Float64Array(rest.least.length);
    const draft: Draft = {
      ...{ number: this.#drafts.length, name, zero, isShared: false, low: nothing, high: nothing },
      ...rest,
      ...(limits && { limits }),
    };
    this.#drafts.push(draft);
    return draft;
  }

  #note(make: () => IntegerOperation): void {
    this.#noted.push(make);
  }
}

const within = (value: number, [low, high]: readonly [number, number]) => Math.min(Math.max(value, low), high);

/** Codes of an operand in its multiplier's convention. */
const codeRange = (bits: number, signed: boolean): readonly [number, number] =>
  signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
const codeLimits = ({ bits, shift }: CodeTarget): readonly [number, number] => [-shift, 2 ** bits - 1 - shift];

const largest = ({ least, most }: Pick<Draft, 'least' | 'most'>): number =>
  most.reduce(
    (a, b) => Math.max(a, Math.abs(b)),
    least.reduce((a, b) => Math.max(a, Math.abs(b)), 0),
  );

function groupOf({ scale, name }: Draft): ScaleGroup {
  invariant('group' in scale, `${name} is no fixed point`);
  return scale.group;
}

function scaleOf({ scale }: Draft): readonly number[] {
  return 'group' in scale ? [scale.group.scale / scale.divisor] : scale;
}

function setBounds(draft: Draft, low: Float64Array, high: Float64Array): void {
  draft.low = low;
  draft.high = high;
}

/** Limits that are none are those that are proved. */
function finiteLimits(range: readonly [number, number], out: Draft): { readonly low: number; readonly high: number } {
  const low = Math.max(
    range[0],
    out.low.reduce((a, b) => Math.min(a, b)),
  );
  const high = Math.min(
    range[1],
    out.high.reduce((a, b) => Math.max(a, b)),
  );
  return { low: low + 0, high: high + 0 };
}

const between = (label: string, inputs: readonly Draft[], output: Draft) => ({
  ...{ inputs: inputs.map(({ number }) => number), output: output.number, label },
});

/** The shape of windows over one image [H, W, C]. */
function pooled([height, width, channels]: Shape, { size, stride, padding, ceil }: PoolWindow): Shape {
  const along = (axis: 0 | 1, extent: number) =>
    outputsOf({ extent, size: size[axis], stride: stride[axis], padding: padding[axis], dilation: 1, ceil });
  return [along(0, height!), along(1, width!), channels!];
}

function floats({ dtype, data }: HostTensor, op: string): Float32Array {
  invariant(dtype === 'f32', `${op}: a constant of ${dtype} on an island`);
  return data as Float32Array;
}

function finished(draft: Draft): IntegerTensor {
  const { name, form, shape, zero } = draft;
  const low = draft.low.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY) + 0;
  const high = draft.high.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY) + 0;
  if (form !== 'float' && !(low >= -INT32 && high <= INT32)) {
    throw new UserError(
      `${name}: its values may reach ${Math.max(-low, high)}, more than 32 bits hold; give fewer --stream-bits`,
    );
  }
  return { name, form, shape, scale: [...scaleOf(draft)], zero, low, high };
}
