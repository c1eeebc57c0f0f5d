// What phase 0 may be asked for beside widths: batch norm folded, other observers, single layers of other widths; and
// which layer hurts. On a few digits, from the float network to the recovered one.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDataset } from '../../src/data/registry.ts';
import { sampleOf } from '../../src/data/sample.ts';
import type { Session } from '../../src/engine/backend.ts';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { runFlow } from '../../src/flow/flow.ts';
import { foldedBatchNorms, quantizedArithmetic } from '../../src/flow/multipliers/multipliers.ts';
import { loadToQuantize, observe, observeInput, observeWeight } from '../../src/flow/phases/calibrate.ts';
import { HarmMeter, withRange } from '../../src/flow/phases/harm.ts';
import { replaceRanges } from '../../src/flow/phases/ranges.ts';
import { evaluateRun } from '../../src/flow/results/evaluate.ts';
import { summarize } from '../../src/flow/results/summarize.ts';
import { describeExactLayers } from '../../src/flow/results/summary.ts';
import { files } from '../../src/flow/run/folder.ts';
import { openTask, runLayers } from '../../src/flow/run/inputs.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { isKept } from '../../src/flow/run/stages.ts';
import { measureSensitivity, type SensitivityEvent } from '../../src/flow/sensitivity/sensitivity.ts';
import { type ConfigurationInput, parseConfiguration } from '../../src/flow/settings/config.ts';
import { exactMultiplier } from '../../src/multiplier/multiplier.ts';
import { Layers, multiplyFloat } from '../../src/nn/layers.ts';
import { findModel } from '../../src/nn/models/registry.ts';
import { initialTensor } from '../../src/nn/parameters.ts';
import { findBatchNorms, foldBatchNorms } from '../../src/quant/fold.ts';
import { observerNames } from '../../src/quant/observers.ts';
import { readBytes } from '../../src/tensor/files.ts';
import { decodeAll } from '../../src/tensor/safetensors.ts';
import { f32, type HostTensor } from '../../src/tensor/tensor.ts';
import { askOnce, distance } from '../../src/train/answers.ts';
import { evaluator } from '../../src/train/evaluation.ts';
import { buildNetwork } from '../../src/train/task.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-options-'));
afterAll(() => rmSync(parent, { recursive: true }));
const device = { name: 'wasm', threads: 1 } as const;
const wasm = await wasmBackend({ threads: 1 });

async function fewDigits(): Promise<string> {
  const { images, labels } = (await openDataset('digits')).train;
  const lines = Array.from({ length: 150 }, (_, at) => [...images!.subarray(64 * at, 64 * at + 64), labels[at]].join());
  const path = join(parent, 'digits.csv');
  writeFileSync(path, `${lines.join('\n')}\n`);
  return `csv:${path}`;
}

const data = await fewDigits();
const settings: ConfigurationInput = {
  ...{ data, maximum: 16, bits: { weights: 4, activations: 5 } },
  train: { epochs: 2, batchSize: 24 },
  quantize: {
    ...{ images: 40, foldBatchNorm: true, observer: 'percentile', weightObserver: 'entropy', percentile: 99.9 },
    ...{ layerBits: ['first=8', 'fc=7x6'], epochs: 1, batchSize: 24 },
  },
  explore: { epochs: 1, batchSize: 24, lambda: 0, initiallyRemoved: 0, columns: 3 },
  recover: { epochs: 1, batchSize: 24 },
};
const folder = join(parent, 'run');
const notes: string[] = [];

beforeAll(async () => {
  const phases = ['train', 'quantize', 'explore', 'map', 'recover'] as const;
  const listener = (event: { readonly kind: string }) => {
    if (event.kind === 'note') notes.push((event as unknown as { text: string }).text);
  };
  await runFlow({ folder, settings, phases: [...phases], device, listener });
});

const tensorsOf = (path: string) => {
  const at = join(folder, path);
  return decodeAll(readBytes(at), at).tensors;
};

