// Many multipliers in the network of one run: what each treatment does is held against sums made by hand, the run stays
// as it was, and what is finished is never done again.

import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isAugmented } from '../../src/data/augment.ts';
import { trainingBatches } from '../../src/data/batches.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { runFlow } from '../../src/flow/flow.ts';
import { quantizedArithmetic } from '../../src/flow/multipliers/multipliers.ts';
import { visitLayers } from '../../src/flow/multipliers/operands.ts';
import { narrowerWidths, widthName } from '../../src/flow/multipliers/widths.ts';
import type { RunSummary } from '../../src/flow/results/summary.ts';
import { tryFolder } from '../../src/flow/results/tried.ts';
import { loadModel } from '../../src/flow/run/checkpoint.ts';
import { foldMeanErrors, meanErrors, measureLayers } from '../../src/flow/start/mean-error.ts';
import { reestimateStatistics } from '../../src/flow/start/statistics.ts';
import type { TryEvent } from '../../src/flow/try/events.ts';
import { expandNames } from '../../src/flow/try/names.ts';
import { lastResult, tryCsv } from '../../src/flow/try/report.ts';
import { measureRun, openTriedRun, type RunOperands, Trial, type TriedRun } from '../../src/flow/try/trial.ts';
import { betterOf, tryMultipliers } from '../../src/flow/try/try.ts';
import { errorMetrics } from '../../src/multiplier/metrics.ts';
import { concreteMultiplier, exactMultiplier, multiplierError } from '../../src/multiplier/multiplier.ts';
import { exactTable, exchangeOperands, type ProductTable } from '../../src/multiplier/table.ts';
import { writeNpy } from '../../src/netlist/formats/npy.ts';
import { generateFromSpec } from '../../src/netlist/generators/registry.ts';
import { simulate } from '../../src/netlist/simulate.ts';
import { f32, type TensorData, tensor } from '../../src/tensor/tensor.ts';
import { evaluator } from '../../src/train/evaluation.ts';
import { feedOf, writeBatch } from '../../src/train/feed.ts';
import { buildNetwork } from '../../src/train/task.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-try-'));
afterAll(() => rmSync(parent, { recursive: true }));
const folder = join(parent, 'run');
const device = { threads: 1 } as const;
const eight = { weights: 8, activations: 8 };
const four = { weights: 4, activations: 4 };
let summary: RunSummary;

beforeAll(async () => {
  const settings = { train: { epochs: 5 }, quantize: { images: 100 }, recover: { learningRate: 0.01 } };
  summary = await runFlow({ folder, settings, phases: ['train', 'quantize'], device });
});

/**
 * Too small by a quarter of the second operand where the first is odd: biased, and not the same with its operands
 * exchanged.
 */
function biased(): ProductTable {
  const table = exactTable(8, 8);
  const data = table.data.map((product, pair) => Math.max(0, product - ((pair >> 8) & 1) * ((pair & 255) >> 2)));
  return { ...table, data };
}

function save(name: string, content: string | Uint8Array): string {
  const path = join(parent, name);
  writeFileSync(path, content);
  return path;
}

/** Every file below, with its bytes and its time of change. */
function stateOf(path: string): Record<string, string> {
  const names = (readdirSync(path, { recursive: true }) as string[]).filter((name) =>
    statSync(join(path, name)).isFile(),
  );
  return Object.fromEntries(
    names.map((name) => {
      const hash = createHash('sha256')
        .update(readFileSync(join(path, name)))
        .digest('hex');
      return [name, `${hash} ${statSync(join(path, name)).mtimeMs}`];
    }),
  );
}

