// The quantiser state of the published program's checkpoints (main_qat.py), by its names and shapes, and what each
// part is called here. Every multiplying layer has a quantiser for its weights (scales [O, 1, 1, 1] or [O, 1]) and one
// for its input (scalars), with a learned-clipping observer: extremes, and the logits of the upper and lower clip
// factors. Both programs compute the same of them: s = (σ(u)·max − σ(l)·min)/(2^B − 1), so that nothing is converted
// but names. A network of ours is written the same way.

import type { MultiplyingLayer } from '../../nn/layers.ts';
import { clipLogit, type OperandName, type StateName, stateName, statesOf } from '../../quant/quantized.ts';
import { isCodesName } from '../../quant/weight-codes.ts';
import { invariant, quoted, UserError } from '../../tensor/errors.ts';
import { readStored, type StoredTensor } from '../../tensor/stored.ts';
import { f32, type HostTensor, sizeOf } from '../../tensor/tensor.ts';
import type { Widths } from '../settings/layers.ts';

const quantizers: Record<OperandName, string> = { weight: 'weight_quantizer', input: 'act_quantizer' };
const states: Record<StateName, string> = {
  scale: 'scale',
  zero_point: 'zero_point',
  clip_upper: 'observer.upper_bound_factor',
  clip_lower: 'observer.lower_bound_factor',
  min: 'observer.min_val',
  max: 'observer.max_val',
};
/** What the published program stores: it learns clips. */
const kept: Record<OperandName, readonly StateName[]> = {
  weight: statesOf('clips', 'weight'),
  input: statesOf('clips', 'input'),
};

/** Whether a name of a file is one of a quantised layer's beside its parameters. */
export const isQuantizerName = (name: string): boolean =>
  /(^|\.)((weight|act)_quantizer\..+|use_(weight_quant|act_quant|appmult))$/.test(name);

export interface QuantizerFile {
  readonly path: string;
  /** By their names without the prefix of the file. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

export interface QuantizersWanted {
  readonly layers: readonly MultiplyingLayer[];
  readonly widthsOf: (layer: string) => Widths;
  /** One scale for each output channel of the weights, or one for all. */
  readonly channelwise: boolean;
}

/** The variables of every layer's quantisers, by our names; a UserError names what is missing or does not fit. */
export function readQuantizers(
  file: QuantizerFile,
  { layers, widthsOf, channelwise }: QuantizersWanted,
): Map<string, HostTensor> {
  const result = new Map<string, HostTensor>();
  for (const { name, weightShape } of layers) {
    const widths = widthsOf(name);
    for (const operand of ['weight', 'input'] as const) {
      const values = (state: string, count: number) =>
        readValues(file, `${name}.${quantizers[operand]}.${state}`, count);
      const bits = values('observer.n_bits', 1)[0]!;
      const expected = operand === 'weight' ? widths.weights : widths.activations;
      if (bits !== expected) {
        const [what, word] = operand === 'weight' ? ['weights', 'weight-bits'] : ['activations', 'activation-bits'];
        throw new UserError(
          `${file.path}: ${what} of ${name} are quantised to ${bits} bits, the run's are ${expected}; give --${word} ${bits} (or --bits), or a float checkpoint`,
        );
      }
      const shape = operand === 'weight' && channelwise ? [weightShape.at(-1)!] : [];
      for (const state of kept[operand]) {
        const read = values(states[state], sizeOf(shape));
        if (state === 'scale' && read.some((scale) => scale <= 0)) {
          throw new UserError(
            `${file.path}: ${name} has a scale of ${read.find((scale) => scale <= 0)} (${operand}); above 0 was expected`,
          );
        }
        result.set(stateName(name, operand, state), f32(shape, read));
      }
    }
  }
  return result;
}

function readValues({ path, tensors }: QuantizerFile, name: string, count: number): number[] {
  const stored = tensors.get(name);
  if (!stored) {
    throw new UserError(
      `${path} holds quantisers, but no ${name}; save the network again after all layers are calibrated`,
    );
  }
  const found = sizeOf(stored.shape);
  if (found !== count) {
    throw new UserError(
      `${path}: ${name} has ${found} values, ${count} were expected (scales for each output channel or for the layer: --weight-scales)`,
    );
  }
  const tensor = readStored(stored);
  if (typeof tensor === 'string') throw new UserError(`${path}: ${quoted(name)} is ${tensor}`);
  const values = Array.from(tensor.data);
  const wrong = values.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0)
    throw new UserError(
      `${path}: the tensor ${name} holds ${values[wrong]} (value ${wrong}); finite numbers were expected`,
    );
  return values;
}

/** What a run's quantisers are, to be written. */
export interface QuantizersWritten {
  /** In the order of the network. */
  readonly layers: readonly string[];
  readonly widthsOf: (layer: string) => Widths;
  /** Whether a range of weights holds 0 (see quant/quantized.ts). */
  readonly holdsZero: boolean;
}

/** Both programs use float32's. */
const EPSILON = 2 ** -23;

/**
 * A checkpoint as the published program saves it after post-training quantisation, from ours (parameters in PyTorch's
 * layouts, quantisers by our names): what `readQuantizers` reads, and what its module has besides.
 */
