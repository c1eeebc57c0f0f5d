// Distillation in a run: who teaches which phase, what that changes and what it leaves alone. A taught phase that is
// stopped and goes on ends with the same bits; no file of the run has the teacher beside its own checkpoint; a run that
// began with a quantised network says that it has no float one.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addSettings, readSettings } from '../../src/cli/options.ts';
import { type FlowOptions, runFlow } from '../../src/flow/flow.ts';
import { exportNetwork } from '../../src/flow/results/export.ts';
import type { MetricRecord, RunEvent } from '../../src/flow/run/events.ts';
import { type ConfigurationInput, parseConfiguration } from '../../src/flow/settings/config.ts';
import { describeDifference, settingsOf } from '../../src/flow/settings/phases.ts';
import { settings } from '../../src/flow/settings/table.ts';
import { readJsonLines } from '../../src/tensor/files.ts';
import { readSafetensors } from '../../src/tensor/safetensors.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-teacher-'));
afterAll(() => rmSync(parent, { recursive: true }));

const device = { name: 'wasm', threads: 1 } as const;
const base = join(parent, 'base');
const brief = { epochs: 2, batchSize: 40, average: 0.5 };
const given: ConfigurationInput = {
  sample: 80,
  bits: { weights: 4, activations: 4 },
  train: { epochs: 1, batchSize: 40 },
  quantize: { images: 40 },
  map: { multiplier: 'truncated:4x4:columns=3' },
};

/** A flow in a copy of the run whose quantisation is done. */
async function goOn(name: string, options: Omit<FlowOptions, 'folder'>): Promise<{ folder: string; notes: string[] }> {
  const folder = join(parent, name);
  cpSync(base, folder, { recursive: true });
  const notes: string[] = [];
  const listener = (event: RunEvent) => void (event.kind === 'note' && notes.push(event.text));
  await runFlow({ folder, device, listener, ...options });
  return { folder, notes };
}

const records = (folder: string) =>
  (readJsonLines(join(folder, 'metrics.jsonl')) as MetricRecord[]).filter(({ phase }) => phase === 'recover');
const tensorsOf = (folder: string, name: string) =>
  readSafetensors(join(folder, `checkpoints/${name}.safetensors`)).tensors;

describe('a taught run', () => {
  beforeAll(async () => {
    await runFlow({ folder: base, device, settings: given, phases: ['train', 'quantize', 'map'] });
  });

  test.each(['float', 'quantized'] as const)(
    'by the %s network is stopped and ends with the same bits, and without the teacher in its files',
    async (teacher) => {
      const taught = { settings: { recover: { ...brief, teacher } }, phases: ['recover'] } as const;
      const { folder: whole, notes } = await goOn(`${teacher}-whole`, taught);
      const name = teacher === 'float' ? 'float network' : 'quantised network with exact multipliers';
      expect(notes).toContain(`teacher: the ${name}, weight 0.9, temperature 2`);
      const folder = join(parent, `${teacher}-stopped`);
      cpSync(base, folder, { recursive: true });
      for (const step of teacher === 'float' ? [1, 2] : [1]) {
        const stop = new AbortController();
        const listener = (event: RunEvent) => void (event.kind === 'step' && event.step === step && stop.abort());
        await expect(runFlow({ folder, device, ...taught, listener, signal: stop.signal })).rejects.toThrow(/abort/i);
        const kept = readSafetensors(join(folder, 'checkpoints/resume.safetensors')).tensors;
        expect([...kept.keys()].filter((key) => key.includes('teacher'))).toEqual([]);
        expect(kept.has('conv1.weight#average')).toBe(true);
      }
      await runFlow({ folder, device, ...taught });
      for (const file of ['checkpoints/recovered.safetensors', 'metrics.jsonl']) {
        expect(readFileSync(join(folder, file)).equals(readFileSync(join(whole, file))), file).toBe(true);
      }
      const names = [...tensorsOf(base, 'quantized').keys()];
      expect([...tensorsOf(whole, 'recovered').keys()].toSorted()).toEqual(names.toSorted());
    },
  );

  test('learns something else than an untaught one, and its loss is what it lowers, its cross-entropy that of labels', async () => {
    const of = async (name: string, recover: ConfigurationInput['recover']) => {
      const { folder } = await goOn(name, { settings: { recover: { ...brief, ...recover } }, phases: ['recover'] });
      return { tensors: tensorsOf(folder, 'recovered'), records: records(folder) };
    };
    const untaught = await of('none', { teacher: 'none' });
    const taught = await of('float', { teacher: 'float' });
    const slightly = await of('slightly', { teacher: 'float', teacherWeight: 1e-6 });
    for (const { loss, crossEntropy } of untaught.records) expect(loss).toBe(crossEntropy);
    for (const { loss, crossEntropy } of taught.records) expect(Math.abs(loss - crossEntropy)).toBeGreaterThan(1e-3);
    const weight = (run: typeof taught) => run.tensors.get('conv1.weight')!.data;
    expect(weight(taught)).not.toEqual(weight(untaught));
    const plain = weight(untaught);
    for (const [at, one] of weight(slightly).entries()) expect(one).toBeCloseTo(plain[at]!, 4);
    const [first, same] = [untaught.records[0]!, slightly.records[0]!];
    expect(same.crossEntropy).toBeCloseTo(first.crossEntropy, 4);
  });

  test('learns from what its checkpoint was when the phase was done, or not at all', async () => {
    const folder = join(parent, 'changed');
    cpSync(base, folder, { recursive: true });
    const path = join(folder, 'checkpoints/float.safetensors');
    const bytes = readFileSync(path);
    bytes[bytes.length - 3]! ^= 1;
    writeFileSync(path, bytes);
    const settings = { recover: { ...brief, teacher: 'float' } } as const;
    await expect(runFlow({ folder, device, settings, phases: ['recover'] })).rejects.toThrow(/float\.safetensors/);
  });

  test('that began with a quantised network has no float teacher, and says so before anything is done', async () => {
    const path = join(parent, 'quantised.safetensors');
    exportNetwork({ folder: base, path, stage: 'quantized', quantizers: true });
    const { sample, bits, map } = given;
    const settings: ConfigurationInput = { sample, bits, map, train: { checkpoint: path } };
    const missing =
      /^settings: recover\.teacher is float, but the run began with the checkpoint of a quantised network .* --teacher quantized$/;
    const folder = join(parent, 'began-quantised');
    const floatTeacher = { ...settings, recover: { ...brief, teacher: 'float' } } as const;
    await expect(runFlow({ folder, device, settings: floatTeacher })).rejects.toThrow(missing);
    const phases = ['train', 'quantize', 'map'] as const;
    await runFlow({ folder, device, settings, phases: [...phases] });
    const asked = { recover: { ...brief, epochs: 1, teacher: 'float' } } as const;
    await expect(runFlow({ folder, device, settings: asked, phases: ['recover'] })).rejects.toThrow(missing);
    const instead = { recover: { ...brief, epochs: 1, teacher: 'quantized' } } as const;
    await runFlow({ folder, device, settings: instead, phases: ['recover'] });
    expect(records(folder)).toHaveLength(1);
    const recovered = () => readFileSync(join(folder, 'checkpoints/recovered.safetensors'));
    const told = recovered();
    // Where nobody is named, it is who the run has.
    const notes: string[] = [];
    const listener = (event: RunEvent) => void (event.kind === 'note' && notes.push(event.text));
    const usual = { recover: { ...brief, epochs: 1, teacher: undefined } };
    await runFlow({ folder, device, settings: usual, phases: ['recover'], redo: true, listener });
    expect(recovered().equals(told)).toBe(true);
    expect(notes.filter((text) => text.startsWith('teacher'))).toEqual([
      'teacher: the quantised network with exact multipliers, weight 0.9, temperature 2, since the run began with a quantised network and has no float one',
    ]);
  });
});