describe('the mean error of a layer', () => {
  let run: TriedRun;
  let operands: RunOperands;
  const table = biased();
  const error = table.data.map((product, pair) => product - exactTable(8, 8).data[pair]!);

  beforeAll(async () => {
    run = await openTriedRun(folder, { device });
    operands = await measureRun(run);
  });

  async function quantized() {
    const session = await run.backend.openSession();
    loadModel(run.quantized, 'quantized', session, run.layers);
    return session;
  }
  const exactly = () => quantizedArithmetic(run, exactMultiplier);

  test('is the difference that the table makes to the layer, averaged over the images, in each channel of each layer', async () => {
    const session = await quantized();
    const sums = new Map<string, { sum: Float64Array; positions: number }>();
    const images = run.configuration.quantize.images;
    await visitLayers(
      session,
      run.task,
      exactly(),
      run.dataset.train,
      images,
      async ({ layer, node, images: valid, read }) => {
        const inputs: TensorData[] = [];
        for (let k = 0; k < 6; k++) inputs.push((await read(k)).slice());
        const [of, plain] = await Promise.all([
          outputOf(inputs, node, error),
          outputOf(
            inputs,
            node,
            error.map(() => 0),
          ),
        ]);
        const [, height, width, channels] = node.outputs[0]!.shape as [number, number, number, number];
        const found = sums.get(layer) ?? { sum: new Float64Array(channels), positions: 0 };
        for (let at = 0; at < valid * height * width * channels; at++)
          found.sum[at % channels]! += of[at]! - plain[at]!;
        found.positions += valid * height * width;
        sums.set(layer, found);
      },
    );
    await session.dispose();
    expect(operands.layers).toHaveLength(run.layers.length);
    for (const layer of operands.layers) {
      const { sum, positions } = sums.get(layer.layer)!;
      expect(layer.positions).toBe(positions);
      const means = meanErrors(layer, error);
      const scale = Math.max(...means.map(Math.abs));
      expect(scale).toBeGreaterThan(0);
      means.forEach((mean, o) => {
        expect(Math.abs(mean - sum[o]! / positions) / scale, `${layer.layer} ${o}`).toBeLessThan(1e-4);
      });
    }
  });

  async function outputOf(
    inputs: readonly TensorData[],
    node: Parameters<Parameters<typeof visitLayers>[5]>[0]['node'],
    errors: Int32Array,
  ): Promise<TensorData> {
    const graph = new Graph();
    const values = node.inputs
      .slice(0, 6)
      .map(({ dtype, shape }, k) =>
        graph.constant(
          dtype === 'u8' ? tensor('u8', shape, inputs[k] as Uint8Array) : f32(shape, inputs[k] as Float32Array),
        ),
      );
    const all = [...values, graph.constant(tensor('i32', [256, 256], errors))];
    graph.output('y', graph.apply1('axmConv2d', all, { ...node.attributes, error: { kind: 'table' } }));
    const session = await run.backend.openSession();
    const program = await session.compile(graph);
    await program.run();
    const found = (await program.read('y')).slice();
    await session.dispose();
    return found;
  }

  test('goes into the mean that batch norm subtracts, or out of the bias, and changes nothing else', async () => {
    const session = await quantized();
    const before = new Map<string, Float32Array>();
    for (const name of session.variableNames()) before.set(name, Float32Array.from((await session.read(name)).data));
    const left = await foldMeanErrors(session, operands.layers, (layer) =>
      layer === 'layer1.0.conv1' ? undefined : error,
    );
    expect(left).toEqual([]);
    const changed: string[] = [];
    for (const [name, values] of before) {
      const now = (await session.read(name)).data;
      if (values.some((value, at) => value !== now[at])) changed.push(name);
    }
    expect(changed).toHaveLength(run.layers.length - 1);
    expect(changed).toContain('bn1.running_mean');
    expect(changed).toContain('fc.bias');
    expect(changed).not.toContain('layer1.0.bn1.running_mean');
    const layerOf = (name: string) => operands.layers.find(({ layer }) => layer === name)!;
    const bias = (await session.read('fc.bias')).data;
    const means = { fc: meanErrors(layerOf('fc'), error), conv1: meanErrors(layerOf('conv1'), error) };
    bias.forEach((value, o) => void expect(value).toBeCloseTo(before.get('fc.bias')![o]! - means.fc[o]!, 5));
    const mean = (await session.read('bn1.running_mean')).data;
    mean.forEach(
      (value, o) => void expect(value).toBeCloseTo(before.get('bn1.running_mean')![o]! + means.conv1[o]!, 5),
    );
    await session.dispose();
  });

  test('is 0 of a multiplier without an error, so that folding leaves the network as it was', async () => {
    const session = await quantized();
    const layers = await measureLayers(session, run.task, exactly(), run.dataset.train, 10);
    await foldMeanErrors(session, layers, () => new Float64Array(65536));
    const { data } = await session.read('bn1.running_mean');
    const fresh = await quantized();
    expect(data).toEqual((await fresh.read('bn1.running_mean')).data);
    await session.dispose();
    await fresh.dispose();
  });

  test('estimating anew gives the pooled mean and variance of the first layer, whatever was stored before', async () => {
    const results = [];
    for (const stored of [0, 1000]) {
      const session = await quantized();
      const { shape } = await session.read('bn1.running_mean');
      session.write('bn1.running_mean', f32(shape, new Float32Array(shape[0]!).fill(stored)));
      const weights = Float32Array.from((await session.read('conv1.weight')).data);
      await reestimateStatistics(session, run.task, exactly(), run.dataset, { images: 256, seed: 1 });
      expect((await session.read('conv1.weight')).data).toEqual(weights);
      results.push([
        Array.from((await session.read('bn1.running_mean')).data),
        Array.from((await session.read('bn1.running_var')).data),
      ]);
      await session.dispose();
    }
    expect(results[1]).toEqual(results[0]);
    const [mean, variance] = await firstLayerStatistics(256);
    results[0]![0]!.forEach((value, c) => void expect(value).toBeCloseTo(mean![c]!, 4));
    results[0]![1]!.forEach((value, c) => void expect(value / variance![c]!).toBeCloseTo(1, 4));
  });

  /**
   * Mean and unbiased variance of the first layer's output in each channel, over the images that are taken in the order
   * of the seed.
   */
  async function firstLayerStatistics(images: number): Promise<[number[], number[]]> {
    const session = await quantized();
    const feed = feedOf(session, run.task, run.dataset.train);
    const { graph } = buildNetwork(run.task, exactly(), 'evaluate', 128, feed);
    graph.output('y', graph.nodes.find(({ op }) => op === 'axmConv2d')!.outputs[0]!);
    const program = await session.compile(graph);
    const batches = trainingBatches(run.dataset, {
      seed: 1,
      epoch: 0,
      batchSize: 128,
      augment: { pad: 0, flip: false },
    });
    const values: number[][] = Array.from({ length: 16 }, () => []);
    for (let done = 0; done < images; done += 128) {
      writeBatch(program, await feed.read(batches.next().value!, 128));
      await program.run();
      (await program.read('y')).forEach((value, at) => void values[at % 16]!.push(value));
    }
    await session.dispose();
    const means = values.map((all) => all.reduce((sum, value) => sum + value, 0) / all.length);
    const variances = values.map(
      (all, c) => all.reduce((sum, value) => sum + (value - means[c]!) ** 2, 0) / (all.length - 1),
    );
    return [means, variances];
  }
});

