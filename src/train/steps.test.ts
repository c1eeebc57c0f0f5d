// Learned step sizes against LSQ's formulas written out, in double precision: their gradients through a layer with an
// exact multiplier, and their moves by every rule. Scales stay above 0 and zero points codes wherever gradients lead.

import { describe, expect, test } from 'vitest';
import type { Session } from '../engine/backend.ts';
import { gradients } from '../engine/graph/gradients.ts';
import { Graph } from '../engine/graph/graph.ts';
import { square } from '../engine/graph/window.ts';
import { referenceBackend } from '../engine/reference/backend.ts';
import { roundHalfEven } from '../engine/reference/kernel.ts';
import { wasmBackend } from '../engine/wasm/runtime/backend.ts';
import { exactMultiplier } from '../multiplier/multiplier.ts';
import type { MultiplyingLayer } from '../nn/layers.ts';
import { multiplyQuantized } from '../quant/quantized.ts';
import { learnedSteps } from '../quant/steps.ts';
import { Random } from '../tensor/random.ts';
import { f32, sizeOf } from '../tensor/tensor.ts';
import { appendUpdates, CORRECTIONS, corrections, isAdam, type OptimizerName, stepGroupsOf } from './optimizer.ts';

const [inputs, outputs, positions] = [5, 3, 24];
const bits = { weightBits: 3, activationBits: 4 };
const layer: MultiplyingLayer = {
  name: 'layer',
  kind: 'linear',
  geometry: square({}),
  weightShape: [1, 1, inputs, outputs],
  macs: 0,
};
const random = new Random(5, 0);
const draw = (count: number, size: number) => Float32Array.from({ length: count }, () => size * random.normal());
const [x, w, r] = [draw(2 * positions * inputs, 1), draw(inputs * outputs, 0.5), draw(2 * positions * outputs, 1)];
/** Steps that clamp some values on either side. */
const start = { weightScale: [0.1, 0.2, 0.15], weightZero: [4, 3, 4], inputScale: [0.2], inputZero: [6] };

interface Settings {
  readonly optimizer: OptimizerName;
  readonly isRelu?: boolean;
  readonly cotangent?: number;
  readonly steps?: number;
  readonly rate?: number;
  /** Zero points alone. */
  readonly isStill?: boolean;
}

/** Weights, scales and zero points. */
function writeStart(session: Session): void {
  session.write('layer.weight', f32(layer.weightShape, w));
  const states = {
    weight_scale: 'weightScale',
    weight_zero_point: 'weightZero',
    input_scale: 'inputScale',
    input_zero_point: 'inputZero',
  } as const;
  for (const [name, from] of Object.entries(states)) {
    session.write(`layer.${name}`, f32(name.startsWith('weight') ? [outputs] : [], start[from]));
  }
}

/** Trains scales and zero points alone on Σ r·y, whose gradient does not depend on y. */
async function trained(backend: ReturnType<typeof referenceBackend>, settings: Settings) {
  const { optimizer, isRelu = false, cotangent = 1, steps = 1, rate = 0.1, isStill = false } = settings;
  const session = await backend.openSession();
  const graph = new Graph();
  const given = graph.constant(f32([2, positions, 1, inputs], x));
  const multiply = multiplyQuantized({
    ...{ mode: 'train', quantizer: 'steps', channelwise: true, widthsOf: () => bits, multiplierOf: exactMultiplier },
  });
  const y = multiply(
    layer,
    isRelu ? graph.apply1('relu', [given], {}) : given,
    graph.variable('layer.weight', layer.weightShape),
  );
  const weights = graph.constant(
    f32(
      [2, positions, 1, outputs],
      r.map((one) => cotangent * one),
    ),
  );
  const manners = learnedSteps(graph.nodes, { holdsZero: true });
  const rule = { optimizer, momentum: 0.9, weightDecay: 0.3 };
  const variables = manners
    .map(({ variable }) => variable)
    .filter(({ source }) => !isStill || (source.kind === 'variable' && source.name.endsWith('zero_point')));
  appendUpdates(graph.apply1('dot', [y, weights], {}), stepGroupsOf(variables, 'rate', rule), { manners });
  writeStart(session);
  const program = await session.compile(graph);
  const rates = [...graph.inputs.keys()];
  for (let t = 1; t <= steps; t++) {
    if (rates.includes('rate')) program.write('rate', Float32Array.of(rate));
    if (isAdam(rule)) program.write(CORRECTIONS, corrections(rule, t));
    await program.run();
  }
  const read = async (name: string) => Array.from((await session.read(`layer.${name}`)).data);
  const found = {
    ...{ weightScale: await read('weight_scale'), weightZero: await read('weight_zero_point') },
    ...{ inputScale: (await read('input_scale'))[0]!, inputZero: (await read('input_zero_point'))[0]! },
    names: session.variableNames(),
  };
  const rest = found.names.includes('layer.input_zero_point#rest') ? (await read('input_zero_point#rest'))[0]! : 0;
  await session.dispose();
  return { ...found, rest };
}