describe('a run with folded batch norm, other observers and layers of other widths', () => {
  test('goes through all phases without a batch norm in its files', () => {
    for (const path of [files.quantized, files.explored, files.recovered]) {
      const names = [...tensorsOf(path).keys()];
      expect(names.filter((name) => /bn\d|downsample\.1|running/.test(name))).toEqual([]);
      expect(names).toContain('layer1.0.conv1.bias');
    }
    expect([...tensorsOf(files.float).keys()]).toContain('bn1.running_var');
    expect(notes).toContain('batch norm folded into 9 layers');
  });

  test('has the first and the last layer in codes of their own widths, each below its own highest code', async () => {
    const { configuration, inputs } = readManifest(folder);
    const { task, layers, dataset } = await openTask(configuration, inputs);
    const { graph } = buildNetwork(
      task,
      quantizedArithmetic({ configuration, layers }, exactMultiplier),
      'evaluate',
      1,
    );
    const widths = graph.nodes.flatMap(({ op, attributes, label }) => {
      if (op !== 'axmConv2d') return [];
      const { weightBits, activationBits } = attributes as { weightBits: number; activationBits: number };
      return [[label, `${weightBits}×${activationBits}`] as const];
    });
    const own = new Map([['conv1', '8×8'] as const, ['fc', '7×6'] as const] as readonly (readonly [string, string])[]);
    for (const [label, text] of widths) expect([label, text]).toEqual([label, own.get(label) ?? '4×5']);
    expect(widths.length).toBe(10);
    expect(dataset.test.count).toBeGreaterThan(0);
  });

  test('says of which multiplications its power is, and names the rest with their widths', () => {
    const summary = summarize(folder);
    expect(summary.exactLayers).toEqual(['conv1', 'fc']);
    const total = summary.layers.reduce((sum, { macs }) => sum + macs, 0);
    expect(summary.exactShare).toBeCloseTo((9216 + 640) / total, 12);
    expect(describeExactLayers(summary)).toMatch(
      /^power and gate cost are those of 98\.71 % of the multiplications; exact multipliers in conv1 \(8×8 bits, 9\s216 MACs\), fc \(7×6 bits, 640 MACs\)$/u,
    );
    expect(summary.multipliers.flatMap(({ layers }) => layers)).toHaveLength(8);
    // An exact multiplier of wider operands has more gates.
    const [conv1, conv2] = ['conv1', 'layer1.0.conv1'].map((name) => summary.layers.find((one) => one.name === name)!);
    expect(conv1!.gateShare! / conv1!.share).toBeGreaterThan(conv2!.gateShare! / conv2!.share);
  });

  test('a stage measured anew is what the run says', async () => {
    const kept = readManifest(folder).phases.recover!.stages.filter(({ stage }) => isKept(stage));
    expect(kept.map(({ stage }) => stage)).toEqual(['recovered']);
    for (const { stage, accuracy, loss } of kept) {
      expect(await evaluateRun({ folder, stage, device })).toMatchObject({ accuracy, loss });
    }
  });

  test('a manifest that does not say what is approximated is that of a run in which every layer was', () => {
    const path = join(folder, 'manifest.json');
    const before = readFileSync(path, 'utf8');
    const old = JSON.parse(before);
    for (const settings of [old.configuration, old.given]) delete settings.approximate;
    old.inputs.layers = old.inputs.layers.map(({ name, macs }: { name: string; macs: number }) => ({ name, macs }));
    const { digest: _, phases, ...rest } = old;
    writeFileSync(path, JSON.stringify({ ...rest, phases: {} }));
    expect(readManifest(folder).configuration.approximate).toEqual(['all']);
    expect(readManifest(folder).given.approximate).toEqual(['all']);
    writeFileSync(path, before);
  });
});

