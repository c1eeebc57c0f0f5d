// What each phase does, as facts on a recording device: the checkpoint it starts from, its rates, decays and schedule,
// λ and the shares of power, and the order and augmentation of its images. Every setting has a value of its own here,
// so that one taken for another shows.

import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { trainingBatches } from '../../src/data/batches.ts';
import type { Dataset } from '../../src/data/dataset.ts';
import { picksOf as selectionPicks } from '../../src/data/image-split.ts';
import { openDataset } from '../../src/data/registry.ts';
import type { Graph } from '../../src/engine/graph/graph.ts';
import { packGraph, unpackGraph } from '../../src/engine/replicas/portable.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { runFlow } from '../../src/flow/flow.ts';
import type { MetricRecord } from '../../src/flow/run/events.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { type ConfigurationInput, mergeSettings } from '../../src/flow/settings/config.ts';
import type { TrainingPhase } from '../../src/flow/settings/phases.ts';
import { publishedTraining } from '../../src/flow/settings/training.ts';
import { columnCosts } from '../../src/multiplier/power.ts';
import { readSafetensors } from '../../src/tensor/safetensors.ts';
import {
  graphText,
  hashOf,
  isTrial,
  type RecordedProgram,
  type RecordedSession,
  recording,
  trainingPrograms,
} from './recording.ts';

const sessions: RecordedSession[] = [];
vi.mock('../../src/flow/run/device.ts', async (load) => ({
  ...(await load<typeof import('../../src/flow/run/device.ts')>()),
  openBackend: async () => {
    const made = recording(wasmBackend({ threads: 1 }));
    sessions.length = 0;
    // One list for all runs of this file: the latest run's.
    const { openSession } = made.backend;
    return Object.assign(made.backend, {
      openSession: async () => {
        const session = await openSession();
        sessions.push(made.sessions.at(-1)!);
        return session;
      },
    });
  },
}));
// The digits are not augmented; what is to be seen here needs shifts and mirrored images.
vi.mock('../../src/data/registry.ts', async (load) => {
  const original = await load<typeof import('../../src/data/registry.ts')>();
  const { memorySplit } = await import('../../src/data/image-split.ts');
  const few = ({ images, labels }: Dataset['train'], count: number) =>
    memorySplit(
      { count, images: images!.subarray(0, 64 * count), labels: labels.subarray(0, count) },
      { height: 8, width: 8, channels: 1 },
    );
  return {
    ...original,
    openDataset: async (...request: Parameters<typeof original.openDataset>) => {
      const whole = await original.openDataset(...request);
      return { ...whole, train: few(whole.train, 50), test: few(whole.test, 20), augment: { pad: 2, flip: true } };
    },
  };
});

const parent = mkdtempSync(join(tmpdir(), 'tram-golden-'));
afterAll(() => rmSync(parent, { recursive: true }));
const folder = join(parent, 'run');

const settings: ConfigurationInput = mergeSettings(publishedTraining, {
  seed: 7,
  approximate: ['all'],
  exactLayers: ['conv1'],
  train: { epochs: 3, batchSize: 20, learningRate: 0.011, momentum: 0.71, weightDecay: 0.0011, schedule: 'cosine' },
  quantize: { epochs: 2, batchSize: 22, learningRate: 0.0012, momentum: 0.72, weightDecay: 0.0012, schedule: 'cosine' },
  explore: {
    ...{ epochs: 2, batchSize: 24, learningRate: 0.0013, momentum: 0.73, weightDecay: 0.0013, schedule: 'cosine' },
    ...{ thetaLearningRate: 0.25, thetaWeightDecay: 0.0025, lambda: 0.45, structure: 'per-layer' },
    ...{ columns: 5, initiallyRemoved: 2 },
  },
  recover: {
    epochs: 2,
    batchSize: 26,
    learningRate: 0.0014,
    momentum: 0.74,
    weightDecay: 0.0014,
    schedule: 'constant',
  },
});
const order: readonly TrainingPhase[] = ['train', 'quantize', 'explore', 'recover'];
const steps = { train: 3, quantize: 3, explore: 3, recover: 2 };