describe('trying', () => {
  const out = join(parent, 'out');
  const table = biased();
  let npy: string;
  let before: Record<string, string>;
  const events: TryEvent[] = [];
  const widths = [{ weights: 4, activations: 4 }];

  const attempt = (multipliers: readonly string[], more: Partial<Parameters<typeof tryMultipliers>[0]> = {}) =>
    tryMultipliers({
      run: folder,
      multipliers,
      out,
      exact: widths,
      device,
      listener: (event) => events.push(event),
      ...more,
    });

  beforeAll(() => {
    npy = save('biased.npy', writeNpy(table));
    before = stateOf(folder);
  });

  test('measures each as it is and after each treatment, and leaves the run as it was', async () => {
    const bad = save('bad.blif', '.model x\n');
    const report = await attempt([npy, bad, 'dadda:8x8', 'truncated:8x8:columns=6', 'drum:4x4'], { recover: 1 });
    expect(stateOf(folder)).toEqual(before);
    const quantized = summary.stages.find(({ stage }) => stage === 'quantized')!;
    const named = (name: string) => report.multipliers.find((one) => one.name === name)!;

    // An exact multiplier is the quantised network to the last digit, whatever it is made of.
    for (const name of ['exact 8×8', 'dadda:8x8']) {
      expect(named(name).results.plain).toEqual({ accuracy: quantized.accuracy, loss: quantized.loss });
      expect(named(name).results.folded).toEqual(named(name).results.plain);
    }
    expect(named('exact 8×8').gateCost).toBe(1);
    expect(named('dadda:8x8').gateCost).toBeGreaterThan(1);

    const four = named('exact 4×4');
    expect(four.gateCost).toBeLessThan(0.3);
    expect(four.results.plain).not.toEqual(named('exact 8×8').results.plain);
    expect(four.measured).toBeNull();

    // Both orders of an asymmetric table, with the errors that each meets; one is the better, and only that is
    // retrained.
    const [first, second] = ['weight-activation', 'activation-weight'].map((order) => named(`biased.npy (${order})`));
    expect(first!.uniform).toMatchObject({ meanError: errorMetrics(table).meanError });
    expect(second!.uniform.meanErrorDistance).toBeCloseTo(errorMetrics(exchangeOperands(table)).meanErrorDistance, 9);
    expect(first!.measured!.meanErrorDistance).not.toBe(second!.measured!.meanErrorDistance);
    expect([first!.better, second!.better].filter(Boolean)).toHaveLength(1);
    const [better, worse] = first!.better ? [first!, second!] : [second!, first!];
    expect(better.results.reestimated.accuracy).toBeGreaterThanOrEqual(worse.results.reestimated.accuracy);
    expect(better.results.recovered).toBeDefined();
    expect(worse.results.recovered).toBeUndefined();
    expect(first!.gateCost).toBeNull();
    for (const row of [first!, second!, named('truncated:8x8:columns=6')]) {
      expect(row.results.folded.loss).toBeLessThan(row.results.plain.loss);
    }

    expect(report.failed.map(({ source }) => source)).toEqual([bad, 'drum:4x4']);
    expect(report.failed[1]!.reason).toMatch(/multiplies 4×4 bits, .* 8×8/);
    expect(report.complete).toBe(true);
    expect(JSON.parse(readFileSync(join(out, 'try.json'), 'utf8'))).toEqual(JSON.parse(JSON.stringify(report)));
    expect(readFileSync(join(out, 'try.csv'), 'utf8')).toBe(tryCsv(report));
    const svg = readFileSync(join(out, 'try.svg'), 'utf8');
    for (const label of ['8×8', '4×4', 'dadda', 'truncated columns=6']) expect(svg).toContain(`>${label}</text>`);
    expect(svg).not.toContain('>biased</text>');
  });

  test('does nothing twice, and draws the same from what it kept', async () => {
    const report = JSON.parse(readFileSync(join(out, 'try.json'), 'utf8'));
    const kept = stateOf(join(out, 'results'));
    events.length = 0;
    const names = [npy, 'dadda:8x8', 'truncated:8x8:columns=6'];
    const again = await attempt(names, { recover: 1 });
    expect(events.filter(({ kind }) => kind === 'measured' || kind === 'epoch')).toEqual([]);
    expect(JSON.parse(JSON.stringify(again.multipliers))).toEqual(report.multipliers);
    expect(stateOf(join(out, 'results'))).toEqual(kept);
    // Other settings of the retraining are another measurement.
    await attempt(['dadda:8x8'], { recover: 2, exact: [] });
    expect(events.filter(({ kind }) => kind === 'epoch')).toHaveLength(4);
  });

  test('takes exact multipliers of widths as a run does, beside those that are set there anyway and each once', async () => {
    events.length = 0;
    const names = ['exact:4x5', 'exact:4', 'exact', 'exact:4x9'];
    const { multipliers, failed } = await attempt(names, { out: join(parent, 'widths'), exact: [eight, four] });
    expect(multipliers.map(({ name, group }) => `${group}: ${name}`)).toEqual([
      'exact: exact 8×8',
      'exact: exact 4×5',
      'exact: exact 4×4',
    ]);
    expect(failed).toEqual([
      {
        source: 'exact:4x9',
        reason: "MULTIPLIERS: expected exact, or exact:WxA with widths from 2 to 8, got 'exact:4x9'",
      },
    ]);
    expect(events.flatMap((event) => (event.kind === 'begin' ? [`${event.at}/${event.of}`] : []))).toEqual([
      '1/3',
      '2/3',
      '3/3',
    ]);
  });

  test('stopped at any multiplier it goes on behind the last one that was finished', async () => {
    const place = join(parent, 'stopped');
    const names = ['truncated:8x8:columns=5', 'drum:8x8:bits=4', 'mitchell:8x8'];
    const options = { out: place, exact: [] };
    const whole = await attempt(names, { ...options, out: join(parent, 'whole') });
    for (const [at, name] of ['exact 8×8', ...names].entries()) {
      const controller = new AbortController();
      const listener = (event: TryEvent) => {
        events.push(event);
        if (event.kind === 'measured' && event.name === name && event.treatment === 'folded') controller.abort();
      };
      await expect(attempt(names, { ...options, signal: controller.signal, listener })).rejects.toThrow(/abort/i);
      expect(readdirSync(join(place, 'results'))).toHaveLength(at);
    }
    events.length = 0;
    const end = await attempt(names, options);
    expect(events.filter(({ kind }) => kind === 'kept')).toHaveLength(3);
    expect(end.multipliers).toEqual(whole.multipliers);
  });

  test('a kept measurement that was changed is made anew', async () => {
    const results = join(out, 'results');
    for (const name of readdirSync(results)) writeFileSync(join(results, name), '{"kind":"untrained"}');
    events.length = 0;
    await attempt(['dadda:8x8'], { exact: [] });
    expect(events.filter(({ kind }) => kind === 'kept')).toEqual([]);
    expect(events.filter(({ kind }) => kind === 'measured')).toHaveLength(6);
  });

  test('another quantised network is measured by itself', async () => {
    const other = join(parent, 'other');
    cpSync(folder, other, { recursive: true });
    await runFlow({ folder: other, settings: { quantize: { images: 50 } }, phases: ['quantize'], redo: true, device });
    events.length = 0;
    await attempt(['dadda:8x8'], { run: other, exact: [] });
    expect(events.some(({ kind }) => kind === 'kept')).toBe(false);
  });

  test('the same quantised network with other exact layers, or treated by other images, is measured by itself', async () => {
    for (const [at, settings] of [{ exactLayers: ['fc'] }, { quantize: { images: 90 } }].entries()) {
      const other = join(parent, `settings-${at}`);
      cpSync(folder, other, { recursive: true });
      await runFlow({ folder: other, settings, phases: ['quantize'], redo: true, device });
      events.length = 0;
      await attempt(['dadda:8x8'], { run: other, exact: [] });
      expect(events.some(({ kind }) => kind === 'kept')).toBe(false);
    }
  });

  test('an exact multiplier of fewer bits is what a run at these widths makes of the same float model', async () => {
    const narrow = join(parent, 'narrow');
    const settings = { bits: { weights: 4, activations: 4 } };
    const { stages } = await runFlow({ folder: narrow, from: folder, settings, phases: ['train', 'quantize'], device });
    const { accuracy, loss } = stages.find(({ stage }) => stage === 'quantized')!;
    const { multipliers } = await attempt([], { out: join(parent, 'narrow-try') });
    expect(multipliers.map(({ name }) => name)).toEqual(['exact 8×8', 'exact 4×4']);
    expect(multipliers[1]!.results.plain).toEqual({ accuracy, loss });
  });

  test.each([
    ['retraining alone', 'none'],
    ['the treatments and retraining', 'biases,statistics'],
  ] as const)('%s: the recovery of a run with this multiplier whose start is %s', async (_, start) => {
    const given = join(parent, `given ${start}`);
    cpSync(folder, given, { recursive: true });
    const recover = { start, epochs: 1, labelSmoothing: 0.2, augment: 'rotate:20', average: 0.5, clipGradient: 1 };
    const settings = { map: { multiplier: 'truncated:8x8:columns=6' }, recover };
    const { stages } = await runFlow({ folder: given, settings, phases: ['map', 'recover'], device });
    const { accuracy, loss } = stages.find(({ stage }) => stage === 'recovered')!;
    const run = await openTriedRun(given, { device });
    const table = generateFromSpec('truncated:8x8:columns=6').network;
    const trial = await Trial.open(run, { bits: eight, table: simulate(table) }, await measureRun(run));
    if (start !== 'none') await trial.prepare();
    expect(await trial.recover(1, () => {})).toEqual({ accuracy, loss });
    await trial.dispose();
  });

  test('each treatment is the one before it with its own step, under the multiplier that is tried', async () => {
    const run = await openTriedRun(folder, { device });
    const operands = await measureRun(run);
    const table = biased();
    const trial = await Trial.open(run, { bits: eight, table }, operands);
    const { plain, folded, reestimated } = await trial.untrained(() => {});
    await trial.dispose();

    const { dataset, task, layers, configuration } = run;
    const multiplier = concreteMultiplier(table);
    const arithmetic = quantizedArithmetic(run, () => multiplier);
    const session = await run.backend.openSession();
    loadModel(run.quantized, 'quantized', session, layers);
    const measure = await evaluator(session, task, arithmetic, dataset.test);
    const first = await measure();
    expect(plain).toEqual({ accuracy: first.metrics.accuracy, loss: first.loss });
    const error = multiplierError(multiplier, arithmetic);
    await foldMeanErrors(session, operands.layers, (layer) =>
      arithmetic.multiplierOf(layer).kind === 'exact' ? undefined : error,
    );
    const second = await measure();
    expect(folded).toEqual({ accuracy: second.metrics.accuracy, loss: second.loss });
    await reestimateStatistics(session, task, arithmetic, dataset, {
      images: configuration.quantize.images,
      seed: configuration.seed,
      // As recovery would see them, not as they are.
      augment: dataset.augment,
    });
    expect(isAugmented(dataset.augment)).toBe(true);
    const third = await measure();
    expect(reestimated).toEqual({ accuracy: third.metrics.accuracy, loss: third.loss });
    expect(new Set([plain, folded, reestimated].map(({ loss }) => loss)).size).toBe(3);
    await session.dispose();
  });

  test('of two orders the one with the higher accuracy after the last treatment is better, else the one with the lower loss', () => {
    const row = (plain: number, accuracy: number, loss: number) => ({
      results: {
        plain: { accuracy: plain, loss: 1 },
        folded: { accuracy: 0.5, loss: 1 },
        reestimated: { accuracy, loss },
      },
    });
    const [low, high] = [row(0.9, 0.7, 0.1), row(0.2, 0.8, 0.9)];
    expect(betterOf([low, high])).toBe(high);
    expect(betterOf([high, low])).toBe(high);
    const [worse, closer] = [row(0.9, 0.8, 0.4), row(0.2, 0.8, 0.3)];
    expect(betterOf([worse, closer])).toBe(closer);
    expect(betterOf([closer, worse])).toBe(closer);
    expect(betterOf([closer, row(0.9, 0.8, 0.3)])).toBe(closer);
  });

  test('refuses folders that are not its own, before it does anything', async () => {
    await expect(attempt(['dadda:8x8'], { out: join(folder, 'try') })).rejects.toThrow(/inside the run .* not changed/);
    await expect(attempt(['dadda:8x8'], { out: folder })).rejects.toThrow(/inside the run/);
    await expect(attempt(['dadda:8x8'], { out: parent })).rejects.toThrow(/not a folder of results of tram try/);
    await expect(attempt(['dadda:8x8'], { run: parent })).rejects.toThrow(/not a run folder/);
    expect(stateOf(folder)).toEqual(before);
    expect(tryFolder(`${folder}/`)).toBe(join(parent, 'run-try'));
  });

  test('a run whose quantised network was changed is refused by name', async () => {
    const damaged = join(parent, 'damaged');
    cpSync(folder, damaged, { recursive: true });
    writeFileSync(join(damaged, 'checkpoints/quantized.safetensors'), 'x');
    await expect(attempt(['dadda:8x8'], { run: damaged })).rejects.toThrow(/quantized\.safetensors/);
  });

  test('what a trial measures is proved by its table first', async () => {
    const run = await openTriedRun(folder, { device });
    const operands = await measureRun(run);
    const trial = await Trial.open(run, { bits: eight, table: biased() }, operands);
    const measured = await trial.untrained(() => {});
    await trial.dispose();
    expect(lastResult({ results: measured })).toBe(measured.reestimated);
    expect(measured.unfolded).toEqual([]);
  });
});