describe('folding', () => {
  /** Parameters with batch norms that do something, the same in all sessions. */
  function parametersOf(layers: Layers): Map<string, HostTensor> {
    return new Map(
      layers.parameters.map((parameter, at) => {
        const start = initialTensor(parameter, 1, at);
        const noise = initialTensor({ ...parameter, initial: { kind: 'normal', deviation: 0.3 } }, 2, at);
        const isConstant = parameter.initial.kind === 'constant';
        return [
          parameter.name,
          isConstant
            ? f32(
                start.shape,
                Float32Array.from(start.data, (x, k) => x + Math.abs(noise.data[k]!)),
              )
            : start,
        ];
      }),
    );
  }

  async function logitsOf(tensors: ReadonlyMap<string, HostTensor>, folded: boolean) {
    const session = await referenceBackend().openSession();
    const graph = new Graph();
    const layers = new Layers(graph, {
      ...{ training: false, multiply: multiplyFloat },
      ...(folded ? { folded: foundIn(findModel('resnet8').build).behind } : {}),
    });
    const x = graph.input('x', [2, 8, 8, 1]);
    graph.output('logits', findModel('resnet8').build(layers, x, 10));
    for (const [name, tensor] of tensors) session.write(name, tensor);
    const program = await session.compile(graph);
    program.write(
      'x',
      Float32Array.from({ length: 128 }, (_, k) => Math.sin(k)),
    );
    await program.run();
    return program.read('logits');
  }

  function networkOf(build: (layers: Layers, image: ReturnType<Graph['input']>, classes: number) => unknown) {
    const graph = new Graph();
    const layers = new Layers(graph, { training: false, multiply: multiplyFloat });
    build(layers, graph.input('x', [2, 8, 8, 1]), 10);
    return { graph, layers };
  }
  function foundIn(build: Parameters<typeof networkOf>[0]) {
    const { graph, layers } = networkOf(build);
    return findBatchNorms(graph, new Set(layers.multiplying.map(({ name }) => name)));
  }

  test('leaves what the network computes', async () => {
    const { behind, left } = foundIn(findModel('resnet8').build);
    expect([behind.size, left]).toEqual([9, []]);
    const tensors = parametersOf(networkOf(findModel('resnet8').build).layers);
    const before = await logitsOf(tensors, false);
    const after = await logitsOf(foldBatchNorms(tensors, behind), true);
    const largest = Math.max(...Array.from(before, Math.abs));
    expect(largest).toBeGreaterThan(0.1);
    for (const [at, logit] of before.entries()) expect(Math.abs(after[at]! - logit)).toBeLessThan(1e-5 * largest);
  });

  test('leaves batch norms before their layer, behind a sum, behind a concatenation, and where the layer is read twice', () => {
    const { behind, left } = foundIn((nn, image) => {
      const first = nn.conv('conv0', image, { out: 4, kernel: 3, padding: 1 });
      // Read by the batch norm and by the concatenation, as in a dense block.
      const y = nn.conv('conv1', nn.relu(nn.batchNorm('norm1', first)), { out: 4, kernel: 1, bias: true });
      const dense = nn.concat([first, nn.relu(nn.batchNorm('norm2', y))], -1);
      const z = nn.conv('conv2', nn.relu(nn.batchNorm('norm3', dense)), { out: 8, kernel: 1 });
      const sum = nn.batchNorm('norm4', nn.add(z, dense));
      return nn.batchNorm('norm5', nn.linear('fc', nn.globalAveragePool(sum), 10));
    });
    expect([...behind].map(([layer, { name }]) => [layer, name])).toEqual([
      ['conv1', 'norm2'],
      ['fc', 'norm5'],
    ]);
    expect(left).toEqual(['norm1', 'norm3', 'norm4']);
  });
});

