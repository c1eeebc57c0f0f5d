// One convolution layer through post-training calibration and training steps, against what the published program
// computes for it: scales, zero points, outputs, every gradient and the moving averages, on each backend, within 1e-4
// relative error. Each quantity is compared as one vector over the steps of its case: the gradient of a clip factor is
// a sum whose terms nearly cancel, so in a single step the float32 rounding of the published sums alone can pass 1e-4
// (2e-4 in one step of one case, even against float64).

import { describe, expect, test } from 'vitest';
import type { Backend, Program, Session } from '../../src/engine/backend.ts';
import { gradients } from '../../src/engine/graph/gradients.ts';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import { square } from '../../src/engine/graph/window.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import type { Multiplier } from '../../src/multiplier/multiplier.ts';
import { columnStructure } from '../../src/multiplier/structure.ts';
import type { MultiplyingLayer } from '../../src/nn/layers.ts';
import { fromStored, toStored } from '../../src/nn/parameters.ts';
import { clipLogit, multiplyQuantized, type QuantMode, stateName } from '../../src/quant/quantized.ts';
import { f32, type TensorData } from '../../src/tensor/tensor.ts';
import { relativeError } from '../engine/run-case.ts';
import { publishedJson } from '../published.ts';

interface Stored {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

interface LayerCase {
  readonly name: string;
  readonly bits: number;
  readonly stride: number;
  readonly padding: number;
  readonly theta: readonly number[] | null;
  readonly weight: Stored;
  readonly bias: Stored | null;
  readonly input: Stored;
  readonly ptq: Record<string, Stored> & { weight_clip_factor: number; act_clip_factor: number };
  readonly ptq_output: Stored;
  readonly learned_clipping_init: { weight_factor: Stored; act_factor: Stored };
  readonly steps: readonly (Record<string, Stored> & { input_scale_factor: number })[];
}

/**
 * Error table of the published λ = 0.3 multiplier: the partial products of its six lowest columns are left out (proved
 * in published.test.ts).
 */
const bits = { weightBits: 8, activationBits: 8 };

function publishedErrorTable(): Int32Array {
  return Int32Array.from({ length: 65536 }, (_, pair) => {
    let lost = 0;
    for (let i = 0; i < 6; i++) {
      for (let j = 0; i + j < 6; j++) lost += 2 ** (i + j) * ((pair >> (8 + i)) & (pair >> j) & 1);
    }
    return -lost;
  });
}

/** NCHW values to NHWC and back. */
function nhwc({ shape, data }: Stored, scale = 1): Float32Array {
  const [n, c, h, w] = shape as [number, number, number, number];
  const out = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const channel = Math.floor(i / (h * w)) % c;
    out[(Math.floor(i / (c * h * w)) * h * w + (i % (h * w))) * c + channel] = Math.fround(data[i]! * scale);
  }
  expect(out.length).toBe(n * c * h * w);
  return out;
}

class Harness {
  readonly item: LayerCase;
  readonly layer: MultiplyingLayer;
  readonly session: Session;
  readonly #collected = new Map<string, { found: number[]; expected: number[] }>();

  constructor(item: LayerCase, session: Session) {
    const [o, i, kh, kw] = item.weight.shape as [number, number, number, number];
    this.item = item;
    this.session = session;
    const geometry = square({ stride: item.stride, padding: item.padding });
    this.layer = { name: 'layer', kind: 'convolution', geometry, weightShape: [kh, kw, i, o], macs: 0 };
  }

  async compile(mode: QuantMode): Promise<Program> {
    const { item, layer } = this;
    const graph = new Graph();
    const [n, c, h, w] = item.input.shape as [number, number, number, number];
    const x = graph.input('x', [n, h, w, c]);
    const weight = graph.variable('layer.weight', layer.weightShape);
    const theta = item.theta && mode === 'train' ? graph.variable('theta', [item.theta.length]) : undefined;
    const multiply = multiplyQuantized({
      widthsOf: () => ({ weightBits: item.bits, activationBits: item.bits }),
      mode,
      range: 'as-observed',
      channelwise: true,
      multiplierOf: () => this.#multiplier(mode),
    });
    let y = multiply(layer, x, weight);
    const bias = item.bias ? graph.variable('layer.bias', item.bias.shape) : undefined;
    if (bias) y = graph.apply1('bias', [y, bias], {});
    graph.output('y', y);
    if (mode === 'train') {
      const g = graph.input('g', y.shape);
      const clip = (operand: 'weight' | 'input', side: 'clip_upper' | 'clip_lower') =>
        graph.variables.get(stateName('layer', operand, side))!;
      const targets: Record<string, Value | undefined> = {
        grad_input: x,
        grad_weight: weight,
        grad_weight_upper: clip('weight', 'clip_upper'),
        grad_weight_lower: clip('weight', 'clip_lower'),
        grad_act_upper: clip('input', 'clip_upper'),
        grad_act_lower: clip('input', 'clip_lower'),
        grad_bias: bias,
        grad_theta: theta,
      };
      const wanted = Object.entries(targets).filter((entry): entry is [string, Value] => entry[1] !== undefined);
      const found = gradients(
        graph.apply1('dot', [y, g], {}),
        wanted.map(([, value]) => value),
      );
      wanted.forEach(([name], at) => {
        graph.output(name, found[at]!);
      });
    }
    return this.session.compile(graph);
  }

