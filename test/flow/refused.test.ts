// What a run was given is checked before its first epoch and before its folder changes: a refused command leaves every
// byte of a finished run as it was, and no folder where there was none. What is not a number never gets into a
// manifest.

import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requireSpace } from '../../src/flow/ahead.ts';
import { type FlowOptions, runFlow } from '../../src/flow/flow.ts';
import { readManifest, writeManifest } from '../../src/flow/run/manifest.ts';
import type { ConfigurationInput } from '../../src/flow/settings/config.ts';
import { sha256 } from '../../src/tensor/files.ts';
import { encodeSafetensors, readSafetensors } from '../../src/tensor/safetensors.ts';
import type { HostTensor } from '../../src/tensor/tensor.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-refused-'));
afterAll(() => rmSync(parent, { recursive: true }));

const brief: ConfigurationInput = { train: { epochs: 1 }, explore: { epochs: 1 }, recover: { epochs: 1 } };
const finished = join(parent, 'finished');
const inParent = (name: string) => join(parent, name);

/** Every file below a folder with the hash of its bytes. */
function snapshot(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(files.sort().map((file) => [file, sha256(readFileSync(file))]));
}

/** A checkpoint of the finished run with something changed. */
function checkpoint(name: string, change: (tensors: Map<string, HostTensor>) => void): string {
  const tensors = new Map(readSafetensors(join(finished, 'checkpoints/float.safetensors')).tensors);
  change(tensors);
  const file = inParent(`${name}.safetensors`);
  writeFileSync(file, encodeSafetensors(tensors));
  return file;
}

const withValue = (tensor: string, value: number) => (tensors: Map<string, HostTensor>) => {
  (tensors.get(tensor)!.data as Float32Array)[1] = value;
};

beforeAll(async () => {
  await runFlow({ folder: finished, settings: brief });
  writeFileSync(inParent('foo.pth'), 'no tensors');
  writeFileSync(inParent('no.v'), 'module m(input a; endmodule');
});

type Refused = [what: string, options: () => Omit<FlowOptions, 'folder'>, message: RegExp];