describe('observers', () => {
  async function observed(
    session: Session,
    observer: (typeof observerNames)[number],
    { quantizer = 'clips', lopsided = false }: { quantizer?: 'clips' | 'steps'; lopsided?: boolean } = {},
  ) {
    const bits = { weights: 8, activations: 8 };
    const configuration = parseConfiguration(
      {
        ...settings,
        bits,
        quantize: {
          images: 60,
          quantizer,
          observer,
          weightObserver: observer,
          ...(lopsided ? { percentile: 90 } : {}),
        },
      },
      'test',
    );
    const opened = await openTask(configuration, readManifest(folder).inputs);
    const run = { ...opened, configuration, folder };
    loadToQuantize(run, readBytes(join(folder, files.float)), session);
    if (lopsided) {
      // Of each channel's weights, along the last axis, all but the first are negative.
      const { shape, data } = await session.read('layer1.0.conv1.weight');
      const first = shape.at(-1)!;
      session.write(
        'layer1.0.conv1.weight',
        f32(
          shape,
          Float32Array.from(data, (x, k) => (k < first ? 1e-3 : -1) * Math.abs(x)),
        ),
      );
    }
    await observe(run, session);
    return run;
  }
  const states = ['input_scale', 'input_zero_point', 'weight_scale', 'input_clip_upper', 'input_max'];

  test('set the same quantisers on every backend', async () => {
    const [one, other] = [await referenceBackend().openSession(), await wasm.openSession()];
    const { layers } = await observed(one, 'entropy');
    await observed(other, 'entropy');
    for (const name of layers.flatMap((layer) => states.map((state) => `${layer.name}.${state}`))) {
      const [expected, found] = [(await one.read(name)).data, (await other.read(name)).data];
      for (const [at, value] of Array.from(expected).entries()) {
        expect(Math.abs(found[at]! - value), name).toBeLessThanOrEqual(2e-3 * Math.abs(value) + 1e-6);
      }
    }
  });

  test('a percentile that leaves out all of one side begins learned clipping at a factor that can learn', async () => {
    const session = await wasm.openSession();
    await observed(session, 'percentile', { lopsided: true });
    const { data } = await session.read('layer1.0.conv1.weight_clip_upper');
    for (const factor of data) expect(factor).toBeCloseTo(Math.log(0.01 / 0.99001), 4);
    await session.dispose();
  });

  test.each(
    observerNames.flatMap((name) => (['clips', 'steps'] as const).map((quantizer) => [name, quantizer] as const)),
  )('%s finds ranges for %s with which 8 bits are nearly as good as the float network', async (name, quantizer) => {
    const session = await wasm.openSession();
    const run = await observed(session, name, { quantizer });
    const arithmetic = quantizedArithmetic(run, exactMultiplier);
    const lossIn = async (mode: typeof arithmetic | { readonly kind: 'float' }) =>
      (await (await evaluator(session, run.task, mode, run.dataset.test))()).loss;
    const [float, quantized] = [await lossIn({ kind: 'float' }), await lossIn(arithmetic)];
    expect(quantized).not.toBe(float);
    expect(Math.abs(quantized - float)).toBeLessThan(0.05 * float);
    await session.dispose();
  });
});

describe('sensitivity', () => {
  const run = folder;

  test('with an exact multiplier is 0 everywhere; with another it is not, and only in the layers of its widths', async () => {
    const exact = await measureSensitivity({ run, out: join(parent, 'exact'), approximateWith: 'dadda:4x5', device });
    expect(exact.layers.map(({ lossChange, accuracyChange }) => [lossChange, accuracyChange])).toEqual(
      exact.layers.map(() => [0, 0]),
    );
    // As tram run and tram try name it, there is nothing to measure.
    for (const approximateWith of ['exact', 'exact:3x3'])
      await expect(measureSensitivity({ run, approximateWith, device })).rejects.toThrow(
        `${approximateWith} is what every layer multiplies with here, and none loses anything by it; give a multiplier`,
      );
    const out = join(parent, 'truncated');
    const events: SensitivityEvent[] = [];
    const other = await measureSensitivity({
      ...{ run, out, approximateWith: 'truncated:4x5:columns=5', device, images: 25 },
      listener: (event) => events.push(event),
    });
    expect(other.layers.map(({ name }) => name).toSorted()).toEqual(exact.layers.map(({ name }) => name).toSorted());
    expect(other.layers).toHaveLength(8);
    expect(events[1]).toEqual({ kind: 'note', text: 'of other widths than the multiplier: conv1, fc' });
    expect(other.images).toBe(25);
    for (const { lossChange } of other.layers) expect(lossChange).not.toBe(0);
    const changes = other.layers.map(({ lossChange }) => lossChange);
    expect(changes).toEqual(changes.toSorted((a, b) => b - a));
    expect(readFileSync(join(out, 'sensitivity.csv'), 'utf8').split('\n')).toHaveLength(10);
    expect(readFileSync(join(out, 'sensitivity.svg'), 'utf8')).toContain('layer3.0.conv2');
  });

  test('quantised: the base is the float network, fewer bits hurt more, and an interrupted call goes on', async () => {
    const stop = new AbortController();
    const ask = { run, out: join(parent, 'bits'), bits: { weights: 2, activations: 2 }, device, layers: ['layer1.*'] };
    const stopped = measureSensitivity({
      ...{ ...ask, signal: stop.signal },
      listener: (event) => event.kind === 'layer' && stop.abort(new Error('stopped')),
    });
    await expect(stopped).rejects.toThrow('stopped');
    const kept: boolean[] = [];
    const two = await measureSensitivity({
      ...ask,
      listener: (event) => event.kind === 'layer' && kept.push(event.kept),
    });
    expect(kept).toEqual([true, false]);
    const { accuracy, loss } = await evaluateRun({ folder, stage: 'float', device });
    // With batch norm folded: the same network up to rounding.
    expect(Math.abs(two.base.loss - loss)).toBeLessThan(1e-5 * loss);
    expect(two.base.accuracy).toBe(accuracy);
    const eight = await measureSensitivity({
      ...ask,
      out: join(parent, 'eight'),
      bits: { weights: 8, activations: 8 },
    });
    const harm = (report: typeof two) => report.layers.reduce((sum, { lossChange }) => sum + Math.abs(lossChange), 0);
    expect(harm(two)).toBeGreaterThan(10 * harm(eight));
    expect(harm(eight)).toBeGreaterThan(0);
  });
});

