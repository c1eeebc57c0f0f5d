import { expect, test } from 'vitest';
import { openDataset } from '../../data/registry.ts';
import type { Session } from '../../engine/backend.ts';
import { referenceBackend } from '../../engine/reference/backend.ts';
import type { Multiplier } from '../../multiplier/multiplier.ts';
import { findModel } from '../../nn/models/registry.ts';
import { initialTensor } from '../../nn/parameters.ts';
import { stateName } from '../../quant/quantized.ts';
import { UserError } from '../../tensor/errors.ts';
import { f32, sizeOf } from '../../tensor/tensor.ts';
import { imageTask } from '../../train/images.ts';
import { buildNetwork, type QuantizedArithmetic } from '../../train/task.ts';
import { describeActivity, proveActive } from './proof.ts';

const digits = await openDataset('digits');
const task = imageTask(findModel('resnet8'), digits);
const removal = (columns: number): Multiplier => ({
  kind: 'removal',
  removed: Float32Array.from({ length: 64 }, (_, at) => ((at >> 3) + (at & 7) < columns ? 1 : 0)),
});
const arithmeticOf = (multiplierOf: (layer: string) => Multiplier): QuantizedArithmetic => ({
  kind: 'quantized',
  weightBits: 8,
  activationBits: 8,
  channelwise: true,
  multiplierOf,
});

/** A network with random weights; activations of the layer `silenced` are all zero. */
async function sessionWith(arithmetic: QuantizedArithmetic, silenced?: string): Promise<Session> {
  const session = await referenceBackend().openSession();
  const { parameters, multiplying } = buildNetwork(task, arithmetic, 'evaluate', 1).layers;
  parameters.forEach((parameter, at) => {
    session.write(parameter.name, initialTensor(parameter, 1, at));
  });
  for (const { name, weightShape } of multiplying) {
    const fill = (shape: readonly number[], value: number) => f32(shape, new Float32Array(sizeOf(shape)).fill(value));
    session.write(stateName(name, 'weight', 'scale'), fill([weightShape[3]], 0.005));
    session.write(stateName(name, 'weight', 'zero_point'), fill([weightShape[3]], 128));
    session.write(stateName(name, 'input', 'scale'), fill([], name === silenced ? 1e9 : 0.001));
    session.write(stateName(name, 'input', 'zero_point'), fill([], 0));
  }
  return session;
}

test('every layer is found active, its outputs being those of its multiplier', async () => {
  const arithmetic = arithmeticOf(() => removal(6));
  const found = await proveActive(await sessionWith(arithmetic), task, arithmetic, digits.test);
  expect(found.length).toBeGreaterThan(5);
  expect(found.every(({ largestEffect, outputs }) => largestEffect > 0 && outputs > 0)).toBe(true);
  expect(describeActivity('approximation', found)).toBe(`approximation active in ${found.length} layers`);
});

test('exact layers are not among them', async () => {
  const arithmetic = arithmeticOf((layer) => (layer === 'conv1' ? { kind: 'exact' } : removal(6)));
  const found = await proveActive(await sessionWith(arithmetic), task, arithmetic, digits.test);
  expect(found.map(({ layer }) => layer)).not.toContain('conv1');
});

test('a layer whose operands meet no error is named, not refused', async () => {
  const arithmetic = arithmeticOf(() => removal(6));
  const found = await proveActive(await sessionWith(arithmetic, 'fc'), task, arithmetic, digits.test);
  expect(describeActivity('approximation', found)).toBe(
    `approximation active in ${found.length - 1} layers; without effect on the sampled outputs of fc`,
  );
});

test('an output that is not what the table says is refused with the layer and both values', async () => {
  const arithmetic = arithmeticOf(() => removal(6));
  const session = await sessionWith(arithmetic);
  const wrong: Session = {
    backend: session.backend,
    variableNames: () => session.variableNames(),
    write: (name, value) => session.write(name, value),
    read: (name) => session.read(name),
    checkReplicas: () => session.checkReplicas(),
    bytes: 0,
    dispose: () => session.dispose(),
    compile: async (graph) => {
      const program = await session.compile(graph);
      return {
        arenaBytes: 0,
        dispose: () => program.dispose(),
        write: (name, data) => program.write(name, data),
        run: () => program.run(),
        // The first layer's output, as if its multiplier removed nothing of it.
        read: async (name) => {
          const data = await program.read(name);
          return name === '0.6' ? data.map((value) => value * 1.01) : data;
        },
      };
    },
  };
  const proving = proveActive(wrong, task, arithmetic, digits.test);
  await expect(proving).rejects.toThrow(UserError);
  await expect(proving).rejects.toThrow(/layer conv1: output \d+ is .+, but its multiplier's table gives/);
});
