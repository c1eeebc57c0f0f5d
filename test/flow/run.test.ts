// The main job on the shipped digits with few epochs: what a run leaves, that it can be interrupted anywhere, and what
// λ does.

import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { evaluateRun } from '../../src/flow/results/evaluate.ts';
import type { RunSummary } from '../../src/flow/results/summary.ts';
import type { RunEvent } from '../../src/flow/run/events.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { keptStages, type Stage } from '../../src/flow/run/stages.ts';
import { type ConfigurationInput, parseConfiguration } from '../../src/flow/settings/config.ts';
import { phasesOf } from '../../src/flow/settings/phases.ts';
import { saidIn } from '../../src/flow/settings/said.ts';
import { publishedTraining } from '../../src/flow/settings/training.ts';
import { readHistograms } from '../../src/multiplier/histograms.ts';
import { errorMetrics } from '../../src/multiplier/metrics.ts';
import { readNpy } from '../../src/netlist/formats/npy.ts';
import { readBytes, sha256 } from '../../src/tensor/files.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-flow-'));
afterAll(() => rmSync(parent, { recursive: true }));

const few: ConfigurationInput = { train: { epochs: 12 }, explore: { epochs: 3 }, recover: { epochs: 3 } };
const brief: ConfigurationInput = { train: { epochs: 1 }, explore: { epochs: 1 }, recover: { epochs: 1 } };

/** The phases of a run that asks for no rivals. */
const usual = phasesOf(parseConfiguration({}, 'test'));

function stageOf(summary: RunSummary, stage: Stage) {
  return summary.stages.find((result) => result.stage === stage)!;
}

const hashOf = (folder: string, file: string) => sha256(readBytes(join(folder, file)));