describe('names', () => {
  test('patterns are the files that match, each source once, and one that matches nothing has its reason', () => {
    const place = join(parent, 'names');
    cpSync(folder, place, { recursive: true });
    for (const name of ['b.v', 'a.v', 'c.blif']) writeFileSync(join(place, name), '');
    const found = expandNames([`${place}/*.v`, 'drum:8x8:bits=4', join(place, 'a.v'), `${place}/*.npy`, 'gone.v']);
    expect(found).toEqual([
      { name: join(place, 'a.v') },
      { name: join(place, 'b.v') },
      { name: 'drum:8x8:bits=4' },
      { name: `${place}/*.npy`, reason: `${place}/*.npy matches no file` },
      { name: 'gone.v' },
    ]);
  });

  test.each([
    [[8, 8], '7×7 6×6 5×5 4×5 4×4 3×4 3×3'],
    [[4, 8], '4×7 4×6 4×5 4×4 3×4 3×3'],
    [[5, 5], '4×5 4×4 3×4 3×3'],
    [[3, 3], ''],
  ])('the exact multipliers beside one of %j bits have %s', ([weights, activations], expected) => {
    const bits = { weights: weights!, activations: activations! };
    expect(narrowerWidths(bits).map(widthName).join(' ')).toBe(expected);
  });
});
