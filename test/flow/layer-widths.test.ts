// Widths of each layer, searched by what they do to the loss: what is found is within the cost that was said, the list
// that is printed makes the same network, and power of the whole is the mean over the layers' own multipliers, of exact
// ones and of structures.

import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { sampleOf } from '../../src/data/sample.ts';
import type { Value } from '../../src/engine/graph/graph.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { runFlow } from '../../src/flow/flow.ts';
import { quantizedArithmetic } from '../../src/flow/multipliers/multipliers.ts';
import { parseTheta } from '../../src/flow/multipliers/theta.ts';
import { HarmMeter } from '../../src/flow/phases/harm.ts';
import { readHarms } from '../../src/flow/phases/harms.ts';
import { openLayers } from '../../src/flow/phases/widths.ts';
import { checkRun } from '../../src/flow/results/check.ts';
import { compareRuns } from '../../src/flow/results/compare.ts';
import { comparedPoints } from '../../src/flow/results/compared-front.ts';
import { evaluateRun } from '../../src/flow/results/evaluate.ts';
import { summarize } from '../../src/flow/results/summarize.ts';
import { loadModel } from '../../src/flow/run/checkpoint.ts';
import type { RunEvent } from '../../src/flow/run/events.ts';
import { files } from '../../src/flow/run/folder.ts';
import { openTask } from '../../src/flow/run/inputs.ts';
import { readManifest, writeManifest } from '../../src/flow/run/manifest.ts';
import type { ConfigurationInput } from '../../src/flow/settings/config.ts';
import { layerWidths, type RunLayer } from '../../src/flow/settings/layers.ts';
import { isWhole } from '../../src/flow/settings/phases.ts';
import { readSweep } from '../../src/flow/sweep/folder.ts';
import { sweep } from '../../src/flow/sweep/sweep.ts';
import { exactMultiplier } from '../../src/multiplier/multiplier.ts';
import { modelledPower } from '../../src/multiplier/power-model.ts';
import { productStructure } from '../../src/multiplier/structure.ts';
import { cheapestExact } from '../../src/netlist/exact-cost.ts';
import { readBytes } from '../../src/tensor/files.ts';
import { decodeAll, writeSafetensors } from '../../src/tensor/safetensors.ts';
import { f32 } from '../../src/tensor/tensor.ts';
import { askOnce, distance } from '../../src/train/answers.ts';
import type { Arithmetic } from '../../src/train/task.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-layer-widths-'));
afterAll(() => rmSync(parent, { recursive: true }));

const folder = (name: string) => join(parent, name);
const settings: ConfigurationInput = {
  sample: 300,
  train: { epochs: 3, batchSize: 16, learningRate: 0.02 },
  quantize: { images: 64 },
  recover: { epochs: 1 },
};
const quantising = ['train', 'quantize'] as const;
const exact = { map: { multiplier: 'exact' } };
const searched = (layerCost: number, layerKinds: number) => ({ quantize: { layerCost, layerKinds } });

beforeAll(() => runFlow({ folder: folder('float'), settings, phases: ['train'] }));

/** The gates of the network by hand: multiplications times the exact multiplier of the widths that a list says. */
function costOfList(name: string): number {
  const { inputs, phases } = readManifest(folder(name));
  const list = phases.quantize!.widths!.layerBits.map((text) => /^(.*)=(\d)x(\d)$/.exec(text)!.slice(1));
  const macs = new Map(inputs.layers.map((layer) => [layer.name, layer.macs]));
  const all = list.map(([layer, w, x]) => ({ macs: macs.get(layer!)!, ...cheapestExact(Number(w), Number(x)) }));
  return all.reduce((sum, one) => sum + one.macs * one.gateCost, 0) / all.reduce((sum, one) => sum + one.macs, 0);
}