describe('a run with few epochs', () => {
  const folder = join(parent, 'few');
  const events: RunEvent[] = [];
  let summary: RunSummary;

  beforeAll(async () => {
    summary = await runFlow({ folder, settings: few, listener: (event) => events.push(event) });
  });

  test('does all phases and measures every stage', () => {
    expect(summary.donePhases).toEqual(usual);
    expect(summary.stages.map(({ stage }) => stage)).toEqual([
      ...['float', 'quantized', 'approximated', 'exploration-started', 'explored', 'mapped', 'recovery-started'],
      'recovered',
    ]);
    expect(stageOf(summary, 'float').accuracy).toBeGreaterThan(0.96);
    expect(stageOf(summary, 'quantized').accuracy).toBeGreaterThan(stageOf(summary, 'float').accuracy - 0.02);
  });

  // What the program is for; with another seed in accuracy.test.ts.
  test('recovers within one percentage point at power ≤ 0.85', () => {
    expect(stageOf(summary, 'explored').power).toBeLessThanOrEqual(0.85);
    expect(stageOf(summary, 'recovered').gateCost).toBeLessThanOrEqual(0.85);
    expect(stageOf(summary, 'recovered').accuracy).toBeGreaterThanOrEqual(stageOf(summary, 'float').accuracy - 0.01);
  });

  test('leaves every file that the manifest lists, with its hash', () => {
    const manifest = readManifest(folder);
    const files = Object.values(manifest.phases).flatMap((record) => Object.entries(record!.files));
    expect(files.length).toBeGreaterThan(12);
    for (const [path, hash] of files) expect(hashOf(folder, path), path).toBe(hash);
    expect(existsSync(join(folder, 'checkpoints/resume.safetensors'))).toBe(false);
    const lines = readFileSync(join(folder, 'metrics.jsonl'), 'utf8').trim().split('\n');
    expect(lines.length).toBe(12 + 3 + 3);
  });

  test('records the proof of the multiplier over all operand pairs', () => {
    const [record] = readManifest(folder).phases.map!.multipliers!;
    expect(record!.certificate).toMatchObject({ pairs: 65536, forms: ['netlist', 'blif', 'verilog', 'table'] });
    expect(record!.certificate.sha256.verilog).toBe(hashOf(folder, 'multiplier.v'));
    expect(record!.certificate.sha256.blif).toBe(hashOf(folder, 'multiplier.blif'));
    expect(record!.certificate.sha256.table).toBe(hashOf(folder, 'multiplier.npy'));
  });

  test('keeps the operands that the multiplier meets in a form that the workbench reads', () => {
    const file = join(folder, 'multiplier.operands.json');
    const widths = { weightBits: 8, activationBits: 8, signed: false };
    const histograms = readHistograms(readFileSync(file, 'utf8'), file, widths);
    const [weight, activation] = [histograms.weight, histograms.activation].map((counts) =>
      Array.from(counts).reduce((sum, count) => sum + count),
    );
    expect(weight).toBe(activation);
    const report = JSON.parse(readFileSync(join(folder, 'multiplier.errors.json'), 'utf8'));
    const table = readNpy(readBytes(join(folder, 'multiplier.npy')), file);
    expect(report.measuredOperands.med).toBeCloseTo(errorMetrics(table, histograms).meanErrorDistance, 9);
    expect(existsSync(join(folder, 'figures/multiplier-operands.svg'))).toBe(true);
  });

  test('proves before both approximate trainings what every layer but the last multiplies with: exact products at first', () => {
    const notes = events.flatMap((event) => (event.kind === 'note' ? [event.text] : []));
    expect(notes).toContain('approximation without effect: every sampled output is that of exact products');
    expect(notes).toContain('mapped multiplier active in 9 layers');
  });

  test('is measured again from its files to the same accuracy at every stage', async () => {
    for (const stage of keptStages) {
      const { accuracy } = await evaluateRun({ folder, stage });
      expect(accuracy, stage).toBe(stageOf(summary, stage).accuracy);
    }
  });

  test('is not done twice', async () => {
    const before = hashOf(folder, 'checkpoints/recovered.safetensors');
    const skipped: string[] = [];
    await runFlow({
      folder,
      settings: few,
      listener: (event) => {
        if (event.kind === 'phase-skip') skipped.push(event.phase);
      },
    });
    expect(skipped).toEqual(usual.slice(0, 5));
    expect(hashOf(folder, 'checkpoints/recovered.safetensors')).toBe(before);
  });

  test('refuses other settings for what is done, and changes nothing', async () => {
    const before = readFileSync(join(folder, 'manifest.json'), 'utf8');
    await expect(runFlow({ folder, settings: { explore: { lambda: 2 } } })).rejects.toThrow(
      /phase explore .* other settings \(explore.power unset instead of 0.6, explore.lambda 2 instead of unset\)/,
    );
    expect(readFileSync(join(folder, 'manifest.json'), 'utf8')).toBe(before);
  });

  test('names a file that was changed behind its back', async () => {
    const path = join(folder, 'multiplier.npy');
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.subarray(0, bytes.length - 1));
    await expect(evaluateRun({ folder, stage: 'recovered' })).rejects.toThrow(
      /multiplier\.npy is not the file that the run wrote/,
    );
    writeFileSync(path, bytes);
  });
});

describe('an interrupted run', () => {
  // Quantisation trains too, so that it is gone on with behind its calibration.
  const settings: ConfigurationInput = { ...brief, sample: 300, quantize: { epochs: 1 } };
  /** Stops after every `every` steps until the run is complete; returns how often it was stopped. */
  async function runInPieces(folder: string, every: number, threads: readonly number[]): Promise<number> {
    for (let piece = 0; ; piece++) {
      const controller = new AbortController();
      let steps = 0;
      try {
        await runFlow({
          folder,
          settings,
          device: { threads: threads[piece % threads.length]! },
          signal: controller.signal,
          listener: (event) => {
            if (event.kind === 'step' && ++steps === every) controller.abort();
          },
        });
        return piece;
      } catch (error) {
        expect((error as Error).name).toBe('AbortError');
      }
    }
  }

  test('goes on to the same bits, also within an epoch and with another number of threads', async () => {
    await runFlow({ folder: join(parent, 'whole'), settings, device: { threads: 2 } });
    const stops = await runInPieces(join(parent, 'pieces'), 2, [1, 2]);
    expect(stops).toBeGreaterThan(5);
    for (const name of ['float', 'quantized', 'explored', 'recovered']) {
      const file = `checkpoints/${name}.safetensors`;
      expect(hashOf(join(parent, 'pieces'), file), name).toBe(hashOf(join(parent, 'whole'), file));
    }
    expect(readFileSync(join(parent, 'pieces/metrics.jsonl'), 'utf8')).toBe(
      readFileSync(join(parent, 'whole/metrics.jsonl'), 'utf8'),
    );
  });
});

