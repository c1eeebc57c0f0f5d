// A multiplier made elsewhere in place of a mapped one: unsigned and signed, a netlist or a table alone. What training
// then uses is what the multiplier does: the activity proof of phase 3 recomputes outputs from the table.

import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { checkRun } from '../../src/flow/results/check.ts';
import { evaluateRun } from '../../src/flow/results/evaluate.ts';
import { summarize } from '../../src/flow/results/summarize.ts';
import type { RunSummary } from '../../src/flow/results/summary.ts';
import { type DeviceOptions, openBackend } from '../../src/flow/run/device.ts';
import type { Listener } from '../../src/flow/run/events.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { isKept, keptStages, type Stage } from '../../src/flow/run/stages.ts';
import type { ConfigurationInput } from '../../src/flow/settings/config.ts';
import { errorByCodes } from '../../src/multiplier/error.ts';
import { concreteMultiplier } from '../../src/multiplier/multiplier.ts';
import { exactTable } from '../../src/multiplier/table.ts';
import { writeNpy } from '../../src/netlist/formats/npy.ts';
import { generateFromSpec } from '../../src/netlist/generators/registry.ts';
import { simulate } from '../../src/netlist/simulate.ts';
import { readBytes, sha256 } from '../../src/tensor/files.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-imported-'));
afterAll(() => rmSync(parent, { recursive: true }));

describe('a multiplier as a layer uses it', () => {
  test('a signed multiplier is its error at operands shifted by half their range', () => {
    const table = exactTable(4, 4, true);
    expect(errorByCodes(table).every((error) => error === 0)).toBe(true);
    const data = table.data.slice();
    // −8 · 7: patterns 8 and 7, so codes 0 and 15.
    data[8 * 16 + 7]! += 5;
    const error = errorByCodes({ ...table, data });
    expect(error[0 * 16 + 15]).toBe(5);
    expect(error.reduce((sum, value) => sum + Math.abs(value), 0)).toBe(5);
  });

  test('a truncation is removed partial products, a multiplier with another error a table', () => {
    const truncated = simulate(generateFromSpec('truncated:8x8:columns=6').network);
    expect(concreteMultiplier(truncated).kind).toBe('removal');
    expect(concreteMultiplier(simulate(generateFromSpec('drum:8x8:bits=4').network)).kind).toBe('table');
  });

  test('a forced emulation takes a truncation as a table, and refuses planes for anything else', () => {
    const truncated = simulate(generateFromSpec('truncated:8x8:columns=6').network);
    expect(concreteMultiplier(truncated, 'planes').kind).toBe('removal');
    for (const emulation of ['table', 'lowrank'] as const) {
      expect(concreteMultiplier(truncated, emulation)).toEqual({
        kind: 'table',
        error: errorByCodes(truncated),
        emulation,
      });
    }
    const drum = simulate(generateFromSpec('drum:8x8:bits=4').network);
    expect(() => concreteMultiplier(drum, 'planes')).toThrow(/emulation planes does not apply.*choose auto, table/);
  });

  test('devices without low-rank emulation say what they have', async () => {
    await expect(openBackend({ name: 'reference', emulation: 'lowrank' })).rejects.toThrow(
      /no emulation lowrank; choose auto, planes or table/,
    );
    expect((await openBackend({ name: 'reference', emulation: 'table' })).device.name).toBe('reference');
  });
});