const given: Refused[] = [
  [
    'a checkpoint that is none',
    () => ({ settings: { train: { checkpoint: inParent('foo.pth') } } }),
    /foo\.pth is not/,
  ],
  [
    'a missing checkpoint',
    () => ({ settings: { train: { checkpoint: 'nowhere.safetensors' } } }),
    /cannot read nowhere/,
  ],
  [
    'a checkpoint with NaN',
    () => ({ settings: { train: { checkpoint: checkpoint('nan', withValue('layer1.0.conv1.weight', Number.NaN)) } } }),
    /nan\.safetensors: the tensor layer1\.0\.conv1\.weight holds NaN \(value 1\); finite numbers were expected/,
  ],
  [
    'a checkpoint with ∞',
    () => ({ settings: { train: { checkpoint: checkpoint('inf', withValue('fc.bias', Number.NEGATIVE_INFINITY)) } } }),
    /the tensor fc\.bias holds -Infinity/,
  ],
  [
    'a checkpoint with a negative variance',
    () => ({ settings: { train: { checkpoint: checkpoint('var', withValue('bn1.running_var', -0.5)) } } }),
    /the tensor bn1\.running_var holds the variance -0\.5 \(value 1\); at least 0 was expected/,
  ],
  [
    'a checkpoint of whole numbers',
    () => {
      const whole = (tensors: Map<string, HostTensor>) => {
        const { shape, data } = tensors.get('bn1.bias')!;
        tensors.set('bn1.bias', { dtype: 'i32', shape, data: Int32Array.from(data) });
      };
      return { settings: { train: { checkpoint: checkpoint('whole', whole) } } };
    },
    /the tensor bn1\.bias holds whole numbers/,
  ],
  [
    'a checkpoint of another model',
    () => ({ settings: { train: { checkpoint: checkpoint('less', (tensors) => tensors.delete('fc.bias')) } } }),
    /does not fit the model: 1 missing \(fc\.bias\)/,
  ],
  [
    'a checkpoint of another shape',
    () => {
      const other = (tensors: Map<string, HostTensor>) => tensors.set('fc.bias', tensors.get('bn1.bias')!);
      return { settings: { train: { checkpoint: checkpoint('shape', other) } } };
    },
    /of another shape \(fc\.bias \[\d+\] instead of \[10\]\)/,
  ],
  ['a multiplier that is nowhere', () => ({ settings: { map: { multiplier: inParent('typo.v') } } }), /typo\.v/],
  ['a multiplier of no known kind', () => ({ settings: { map: { multiplier: 'dada:8x8' } } }), /dada/],
  ['a multiplier that cannot be read', () => ({ settings: { map: { multiplier: inParent('no.v') } } }), /no\.v/],
  [
    'a multiplier of other widths',
    () => ({ settings: { map: { multiplier: 'dadda:4x8' } } }),
    /multiplies 4×8 bits, but the network's operands have 8×8/,
  ],
  [
    'widths that are not the multiplier’s',
    () => ({ settings: { bits: { weights: 4 }, map: { multiplier: 'dadda:8x8' } } }),
    /multiplies 8×8 bits, but the network's operands have 4×8/,
  ],
  [
    'an emulation that the multiplier does not have',
    () => ({ settings: { map: { multiplier: 'drum:8x8:bits=4' } }, device: { emulation: 'planes' } }),
    /emulation planes does not apply/,
  ],
  ['an unknown layer', () => ({ settings: { exactLayers: ['foo'] } }), /unknown layer 'foo'/],
  ['too many columns', () => ({ settings: { explore: { columns: 16 } } }), /explore\.columns is 16/],
  ['an unknown model', () => ({ settings: { model: 'resnet9' } }), /unknown model/],
  ['a model for larger images', () => ({ settings: { model: 'resnet18' } }), /needs images of at least/],
  ['data that are nowhere', () => ({ settings: { data: 'csv:nowhere.csv', image: '8x8x1' } }), /nowhere\.csv/],
  ['a device without the precision', () => ({ device: { precision: 'bf16' } }), /belong to the device cuda/],
  ['another run that is none', () => ({ from: parent }), /is not a run folder/],
];

describe('refused', () => {
  test.each(given)('%s, and a finished run stays as it was', async (_, options, message) => {
    const asked = options();
    const before = snapshot(finished);
    await expect(runFlow({ folder: finished, redo: true, ...asked })).rejects.toThrow(message);
    expect(snapshot(finished)).toEqual(before);
  });

  test.each(given)('%s, and no new folder is left', async (_, options, message) => {
    const folder = inParent('new/run');
    const asked = options();
    await expect(runFlow({ folder, ...asked })).rejects.toThrow(message);
    expect(existsSync(folder)).toBe(false);
  });

  test.each<Refused>([
    [
      'other settings without redo, with both ways on',
      () => ({ settings: { explore: { lambda: 2 } } }),
      /the phase explore .* \(explore\.power unset instead of 0\.6, explore\.lambda 2 instead of unset\); --redo discards it .*--from .* --out/,
    ],
    [
      'a phase whose predecessors would have to be done again',
      () => ({ settings: { train: { epochs: 2 } }, phases: ['recover'], redo: true }),
      /the phase map .* is not done with these settings; run tram train/,
    ],
    ['the run itself to start from', () => ({ from: finished }), /the same folder/],
  ])('%s, and the finished run stays as it was', async (_, options, message) => {
    const before = snapshot(finished);
    await expect(runFlow({ folder: finished, ...options() })).rejects.toThrow(message);
    expect(snapshot(finished)).toEqual(before);
  });

  test('a disk that is too full, with what is needed and what is free', () => {
    expect(() => requireSpace('x', 5e6, 2e6)).toThrow(/x: the run writes about 5 MB, but only 2 MB are free there/);
    requireSpace('x', 5e6, 5e6);
    requireSpace('x', 5e6, undefined);
  });
});