describe('recovery with the difference-based gradient', () => {
  const folder = join(parent, 'difference');
  const multiplier = 'mitchell:8x8';
  const settings = (recover: ConfigurationInput['recover']): ConfigurationInput => ({
    train: { epochs: 2 },
    explore: { epochs: 1 },
    map: { multiplier },
    recover: { epochs: 1, ...recover },
  });

  test('recovers what the multiplier costs, to other weights than the straight-through one', async () => {
    const summary = await runFlow({ folder, settings: settings({ gradient: 'difference' }) });
    expect(stageOf(summary, 'recovered').accuracy).toBeGreaterThan(stageOf(summary, 'mapped').accuracy + 0.2);
    const difference = hashOf(folder, 'checkpoints/recovered.safetensors');
    await runFlow({ folder, settings: settings({ gradient: 'straight-through' }), redo: true });
    expect(hashOf(folder, 'checkpoints/recovered.safetensors')).not.toBe(difference);
  });
});

describe('λ', () => {
  const base = { ...publishedTraining, train: { epochs: 4 }, explore: { ...publishedTraining.explore, epochs: 2 } };
  let notes: string[] = [];
  const quantized = join(parent, 'lambda');
  beforeAll(() => runFlow({ folder: quantized, settings: base, phases: ['train', 'quantize'] }));
  const explored = async (name: string, explore: ConfigurationInput['explore']) => {
    const folder = join(parent, name);
    cpSync(quantized, folder, { recursive: true });
    notes = [];
    await runFlow({
      folder,
      listener: (event) => event.kind === 'note' && notes.push(event.text),
      settings: { ...base, explore: { ...base.explore, ...explore } },
      phases: ['explore'],
    });
    return JSON.parse(readFileSync(join(folder, 'theta.json'), 'utf8')) as {
      power: number;
      structures: { theta: number[] }[];
    };
  };

  test('= 0 moves θ through the loss alone, far less than the power term does', async () => {
    const { power, structures } = await explored('lambda-0', { lambda: 0 });
    const pushed = await explored('lambda-0.3', { lambda: 0.3 });
    expect(power).toBeGreaterThan(0.88);
    expect(structures[0]!.theta.some((value, c) => value !== (c < 4 ? 1 : 0))).toBe(true);
    expect(pushed.power).toBeLessThan(power - 0.02);
    expect(notes.join()).not.toContain('columns that may be approximated');
    expect(notes.join()).not.toContain('only guesses');
  });

  test('from a start that leaves nothing of the accuracy is told what begins nearer', async () => {
    await explored('lost-start', { columns: 14, initiallyRemoved: 13 });
    expect(notes.join('\n')).toMatch(
      /^with 13 of the columns removed .* only guesses \([\d.]+ % instead of \d\d\.\d+ %\).*--initially-removed 6 or 0/m,
    );
  });

  test('very large drives all P columns to 1, and says so with what would save more', async () => {
    const { structures } = await explored('lambda-1000', { lambda: 1000 });
    expect(structures[0]!.theta).toEqual(new Array(8).fill(1));
    expect(notes).toContain(
      'all 8 columns that may be approximated are gone (θ = 1): --columns 10 lets it save more (up to 15), a smaller λ keeps more of the accuracy',
    );
  });
});