test('attention’s own products are named with their multiplications', () => {
  const network = {
    ...{ name: 'attention', description: 'x xᵀ and its product with x', minimumSize: 1 },
    build: (nn: Layers, image: ReturnType<Graph['input']>) => {
      const tokens = nn.reshape(nn.conv('patch', image, { out: 6, kernel: 2, stride: 2 }), [1, 16, 6]);
      const mixed = nn.block('block', () =>
        nn.matrixProduct(nn.softmax(nn.matrixProduct(tokens, tokens, 'second')), tokens),
      );
      return nn.linear('head', nn.reshape(nn.slice(mixed, 1, 0, 1), [1, 6]), 10);
    },
  };
  const task = {
    metrics: {},
    inputs: (graph: Graph) => ({ x: graph.input('x', [1, 8, 8, 1]) }),
    network: (nn: Layers, { x }: { readonly [name: string]: ReturnType<Graph['input']> }) => {
      const logits = network.build(nn, x!);
      return { loss: logits, metrics: {} };
    },
  };
  const { products, layers } = runLayers({}, task as Parameters<typeof runLayers>[1]);
  expect(products).toEqual([{ name: 'block', macs: 2 * 16 * 16 * 6 }]);
  expect(foldedBatchNorms({ configuration: parseConfiguration({}, 'test'), layers }).size).toBe(0);
});

