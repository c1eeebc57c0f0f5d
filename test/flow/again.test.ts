// A run that is asked for again: redone from the first phase that differs with nothing of the old left, branched into
// another run, moved with or without its data, and returned to its defaults.

import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type FlowOptions, runFlow } from '../../src/flow/flow.ts';
import { evaluateRun } from '../../src/flow/results/evaluate.ts';
import { summarize } from '../../src/flow/results/summarize.ts';
import type { RunEvent } from '../../src/flow/run/events.ts';
import { readManifest, writeManifest } from '../../src/flow/run/manifest.ts';
import { discard } from '../../src/flow/run/plan.ts';
import { type ConfigurationInput, mergeSettings } from '../../src/flow/settings/config.ts';
import { readBytes, readJsonLines, sha256 } from '../../src/tensor/files.ts';
import { encodeSafetensors, readSafetensors } from '../../src/tensor/safetensors.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-again-'));
const home = process.cwd();
afterEach(() => process.chdir(home));
afterAll(() => rmSync(parent, { recursive: true }));

const short: ConfigurationInput = {
  model: join(import.meta.dirname, 'small-network.mjs'),
  ...{ train: { epochs: 1 }, explore: { epochs: 1 }, recover: { epochs: 1 } },
};
const brief: ConfigurationInput = { sample: 200, ...short };
const finished = join(parent, 'finished');
const data = join(parent, 'data');

beforeAll(async () => {
  await runFlow({ folder: finished, settings: brief, command: 'tram run' });
  mkdirSync(data);
  const digits = gunzipSync(readFileSync(join(home, 'data/digits.csv.gz'))).toString();
  writeFileSync(join(data, 'few.csv'), `${digits.split('\n').slice(0, 150).join('\n')}\n`);
});

function copyOf(run: string, name: string): string {
  const folder = join(parent, name);
  cpSync(run, folder, { recursive: true });
  return folder;
}

const hashOf = (folder: string, file: string) => sha256(readBytes(join(folder, file)));
const filesOf = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
const phasesIn = (folder: string) =>
  (readJsonLines(join(folder, 'metrics.jsonl')) as { phase: string }[]).map(({ phase }) => phase);

/** Does a flow; resolves to the phases that were begun. */
async function begun(options: FlowOptions): Promise<string[]> {
  const names: string[] = [];
  await runFlow({ ...options, listener: (event) => event.kind === 'phase-start' && names.push(event.phase) });
  return names;
}

/** Does a flow and stops it as soon as `when` says so. */
async function stopped(options: FlowOptions, when: (event: RunEvent) => boolean): Promise<void> {
  const controller = new AbortController();
  const listener = (event: RunEvent) => when(event) && controller.abort();
  await expect(runFlow({ ...options, listener, signal: controller.signal })).rejects.toThrow(/abort/i);
}