/** resnet8 on 8×8 images: MACs by hand, without conv1, which keeps its exact multiplier. */
const macs: Readonly<Record<string, number>> = {
  'layer1.0.conv1': 64 * 9 * 16 * 16,
  'layer1.0.conv2': 64 * 9 * 16 * 16,
  'layer2.0.conv1': 16 * 9 * 16 * 32,
  'layer2.0.conv2': 16 * 9 * 32 * 32,
  'layer2.0.downsample.0': 16 * 16 * 32,
  'layer3.0.conv1': 4 * 9 * 32 * 64,
  'layer3.0.conv2': 4 * 9 * 64 * 64,
  'layer3.0.downsample.0': 4 * 32 * 64,
  fc: 64 * 10,
};
const total = Object.values(macs).reduce((sum, count) => sum + count);
const costs = columnCosts(8, 8);
const cost = costs.reduce((sum, value) => sum + value);

/** The session in which a phase trained, and its training steps in their order. */
const trainedIn = new Map<TrainingPhase, { session: RecordedSession; steps: RecordedProgram['runs'] }>();
let starts: RecordedSession[];
let dataset: Dataset;

beforeAll(async () => {
  dataset = await openDataset('digits');
  await runFlow({ folder, settings });
  starts = sessions.filter((session) => !isTrial(session));
  const training = starts.filter((session) => trainingPrograms(session).length > 0);
  expect(training).toHaveLength(4);
  order.forEach((phase, k) => {
    const session = training[k]!;
    // A program per batch size; together they are the epochs' steps, the short batch last in each.
    const [full, short] = trainingPrograms(session).toSorted((a, b) => b.runs.length - a.runs.length);
    const perEpoch = steps[phase] - (short ? 1 : 0);
    const epochs = settings[phase]!.epochs!;
    const runs = Array.from({ length: epochs }, (_, epoch) => [
      ...full!.runs.slice(epoch * perEpoch, (epoch + 1) * perEpoch),
      ...(short ? [short.runs[epoch]!] : []),
    ]).flat();
    trainedIn.set(phase, { session, steps: runs });
  });
});

/** A parameter without a layout of its own, so that checkpoint and session hold the same numbers. */
const probe = 'bn1.weight';
const inCheckpoint = (name: string) =>
  Array.from(readSafetensors(join(folder, 'checkpoints', `${name}.safetensors`)).tensors.get(probe)!.data);
const startOf = (session: RecordedSession) => Array.from(session.start.get(probe)!.data);

describe('what a phase starts from', () => {
  test('the four checkpoints can be told apart', () => {
    const texts = ['float', 'quantized', 'explored', 'recovered'].map((name) => String(inCheckpoint(name)));
    expect(new Set(texts).size).toBe(4);
  });

  test('training starts from ones in batch norm', () => {
    expect(new Set(startOf(trainedIn.get('train')!.session))).toEqual(new Set([1]));
  });

  test.each([
    ['quantize', 'float'],
    ['explore', 'quantized'],
    ['recover', 'explored'],
  ] as const)('%s starts from the %s checkpoint', (phase, name) => {
    expect(startOf(trainedIn.get(phase)!.session)).toEqual(inCheckpoint(name));
  });

  test('mapping measures the explored network', () => {
    const [explored, recovering] = ['explore', 'recover'].map((phase) =>
      starts.indexOf(trainedIn.get(phase as TrainingPhase)!.session),
    );
    const between = starts.slice(explored! + 1, recovering!);
    expect(between.length).toBeGreaterThan(0);
    for (const session of between) expect(startOf(session)).toEqual(inCheckpoint('explored'));
  });

  test('θ starts at 1 for the columns removed at first and at 0 for the others', () => {
    const { start } = trainedIn.get('explore')!.session;
    const thetas = [...start].filter(([name]) => name.endsWith('.theta'));
    expect(thetas).toHaveLength(9);
    for (const [, { data }] of thetas) expect(Array.from(data)).toEqual([1, 1, 0, 0, 0]);
  });

  test('recovery of an imported multiplier starts from the quantised checkpoint', async () => {
    const copy = join(parent, 'imported');
    cpSync(folder, copy, { recursive: true });
    await runFlow({ folder: copy, settings: { map: { multiplier: 'truncated:8x8:columns=4' } }, redo: true });
    for (const session of sessions) expect(startOf(session)).toEqual(inCheckpoint('quantized'));
  });
});