/** How far the answers of the quantised network in a folder are from the float one's; or of its activations alone. */
async function distanceOfQuantized(name: string, images: number, rounded?: 'activations'): Promise<number> {
  const manifest = readManifest(folder(name));
  const { configuration } = manifest;
  const run = { ...(await openTask(configuration, manifest.inputs)), configuration };
  const sample = sampleOf(run.dataset.train, images, configuration.seed);
  const answers = async (file: string, arithmetic: Arithmetic) => {
    const session = await wasmBackend({ threads: 1 }).openSession();
    const path = join(folder(name), file);
    loadModel(readBytes(path), path, session, run.layers);
    const found = await askOnce(session, run.task, arithmetic, sample);
    await session.dispose();
    return found;
  };
  const widths = layerWidths(configuration, run.layers);
  const inputOf = (layer: string, x: Value) => {
    const { graph } = x;
    const [scale, zero] = ['scale', 'zero_point'].map((state) => graph.variable(`${layer}.input_${state}`, []));
    const bits = widths.get(layer)!.activations;
    const codes = graph.apply1('quantize', [x, scale!, zero!], { bits, granularity: 'tensor' });
    return graph.apply1('dequantize', [codes, scale!, zero!], { granularity: 'tensor' });
  };
  const arithmetic: Arithmetic = rounded ? { kind: 'float', inputOf } : quantizedArithmetic(run, exactMultiplier);
  return distance(await answers(files.quantized, arithmetic), await answers(files.float, { kind: 'float' }));
}

/** What counts of that: weights a quarter. */
const harmOfQuantized = async (name: string, images: number) =>
  (await distanceOfQuantized(name, images)) / 4 + (3 / 4) * (await distanceOfQuantized(name, images, 'activations'));

test('exact multipliers of searched widths: within the cost, few kinds, and made again from the list', async () => {
  const from = folder('float');
  await runFlow({ folder: folder('mixed'), from, settings: { ...exact, ...searched(0.12, 3) } });
  const summary = summarize(folder('mixed'));
  const cost = summary.stages.at(-1)!.gateCost!;
  expect(cost).toBeCloseTo(costOfList('mixed'), 12);
  expect(cost).toBeLessThanOrEqual(0.12);
  expect(cost).toBeGreaterThan(0.09);
  expect(summary.multipliers.length).toBeLessThanOrEqual(3);
  expect(summary.multipliers.length).toBeGreaterThan(1);
  const { widths } = readManifest(folder('mixed')).phases.quantize!;
  for (const { name, weightBits, activationBits } of summary.layers.filter((one) => one.name !== 'fc'))
    expect(widths!.layerBits).toContain(`${name}=${weightBits}x${activationBits}`);
  expect(summary.layers.filter(({ multiplier }) => multiplier === null).map(({ name }) => name)).toEqual(['fc']);
  expect(summary.options.join(' ')).not.toContain('--layer-bits');

  // What the search says of all layers together is so of the network that is in the folder, before any training.
  const { together } = widths!;
  expect(together!.changed).toBeCloseTo(await distanceOfQuantized('mixed', widths!.images), 6);
  expect(together!.measured).toBeCloseTo(await harmOfQuantized('mixed', widths!.images), 6);
  expect(together!.measured).toBeLessThanOrEqual(together!.uniform.measured);
  expect(together!.expected / together!.measured).toBeGreaterThan(0.5);
  expect(together!.expected / together!.measured).toBeLessThan(2);

  // Done is done, and what stands there is what was measured.
  const before = JSON.stringify(readManifest(folder('mixed')).phases.recover);
  await runFlow({ folder: folder('mixed') });
  expect(JSON.stringify(readManifest(folder('mixed')).phases.recover)).toBe(before);
  expect(checkRun(folder('mixed')).faults).toEqual([]);
  const evaluated = await evaluateRun({ folder: folder('mixed') });
  expect(evaluated.accuracy).toBe(summary.stages.at(-1)!.accuracy);

  const layerBits = widths!.layerBits;
  await runFlow({ folder: folder('list'), from, settings: { ...exact, quantize: { layerBits } } });
  const again = summarize(folder('list'));
  expect(again.stages).toEqual(summary.stages);
  expect(readManifest(folder('list')).phases.quantize!.widths).toBeUndefined();

  const points = comparedPoints(compareRuns([folder('mixed')]), 'gates');
  expect(points.map(({ series, power }) => [series, power])).toEqual([['exact-retrained', cost]]);
});