describe('redone', () => {
  test.each<[string, FlowOptions['phases'], ConfigurationInput, string[]]>([
    [
      'another λ begins at the exploration',
      undefined,
      { explore: { lambda: 1 } },
      ['explore', 'map', 'recover', 'report'],
    ],
    ['recovery alone', undefined, { recover: { learningRate: 1e-3 } }, ['recover', 'report']],
    ['one phase begins where it differs', ['map', 'recover'], { map: { search: 'greedy' } }, ['map', 'recover']],
    ['one phase with nothing different is done', ['map'], {}, ['map']],
    [
      'the whole run with nothing different is done',
      undefined,
      {},
      ['train', 'quantize', 'explore', 'map', 'recover', 'report'],
    ],
  ])('%s', async (name, phases, settings, expected) => {
    const folder = copyOf(finished, name);
    expect(await begun({ folder, settings, redo: true, ...(phases ? { phases } : {}) })).toEqual(expected);
    const kept = expected.includes('train') ? [] : ['float', 'quantized'];
    for (const file of kept.map((stem) => `checkpoints/${stem}.safetensors`)) {
      expect(hashOf(folder, file), file).toBe(hashOf(finished, file));
    }
  });

  test('a phase takes what it replaces, and what follows, out of the folder at once', async () => {
    const folder = copyOf(finished, 'at once');
    const options = { folder, settings: { explore: { lambda: 1 } }, redo: true };
    await stopped(options, (event) => event.kind === 'phase-start' && event.phase === 'explore');
    const left = ['float', 'quantized'].map((name) => `checkpoints/${name}.safetensors`);
    expect(filesOf(folder).filter((file) => file !== 'checkpoints/resume.safetensors')).toEqual([
      ...left,
      'manifest.json',
      'metrics.jsonl',
    ]);
    expect(phasesIn(folder)).toEqual(['train']);
    expect(summarize(folder).files.map(({ title }) => title)).toEqual(['metrics of every epoch', 'manifest']);
    expect(summarize(folder).stages.map(({ stage }) => stage)).toEqual(['float', 'quantized']);
  });

  test('a mapping alone leaves no recovery behind, in files, metrics or report', async () => {
    const folder = copyOf(finished, 'no recovery');
    const summary = await runFlow({ folder, settings: { map: { search: 'greedy' } }, phases: ['map'], redo: true });
    expect(phasesIn(folder)).toEqual(['train', 'explore']);
    for (const file of ['checkpoints/recovered.safetensors', 'report.html', 'figures/curves.svg']) {
      expect(existsSync(join(folder, file)), file).toBe(false);
    }
    expect(summary.files.map(({ path }) => path).filter((path) => !existsSync(path))).toEqual([]);
    await runFlow({ folder, phases: ['report'] });
    expect(readFileSync(join(folder, 'report.html'), 'utf8')).not.toMatch(/recovered network/i);
  });

  test('a table in place of a netlist leaves no netlist', async () => {
    const folder = copyOf(finished, 'table');
    const table = join(parent, 'table.npy');
    cpSync(join(finished, 'multiplier.npy'), table);
    await runFlow({ folder, settings: { map: { multiplier: table } }, phases: ['map'], redo: true });
    expect(filesOf(folder).filter((file) => /\.(v|blif)$/.test(file))).toEqual([]);
  });

  test('a report that was made before a phase does not stay beside it; what training had reached does', async () => {
    const folder = copyOf(finished, 'reported early');
    const settings = { explore: { epochs: 2 } };
    const isSecond = (event: RunEvent) => event.kind === 'epoch' && event.record.phase === 'explore';
    await stopped({ folder, settings, redo: true }, isSecond);
    await runFlow({ folder, phases: ['report'] });
    expect(filesOf(folder)).toContain('report.html');
    let resumed = false;
    const listener = (event: RunEvent) => {
      if (event.kind === 'phase-start' && event.phase === 'explore') resumed = event.resumed;
    };
    const summary = await runFlow({ folder, phases: ['explore'], listener });
    expect(resumed).toBe(true);
    expect(summary.donePhases).toEqual(['train', 'quantize', 'explore']);
    expect(filesOf(folder).filter((file) => /report|figures/.test(file))).toEqual([]);
  });

  test('the report leaves no figure that it no longer makes', async () => {
    const folder = copyOf(finished, 'old figure');
    const manifest = readManifest(folder);
    const { report } = manifest.phases;
    writeFileSync(join(folder, 'figures/old.svg'), 'old');
    const listed = { ...report!, files: { ...report!.files, 'figures/old.svg': hashOf(folder, 'figures/old.svg') } };
    writeManifest(folder, { ...manifest, phases: { ...manifest.phases, report: listed } });
    await runFlow({ folder, phases: ['report'] });
    expect(existsSync(join(folder, 'figures/old.svg'))).toBe(false);
    expect(existsSync(join(folder, 'figures/curves.svg'))).toBe(true);
  });

  test('the metrics of the phase go with those that follow, before anything is logged anew', () => {
    const folder = copyOf(finished, 'discarded');
    const left = discard(folder, { ...readManifest(folder), discarding: { from: 'explore', files: [] } });
    expect(phasesIn(folder)).toEqual(['train']);
    expect(left.discarding).toBeUndefined();
  });

  test('what a kill left of the removing is removed by the next command', async () => {
    const folder = copyOf(finished, 'half removed');
    const manifest = readManifest(folder);
    const { recover, report: _, ...phases } = manifest.phases;
    const discarding = { from: 'recover' as const, files: Object.keys(recover!.files) };
    writeManifest(folder, { ...manifest, phases, discarding });
    expect(await begun({ folder, phases: ['report'] })).toEqual(['report']);
    expect(existsSync(join(folder, 'checkpoints/recovered.safetensors'))).toBe(false);
    expect(phasesIn(folder)).toEqual(['train', 'explore']);
    expect(readManifest(folder).discarding).toBeUndefined();
  });

  test('nothing outside the folder is removed, whatever the manifest names or a link points to', async () => {
    const folder = copyOf(finished, 'crafted');
    const outside = join(parent, 'outside');
    mkdirSync(outside);
    writeFileSync(join(parent, 'precious'), 'x');
    writeFileSync(join(outside, 'recovered.safetensors'), 'x');
    rmSync(join(folder, 'figures'), { recursive: true });
    symlinkSync(outside, join(folder, 'figures'));
    const manifest = readManifest(folder);
    const files = ['../precious', join(parent, 'precious'), 'figures/recovered.safetensors', 'figures/../../precious'];
    writeFileSync(
      join(folder, 'manifest.json'),
      JSON.stringify({ ...manifest, discarding: { from: 'report', files } }),
    );
    await runFlow({ folder, phases: ['report'] }).catch(() => undefined);
    expect(existsSync(join(parent, 'precious'))).toBe(true);
    expect(existsSync(join(outside, 'recovered.safetensors'))).toBe(true);
  });

  test('other widths bring their own P along', async () => {
    const folder = copyOf(finished, 'narrow');
    await runFlow({ folder, settings: { bits: { weights: 4, activations: 4 } }, phases: ['quantize'], redo: true });
    expect(readManifest(folder).configuration.explore).toMatchObject({ columns: 7, initiallyRemoved: 0 });
  });
});