describe('a run that cannot go on', () => {
  test('stops at a loss that is not finite, names the step and keeps the last good checkpoint', async () => {
    const folder = join(parent, 'diverging');
    await runFlow({ folder, settings: brief, phases: ['train'] });
    const good = hashOf(folder, 'checkpoints/float.safetensors');
    const settings = { ...brief, quantize: { epochs: 2, learningRate: 1e30 } };
    await expect(runFlow({ folder, settings, phases: ['quantize'] })).rejects.toThrow(
      /the loss became (NaN|Infinity) in epoch 1, step \d+ of 23/,
    );
    expect(hashOf(folder, 'checkpoints/float.safetensors')).toBe(good);
    expect(readManifest(folder).phases.quantize).toBeUndefined();
  });

  test.each<[string, ConfigurationInput, RegExp]>([
    [
      'more columns than the multiplier has',
      { bits: { weights: 2, activations: 2 }, explore: { columns: 8 } },
      /explore.columns is 8, but a 2×2-bit multiplier has 3 columns/,
    ],
    ['width 9', { bits: { weights: 9 } }, /bits\.weights: .*<=8/],
    ['no epochs', { explore: { epochs: 0 } }, /explore\.epochs: .*>=1/],
    [
      'more columns removed than may be',
      { explore: { columns: 3, initiallyRemoved: 4 } },
      /explore.initiallyRemoved is 4, more than the 3 columns/,
    ],
    [
      'smoothing that nothing uses',
      { recover: { smoothing: { weights: 4 } } },
      /recover\.smoothing\.weights has no effect: recover.gradient is rows, which smooths nothing; choose the gradient/,
    ],
    ['an unknown model', { model: 'resnet9' }, /unknown model 'resnet9'.* did you mean 'resnet8'/],
    ['an unknown data set', { data: 'digit' }, /unknown data set 'digit'.* did you mean 'digits'/],
    ['an unknown layer', { exactLayers: ['conv0'] }, /unknown layer 'conv0'/],
    ['images too small for the model', { model: 'resnet18' }, /needs images of at least 16×16 pixels/],
    ['a missing checkpoint', { train: { checkpoint: 'nowhere.safetensors' } }, /nowhere\.safetensors/],
    ['an unknown key', { lambda: 1 } as ConfigurationInput, /lambda/],
  ])('refuses %s and writes nothing', async (_, settings, message) => {
    const folder = join(parent, 'refused');
    await expect(runFlow({ folder, settings, said: saidIn(settings) })).rejects.toThrow(message);
    expect(existsSync(folder)).toBe(false);
  });

  test('tells of settings that decide nothing where nobody said them in so many words, and of no default', async () => {
    const notes: string[] = [];
    const listener = (event: RunEvent) => void (event.kind === 'note' && notes.push(event.text));
    const settings = {
      train: { epochs: 1, beta2: 0.9, momentum: 0.8 },
      recover: { finalRate: 0, smoothing: { weights: 4 } },
    };
    await runFlow({ folder: join(parent, 'told'), settings: { ...settings, sample: 20 }, phases: ['train'], listener });
    expect(notes.filter((text) => text.includes('no effect'))).toEqual([
      'settings: train.beta2 has no effect: train.optimizer is sgd; choose adam or adamw',
      expect.stringMatching(/^settings: recover\.smoothing\.weights has no effect: recover\.gradient is rows, /),
    ]);
  });

  test('refuses to begin in the middle', async () => {
    await expect(runFlow({ folder: join(parent, 'nothing'), phases: ['map'] })).rejects.toThrow(/is not a run folder/);
  });
});

describe('other arithmetic', () => {
  const train = { epochs: 3 };
  const float = join(parent, 'float');
  beforeAll(() => runFlow({ folder: float, settings: { train }, phases: ['train'] }));
  test.each<[string, ConfigurationInput]>([
    [
      'w4a4, P = 4, with quantisation-aware training',
      {
        bits: { weights: 4, activations: 4 },
        explore: { ...publishedTraining.explore, epochs: 1, columns: 4, initiallyRemoved: 2 },
        quantize: { epochs: 1 },
      },
    ],
    [
      'w4a8 with one structure per layer',
      { bits: { weights: 4, activations: 8 }, explore: { epochs: 1, structure: 'per-layer' } },
    ],
    [
      'one scale per layer and an exact last layer',
      { channelwise: false, exactLayers: ['fc'], explore: { epochs: 1 } },
    ],
  ])('%s', async (name, settings) => {
    const summary = await runFlow({
      folder: join(parent, name),
      from: float,
      settings: { ...settings, train, recover: { epochs: 2 } },
    });
    expect(stageOf(summary, 'recovered').accuracy).toBeGreaterThan(0.8);
    const layers = summary.multipliers.flatMap((multiplier) => multiplier.layers);
    expect(layers.length).toBe(10 - summary.exactLayers.length);
    expect(summary.multipliers.length).toBe(settings.explore?.structure === 'per-layer' ? 9 : 1);
  });
});