describe('ranges of activations that few large values made too coarse', () => {
  const bits = { weights: 4, activations: 4 };
  const few: ConfigurationInput = {
    ...{ data, maximum: 16, bits, quantize: { images: 60 } },
    train: { epochs: 12, batchSize: 24, learningRate: 0.05 },
  };

  /** A float network; one value in 500 that its layers were seen to read is so many times the largest. */
  async function withOutliers(outliers: number, width = 4) {
    const session = await wasm.openSession();
    const trained = join(parent, 'ranged');
    await runFlow({ folder: trained, settings: few, phases: ['train'], device });
    const configuration = parseConfiguration({ ...few, bits: { weights: width, activations: width } }, 'test');
    const run = { ...(await openTask(configuration, readManifest(trained).inputs)), configuration, folder: trained };
    loadToQuantize(run, readBytes(join(trained, files.float)), session);
    const inputs = await observe(run, session);
    for (const { name } of run.layers) {
      const seen = inputs.get(name)!;
      seen.add(new Float32Array(Math.ceil(seen.count / 500)).fill(outliers * seen.max), name);
      observeInput(run, session, { layer: name, bits: width, seen });
    }
    return { run, session, inputs };
  }

  /** Scales before and after. */
  async function ranged(outliers: number, width = 4) {
    const { run, session, inputs } = await withOutliers(outliers, width);
    const scales = () =>
      Promise.all(run.layers.map(async ({ name }) => (await session.read(`${name}.input_scale`)).data));
    const [before, replaced] = [
      await scales(),
      await replaceRanges(run, session, quantizedArithmetic(run, exactMultiplier), inputs),
    ];
    const after = await scales();
    await session.dispose();
    return { before, replaced, after };
  }

  test('are those of a percentile, with which the network is as good as in float', async () => {
    const { before, replaced, after } = await ranged(60);
    expect([...replaced.percentiles.keys()]).toHaveLength(after.length);
    expect(replaced.before).toBeGreaterThan(0.5);
    expect(replaced.after).toBeLessThan(0.2);
    for (const [at, scale] of after.entries()) expect(scale[0]).toBeLessThan(before[at]![0]! / 2);
  });

  test('stay where the network bears them, and are others where it is nearer to the float one by it', async () => {
    const eight = await ranged(1, 8);
    expect(eight.replaced.percentiles.size).toBe(0);
    expect(eight.replaced.after).toBe(eight.replaced.before);
    expect(eight.after).toEqual(eight.before);
    const { before, replaced, after } = await ranged(3);
    expect(replaced.after).toBeLessThan(replaced.before);
    const changed = after.filter((scale, at) => scale[0] !== before[at]![0]);
    expect(changed).toHaveLength(replaced.percentiles.size);
    expect(changed.length).toBeGreaterThan(0);
  });

  test('have no part in what few bits of the weights do: these alone are rounded', async () => {
    const { run, session, inputs } = await withOutliers(60);
    const meter = await HarmMeter.open(run, session, inputs);
    const sample = sampleOf(run.dataset.train, meter.images, run.configuration.seed);
    const inFloat = () => askOnce(session, run.task, { kind: 'float' }, sample);
    const asItIs = await inFloat();
    const layer = 'layer2.0.conv1';
    const harm = await meter.ofWeight(layer, 3);
    await observeWeight(run, session, { layer, bits: 3 });
    const [{ shape, data: weights }, { data: scales }, { data: zeros }] = [
      await session.read(`${layer}.weight`),
      await session.read(`${layer}.weight_scale`),
      await session.read(`${layer}.weight_zero_point`),
    ];
    const rounded = Float32Array.from(weights, (value, at) => {
      const [scale, zero] = [scales[at % scales.length]!, zeros[at % zeros.length]!];
      return (Math.min(Math.max(Math.round(value / scale) + zero, 0), 7) - zero) * scale;
    });
    session.write(`${layer}.weight`, f32(shape, rounded));
    const byHand = distance(await inFloat(), asItIs);
    expect(byHand).toBeGreaterThan(1e-3);
    expect(Math.abs(harm - byHand)).toBeLessThan(1e-3 * byHand);
    session.write(`${layer}.weight`, f32(shape, Float32Array.from(weights)));
    expect(await meter.ofWeight(layer, 8)).toBeLessThan(byHand / 100);
    // The layer's inputs do suffer, whatever the bits of its weights are.
    const { harm: ofInput, range } = await meter.ofInput(layer, 4);
    expect(ofInput).toBeGreaterThan(0);
    expect(range).not.toBe('observer');
    // Nothing of that stays in the session.
    expect((await session.read(`${layer}.weight`)).data).toEqual(weights);
    expect(await inFloat()).toEqual(asItIs);
    await session.dispose();
  });

  test('what one layer reads at few bits, by a program that rounds any layer: as its quantiser rounds it', async () => {
    const { run, session, inputs } = await withOutliers(1);
    const meter = await HarmMeter.open(run, session, inputs);
    const sample = sampleOf(run.dataset.train, meter.images, run.configuration.seed);
    const asItIs = await askOnce(session, run.task, { kind: 'float' }, sample);
    for (const [layer, bits] of [
      ['layer3.0.conv2', 2],
      ['conv1', 3],
      ['layer2.0.conv1', 5],
    ] as const) {
      const { harm, range } = await meter.ofInput(layer, bits);
      const configuration = withRange(run.configuration, range);
      observeInput({ configuration }, session, { layer, bits, seen: inputs.get(layer)! });
      const scale = await session.read(`${layer}.input_scale`);
      const zero = await session.read(`${layer}.input_zero_point`);
      const inputOf = (name: string, x: Value) => {
        if (name !== layer) return x;
        const { graph } = x;
        const [step, middle] = [graph.constant(scale), graph.constant(zero)];
        const codes = graph.apply1('quantize', [x, step, middle], { bits, granularity: 'tensor' });
        return graph.apply1('dequantize', [codes, step, middle], { granularity: 'tensor' });
      };
      const byHand = distance(await askOnce(session, run.task, { kind: 'float', inputOf }, sample), asItIs);
      expect(byHand).toBeGreaterThan(1e-5);
      expect(Math.abs(harm - byHand)).toBeLessThan(1e-6 * byHand);
    }
    await session.dispose();
  });
});