describe('settings that decide nothing', () => {
  const idle: ConfigurationInput = {
    quantize: { batchSize: 16, learningRate: 1, teacher: 'float', percentile: 99 },
    explore: { beta2: 0.5, milestones: [1] },
    map: { operands: 'measured' },
    recover: { scheduleFactor: 0.5, smoothing: { weights: 3 } },
  };
  const checkpoints = (folder: string) =>
    Object.values(readManifest(folder).phases).flatMap(({ files }) =>
      Object.entries(files).filter(([path]) => path.endsWith('.safetensors')),
    );

  test('begin no finished phase again, and change no bit of one', async () => {
    expect(await begun({ folder: copyOf(finished, 'idle'), settings: idle })).toEqual(['report']);
    const folder = join(parent, 'idle from the start');
    await runFlow({ folder, settings: mergeSettings(brief, idle) });
    expect(checkpoints(folder)).toEqual(checkpoints(finished));
  });

  test('are the epochs of a network that is taken as it is: what later phases draw does not move', async () => {
    const settings = (epochs?: number): ConfigurationInput => ({
      ...brief,
      train: { checkpoint: join(finished, 'checkpoints/float.safetensors'), epochs },
    });
    const [usual, said] = [join(parent, 'taken'), join(parent, 'taken with epochs')];
    const phases = ['train', 'quantize', 'explore'] as const;
    await runFlow({ folder: usual, settings: settings(), phases: [...phases] });
    await runFlow({ folder: said, settings: settings(7), phases: [...phases] });
    expect(checkpoints(said)).toEqual(checkpoints(usual));
    expect(await begun({ folder: said, settings: settings(), phases: ['explore'] })).toEqual([]);
  });
});