/** x̂ and ∂x̂/∂s of LSQ, and whether x is clamped. */
function quantised(value: number, scale: number, zero: number, most: number) {
  const rounded = roundHalfEven(Math.fround(value / scale));
  const code = Math.min(Math.max(rounded, -zero), most - zero);
  const isClamped = code !== rounded;
  return { value: code * scale, slope: isClamped ? code : rounded - value / scale, isClamped };
}

/** LSQ's gradients, scaled by 1/√(N·Q), and LSQ+'s of the lower end of the activations' range. */
function expected(isRelu: boolean) {
  const input = Array.from(x, (one) =>
    quantised(isRelu ? Math.max(one, 0) : one, start.inputScale[0]!, start.inputZero[0]!, 15),
  );
  const weight = Array.from(w, (one, at) =>
    quantised(one, start.weightScale[at % outputs]!, start.weightZero[at % outputs]!, 7),
  );
  const ofWeightScales = new Array<number>(outputs).fill(0);
  let [ofInputScale, ofLow] = [0, 0];
  for (let p = 0; p < 2 * positions; p++) {
    for (let i = 0; i < inputs; i++) {
      for (let o = 0; o < outputs; o++) {
        const g = r[p * outputs + o]!;
        const [a, b] = [input[p * inputs + i]!, weight[i * outputs + o]!];
        ofWeightScales[o]! += g * a.value * b.slope;
        ofInputScale += g * b.value * a.slope;
        if (a.isClamped) ofLow += g * b.value;
      }
    }
  }
  const ofWeights = 1 / Math.sqrt(inputs * 3);
  const ofInputs = 1 / Math.sqrt(positions * inputs * 15);
  return {
    weightScale: ofWeightScales.map((one) => one * ofWeights),
    inputScale: ofInputScale * ofInputs,
    low: ofLow * ofInputs,
  };
}

const backends = { reference: referenceBackend, wasm: () => wasmBackend({ threads: 1, poison: true }) };