test('a run of before harms were a phase is whole without them: nothing is done again, and its phases are taken', async () => {
  const whole = readManifest(folder('mixed'));
  const { harms, ...phases } = whole.phases;
  cpSync(folder('mixed'), folder('older'), { recursive: true });
  for (const path of Object.keys(harms!.files)) rmSync(join(folder('older'), path));
  const older = { ...whole, phases };
  writeManifest(folder('older'), older);
  expect(isWhole(older.configuration, older.phases)).toBe(true);
  const done: string[] = [];
  const listener = (event: RunEvent) => void (event.kind === 'phase-start' && done.push(event.phase));
  await runFlow({ folder: folder('older'), listener });
  expect(done).toEqual(['report']);
  done.length = 0;
  const { recover: _, report: __, ...short } = phases;
  writeManifest(folder('older'), { ...older, phases: short });
  await runFlow({ folder: folder('older'), listener });
  expect(done).toEqual(['recover', 'report']);
  done.length = 0;
  await runFlow({ folder: folder('from-older'), from: folder('older'), listener });
  expect(done).toEqual(['report']);
  expect(readManifest(folder('from-older')).phases).not.toHaveProperty('harms');
  // Whoever does quantisation anew does harms before it.
  await runFlow({ folder: folder('older'), redo: true, phases: ['quantize'], listener });
  expect(done).toEqual(['report', 'harms', 'quantize']);
});

test('what bits do not help is counted as measured: one channel far above the others', async () => {
  const path = join(folder('float'), files.float);
  const tensors = new Map(decodeAll(readBytes(path), path).tensors);
  // The same network: a channel behind a ReLU is so much larger, and the weights that read it so much smaller.
  const FAR = 300;
  const scale = (name: string, factorAt: (at: number) => number) => {
    const { shape, data } = tensors.get(name)!;
    tensors.set(
      name,
      f32(
        shape,
        Float32Array.from(data, (value, at) => value * factorAt(at)),
      ),
    );
  };
  for (const name of ['weight', 'bias']) scale(`layer1.0.bn1.${name}`, (at) => (at === 0 ? FAR : 1));
  scale('layer1.0.conv2.weight', (at) => (Math.floor(at / 9) % 16 === 0 ? 1 / FAR : 1));
  const checkpoint = folder('far.safetensors');
  writeSafetensors(checkpoint, tensors, {});
  const more = { ...exact, ...searched(0.12, 3), train: { checkpoint } };
  await runFlow({ folder: folder('far'), settings: { ...settings, ...more }, phases: ['train', 'quantize'] });
  const { layerBits, together } = readManifest(folder('far')).phases.quantize!.widths!;
  const { layers: harms } = readHarms({ folder: folder('far'), manifest: readManifest(folder('far')) });
  const { weights, activations } = harms.find(({ layer }) => layer === 'layer1.0.conv2')!;
  // Weights alone: of what reads the far channel they lose little, and the less the more bits they have.
  expect(weights[0]).toBeGreaterThan(2 * weights.at(-1)!);
  expect(weights.at(-1)).toBeLessThan(activations.at(-1)! / 2);
  // Activations: up to six bits hold the far channel alone.
  expect(activations[3]).toBeGreaterThan(0.9 * activations[0]!);
  expect(activations[3]).toBeGreaterThan(5 * activations[6]!);
  const sum = layerBits
    .map((text) => /^(.*)=(\d)x(\d)$/.exec(text)!)
    .map(([, layer, w, x]) => ({ ...harms.find((one) => one.layer === layer)!, w: Number(w), x: Number(x) }))
    .reduce(
      (all, one) => all + Math.max(...one.weights.slice(one.w - 2)) / 4 + Math.max(...one.activations.slice(one.x - 2)),
      0,
    );
  expect(together!.expected).toBeCloseTo(sum, 12);
  expect(together!.measured / sum).toBeGreaterThan(0.8);
  expect(together!.measured / sum).toBeLessThan(1.25);
  expect(together!.measured).toBeLessThan(together!.uniform.measured / 2);
});