describe('a record', () => {
  test('says when, how long, on what and by which command each phase was done', () => {
    for (const [phase, record] of Object.entries(readManifest(finished).phases)) {
      expect(record.seconds, phase).toBeGreaterThan(0);
      expect(Date.parse(record.finished), phase).toBeLessThanOrEqual(Date.now());
      expect(record.command).toBe('tram run');
      // A report is a view of what is there: it computes nothing.
      if (phase === 'report') expect(record.device).toEqual({ name: 'none', detail: 'nothing was computed' });
      else expect(record.device.name, phase).toBe('wasm');
      const computed = /WebAssembly SIMD, \d+ threads?; emulation auto/;
      if (phase !== 'report') expect(record.device.detail, phase).toMatch(computed);
    }
  });

  test('of the inputs holds the data’s facts and the layers’ multiplications', () => {
    const { data, layers } = readManifest(finished).inputs;
    expect(data.image).toEqual({ height: 8, width: 8, channels: 1 });
    expect(data.classCounts.reduce((sum, count) => sum + count)).toBe(data.trainImages + data.testImages);
    expect(data.mean[0]! * 16).toBeCloseTo(4.88, 1);
    expect(data.deviation).toHaveLength(1);
    expect(layers).toHaveLength(3);
    expect(layers[0]).toEqual({ name: 'conv1', macs: 8 * 8 * 9 * 8, kind: 'convolution', usual: true });
  });
});

describe('branched', () => {
  test('a run takes the phases with the same settings and ends with the bits of one that was made alone', async () => {
    const before = filesOf(finished).map((file) => [file, hashOf(finished, file)]);
    const settings = { explore: { lambda: 1 } };
    const [branch, alone] = [join(parent, 'branch'), join(parent, 'alone')];
    const skipped: string[] = [];
    const listener = (event: RunEvent) => event.kind === 'phase-skip' && skipped.push(event.reason);
    await runFlow({ folder: branch, from: finished, settings, listener });
    await runFlow({ folder: alone, settings: { ...brief, explore: { ...brief.explore, ...settings.explore } } });
    expect(skipped).toEqual([`taken from ${finished}`, `taken from ${finished}`]);
    const file = 'checkpoints/recovered.safetensors';
    expect(hashOf(branch, file)).toBe(hashOf(alone, file));
    expect(readFileSync(join(branch, 'metrics.jsonl'), 'utf8')).toBe(
      readFileSync(join(alone, 'metrics.jsonl'), 'utf8'),
    );
    expect(readManifest(branch).given).toEqual({ ...brief, explore: { epochs: 1, lambda: 1 } });
    expect(filesOf(finished).map((name) => [name, hashOf(finished, name)])).toEqual(before);
  });

  test('a run that was stopped goes on with the same command', async () => {
    const folder = join(parent, 'branch again');
    const options = { folder, from: finished, settings: { explore: { lambda: 1 } } };
    await stopped(options, (event) => event.kind === 'step');
    await runFlow(options);
    expect(hashOf(folder, 'theta.json')).toBe(hashOf(join(parent, 'branch'), 'theta.json'));
  });

  test('a run with phases of its own takes nothing that was made from others', async () => {
    const small: ConfigurationInput = { ...short, data: `csv:${join(data, 'few.csv')}`, maximum: 16 };
    const [own, source] = [join(parent, 'on another device'), join(parent, 'with a multiplier')];
    await runFlow({ folder: own, settings: small, phases: ['train'], device: { name: 'reference' } });
    await runFlow({ folder: source, settings: { ...small, map: { multiplier: 'dadda:8x8' } } });
    const float = hashOf(own, 'checkpoints/float.safetensors');
    expect(float).not.toBe(hashOf(source, 'checkpoints/float.safetensors'));
    const phases = ['train', 'quantize', 'map'] as const;
    const settings: ConfigurationInput = { map: { multiplier: 'dadda:8x8' } };
    expect(await begun({ folder: own, from: source, settings, phases })).toEqual(['quantize', 'map']);
    expect(hashOf(own, 'checkpoints/float.safetensors')).toBe(float);
  });

  test('a damaged file is named, and no folder is left', async () => {
    const source = copyOf(finished, 'damaged');
    const file = join(source, 'checkpoints/quantized.safetensors');
    const bytes = readFileSync(file);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(file, bytes);
    const folder = join(parent, 'from damaged');
    await expect(runFlow({ folder, from: source, settings: { explore: { lambda: 1 } } })).rejects.toThrow(
      /quantized\.safetensors/,
    );
    expect(existsSync(folder)).toBe(false);
  });
});