describe.each(Object.keys(backends) as (keyof typeof backends)[])('on %s', (name) => {
  const backend = backends[name]();

  test.each([false, true])(
    'a step is that of LSQ and LSQ+ to first order; inputs behind a ReLU: %s',
    async (isRelu) => {
      const rate = 1e-4;
      const found = await trained(backend, { optimizer: 'sgd', isRelu, rate });
      const gradient = expected(isRelu);
      const near = (moved: number, from: number, slope: number) => {
        expect(Math.abs(slope)).toBeGreaterThan(0.01);
        expect(Math.abs(moved - Math.fround(from) * Math.exp((-rate * slope) / from))).toBeLessThan(4e-8);
        expect(Math.abs(moved - from + rate * slope)).toBeLessThan((rate * slope) ** 2 / from + 4e-8);
      };
      found.weightScale.forEach((scale, o) => void near(scale, start.weightScale[o]!, gradient.weightScale[o]!));
      near(found.inputScale, start.inputScale[0]!, gradient.inputScale);
      expect(found.weightZero).toEqual(start.weightZero);
      expect(found.inputZero).toBe(6);
      if (isRelu) expect(found.names.some((one) => one.startsWith('layer.input_zero_point#'))).toBe(false);
      else expect(found.rest).toBeCloseTo((rate * gradient.low) / start.inputScale[0]!, 7);
    },
  );

  test.each(['sgd', 'nesterov', 'adam', 'adamw'] as const)(
    '%s: scales stay above 0, zero points codes',
    async (optimizer) => {
      for (const cotangent of [1e6, -1e6]) {
        for (const steps of [1, 60]) {
          const found = await trained(backend, { optimizer, cotangent, steps, rate: 10 });
          const scales = [...found.weightScale, found.inputScale];
          expect(scales.every((scale) => scale > 0 && Number.isFinite(scale))).toBe(true);
          // No step is larger than the bound.
          const before = [...start.weightScale, ...start.inputScale];
          const furthest = Math.max(...scales.map((scale, k) => Math.abs(Math.log(scale / before[k]!))));
          expect(furthest).toBeLessThan(0.1 * steps + 1e-5);
          expect(furthest).toBeGreaterThan(0.05);
          expect(Number.isInteger(found.inputZero) && found.inputZero >= 0 && found.inputZero <= 15).toBe(true);
          expect(Math.abs(found.rest)).toBeLessThanOrEqual(0.5);
        }
      }
    },
  );

  test('parts of a code add up to codes', async () => {
    const { low } = expected(false);
    // The first step is a quarter of a code, the second 1.9 times that, by the momentum.
    const settings = { optimizer: 'sgd', isStill: true, rate: (0.25 * start.inputScale[0]!) / Math.abs(low) } as const;
    const one = await trained(backend, settings);
    expect([one.inputZero, one.rest * Math.sign(low)]).toEqual([6, expect.closeTo(0.25, 4)]);
    const two = await trained(backend, { ...settings, steps: 2 });
    expect([two.inputZero, two.rest * Math.sign(low)]).toEqual([6 + Math.sign(low), expect.closeTo(-0.275, 4)]);
  });

  test.each([
    [3, 4],
    [8, 8],
  ])(
    'w%ia%i: a step learns by LSQ’s share of its gradient, above 15 codes by less',
    async (weightBits, activationBits) => {
      const session = await backend.openSession();
      writeStart(session);
      const graph = new Graph();
      const given = graph.constant(f32([2, positions, 1, inputs], x));
      const multiply = multiplyQuantized({
        ...{ mode: 'train', quantizer: 'steps', channelwise: true, widthsOf: () => ({ weightBits, activationBits }) },
        multiplierOf: () => exactMultiplier(),
      });
      multiply(layer, graph.apply1('relu', [given], {}), graph.variable('layer.weight', layer.weightShape));
      for (const { variable, gradient } of learnedSteps(graph.nodes, { holdsZero: true })) {
        const ones = graph.constant(f32(variable.shape, new Array(sizeOf(variable.shape)).fill(1)));
        graph.output(variable.source.kind === 'variable' ? variable.source.name : '', gradient(ones));
      }
      const program = await session.compile(graph);
      await program.run();
      const [most, mostInput] = [2 ** (weightBits - 1) - 1, 2 ** activationBits - 1];
      const share = (values: number, codes: number) => Math.min(1, (15 / codes) ** 1.5) / Math.sqrt(values * codes);
      const [ofWeights] = await program.read('layer.weight_scale');
      const [ofInputs] = await program.read('layer.input_scale');
      expect(ofWeights! / share(inputs, most)).toBeCloseTo(1, 5);
      expect(ofInputs! / share(positions * inputs, mostInput)).toBeCloseTo(1, 5);
      await session.dispose();
    },
  );

  test.each([
    [3, 4],
    [8, 7],
  ])(
    'w%ia%i: what a scale gets through the error of a multiplier is held back by its width',
    async (weightBits, activationBits) => {
      const removed = Float32Array.from({ length: weightBits * activationBits }, (_, at) =>
        at % activationBits < 3 ? 1 : 0,
      );
      const session = await backend.openSession();
      writeStart(session);
      const graph = new Graph();
      const given = graph.constant(f32([2, positions, 1, inputs], x));
      const weight = graph.variable('layer.weight', layer.weightShape);
      const scales = [graph.variable('layer.weight_scale', [outputs]), graph.variable('layer.input_scale', [])];
      for (const [kind, multiplier] of [
        ['exact', exactMultiplier()],
        ['approximate', { kind: 'removal', removed }],
      ] as const) {
        const multiply = multiplyQuantized({
          ...{ mode: 'train', quantizer: 'steps', channelwise: true, widthsOf: () => ({ weightBits, activationBits }) },
          multiplierOf: () => multiplier,
        });
        const y = multiply(layer, given, weight);
        const loss = graph.apply1('dot', [y, graph.constant(f32([2, positions, 1, outputs], r))], {});
        graph.output(`${kind} y`, y);
        gradients(loss, scales).forEach((gradient, k) => void graph.output(`${kind} ${k}`, gradient!));
      }
      const program = await session.compile(graph);
      await program.run();
      const read = async (what: string) => Array.from(await program.read(what));
      const [exact, approximate] = [await read('exact y'), await read('approximate y')];
      // Σ r·(y − exact) by channel: the gradient in ln s of an error that all scales multiply.
      const ofError = Array.from({ length: outputs }, (_, o) =>
        approximate.reduce((sum, y, at) => (at % outputs === o ? sum + r[at]! * (y - exact[at]!) : sum), 0),
      );
      const difference = async (k: number) => {
        const [without, withError] = [await read(`exact ${k}`), await read(`approximate ${k}`)];
        return withError.map((value, c) => value - without[c]!);
      };
      const held = (most: number) => (most > 15 ? (15 / most) ** 1.5 : 1);
      (await difference(0)).forEach((found, o) => {
        const wanted = (held(2 ** (weightBits - 1) - 1) * ofError[o]!) / start.weightScale[o]!;
        expect(Math.abs(found / wanted - 1)).toBeLessThan(1e-3);
      });
      const all = ofError.reduce((sum, one) => sum + one);
      const wanted = (held(2 ** activationBits - 1) * all) / start.inputScale[0]!;
      expect(Math.abs((await difference(1))[0]! / wanted - 1)).toBeLessThan(1e-3);
      await session.dispose();
    },
  );
});