test('harms that are measured stay: stopped anywhere it goes on behind them, and other kinds and costs ask for none', async () => {
  const measured = vi.spyOn(HarmMeter.prototype, 'ofWeight');
  const from = folder('float');
  const whole = { folder: folder('whole'), from, settings: { ...exact, ...searched(0.12, 2) } };
  const harmsOf = (name: string) => readHarms({ folder: folder(name), manifest: readManifest(folder(name)) });
  await runFlow({ ...whole, phases: ['train', 'harms'] });
  const all = measured.mock.calls.length;
  expect(all).toBeGreaterThan(18);
  const path = join(folder('stopped'), files.harms);
  const asked: string[] = [];
  for (const after of [5, 9, 14]) {
    measured.mockClear();
    const stop = new AbortController();
    let seen = 0;
    const listener = (event: RunEvent) => {
      if (event.kind === 'measured' && seen++ === after) stop.abort(new Error('stopped here'));
    };
    const stopped = { ...whole, folder: folder('stopped'), listener, signal: stop.signal };
    await expect(runFlow({ ...stopped, phases: ['train', 'harms'] })).rejects.toThrow('stopped here');
    asked.push(...measured.mock.calls.map(String));
  }
  // What a kill leaves of a file that is being written is none.
  writeFileSync(`${path}.part`, '{');
  measured.mockClear();
  const told: number[] = [];
  const listener = (event: RunEvent) => {
    if (event.kind === 'measured') told.push(event.done / event.of);
  };
  await runFlow({ ...whole, folder: folder('stopped'), listener, phases: ['train', 'harms'] });
  asked.push(...measured.mock.calls.map(String));
  expect(told[0]).toBeGreaterThan(0.1);
  expect(told).toEqual(told.toSorted((a, b) => a - b));
  expect(told.at(-1)).toBe(1);
  // Each once, in all parts together, to the same bits.
  expect(new Set(asked).size).toBe(asked.length);
  expect(asked).toHaveLength(all);
  expect(harmsOf('stopped')).toEqual(harmsOf('whole'));

  // Other searches take them.
  measured.mockClear();
  await runFlow({
    folder: folder('other'),
    from: whole.folder,
    settings: searched(0.1, 1),
    phases: ['train', 'harms', 'quantize'],
  });
  expect(measured).not.toHaveBeenCalled();
  expect(harmsOf('other')).toEqual(harmsOf('whole'));
  // Those that depend on something else do not, whole or in part.
  const { quantize } = searched(0.1, 1);
  const weightZero = 'between';
  const stop = new AbortController();
  const part = { ...whole, folder: folder('part'), phases: ['train', 'harms'] as const };
  const stopping = (event: RunEvent) => event.kind === 'measured' && event.done > 4 && stop.abort(new Error('stopped'));
  await expect(runFlow({ ...part, listener: stopping, signal: stop.signal })).rejects.toThrow('stopped');
  for (const name of ['part', 'other']) {
    const asked = { folder: folder(name), settings: { quantize: { ...quantize, weightZero } }, redo: true } as const;
    await runFlow({ ...asked, phases: ['train', 'harms'] });
  }
  expect(harmsOf('part')).toEqual(harmsOf('other'));
  expect(harmsOf('part').facts).not.toBe(harmsOf('whole').facts);
  measured.mockRestore();
});

