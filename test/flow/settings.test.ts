// Every setting reaches its place. For each key of the configuration two values are run on a tiny data set over a
// recording device, and what the phase asks of the device, or what it leaves in the manifest, must differ; and it is
// that phase, no earlier one, that is done anew.

import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openDataset } from '../../src/data/registry.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { runFlow } from '../../src/flow/flow.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { type ConfigurationInput, mergeSettings } from '../../src/flow/settings/config.ts';
import { type Phase, trainingPhases } from '../../src/flow/settings/phases.ts';
import { settings as options } from '../../src/flow/settings/table.ts';
import { publishedTraining } from '../../src/flow/settings/training.ts';
import { exactTable } from '../../src/multiplier/table.ts';
import { writeNpy } from '../../src/netlist/formats/npy.ts';
import { generateFromSpec } from '../../src/netlist/generators/registry.ts';
import { relabelled } from '../../src/netlist/network.ts';
import { writeVerilog } from '../../src/netlist/verilog/write.ts';
import { readSafetensors } from '../../src/tensor/safetensors.ts';
import { f32 } from '../../src/tensor/tensor.ts';
import { encodeTorch } from '../../src/tensor/torch-writer.ts';
import { type Recording, recording, traceOf } from './recording.ts';

let recorded: Recording;
vi.mock('../../src/flow/run/device.ts', async (load) => ({
  ...(await load<typeof import('../../src/flow/run/device.ts')>()),
  openBackend: async () => {
    recorded = recording(wasmBackend({ threads: 1 }));
    return recorded.backend;
  },
}));

const parent = mkdtempSync(join(tmpdir(), 'tram-settings-'));
afterAll(() => rmSync(parent, { recursive: true }));

const digits = await openDataset('digits');