describe('who teaches', () => {
  const of = (phase: 'quantize' | 'recover', input: ConfigurationInput = {}) =>
    settingsOf(parseConfiguration(input, 'test'), phase);
  const without = (text: string) =>
    JSON.stringify(JSON.parse(text), (key, value) => (/^teacher|^temperature/.test(key) ? undefined : value));

  test('decides a phase that trains, and none that does not', () => {
    const calibrated = { quantize: { teacher: 'float', temperature: 4 } } as const;
    expect(describeDifference(of('quantize'), of('quantize', calibrated))).toBe('');
    const trained = { quantize: { epochs: 1 } };
    const taught = { quantize: { epochs: 1, teacher: 'float' } } as const;
    expect(describeDifference(of('quantize', trained), of('quantize', taught))).toBe(
      'quantize.teacher "float" instead of "usual"',
    );
    const warmer = { recover: { temperature: 4 } };
    expect(describeDifference(of('recover'), of('recover', warmer))).toBe('recover.temperature 4 instead of 2');
  });

  test('was nobody before there was a choice', () => {
    const nobody = { teacher: 'none', temperature: 4 } as const;
    const before = without(of('recover'));
    expect(describeDifference(before, of('recover', { explore: nobody, recover: nobody }))).toBe('');
    const taught = { explore: nobody, recover: { teacher: 'float' } } as const;
    expect(describeDifference(before, of('recover', taught))).toBe('recover.teacher "float" instead of "none"');
  });

  test('is said once for all phases that can have it, or for each', () => {
    const said = (...words: string[]) => {
      const command = new Command().exitOverride();
      addSettings(command, settings, true);
      command.parse(words, { from: 'user' });
      const { train, quantize, explore, recover } = parseConfiguration(
        readSettings(command, settings, true),
        'options',
      );
      expect(train).not.toHaveProperty('teacher');
      return [quantize, explore, recover].map(({ teacher, temperature }) => `${teacher} ${temperature}`);
    };
    expect(said()).toEqual(['usual 2', 'usual 2', 'usual 2']);
    expect(said('--teacher', 'float')).toEqual(['float 2', 'float 2', 'float 2']);
    // The quantised network cannot teach the phase that makes it.
    expect(said('--teacher', 'quantized', '--temperature', '4')).toEqual(['usual 4', 'quantized 4', 'quantized 4']);
    expect(said('--explore-teacher', 'none', '--teacher', 'float')).toEqual(['float 2', 'none 2', 'float 2']);
    expect(() => said('--teacher', 'flot')).toThrow(
      "--teacher: expected one of usual, none, float, quantized, got 'flot'; did you mean 'float'?",
    );
    expect(() => said('--quantize-teacher', 'quantized')).toThrow(
      /--quantize-teacher: expected one of usual, none, float/,
    );
  });
});