test('a sweep over kinds and costs measures once for each seed', async () => {
  const measured = vi.spyOn(HarmMeter.prototype, 'ofWeight');
  const plan = {
    settings: { ...settings, ...exact, train: { epochs: 1, batchSize: 16 }, recover: { epochs: 1 } },
    over: [
      { name: 'layer-widths', values: ['0.12', '0.1'] },
      { name: 'layer-kinds', values: ['1', '3'] },
    ],
  };
  await sweep({ folder: folder('sweep'), plan, synthesis: null });
  const asked = measured.mock.calls.map(String);
  expect(asked.length).toBeGreaterThan(18);
  expect(new Set(asked).size).toBe(asked.length);
  measured.mockRestore();
  const costs = readSweep(folder('sweep')).trials.map(({ name }) => {
    const { quantize } = readManifest(join(folder('sweep'), 'trials', name)).phases;
    return {
      cost: quantize!.widths!.cost,
      kinds: new Set(quantize!.widths!.layerBits.map((one) => one.split('=')[1])).size,
    };
  });
  expect(costs).toHaveLength(4);
  expect(costs.map(({ kinds }) => kinds <= 1)).toEqual([true, false, true, false]);
  expect(Math.max(...costs.slice(2).map(({ cost }) => cost))).toBeLessThanOrEqual(0.1);
});

test('the pair that names the cost is within it, whatever the layers’ sums come to, and what is found is no further', async () => {
  const { configuration, inputs } = readManifest(folder('float'));
  for (let seed = 1; seed < 2000; seed++) {
    const layers = inputs.layers.map((layer, at) => ({ ...layer, macs: 1009 * seed * (at + 3) + at })) as RunLayer[];
    const { limitFor, open, searched } = openLayers({ configuration, layers });
    for (const cost of [0.21, 0.14, 0.0975]) {
      const limit = limitFor(cost);
      expect(limit).toBeGreaterThanOrEqual(cost);
      expect(open.reduce((sum, { macs }) => sum + (macs / searched) * cost, 0)).toBeLessThanOrEqual(limit);
      expect(limit).toBeLessThan(cost * (1 + 1e-9));
    }
  }
  const from = folder('float');
  const cost = cheapestExact(3, 3).gateCost;
  await runFlow({ folder: folder('named'), from, settings: { ...exact, ...searched(cost, 3) }, phases: quantising });
  const layerBits = ['usual=3'];
  await runFlow({ folder: folder('all'), from, settings: { ...exact, quantize: { layerBits } }, phases: quantising });
  const { together, images } = readManifest(folder('named')).phases.quantize!.widths!;
  expect(together!.uniform.measured).toBeLessThanOrEqual((await harmOfQuantized('all', images)) * (1 + 1e-6));
  expect(together!.measured).toBeLessThanOrEqual(together!.uniform.measured);
});

test('structures of searched widths: a θ per product for each pair, power the mean over multiplications', async () => {
  const more: ConfigurationInput = {
    ...searched(0.18, 2),
    explore: { grain: 'product', power: 0.1, powerModel: 'fitted', epochs: 2, thetaLearningRate: 0.3 },
  };
  await runFlow({ folder: folder('structures'), from: folder('float'), settings: more });
  const { inputs, phases, configuration } = readManifest(folder('structures'));
  const document = parseTheta(readBytes(join(folder('structures'), 'theta.json')), 'theta.json');
  const macs = new Map(inputs.layers.map((layer) => [layer.name, layer.macs]));
  expect(document.structures).toHaveLength(2);
  const parts = document.structures.map(({ name, layers, theta }) => {
    const [weightBits, activationBits] = name.replace('.theta', '').split('x').map(Number) as [number, number];
    expect(theta).toHaveLength(weightBits * activationBits);
    const work = layers.reduce((sum, layer) => sum + macs.get(layer)!, 0);
    return { work, power: modelledPower('fitted', productStructure({ weightBits, activationBits }), theta) };
  });
  const all = parts.reduce((sum, { work }) => sum + work, 0);
  const mean = parts.reduce((sum, { work, power }) => sum + (work / all) * power, 0);
  expect(document.power).toBeCloseTo(mean, 6);
  expect(phases.explore!.targets!.power.reached).toBeLessThanOrEqual(0.1);
  expect(configuration.quantize.layerBits).toHaveLength(9);
  expect(phases.map!.multipliers!.map(({ name }) => name)).toEqual(
    document.structures.map(({ name }) => `multiplier-${name.replace('.theta', '')}`),
  );
  // Hard θ are mapped without a loss.
  const at = (stage: string) => summarize(folder('structures')).stages.find((one) => one.stage === stage)!;
  expect(at('mapped').accuracy).toBe(at('explored').accuracy);
  expect(phases.report!.files).toHaveProperty([`figures/theta-${document.structures[0]!.name.split('.')[0]}.svg`]);
});