/** 60 of the digits as CSV, from `first` on. */
function writeCsv(name: string, first: number): string {
  const { images, labels } = digits.train;
  const lines = Array.from({ length: 60 }, (_, k) => {
    const at = first + k;
    return [...images!.subarray(64 * at, 64 * (at + 1)), labels[at]].join(',');
  });
  const path = join(parent, name);
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

const here = writeCsv('here.csv', 0);
const there = writeCsv('there.csv', 100);
const plainTable = join(parent, 'plain.npy');
writeFileSync(plainTable, writeNpy(exactTable(8, 8)));
const signedTable = join(parent, 'signed.npy');
writeFileSync(signedTable, writeNpy(exactTable(8, 8, true)));
const twoModules = join(parent, 'two.v');
writeFileSync(
  twoModules,
  ['first', 'second']
    .map((name, k) => writeVerilog(relabelled(generateFromSpec(`truncated:8x8:columns=${3 + k}`).network, name)))
    .join('\n'),
);
const ofCells = join(parent, 'cells.v');
writeFileSync(
  ofCells,
  `module cells (input [7:0] a, input [7:0] b, output [15:0] p);
  GATE u (.A(a[7]), .B(b[7]), .Y(p[14]));
  assign p[15] = 1'b0;
  assign p[13:0] = 14'b0;
endmodule
`,
);
/** A library with one cell of two inputs. */
function libraryOf(name: string, formula: string): string {
  const path = join(parent, `${name}.lib`);
  const pins = ['A', 'B'].map((pin) => `pin (${pin}) { direction : input; capacitance : 1; }`).join(' ');
  writeFileSync(
    path,
    `library (${name}) { nom_voltage : 1.0; cell (GATE) { area : 1; ${pins}
      pin (Y) { direction : output; function : "${formula}"; } } }`,
  );
  return path;
}
const base: ConfigurationInput = mergeSettings(publishedTraining, {
  data: `csv:${here}`,
  image: '8x8x1',
  maximum: 16,
  model: join(import.meta.dirname, 'small-network.mjs'),
  train: { epochs: 2, batchSize: 24 },
  quantize: { epochs: 2, batchSize: 24, images: 32 },
  explore: { epochs: 2, batchSize: 24, thetaLearningRate: 0.3, columns: 6 },
  map: {},
  recover: { epochs: 2, batchSize: 24, gradient: 'difference' },
});

/** Two sets of eight images in one folder. */
const sets = join(parent, 'sets');
mkdirSync(sets);
for (const [k, name] of ['first', 'second'].entries()) {
  const header = (magic: number, ...extents: number[]) => {
    const bytes = Buffer.alloc(4 + 4 * extents.length);
    [magic, ...extents].forEach((value, at) => void bytes.writeUInt32BE(value, 4 * at));
    return bytes;
  };
  const pixels = Uint8Array.from({ length: 8 * 64 }, (_, at) => (at * (k + 3)) % 256);
  for (const part of ['train', 'test']) {
    const stem = join(sets, `emnist-${name}-${part}`);
    writeFileSync(`${stem}-images-idx3-ubyte`, Buffer.concat([header(0x803, 8, 8, 8), pixels]));
    writeFileSync(
      `${stem}-labels-idx1-ubyte`,
      Buffer.concat([header(0x801, 8), Uint8Array.of(0, 1, 0, 1, 0, 1, 0, 1)]),
    );
  }
}

/** Pictures of 12×12 by class, and two test pictures with labels to choose from. */
const pictures = join(parent, 'pictures');
for (const [k, path] of ['train/a/0', 'train/a/1', 'train/b/2', 'train/b/3', 'val/4', 'val/5'].entries()) {
  const file = join(pictures, `${path}.png`);
  mkdirSync(dirname(file), { recursive: true });
  const pixels = Uint8Array.from({ length: 12 * 14 * 3 }, (_, at) => (at * (k + 3)) % 256);
  await sharp(pixels, { raw: { width: 12, height: 14, channels: 3 } }).toFile(file);
}
const [labelsHere, labelsThere] = ['4 a\n5 b\n', '4 b\n5 b\n'].map((text, k) => {
  const path = join(parent, `labels-${k}.txt`);
  writeFileSync(path, text);
  return path;
}) as [string, string];
const ofImages: ConfigurationInput = { data: `images:${pictures}`, image: '8x8x3', maximum: undefined };
const listed = join(parent, 'listed.txt');
writeFileSync(listed, [...Array(40).keys()].map((k) => `${k}\n`).join(''));

type Change = readonly [phase: Phase, value: unknown, also?: ConfigurationInput];

const training = (phase: 'train' | 'quantize' | 'explore' | 'recover', schedule: string): [string, Change][] => [
  [`${phase}.epochs`, [phase, 3]],
  [`${phase}.batchSize`, [phase, 16]],
  [`${phase}.learningRate`, [phase, 3e-3]],
  [`${phase}.momentum`, [phase, 0.5]],
  [`${phase}.weightDecay`, [phase, 1e-3]],
  [`${phase}.schedule`, [phase, schedule]],
  [`${phase}.optimizer`, [phase, 'adamw']],
  [`${phase}.beta2`, [phase, 0.9, { [phase]: { optimizer: 'adam' } }]],
  [`${phase}.decayOf`, [phase, 'weights']],
  [`${phase}.rates`, [phase, ['*.bias=3']]],
  [`${phase}.clipGradient`, [phase, 0.01]],
  [`${phase}.milestones`, [phase, [1], { [phase]: { schedule: 'step' } }]],
  [`${phase}.scheduleFactor`, [phase, 0.5, { [phase]: { schedule: 'step', milestones: [1] } }]],
  [`${phase}.warmup`, [phase, 0.5]],
  [`${phase}.warmupSteps`, [phase, 2]],
  [`${phase}.finalRate`, [phase, 0.5, { [phase]: { schedule: 'cosine' } }]],
  [`${phase}.labelSmoothing`, [phase, 0.1]],
  [`${phase}.average`, [phase, 0.5]],
  // 48 images are left to train on.
  [`${phase}.lastBatch`, [phase, 'filled', { [phase]: { batchSize: 20 } }]],
  [`${phase}.augment`, [phase, 'flip,cutmix:1']],
];

const taught = (phase: 'quantize' | 'explore' | 'recover'): [string, Change][] => [
  [`${phase}.teacher`, [phase, 'float']],
  [`${phase}.teacherWeight`, [phase, 0.5, { [phase]: { teacher: 'float' } }]],
  [`${phase}.temperature`, [phase, 2, { [phase]: { teacher: 'float' } }]],
];

/** Another value for each key, and the phase whose work must change with it. */
const changes = new Map<string, Change>([
  ['recipe', ['train', 'cifar-strong']],
  ['data', ['train', `csv:${there}`]],
  ['image', ['train', '4x16x1']],
  ['maximum', ['train', 17]],
  ['label', ['train', '12']],
  ['testData', ['train', there]],
  ['classes', ['train', 11]],
  ['split', ['train', 'second', { data: `idx:${sets}`, image: undefined, maximum: undefined, split: 'first' }]],
  ['testLabels', ['train', labelsThere, { ...ofImages, testLabels: labelsHere }]],
  ['classesOf', ['train', '5']],
  ['sample', ['train', 40]],
  ['sampleSeed', ['train', 7, { sample: 30 }]],
  ['sampleList', ['train', listed]],
  ['resize', ['train', 12, { ...ofImages, testLabels: labelsHere }]],
  ['mean', ['train', [0.5]]],
  ['deviation', ['train', [0.5]]],
  ['model', ['train', 'resnet8']],
  ['seed', ['train', 2]],
  ['train.checkpoint', ['train', join(parent, 'base/checkpoints/float.safetensors')]],
  ['train.checkpointKey', ['train', 'state_dict_ema', { train: { checkpoint: join(parent, 'two.pth') } }]],
  [
    'train.newClassifier',
    ['train', true, { train: { checkpoint: join(parent, 'base/checkpoints/float.safetensors') } }],
  ],
  ...training('train', 'constant'),
  ['bits.weights', ['quantize', 7]],
  ['bits.activations', ['quantize', 7]],
  ['channelwise', ['quantize', false]],
  ['quantize.images', ['quantize', 24]],
  ['quantize.observer', ['quantize', 'min-max']],
  ['quantize.weightObserver', ['quantize', 'percentile']],
  ['quantize.percentile', ['quantize', 90, { quantize: { observer: 'percentile' } }]],
  ['quantize.foldBatchNorm', ['quantize', true]],
  ['quantize.start', ['quantize', 'statistics']],
  ['quantize.layerBits', ['quantize', ['first=7']]],
  ['quantize.quantizer', ['quantize', 'steps']],
  ['quantize.stepRate', ['quantize', 0.5, { quantize: { quantizer: 'steps' } }]],
  ['quantize.weightZero', ['quantize', 'between', { quantize: { quantizer: 'steps' } }]],
  ['quantize.range', ['quantize', 'as-observed']],
  ...training('quantize', 'constant'),
  ...taught('quantize'),
  ['approximate', ['explore', ['all']]],
  ['exactLayers', ['explore', ['conv1']]],
  ['explore.lambda', ['explore', 0.4]],
  ['explore.power', ['explore', 0.95]],
  ['explore.maxLoss', ['explore', 50]],
  ['explore.types', ['explore', 1, { explore: { structure: 'per-layer', epochs: 2 } }]],
  ['explore.columns', ['explore', 7]],
  ['explore.initiallyRemoved', ['explore', 1]],
  ['explore.structure', ['explore', 'per-layer']],
  ['explore.grain', ['explore', 'product']],
  ['explore.weightCodes', ['explore', 'best']],
  // The classifier has a bias, and no batch norm.
  ['explore.constants', ['explore', 'follow', { approximate: ['all'] }]],
  ['explore.harden', ['explore', 0.5]],
  ['explore.powerModel', ['explore', 'fitted']],
  ['explore.start', ['explore', 'biases']],
  ['explore.thetaLearningRate', ['explore', 0.2]],
  ['explore.thetaWeightDecay', ['explore', 0.1]],
  ...training('explore', 'cosine'),
  ...taught('explore'),
  ['map.search', ['map', 'greedy']],
  ['map.operands', ['map', 'measured']],
  ['map.costBudget', ['map', 0.8]],
  ['map.errorBound', ['map', 0.5, { explore: { harden: 0.5 } }]],
  ['map.costWeight', ['map', 1e6]],
  ['map.multiplier', ['map', 'truncated:8x8:columns=5']],
  ['map.weightCodes', ['map', 'best', { map: { multiplier: 'truncated:8x8:columns=6' } }]],
  [
    'map.zeroProduct',
    ['map', 'own', { map: { multiplier: 'broken-array:8x8:rows=3,columns=0' }, quantize: { quantizer: 'steps' } }],
  ],
  ['map.operandOrder', ['map', 'activation-weight', { map: { multiplier: 'broken-array:8x8:rows=3,columns=4' } }]],
  ['map.tableOrder', ['map', 'values', { map: { multiplier: signedTable, tableOrder: 'patterns' } }]],
  ['map.top', ['map', 'second', { map: { multiplier: twoModules, top: 'first' } }]],
  [
    'map.liberty',
    ['map', [libraryOf('or', 'A + B')], { map: { multiplier: ofCells, liberty: [libraryOf('and', 'A * B')] } }],
  ],
  ['map.signed', ['map', true, { map: { multiplier: plainTable } }]],
  ...training('recover', 'constant'),
  ...taught('recover'),
  ['recover.start', ['recover', 'statistics']],
  ['recover.gradient', ['recover', 'straight-through']],
  ['recover.smoothing.weights', ['recover', 3]],
  ['recover.smoothing.activations', ['recover', 3]],
]);

/**
 * The phases that train have the settings of one function (fitOf) and share the rest of them: each of these is tried on
 * one phase, in turn; TRAM_EVERY_SETTING=1 tries them on all.
 */
const shared = [
  ...['optimizer', 'beta2', 'decayOf', 'rates', 'clipGradient', 'milestones', 'scheduleFactor', 'warmup'],
  ...['warmupSteps', 'finalRate', 'labelSmoothing', 'average', 'lastBatch', 'augment'],
];
function isTried(path: string): boolean {
  const [phase, key] = path.split('.') as [string, string?];
  const at = shared.indexOf(key ?? '');
  return at < 0 || process.env.TRAM_EVERY_SETTING !== undefined || trainingPhases[at % 4] === phase;
}

/** What a phase asks of the device and what it leaves, done anew behind the finished phases before it. */
async function workOf(folder: string, settings: ConfigurationInput, phase: Phase) {
  // What mapping asks of the phases before it is done first.
  const before = (['quantize', 'explore'] as const).filter((one) => phase === 'map' && settings[one]);
  await runFlow({ folder, settings, phases: [...before, phase], redo: true });
  const { inputs, phases } = readManifest(folder);
  const { files, stages, multipliers } = phases[phase]!;
  return { trace: traceOf(recorded.sessions), left: JSON.stringify({ inputs, files, stages, multipliers }) };
}

describe('every setting', () => {
  const folder = join(parent, 'base');
  /** A phase behind the finished ones; the first begins a run. */
  async function workIn(name: string, settings: ConfigurationInput, phase: Phase) {
    const own = join(parent, name);
    if (phase !== 'train') cpSync(folder, own, { recursive: true });
    const work = await workOf(own, settings, phase);
    rmSync(own, { recursive: true });
    return work;
  }
  // Most settings change the same work, which is done once for all of them.
  const usual = new Map<string, ReturnType<typeof workIn>>();
  function unchanged(settings: ConfigurationInput, phase: Phase) {
    const key = JSON.stringify([phase, settings], (_, value) => (value === undefined ? 'absent' : value));
    const work = usual.get(key) ?? workIn(`before-${usual.size}`, settings, phase);
    usual.set(key, work);
    return work;
  }

  beforeAll(async () => {
    await runFlow({ folder, settings: base, phases: ['train', 'quantize', 'explore', 'map', 'recover'] });
    const { tensors } = readSafetensors(join(folder, 'checkpoints/float.safetensors'));
    const average = new Map(tensors).set('fc.bias', f32([10], new Float32Array(10).fill(0.25)));
    const two = new Map([
      ['state_dict', tensors],
      ['state_dict_ema', average],
    ]);
    writeFileSync(join(parent, 'two.pth'), encodeTorch(two));
  });

  test('has another value here', () => {
    // What rivals asks for is a phase of its own: rivals.test.ts; widths are searched, cost and kinds of what is found
    // counted, in layer-widths.test.ts; one device has the statistics of the whole batch: train/replicas.test.ts.
    const elsewhere = ['rivals', 'quantize.layerCost', 'quantize.layerKinds', 'syncBatchNorm'];
    expect([...changes.keys(), 'badImages', 'imageCache', ...elsewhere].toSorted()).toEqual(
      [...new Set(options.flatMap(({ paths }) => paths))].toSorted(),
    );
  });

  test.each([...changes].filter(([path]) => isTried(path)))('%s', async (path, [phase, value, also = {}]) => {
    const from = phase === 'train' ? mergeSettings(base, also) : also;
    const nested = path.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);
    const one = await unchanged(from, phase);
    const other = await workIn(`${path}-after`, mergeSettings(from, nested as ConfigurationInput), phase);
    // What training asks shows on the device; what mapping does shows in what it leaves. The raw maximum falls out of
    // normalised images.
    if (phase === 'map' || path === 'maximum') expect(other.left).not.toBe(one.left);
    else expect(other.trace).not.toBe(one.trace);
  });

  test('badImages and imageCache, by what becomes of a file and where pictures are kept', async () => {
    const train = { epochs: 1, batchSize: 24 };
    const settings: ConfigurationInput = { ...base, ...ofImages, testLabels: labelsHere, train };
    const cache = join(parent, 'image-cache');
    const plain = await workOf(join(parent, 'uncached'), settings, 'train');
    const cached = await workOf(join(parent, 'cached'), { ...settings, imageCache: cache }, 'train');
    // Read one by one or kept on the device, they make the same network.
    expect(cached.left).toBe(plain.left);
    expect(existsSync(cache)).toBe(true);
    writeFileSync(join(pictures, 'train/a/1.png'), 'no picture');
    const broken = (name: string, over: ConfigurationInput) =>
      workOf(join(parent, name), { ...settings, ...over }, 'train');
    await expect(broken('refused', {})).rejects.toThrow(/train\/a\/1.png/);
    expect((await broken('skipped', { badImages: 'skip' })).left).toContain('"badImages":["train/a/1.png"]');
  });

  test('means the same when it is given twice', async () => {
    const traces = [];
    for (const name of ['once', 'twice']) {
      const copy = join(parent, name);
      cpSync(folder, copy, { recursive: true });
      traces.push(await workOf(copy, { explore: { lambda: 0.4 } }, 'explore'));
    }
    expect(traces[1]).toEqual(traces[0]);
  });
});