describe('in a run', () => {
  const base: ConfigurationInput = {
    sample: 700,
    train: { epochs: 10 },
    recover: { epochs: 1 },
  };
  const folder = join(parent, 'run');

  beforeAll(async () => {
    await runFlow({ folder, settings: base, phases: ['train', 'quantize'] });
  });

  const withMultiplier = (map: ConfigurationInput['map']) =>
    runFlow({ folder, settings: { map }, phases: ['map', 'recover'], redo: true });

  test('recovery with a truncation forced through its table ends with the same weights', async () => {
    const results = [];
    for (const emulation of ['planes', 'table'] as const) {
      const settings = { map: { multiplier: 'truncated:8x8:columns=5' } };
      const { stages } = await runFlow({
        folder,
        settings,
        phases: ['map', 'recover'],
        redo: true,
        device: { emulation },
      });
      const weights = readFileSync(join(folder, 'checkpoints/recovered.safetensors'));
      results.push([stages, createHash('sha256').update(weights).digest('hex')]);
      // What is read next was written next.
      rmSync(join(folder, 'checkpoints/recovered.safetensors'));
    }
    expect(results[1]).toEqual(results[0]);
  });

  test('a generated netlist is written and certified like a mapped one', async () => {
    const summary = await withMultiplier({ multiplier: 'drum:8x8:bits=5' });
    expect(summary.multipliers[0]!.metrics.errorRate).toBeGreaterThan(0.5);
    expect(summary.stages.find(({ stage }) => stage === 'recovered')!.accuracy).toBeGreaterThan(0.85);
    const { certificate } = readManifest(folder).phases.map!.multipliers![0]!;
    expect(certificate.sha256.verilog).toBeTypeOf('string');
    expect(readFileSync(join(folder, 'multiplier.v'), 'utf8')).toContain('module');
  });

  test('a signed table serves without a netlist, and its cost is not made up', async () => {
    const file = join(parent, 'signed.npy');
    const table = exactTable(8, 8, true);
    // Lowest two bits of every product lost.
    writeFileSync(file, writeNpy({ ...table, data: table.data.map((product) => product & ~3) }));
    const summary = await withMultiplier({ multiplier: file, signed: true });
    expect(summary.multipliers[0]!.gateCost).toBeNull();
    expect(summary.multipliers[0]!.metrics.maxErrorDistance).toBe(3);
    const recovered = summary.stages.find(({ stage }) => stage === 'recovered')!;
    expect(recovered.gateCost).toBeUndefined();
    expect(recovered.power).toBeUndefined();
    expect(recovered.accuracy).toBeGreaterThan(0.9);
  });

  test('the operands of a signed multiplier are the codes less half their range, by their patterns', async () => {
    const operandsOf = async (map: ConfigurationInput['map']) => {
      await runFlow({ folder, settings: { map }, phases: ['map'], redo: true });
      const text = readFileSync(join(folder, 'multiplier.operands.json'), 'utf8');
      return JSON.parse(text) as { weight: number[]; activation: number[] };
    };
    const file = join(parent, 'signed-exact.npy');
    writeFileSync(file, writeNpy(exactTable(8, 8, true)));
    const codes = await operandsOf({ multiplier: 'dadda:8x8', signed: false });
    const patterns = await operandsOf({ multiplier: file, signed: true });
    for (const operand of ['weight', 'activation'] as const) {
      // The code 0 is −128, pattern 128; the code 128 is 0.
      expect(patterns[operand]).toEqual([...codes[operand].slice(128), ...codes[operand].slice(0, 128)]);
    }
    expect(patterns).not.toEqual(codes);
  });

  test('other widths than the operands are refused by both numbers', async () => {
    await expect(withMultiplier({ multiplier: 'dadda:4x8' })).rejects.toThrow(
      /multiplies 4×8 bits, .* operands have 8×8/,
    );
  });
});