test('layers of one width, which is not the run’s: the one multiplier is reported by its own structure', async () => {
  const name = 'one';
  const explore = { grain: 'product', epochs: 1, power: 0.03, powerModel: 'fitted' } as const;
  await runFlow({
    folder: folder(name),
    from: folder('float'),
    settings: { ...searched(0.05, 1), explore },
  });
  const { multipliers } = summarize(folder(name));
  expect(multipliers).toHaveLength(1);
  const [{ theta, thetaOf }] = multipliers as [(typeof multipliers)[number]];
  expect(theta).toHaveLength(thetaOf!.weightBits * thetaOf!.activationBits);
  const page = new TextDecoder().decode(readBytes(join(folder(name), files.page)));
  expect(page.match(/θ of weight bit \d, activation bit 0 first/g)).toHaveLength(thetaOf!.weightBits);
});

test('what is said of some layers stays, and what cannot be is refused', async () => {
  const from = folder('float');
  const layerBits = ['first=8', 'layer1.*=2x4'];
  const quantize = { layerBits, layerCost: 0.12 };
  await runFlow({
    folder: folder('some'),
    from,
    settings: { ...exact, quantize },
    phases: ['train', 'quantize', 'map'],
  });
  const { phases } = readManifest(folder('some'));
  expect(phases.quantize!.widths!.layerBits.map((text) => text.split('=')[0])).toEqual(
    ['layer2.0.conv1', 'layer2.0.conv2', 'layer2.0.downsample.0', 'layer3.0.conv1', 'layer3.0.conv2'].concat(
      'layer3.0.downsample.0',
    ),
  );
  const widths = new Map(summarize(folder('some')).layers.map((layer) => [layer.name, layer]));
  expect(widths.get('conv1')).toMatchObject({ weightBits: 8, activationBits: 8 });
  expect(widths.get('layer1.0.conv2')).toMatchObject({ weightBits: 2, activationBits: 4 });
  expect(phases.map!.stages[0]!.gateCost).toBeLessThanOrEqual(0.12);

  let refusals = 0;
  const refused = (more: ConfigurationInput) =>
    runFlow({ folder: folder(`refused${refusals++}`), from, settings: more });
  await expect(refused({ ...exact, ...searched(0.02, 1) })).rejects.toThrow(
    /the cheapest pair of widths, 2×2, costs 0\.025;/,
  );
  const wide = { ...exact, quantize: { layerBits: ['layer1.*=8'], layerCost: 0.1 } };
  await expect(refused(wide)).rejects.toThrow(
    /with 2×2 bits in all layers that are searched the mean gate cost is 0\.4/,
  );
  const settled = { ...exact, quantize: { layerBits: ['convolutions=4'], layerCost: 0.3 } };
  await expect(refused(settled)).rejects.toThrow(
    /quantize\.layerBits gives widths to every layer .* leave one of them out/,
  );
  const slow = { optimizer: 'adam', epochs: 1, power: 0.05, thetaLearningRate: 1e-5 } as const;
  await expect(refused({ ...searched(0.2, 1), explore: slow })).rejects.toThrow(/by adam θ moves by about that/);
  await expect(refused({ ...exact, ...searched(0.2, 50) })).rejects.toThrow(/quantize\.layerKinds: .*49/);
  await expect(refused({ quantize: { layerKinds: 2 } })).rejects.toThrow(/no widths are searched/);
  await expect(refused({ map: { multiplier: 'dadda:8x8' }, ...searched(0.2, 1) })).rejects.toThrow(/choose exact/);
  await expect(refused({ ...searched(0.2, 1), explore: { grain: 'column' } })).rejects.toThrow(/grain product/);
  await expect(refused({ ...searched(0.2, 1), explore: { grain: 'product', types: 2 } })).rejects.toThrow(/layerKinds/);
});