describe('how a phase trains', () => {
  const sgdOf = (phase: TrainingPhase) =>
    trainingPrograms(trainedIn.get(phase)!.session)[0]!.graph.nodes.flatMap((node) =>
      node.op === 'sgd' ? [{ attributes: node.attributes, inputs: node.inputs.map(({ source }) => source) }] : [],
    ) as {
      attributes: { momentum: number; weightDecay: number };
      inputs: { kind: string; name: string }[];
    }[];

  test.each(order)('%s: every weight by its momentum, decay and rate', (phase) => {
    const { momentum, weightDecay } = settings[phase]!;
    const weights = sgdOf(phase).filter(({ inputs }) => !inputs[0]!.name.endsWith('.theta'));
    expect(weights.length).toBeGreaterThan(20);
    for (const { attributes, inputs } of weights) {
      expect(attributes, inputs[0]!.name).toEqual({ momentum, weightDecay });
      expect(inputs[3]).toMatchObject({ kind: 'input', name: 'learningRate' });
    }
  });

  test.each(order)('%s: a step whose graph has travelled to another process has the same bits', async (phase) => {
    const { session, steps } = trainedIn.get(phase)!;
    const [program] = trainingPrograms(session);
    const stepped = async (graph: Graph) => {
      const device = await wasmBackend({ threads: 1 }).openSession();
      for (const [name, tensor] of session.start) device.write(name, tensor);
      const compiled = await device.compile(graph);
      for (const [name, data] of steps[0]!.inputs) compiled.write(name, data);
      await compiled.run();
      const variables = await Promise.all(
        device.variableNames().map(async (name) => hashOf((await device.read(name)).data)),
      );
      await device.dispose();
      return variables;
    };
    const { text, constants } = packGraph(program!.graph);
    const again = unpackGraph({ text, constants });
    expect(graphText(again)).toBe(graphText(program!.graph));
    const variables = await stepped(program!.graph);
    expect(variables.length).toBeGreaterThan(40);
    expect(await stepped(again)).toEqual(variables);
  });

  test('the clip factors learn wherever quantisers train, and nothing learns twice', () => {
    for (const phase of order) {
      const names = sgdOf(phase).map(({ inputs }) => inputs[0]!.name);
      expect(new Set(names).size).toBe(names.length);
      expect(names.filter((name) => /clip_(upper|lower)$/.test(name)).length).toBe(phase === 'train' ? 0 : 40);
      expect(names.filter((name) => name.endsWith('.theta')).length).toBe(phase === 'explore' ? 9 : 0);
      expect(names).toContain('fc.bias');
    }
  });

  test('θ learns by a rate and a decay of its own', () => {
    const thetas = sgdOf('explore').filter(({ inputs }) => inputs[0]!.name.endsWith('.theta'));
    for (const { attributes, inputs } of thetas) {
      expect(attributes).toEqual({ momentum: 0.73, weightDecay: 0.0025 });
      expect(inputs[3]).toMatchObject({ kind: 'input', name: 'thetaLearningRate' });
    }
  });

  // Cosine over n epochs: rate · (1 + cos(π e / n)) / 2.
  const expected: Record<TrainingPhase, readonly number[]> = {
    train: [0.011, 0.011 * 0.75, 0.011 * 0.25],
    quantize: [0.0012, 0.0006],
    explore: [0.0013, 0.00065],
    recover: [0.0014, 0.0014],
  };
  test.each(order)('%s: the rates of its epochs', (phase) => {
    const rates = trainedIn.get(phase)!.steps.map(({ inputs }) => inputs.get('learningRate')![0]!);
    const wanted = expected[phase].flatMap((rate) => new Array(steps[phase]).fill(rate));
    expect(rates).toHaveLength(wanted.length);
    for (const [k, rate] of rates.entries()) expect(rate).toBeCloseTo(wanted[k]!, 9);
  });

  test('the rates of θ follow the same schedule', () => {
    const rates = trainedIn.get('explore')!.steps.map(({ inputs }) => inputs.get('thetaLearningRate')![0]);
    expect(rates).toEqual([0.25, 0.25, 0.25, 0.125, 0.125, 0.125].map(Math.fround));
  });

  test('the loss is cross-entropy + λ · power, each layer weighted by its multiplications', () => {
    const { graph } = trainingPrograms(trainedIn.get('explore')!.session)[0]!;
    const loss = graph.outputs.get('objective')!.source;
    if (loss.kind !== 'node') throw new Error('the loss is no operation');
    expect(loss.node.op).toBe('add');
    expect(loss.node.attributes).toEqual({ alpha: 1, beta: 0.45 });
    expect(loss.node.inputs).toEqual([graph.outputs.get('loss'), graph.outputs.get('power')]);
    const shares = new Map(
      graph.nodes.flatMap((node): [string, number[]][] => {
        if (node.op !== 'dot') return [];
        const [clamped, constant] = node.inputs;
        if (clamped!.source.kind !== 'node' || constant!.source.kind !== 'constant') return [];
        const [theta] = clamped!.source.node.inputs;
        return theta!.source.kind === 'variable'
          ? [[theta!.source.name, Array.from(constant!.source.tensor.data)]]
          : [];
      }),
    );
    expect(shares.size).toBe(9);
    for (const [layer, count] of Object.entries(macs)) {
      const found = shares.get(`${layer}.theta`)!;
      expect(found, layer).toHaveLength(5);
      for (const [c, share] of found.entries()) {
        expect(share, layer).toBeCloseTo(((count / total) * costs[c]!) / cost, 7);
      }
    }
  });

  test('the power and the gate cost that are told are means over the multiplications', () => {
    const { phases } = readManifest(folder);
    const stages = Object.values(phases).flatMap((record) => record!.stages);
    const at = (stage: string) => stages.find((result) => result.stage === stage)!;
    expect(at('quantized').power).toBe(1);
    expect(at('approximated').power).toBeCloseTo(1 - (costs[0]! + costs[1]!) / cost, 6);
    const { structures } = JSON.parse(readFileSync(join(folder, 'theta.json'), 'utf8')) as {
      structures: { layers: [string]; theta: number[] }[];
    };
    const saved = structures.map(
      ({ layers: [layer], theta }) =>
        (macs[layer]! / total) * theta.reduce((sum, value, c) => sum + (value * costs[c]!) / cost, 0),
    );
    expect(saved).toHaveLength(9);
    expect(at('explored').power).toBeCloseTo(1 - saved.reduce((sum, share) => sum + share), 6);
    const mapped = phases.map!.multipliers!.map(({ layers: [layer], gateCost }) => (macs[layer!]! / total) * gateCost!);
    expect(at('mapped').gateCost).toBeCloseTo(
      mapped.reduce((sum, share) => sum + share),
      9,
    );
    expect(at('recovered').gateCost).toBe(at('mapped').gateCost);
  });

  test('an exact layer multiplies exactly in every phase, the others approximately from exploration on', () => {
    const kinds = (phase: TrainingPhase) => {
      const { graph } = trainingPrograms(trainedIn.get(phase)!.session)[0]!;
      return graph.nodes.flatMap(({ op, attributes }) =>
        op === 'axmConv2d' ? [(attributes as { error: { kind: string } }).error.kind] : [],
      );
    };
    expect(kinds('train')).toEqual([]);
    expect(kinds('quantize')).toEqual(new Array(10).fill('none'));
    expect(kinds('explore')).toEqual(['none', ...new Array(9).fill('removal')]);
    expect(kinds('recover')[0]).toBe('none');
    expect(kinds('recover').slice(1)).not.toContain('none');
  });
});