export function publishedCheckpoint(
  tensors: ReadonlyMap<string, HostTensor>,
  { layers, widthsOf, holdsZero }: QuantizersWritten,
): Map<string, HostTensor> {
  const flag = (value: boolean): HostTensor => ({ dtype: 'u8', shape: [], data: Uint8Array.of(value ? 1 : 0) });
  const whole = (value: number): HostTensor => ({ dtype: 'i32', shape: [], data: Int32Array.of(value) });
  const own = layers.flatMap((name) => quantizedNames.map((state) => `${name}.${state}`));
  const result = new Map([...tensors].filter(([name]) => !own.includes(name) && !isCodesName(name)));
  for (const name of layers) {
    const weight = tensors.get(`${name}.weight`);
    invariant(weight, `the layer ${name} has no weights`);
    const widths = widthsOf(name);
    for (const [what, value] of [
      ['use_weight_quant', true],
      ['use_act_quant', true],
      ['use_appmult', false],
    ] as const) {
      result.set(`${name}.${what}`, flag(value));
    }
    for (const operand of ['weight', 'input'] as const) {
      const into = `${name}.${quantizers[operand]}.`;
      const scales = tensors.get(stateName(name, operand, 'scale'))?.shape[0];
      const shaped = (values: ArrayLike<number>) =>
        f32(scales === undefined ? [] : [scales, ...weight.shape.slice(1).map(() => 1)], values);
      const bits = operand === 'weight' ? widths.weights : widths.activations;
      const extremes = operand === 'weight' ? extremesOf(weight, scales ?? 1, holdsZero) : undefined;
      const derived = clipsOfSteps(tensors, name, operand, bits, extremes);
      for (const state of kept[operand]) {
        const values = tensors.get(stateName(name, operand, state))?.data ?? derived?.[state];
        if (!values)
          throw new UserError(`the checkpoint has no ${stateName(name, operand, state)}; it is not quantised`);
        result.set(into + states[state], shaped(values));
      }
      result.set(`${into}observer.n_bits`, whole(bits));
      result.set(`${into}observer.n_levels`, whole(2 ** bits));
      result.set(`${into}observer.channel_wise`, flag(scales !== undefined));
      result.set(`${into}observer.eps`, f32([], [EPSILON]));
      if (!extremes) continue;
      result.set(into + states.min, shaped(extremes.min));
      result.set(into + states.max, shaped(extremes.max));
    }
  }
  return new Map([...result].map(([name, tensor]) => [`model.${name}`, tensor]));
}

type Extremes = Readonly<Record<'min' | 'max', readonly number[]>>;

/**
 * Where step sizes were learnt: the clips with which the published program would begin to train on. What it evaluates
 * with are scales and zero points, which are stored. The ends of a range are σ(clip) of an extreme: for weights of
 * their own, which an end cannot pass; for activations of such extremes as give the ends.
 */
function clipsOfSteps(
  tensors: ReadonlyMap<string, HostTensor>,
  layer: string,
  operand: OperandName,
  bits: number,
  extremes: Extremes | undefined,
): Readonly<Partial<Record<StateName, readonly number[]>>> | undefined {
  const [scales, zeros] = (['scale', 'zero_point'] as const).map(
    (state) => tensors.get(stateName(layer, operand, state))?.data,
  );
  if (!scales || !zeros) return undefined;
  const of = (end: (scale: number, zero: number) => number) => Array.from(scales, (scale, c) => end(scale, zeros[c]!));
  const ends = { min: of((scale, zero) => -zero * scale), max: of((scale, zero) => (2 ** bits - 1 - zero) * scale) };
  const { min, max } = extremes ?? {
    min: ends.min.map((end) => end / WHOLE_CLIP),
    max: ends.max.map((end) => end / WHOLE_CLIP),
  };
  const logits = (values: readonly number[], end: readonly number[]) =>
    values.map((extreme, c) => {
      const share = extreme === 0 || !extremes ? 1 : end[c]! / extreme;
      return clipLogit(Math.min(Math.max(share, LEAST_CLIP), 1));
    });
  return { clip_upper: logits(max, ends.max), clip_lower: logits(min, ends.min), min, max };
}

/** σ of the logit of a clip factor of 1. */
const WHOLE_CLIP = 1 / (1 + Math.exp(-clipLogit(1)));
const LEAST_CLIP = 0.01;

const quantizedNames = (['weight', 'input'] as const).flatMap((operand) =>
  kept[operand].map((state) => stateName('', operand, state).slice(1)),
);

/** Whether a name of one of our checkpoints is that of a quantiser's state of a layer. */
export const isQuantizerVariable = (name: string, layers: ReadonlySet<string>): boolean => {
  const end = name.lastIndexOf('.');
  return layers.has(name.slice(0, end)) && (quantizedNames.includes(name.slice(end + 1)) || isCodesName(name));
};

/** Least and largest weight of each of so many equal parts of a tensor. */
function extremesOf({ data }: HostTensor, parts: number, holdsZero: boolean) {
  const size = data.length / parts;
  const of = (pick: (a: number, b: number) => number, start: number) =>
    Array.from({ length: parts }, (_, part) => {
      let best = holdsZero ? 0 : start;
      for (let k = part * size; k < (part + 1) * size; k++) best = pick(best, data[k]!);
      return best;
    });
  return { min: of(Math.min, Number.POSITIVE_INFINITY), max: of(Math.max, Number.NEGATIVE_INFINITY) };
}