  /** Calibration is done with exact products. */
  #multiplier(mode: QuantMode): Multiplier {
    if (mode !== 'train') return { kind: 'exact' };
    const { theta } = this.item;
    if (!theta) return { kind: 'table', error: publishedErrorTable() };
    return { kind: 'structure', theta: 'theta', structure: columnStructure(bits, theta.length) };
  }

  async collectVariable(name: string, expected: Stored | undefined): Promise<void> {
    expect(expected, name).toBeDefined();
    this.#collect(name, (await this.session.read(name)).data, Float32Array.from(expected!.data));
  }

  async collectOutput(program: Program, name: string, expected: Stored): Promise<void> {
    const data = (await program.read(name)) as Float32Array;
    const values = expected.shape.length === 4 ? this.#canonical(name, expected) : Float32Array.from(expected.data);
    this.#collect(name, data, values);
  }

  /** Compares everything collected since the last call. */
  expectAgreement(): void {
    for (const [name, { found, expected }] of this.#collected) {
      expect(relativeError(Float32Array.from(found), Float32Array.from(expected)), name).toBeLessThan(1e-4);
    }
    this.#collected.clear();
  }

  #collect(name: string, found: TensorData, expected: TensorData): void {
    const all = this.#collected.get(name) ?? { found: [], expected: [] };
    expect(found.length, name).toBe(expected.length);
    all.found.push(...found);
    all.expected.push(...expected);
    this.#collected.set(name, all);
  }

  /** Images to NHWC; weights to the engine's layout; per-channel vectors as they are. */
  #canonical(name: string, stored: Stored): Float32Array {
    if (name === 'grad_weight') {
      const weight = f32(stored.shape, stored.data);
      return fromStored('layer.weight', weight, this.layer.weightShape, [this.layer]).data as Float32Array;
    }
    return stored.shape[1] === 1 && stored.shape[2] === 1 ? Float32Array.from(stored.data) : nhwc(stored);
  }
}

const backends: readonly Backend[] = [referenceBackend(), wasmBackend({ threads: 2 })];

describe('the published layers', () => {
  const items = publishedJson<LayerCase[]>('layers.json');
  for (const backend of backends) {
    for (const item of items) {
      test(`${item.name} on ${backend.device.name}`, async () => {
        const session = await backend.openSession();
        const harness = new Harness(item, session);
        const weight = f32(item.weight.shape, item.weight.data);
        session.write('layer.weight', fromStored('layer.weight', weight, harness.layer.weightShape, [harness.layer]));
        expect(toStored('layer.weight', await session.read('layer.weight'), [harness.layer])).toEqual(weight);
        if (item.bias) session.write('layer.bias', f32(item.bias.shape, item.bias.data));

        const calibrate = await harness.compile('calibrate');
        calibrate.write('x', nhwc(item.input));
        await calibrate.run();
        const name = (operand: 'weight' | 'input', state: Parameters<typeof stateName>[2]) =>
          stateName('layer', operand, state);
        await harness.collectVariable(name('weight', 'scale'), item.ptq.weight_scale);
        await harness.collectVariable(name('weight', 'zero_point'), item.ptq.weight_zero_point);
        await harness.collectVariable(name('input', 'scale'), item.ptq.act_scale);
        await harness.collectVariable(name('input', 'zero_point'), item.ptq.act_zero_point);
        await harness.collectOutput(calibrate, 'y', item.ptq_output);
        harness.expectAgreement();
        const factors = { weight: item.ptq.weight_clip_factor, input: item.ptq.act_clip_factor };
        const initial = {
          weight: item.learned_clipping_init.weight_factor,
          input: item.learned_clipping_init.act_factor,
        };
        for (const operand of ['weight', 'input'] as const) {
          const factor = (await calibrate.read(name(operand, 'clip_upper')))[0]!;
          expect(factor).toBeCloseTo(factors[operand], 6);
          const shape = (await session.read(name(operand, 'scale'))).shape;
          const start = f32(shape, new Float32Array(initial[operand].data.length).fill(clipLogit(factor)));
          expect(relativeError(start.data, Float32Array.from(initial[operand].data))).toBeLessThan(1e-4);
          session.write(name(operand, 'clip_upper'), start);
          session.write(name(operand, 'clip_lower'), start);
        }
        if (item.theta) session.write('theta', f32([item.theta.length], item.theta));

        const train = await harness.compile('train');
        for (const step of item.steps) {
          train.write('x', nhwc(item.input, step.input_scale_factor));
          train.write('g', nhwc(step.grad_output!));
          await train.run();
          await harness.collectOutput(train, 'y', step.output!);
          for (const gradient of Object.keys(step).filter((key) => key.startsWith('grad_') && key !== 'grad_output')) {
            await harness.collectOutput(train, gradient, step[gradient]!);
          }
          await harness.collectVariable(name('weight', 'scale'), step.weight_scale);
          await harness.collectVariable(name('weight', 'zero_point'), step.weight_zero_point);
          await harness.collectVariable(name('input', 'scale'), step.act_scale);
          await harness.collectVariable(name('input', 'zero_point'), step.act_zero_point);
          await harness.collectVariable(name('input', 'max'), step.act_running_max);
          await harness.collectVariable(name('input', 'min'), step.act_running_min);
        }
        harness.expectAgreement();
        await session.dispose();
      });
    }
  }
});