describe('which images a phase sees', () => {
  const picksOf = (phase: TrainingPhase) =>
    trainedIn.get(phase)!.steps.map(({ inputs }) => Array.from(inputs.get('picks')!));
  /** Number of a phase's first epoch in the run: the epochs of the phases before it. */
  const first = { train: 0, quantize: 3, explore: 5, recover: 7 };

  test.each(order)('%s: the batches of its epochs, counted through the run', (phase) => {
    const { epochs, batchSize } = settings[phase]!;
    const wanted = Array.from(
      { length: epochs! },
      (_, epoch) =>
        [...trainingBatches(dataset, { seed: 7, epoch: first[phase] + epoch, batchSize: batchSize!, dropLast: false })]
          .length,
    );
    expect(wanted).toEqual(new Array(epochs).fill(steps[phase]));
    const batches = Array.from({ length: epochs! }, (_, epoch) => epoch).flatMap((epoch) => {
      const options = { seed: 7, epoch: first[phase] + epoch, batchSize: batchSize!, dropLast: false };
      const all: number[][] = [];
      for (const selection of trainingBatches(dataset, options)) {
        all.push(Array.from(selectionPicks(selection, selection.numbers.length)));
      }
      return all;
    });
    expect(picksOf(phase)).toEqual(batches);
  });

  test('every epoch shows each training image once, in an order and an augmentation of its own', () => {
    const orders = new Set<string>();
    const moves = new Set<string>();
    let shown = 0;
    for (const phase of order) {
      const picks = picksOf(phase);
      for (let epoch = 0; epoch < settings[phase]!.epochs!; epoch++) {
        const batches = picks.slice(epoch * steps[phase], (epoch + 1) * steps[phase]);
        const images = batches.flatMap((batch) => batch.filter((_, k) => k % 4 === 0));
        expect(images.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, k) => k));
        orders.add(String(images));
        for (const batch of batches) {
          const shifts = batch.filter((_, k) => k % 4 !== 0).slice(0, 30);
          if (shifts.length < 30) continue;
          moves.add(String(shifts));
          shown++;
        }
      }
    }
    expect(orders.size).toBe(9);
    expect(moves.size).toBe(shown);
    expect(shown).toBeGreaterThan(18);
  });

  test('shifts stay within the padding, take every value, and half of the images are mirrored', () => {
    const all = order.flatMap((phase) => picksOf(phase).flat());
    const column = (at: number) => all.filter((_, k) => k % 4 === at);
    for (const at of [1, 2]) expect([...new Set(column(at))].toSorted((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2]);
    const mirrored = column(3).reduce((sum, value) => sum + value, 0) / column(3).length;
    expect(Math.abs(mirrored - 0.5)).toBeLessThan(0.1);
  });

  test('training, calibration and the count of operands read training images, an evaluation the test images', () => {
    const seen = { trained: 0, calibrated: 0, counted: 0, evaluated: 0 };
    for (const { graph } of starts.flatMap(({ programs }) => programs)) {
      const gather = graph.nodes.find(({ op }) => op === 'gatherImages');
      if (!gather) continue;
      const has = (operation: string) => graph.nodes.some(({ op }) => op === operation);
      const what = has('sgd')
        ? 'trained'
        : has('clipSearch')
          ? 'calibrated'
          : graph.outputs.has('0.0')
            ? 'counted'
            : 'evaluated';
      seen[what]++;
      expect(gather.inputs[0]!.shape[0], what).toBe(what === 'evaluated' ? 20 : 50);
      // Calibration normalises by the batch, as training does.
      expect(has('batchNormInference'), what).toBe(what === 'evaluated' || what === 'counted');
    }
    // A short batch has a program of its own; every phase evaluates its epochs and its end.
    expect(seen).toMatchObject({ trained: 8, calibrated: 1, counted: 1 });
    expect(seen.evaluated).toBeGreaterThan(5);
  });

  test('calibration and evaluation are not augmented', () => {
    for (const { programs } of starts) {
      for (const program of programs) {
        if (program.graph.nodes.some(({ op }) => op === 'sgd')) continue;
        for (const { inputs } of program.runs) {
          const picks = inputs.get('picks');
          if (picks) expect(Array.from(picks).every((value, k) => k % 4 === 0 || value === 0)).toBe(true);
        }
      }
    }
  });
});

test('the metrics hold every epoch of every phase once, with the rate it was trained at', () => {
  const lines = readFileSync(join(folder, 'metrics.jsonl'), 'utf8').trim().split('\n');
  const records = lines.map((line) => JSON.parse(line) as MetricRecord);
  expect(records.map(({ phase, epoch }) => `${phase} ${epoch}`)).toEqual(
    order.flatMap((phase) => Array.from({ length: settings[phase]!.epochs! }, (_, k) => `${phase} ${k + 1}`)),
  );
  expect(records.map(({ learningRate }) => Number(learningRate.toFixed(9)))).toEqual([
    ...[0.011, 0.00825, 0.00275, 0.0012, 0.0006, 0.0013, 0.00065, 0.0014, 0.0014],
  ]);
});