describe('what a given multiplier is measured on', () => {
  const settings: ConfigurationInput = {
    sample: 320,
    ...{ train: { epochs: 2 }, explore: { epochs: 1 }, recover: { epochs: 1 } },
  };
  const usual = join(parent, 'usual');
  const stageOf = (summary: RunSummary, stage: Stage) => summary.stages.find((result) => result.stage === stage);
  const copy = (name: string) => {
    cpSync(usual, join(parent, name), { recursive: true });
    return join(parent, name);
  };
  const hashOf = (folder: string, file: string) => sha256(readBytes(join(folder, file)));
  const table = (name: string, signed: boolean) => {
    const file = join(parent, `${name}.npy`);
    writeFileSync(file, writeNpy(exactTable(8, 8, signed)));
    return file;
  };

  beforeAll(async () => {
    await runFlow({ folder: usual, settings });
  });

  test.each<[string, () => ConfigurationInput['map'], DeviceOptions]>([
    ['dadda:8x8', () => ({ multiplier: 'dadda:8x8' }), {}],
    ['dadda:8x8 through its table', () => ({ multiplier: 'dadda:8x8' }), { emulation: 'table' }],
    ['a table', () => ({ multiplier: table('exact', false) }), {}],
    ['a signed table', () => ({ multiplier: table('signed-exact', true), signed: true }), {}],
  ])('is the quantised network, after any run: exact as %s, it changes no digit', async (name, map, device) => {
    const folder = copy(`exact ${name}`.replaceAll(/\W/g, '-'));
    const summary = await runFlow({ folder, settings: { map: map()! }, phases: ['map'], redo: true, device });
    const { accuracy, loss } = stageOf(summary, 'quantized')!;
    expect(stageOf(summary, 'mapped')).toMatchObject({ accuracy, loss });
    expect(await evaluateRun({ folder, stage: 'mapped', device })).toMatchObject({ accuracy, loss });
    expect(await evaluateRun({ folder, stage: 'quantized' })).toMatchObject({ accuracy, loss });
    expect(summary.multipliers.map(({ theta }) => theta)).toEqual([[]]);
    expect(summary.stages.map(({ stage }) => stage)).toEqual(['float', 'quantized', 'mapped']);
    expect(summary.files.map(({ path }) => path).join()).not.toContain('theta.json');
  });

  test('and what recovery starts from: the same weights as without any exploration', async () => {
    const given = { map: { multiplier: 'broken-array:8x8:rows=1,columns=6' } };
    const explored = copy('explored before');
    const never = join(parent, 'never explored');
    await runFlow({ folder: explored, settings: given, redo: true });
    const done: string[] = [];
    const listener: Listener = (event) => event.kind === 'phase-start' && done.push(event.phase);
    const summary = await runFlow({ folder: never, settings: { ...settings, ...given }, listener });
    expect(done).toEqual(['train', 'quantize', 'map', 'recover', 'report']);
    expect(summary.donePhases).toEqual(done);
    const recovered = 'checkpoints/recovered.safetensors';
    expect(hashOf(explored, recovered)).toBe(hashOf(never, recovered));
    expect(readManifest(explored).phases.explore).toBeDefined();
  });

  test('until it is taken back: the finished exploration is there and is mapped again to the same', async () => {
    const folder = copy('there and back');
    const explored = hashOf(folder, 'checkpoints/explored.safetensors');
    const lines = readFileSync(join(folder, 'metrics.jsonl'), 'utf8');
    const netlist = hashOf(folder, 'multiplier.v');
    await runFlow({ folder, settings: { map: { multiplier: 'drum:8x8:bits=6' } }, phases: ['map'], redo: true });
    await expect(runFlow({ folder, phases: ['explore'] })).rejects.toThrow(
      /uses the multiplier drum:8x8:bits=6.*nothing is explored; .* --unset multiplier --redo/,
    );
    expect(hashOf(folder, 'multiplier.v')).not.toBe(netlist);
    expect(checkRun(folder)).toMatchObject({ whole: true, extra: [] });
    const skipped: string[] = [];
    const listener: Listener = (event) => event.kind === 'phase-skip' && skipped.push(event.phase);
    const summary = await runFlow({ folder, settings: { map: { multiplier: undefined } }, redo: true, listener });
    expect(skipped).toEqual(['train', 'quantize', 'explore']);
    expect(hashOf(folder, 'checkpoints/explored.safetensors')).toBe(explored);
    expect(hashOf(folder, 'multiplier.v')).toBe(netlist);
    expect(readFileSync(join(folder, 'metrics.jsonl'), 'utf8')).toBe(lines);
    expect(summary.stages.map(({ stage }) => stage).filter(isKept)).toEqual(keptStages);
  });

  test('a file that changed under its name is another multiplier; the same one under another name is not', async () => {
    const folder = copy('renamed');
    const [file, other] = [table('one', false), table('other', false)];
    await runFlow({ folder, settings: { map: { multiplier: file } }, redo: true });
    const skipped: string[] = [];
    const listener: Listener = (event) => event.kind === 'phase-skip' && skipped.push(event.phase);
    rmSync(file);
    await runFlow({ folder, listener });
    await runFlow({ folder, settings: { map: { multiplier: other } }, listener });
    expect(skipped).toEqual(Array(2).fill(['train', 'quantize', 'map', 'recover']).flat());
    const { data, ...rest } = exactTable(8, 8);
    writeFileSync(other, writeNpy({ ...rest, data: data.map((product) => product & ~1) }));
    await expect(runFlow({ folder, settings: { map: { multiplier: other } } })).rejects.toThrow(
      /the phase map .* done with other settings \(map\.multiplier "file of SHA-256 .*" instead of "file of SHA-256/,
    );
  });

  test('a file named in place of another counts, though the other still lies there', async () => {
    const folder = copy('another');
    const { data, ...rest } = exactTable(8, 8);
    const odd = { ...rest, data: data.map((product, pair) => product + (pair >> 15)) };
    const [first, second] = ['first', 'second'].map((name) => join(parent, `${name}.npy`)) as [string, string];
    writeFileSync(first, writeNpy(exactTable(8, 8)));
    writeFileSync(second, writeNpy(odd));
    const given = (multiplier: string) => ({ settings: { map: { multiplier } }, phases: ['map'] as const, redo: true });
    await runFlow({ folder, ...given(first) });
    await expect(runFlow({ folder, ...given(second), redo: false })).rejects.toThrow(/map.* other settings/);
    await runFlow({ folder, ...given(second) });
    expect(hashOf(folder, 'multiplier.npy')).toBe(sha256(writeNpy(odd)));
    expect(readManifest(folder).inputs.multiplier).toEqual({ source: second, sha256: sha256(writeNpy(odd)) });
    const branch = join(parent, 'branch of another');
    await runFlow({ folder: branch, from: folder, ...given(first), phases: ['train', 'quantize', 'map'] });
    expect(hashOf(branch, 'multiplier.npy')).toBe(sha256(writeNpy(exactTable(8, 8))));
  });

  test('the exploration that it leaves aside is measured as it was done, whatever is set since', async () => {
    const folder = copy('set aside');
    const explored = stageOf(summarize(folder), 'explored')!;
    const approximated = stageOf(summarize(folder), 'approximated')!;
    const set: ConfigurationInput[] = [
      { exactLayers: ['conv1', 'fc'] },
      { explore: { structure: 'per-layer' } },
      { explore: { columns: 3 } },
    ];
    for (const other of set) {
      await runFlow({ folder, settings: { ...other, map: { multiplier: 'dadda:8x8' } }, phases: ['map'], redo: true });
      for (const { stage, accuracy, loss } of [explored, approximated]) {
        expect(await evaluateRun({ folder, stage })).toMatchObject({ accuracy, loss });
      }
    }
  });
});