describe('a folder that is no run', () => {
  test('is refused with the names of what stands there, which stays', async () => {
    const folder = inParent('mine');
    mkdirSync(join(folder, 'figures'), { recursive: true });
    writeFileSync(join(folder, 'multiplier.v'), 'mine');
    writeFileSync(join(folder, 'figures/plot.svg'), 'mine too');
    const before = snapshot(folder);
    await expect(runFlow({ folder, settings: brief })).rejects.toThrow(
      /mine is not a run folder \(no manifest\.json\), but figures\/plot\.svg, multiplier\.v stand there; choose a new or empty folder/,
    );
    expect(snapshot(folder)).toEqual(before);
  });

  test('is also a run whose manifest is lost: it is not begun anew over its files', async () => {
    const folder = inParent('lost');
    cpSync(finished, folder, { recursive: true });
    renameSync(join(folder, 'manifest.json'), inParent('manifest.json'));
    const before = snapshot(folder);
    await expect(runFlow({ folder })).rejects.toThrow(
      /checkpoints\/explored.* and \d+ more stand there.*put the manifest back/,
    );
    expect(snapshot(folder)).toEqual(before);
  });

  test('is taken when it is empty, or as a killed run left it before its manifest', async () => {
    const folder = inParent('empty');
    for (const path of ['checkpoints', 'figures']) mkdirSync(join(folder, path), { recursive: true });
    writeFileSync(join(folder, '.manifest.json.0123456789abcdef.tmp'), '{');
    const { donePhases } = await runFlow({ folder, settings: brief, phases: ['train'] });
    expect(donePhases).toEqual(['train']);
  });
});

describe('what is not a number', () => {
  test('is an error of the phase, and the run goes on with better settings', async () => {
    const folder = inParent('diverged');
    const settings = { ...brief, train: { epochs: 1, learningRate: 1000 } };
    await expect(runFlow({ folder, settings, phases: ['train'] })).rejects.toThrow(
      /the (test )?loss .*(NaN|Infinity).*lower the learning rate/,
    );
    expect(readManifest(folder).phases).toEqual({});
    expect(existsSync(join(folder, 'checkpoints/float.safetensors'))).toBe(false);
    expect(readFileSync(join(folder, 'metrics.jsonl'), 'utf8')).not.toContain('null');
    await runFlow({ folder, settings: { train: { learningRate: undefined } }, phases: ['train'] });
    expect(readManifest(folder).configuration.train.learningRate).toBe(0.05);
    expect(readManifest(folder).given.train).toEqual({ epochs: 1 });
  });

  test('does not get into a manifest, which stays as it was', () => {
    const folder = inParent('unwritten');
    cpSync(finished, folder, { recursive: true });
    const before = readFileSync(join(folder, 'manifest.json'), 'utf8');
    const manifest = readManifest(folder);
    const stages = [{ stage: 'float' as const, accuracy: 0.5, loss: Number.NaN }];
    const broken = { ...manifest, phases: { train: { ...manifest.phases.train!, stages } } };
    expect(() => writeManifest(folder, broken)).toThrow(
      /the manifest cannot be written: phases\.train\.stages\.0\.loss/,
    );
    expect(readFileSync(join(folder, 'manifest.json'), 'utf8')).toBe(before);
  });

  test('nor does a data set whose training split would be empty', async () => {
    const file = inParent('one.csv');
    writeFileSync(file, `${Array(65).fill(1).join(',')}\n`);
    const folder = inParent('one');
    await expect(runFlow({ folder, settings: { data: `csv:${file}`, image: '8x8x1', maximum: 16 } })).rejects.toThrow(
      /one\.csv/,
    );
    expect(existsSync(folder)).toBe(false);
  });
});