describe('moved', () => {
  const small = join(data, 'run');
  const settings: ConfigurationInput = { ...short, data: 'csv:few.csv', image: '8x8x1', maximum: 16 };
  const all = ['train', 'quantize', 'explore', 'map', 'recover'];

  beforeAll(async () => {
    process.chdir(data);
    await runFlow({ folder: 'run', settings });
    process.chdir(home);
  });

  /** The phases that are skipped. */
  async function skipped(options: FlowOptions): Promise<string[]> {
    const names: string[] = [];
    await runFlow({ ...options, listener: (event) => event.kind === 'phase-skip' && names.push(event.phase) });
    return names;
  }

  test('a run finds its relative data from anywhere, as long as they lie where they were', async () => {
    const folder = copyOf(small, 'elsewhere');
    expect(await skipped({ folder })).toEqual(all);
    const { accuracy } = await evaluateRun({ folder });
    expect(accuracy).toBe(summarize(folder).stages.at(-1)!.accuracy);
  });

  test('the data moved along are found from where the user stands, or by --data, without redo', async () => {
    const place = join(parent, 'new place');
    mkdirSync(place);
    cpSync(data, place, { recursive: true });
    const folder = copyOf(small, 'moved');
    renameSync(join(data, 'few.csv'), join(data, 'gone.csv'));
    try {
      await expect(runFlow({ folder })).rejects.toThrow(
        /few\.csv.*looked in .*data.*--data says where the data are now/,
      );
      await expect(evaluateRun({ folder })).rejects.toThrow(/--data/);
      const spec = `csv:${join(place, 'few.csv')}`;
      expect((await evaluateRun({ folder, data: spec })).images).toBe(30);
      expect(await skipped({ folder, settings: { data: spec } })).toEqual(all);
      expect(readManifest(folder).configuration.data).toBe(spec);
      process.chdir(place);
      expect(await skipped({ folder: 'run' })).toEqual(all);
      process.chdir(home);
      expect(await skipped({ folder: join(place, 'run') })).toEqual(all);
    } finally {
      renameSync(join(data, 'gone.csv'), join(data, 'few.csv'));
    }
  });

  test('test images that were moved along are found beside the training images', async () => {
    const [there, here] = [join(parent, 'there'), join(parent, 'here')];
    mkdirSync(there);
    const lines = readFileSync(join(data, 'few.csv'), 'utf8').trim().split('\n');
    writeFileSync(join(there, 'train.csv'), `${lines.slice(0, 100).join('\n')}\n`);
    writeFileSync(join(there, 'test.csv'), `${lines.slice(100).join('\n')}\n`);
    const folder = join(parent, 'two parts');
    process.chdir(parent);
    const settings = { ...short, data: 'csv:there/train.csv', testData: 'there/test.csv', maximum: 16 };
    await runFlow({ folder, settings, phases: ['train'] });
    renameSync(there, here);
    const { accuracy, loss } = summarize(folder).stages[0]!;
    expect(await evaluateRun({ folder, data: 'csv:here/train.csv' })).toMatchObject({ accuracy, loss });
    writeFileSync(join(here, 'test.csv'), `${lines.slice(90).join('\n')}\n`);
    await expect(evaluateRun({ folder, data: 'csv:here/train.csv' })).rejects.toThrow(
      /is not the one that the run was/,
    );
  });

  test('other data under the same name are refused, unless the right ones lie where they were', async () => {
    const place = join(parent, 'other place');
    mkdirSync(place);
    const lines = readFileSync(join(data, 'few.csv'), 'utf8').split('\n');
    writeFileSync(join(place, 'few.csv'), `${lines.slice(5).join('\n')}`);
    process.chdir(place);
    expect(await skipped({ folder: small })).toEqual(all);
    await expect(
      runFlow({ folder: small, settings: { data: `csv:${join(place, 'few.csv')}` }, redo: true }),
    ).rejects.toThrow(/is not the one that the run was made with .*use another folder/);
  });

  test('summary and report need no data at all', async () => {
    const folder = copyOf(small, 'without data');
    const file = join(data, 'few.csv');
    renameSync(file, `${file}.gone`);
    try {
      expect(await begun({ folder, phases: ['report'] })).toEqual(['report']);
      expect(summarize(folder).multipliers[0]!.metrics.maxErrorDistance).toBeGreaterThan(0);
    } finally {
      renameSync(`${file}.gone`, file);
    }
  });

  test('a checkpoint is not asked for once it was used, and may lie elsewhere', async () => {
    const [first, second] = ['first.safetensors', 'second.safetensors'].map((name) => join(parent, name)) as [
      string,
      string,
    ];
    cpSync(join(finished, 'checkpoints/float.safetensors'), first);
    const folder = join(parent, 'checkpointed');
    const settings = { ...brief, train: { checkpoint: first } };
    await runFlow({ folder, settings, phases: ['train', 'quantize'] });
    renameSync(first, second);
    expect(await skipped({ folder, phases: ['train', 'quantize'] })).toEqual(['train', 'quantize']);
    expect(await skipped({ folder, phases: ['train'], settings: { train: { checkpoint: second } } })).toEqual([
      'train',
    ]);
    await expect(runFlow({ folder, settings: { train: { checkpoint: undefined } } })).rejects.toThrow(
      /the phase train .* \(train\.checkpoint unset instead of "file of SHA-256/,
    );
    expect(
      await begun({ folder, settings: { train: { checkpoint: undefined, epochs: 1 } }, phases: ['train'], redo: true }),
    ).toEqual(['train']);
    expect(readManifest(folder).inputs.checkpoint).toBeUndefined();
  });

  test('a checkpoint that is read again counts with what is in it now', async () => {
    const file = join(parent, 'changing.safetensors');
    cpSync(join(finished, 'checkpoints/float.safetensors'), file);
    const folder = join(parent, 'changing');
    const settings = { ...brief, train: { checkpoint: file } };
    await runFlow({ folder, settings, phases: ['train'] });
    cpSync(join(folder, 'checkpoints/float.safetensors'), file);
    const { tensors } = readSafetensors(file);
    tensors.get('fc.bias')!.data[0] = 0.25;
    writeFileSync(file, encodeSafetensors(tensors));
    await runFlow({ folder, phases: ['train'], redo: true });
    expect(readManifest(folder).inputs.checkpoint!.sha256).toBe(sha256(readBytes(file)));
    expect(await skipped({ folder, settings, phases: ['train'] })).toEqual(['train']);
  });

  test('a checkpoint named in place of another counts, though the other still lies there', async () => {
    const [first, second] = ['one', 'two'].map((name) => join(parent, `${name}.safetensors`)) as [string, string];
    cpSync(join(finished, 'checkpoints/float.safetensors'), first);
    const { tensors } = readSafetensors(first);
    tensors.get('fc.bias')!.data[0] = 0.25;
    writeFileSync(second, encodeSafetensors(tensors));
    const folder = join(parent, 'exchanged');
    const from = (checkpoint: string) => ({
      folder,
      settings: { ...short, train: { checkpoint } },
      phases: ['train'] as const,
    });
    await runFlow(from(first));
    await expect(runFlow(from(second))).rejects.toThrow(/train\.checkpoint "file of SHA-256 .*" instead of "file of/);
    await runFlow({ ...from(second), redo: true });
    expect(readManifest(folder).inputs.checkpoint).toEqual({ path: second, sha256: sha256(readBytes(second)) });
    expect(readSafetensors(join(folder, 'checkpoints/float.safetensors')).tensors.get('fc.bias')!.data[0]).toBe(0.25);
  });
});
