// Networks made elsewhere: what of a file is read, translated, left out with a note, or refused by name.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { initialTensor, toStored } from '../../nn/parameters.ts';
import { encodeSafetensors } from '../../tensor/safetensors.ts';
import { f32, type HostTensor, sizeOf, tensor } from '../../tensor/tensor.ts';
import { encodeTorch } from '../../tensor/torch-writer.ts';
import { buildNetwork } from '../../train/task.ts';
import { parseConfiguration } from '../settings/config.ts';
import { type FloatModelOptions, readFloatModel } from './float-model.ts';
import { openTask } from './inputs.ts';
import { findNames } from './state-names.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-float-model-'));
afterAll(() => rmSync(parent, { recursive: true }));

const { task, layers } = await openTask(parseConfiguration({}, 'test'));
const { parameters } = buildNetwork(task, { kind: 'float' }, 'evaluate', 1).layers;
const own = new Map<string, HostTensor>(
  parameters.map((parameter, at) => [
    parameter.name,
    toStored(parameter.name, initialTensor(parameter, 1, at), layers),
  ]),
);

type Change = (tensors: Map<string, HostTensor>) => Iterable<readonly [string, HostTensor]> | undefined;

let files = 0;
function read(
  change: Change,
  edit: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes,
  options: Partial<FloatModelOptions> = {},
) {
  const tensors = new Map(own);
  const changed = new Map(change(tensors) ?? tensors);
  const path = join(parent, `${files++}.safetensors`);
  writeFileSync(path, edit(encodeSafetensors(changed)));
  return { path, read: () => readFloatModel(path, { parameters, layers, ...options }) };
}

const expected = read(() => {}).read().parameters;

describe('a float model', () => {
  test.each<[string, Change, string[]]>([
    ['as it is', () => {}, []],
    [
      'behind module.',
      (all) => [...all].map(([name, value]) => [`module.${name}`, value] as const),
      ["names begin with 'module.'"],
    ],
    [
      'behind _orig_mod.module.',
      (all) => [...all].map(([name, value]) => [`_orig_mod.module.${name}`, value] as const),
      ["names begin with '_orig_mod.module.'"],
    ],
    ['with counters', (all) => void all.set('bn1.num_batches_tracked', tensor('i32', [], new Int32Array([7]))), []],
    [
      'with a mask',
      (all) => void all.set('mask', tensor('u8', [2], new Uint8Array(2))),
      ["tensor 'mask' is no parameter"],
    ],
    [
      'with a mask beside a prefix',
      (all) => [
        ...[...all].map(([name, value]) => [`model.${name}`, value] as const),
        ['mask', f32([1], [Number.NaN])] as const,
      ],
      ["'model.'", "tensor 'mask'"],
    ],
  ])('%s is read, with what was left out', (_, change, notes) => {
    const model = read(change).read();
    expect(model.parameters).toEqual(expected);
    expect(model.notes.length).toBe(notes.length);
    for (const [at, note] of notes.entries()) expect(model.notes[at]).toContain(note);
  });

  test('of 64-bit floats is read as of 32-bit ones', () => {
    const name = 'bn1.bias';
    const shape = own.get(name)!.shape;
    const wide = Float64Array.from({ length: sizeOf(shape) }, (_, k) => k / 7);
    // The encoder writes no F64: two 32-bit integers stand for each, and the header is changed.
    const halves = tensor('i32', [...shape, 2], new Int32Array(wide.buffer));
    const { read: readIt } = read(
      (all) => void all.set(name, halves),
      (bytes) => {
        const text = Buffer.from(bytes).toString('latin1');
        return Buffer.from(
          text.replace(`"dtype":"I32","shape":[${shape},2]`, `"dtype":"F64","shape":[${shape}]  `),
          'latin1',
        );
      },
    );
    expect(readIt().parameters.get(name)).toEqual(f32(shape, wide));
  });

  test.each<[string, Change, RegExp]>([
    [
      'whole numbers',
      (all) =>
        void all.set(
          'bn1.bias',
          tensor('i32', own.get('bn1.bias')!.shape, new Int32Array(own.get('bn1.bias')!.data.length)),
        ),
      /the tensor bn1\.bias holds whole numbers \(I32\), expected F32/,
    ],
    [
      'a parameter less',
      (all) => void all.delete('fc.bias'),
      /does not fit the model: 1 missing \(fc\.bias\)\. If fc was made for other classes, --new-classifier/,
    ],
    [
      'another prefix for each half',
      (all) => [...all].map(([name, value], at) => [`${at % 2 ? 'a' : 'b'}.${name}`, value] as const),
      /does not fit the model: \d+ missing .*; \d+ unexpected \(/,
    ],
    [
      'layers of a larger model',
      (all) => void all.set('layer4.0.conv1.weight', f32([1], [1])),
      /does not fit the model: 1 unexpected \(layer4\.0\.conv1\.weight\)\. Was it made for another model/,
    ],
    [
      'a value that is none',
      (all) =>
        void all.set(
          'fc.bias',
          f32(own.get('fc.bias')!.shape, new Float32Array(own.get('fc.bias')!.data.length).fill(Number.NaN)),
        ),
      /fc\.bias holds NaN/,
    ],
  ])('with %s is refused by name', (_, change, message) => {
    expect(read(change).read).toThrow(message);
  });

  test('with all that does not fit is refused in one message', () => {
    const change: Change = (all) => {
      all.delete('bn1.bias');
      all.set('conv1.weight', f32([64, 3, 7, 7], new Float32Array(9408)));
      all.set('layer9.weight', f32([1], [1]));
    };
    expect(read(change).read).toThrow(
      /1 missing \(bn1\.bias\); 1 unexpected \(layer9\.weight\); 1 of another shape \(conv1\.weight \[64, 3, 7, 7\] instead of \[16, 1, 3, 3\]\)/,
    );
  });

  test('of another class count loads with a new classifier alone, which is said', () => {
    const change: Change = (all) => {
      all.set('fc.weight', f32([7, 64], new Float32Array(448)));
      all.set('fc.bias', f32([7], new Float32Array(7)));
    };
    expect(read(change).read).toThrow(/fc\.weight \[7, 64\] instead of \[10, 64\].*--new-classifier/);
    const model = read(change, undefined, { fresh: { layer: 'fc', seed: 1 } }).read();
    // The state here is what the seed 1 draws.
    expect(model.parameters).toEqual(expected);
    expect(model.notes).toEqual([
      expect.stringContaining(
        'the classifier begins anew, drawn from the seed: fc.weight [1, 1, 64, 10], fc.bias [10]',
      ),
    ]);
    const another = read(change, undefined, { fresh: { layer: 'fc', seed: 2 } }).read();
    expect(another.parameters.get('fc.weight')).not.toEqual(expected.get('fc.weight'));
    expect(another.parameters.get('conv1.weight')).toEqual(expected.get('conv1.weight'));
  });

  test('of a distilled transformer is refused', () => {
    expect(read((all) => void all.set('dist_token', f32([1, 1, 2], [0, 0]))).read).toThrow(
      /is a distilled transformer \(dist_token\)/,
    );
  });

  test('with the names of pytorch-cifar is translated', () => {
    const renamed: Change = (all) =>
      [...all].map(
        ([name, value]) =>
          [`module.${name.replace('downsample', 'shortcut').replace(/^fc/, 'linear')}`, value] as const,
      );
    const model = read(renamed).read();
    expect(model.parameters).toEqual(expected);
    expect(model.notes.join('\n')).toMatch(/'module\.', which is left out\n.*pytorch-cifar/);
  });

  test('of a training script: what was trained is taken, not its average, unless it is asked for', () => {
    const average = new Map(own).set('fc.bias', f32([10], new Float32Array(10).fill(0.25)));
    const optimizer = new Map([['0', new Map([['momentum_buffer', f32([2], [1, 2])]])]]);
    const file = encodeTorch(
      new Map<string, Map<string, never>>([
        ['state_dict_ema', average],
        ['optimizer', new Map([['state', optimizer]])],
        ['state_dict', own],
      ] as unknown as [string, Map<string, never>][]),
    );
    const trained = read(
      () => {},
      () => file,
    ).read();
    expect(trained.parameters).toEqual(expected);
    expect(trained.notes.join()).toMatch(/those of 'state_dict'; 'state_dict_ema' would fit too \(--checkpoint-key\)/);
    const averaged = read(
      () => {},
      () => file,
      { key: 'state_dict_ema' },
    ).read();
    expect(averaged.parameters.get('fc.bias')!.data[0]).toBe(0.25);
    expect(
      read(
        () => {},
        () => file,
        { key: 'state_dct' },
      ).read,
    ).toThrow(/unknown dictionary .* did you mean 'state_dict'/);
  });

  test('of PyTorch is read as that of safetensors', () => {
    const { path, read: readIt } = read(
      (all) => void all.set('n', tensor('i32', [], Int32Array.of(1))),
      () => encodeTorch(own),
    );
    expect(readIt().parameters).toEqual(expected);
    expect(path).toMatch(/safetensors$/);
  });
});

describe('names', () => {
  const find = (names: string[], wanted: string[]) => {
    const { prefix, renamedFrom, found, left } = findNames(names, new Set(wanted), 'x.pth');
    return { prefix, renamedFrom, found: Object.fromEntries(found), left: left.map(({ name }) => name) };
  };

  test('of the published Swin: the merging moves a stage on, the head gets a name more', () => {
    const old = [
      'patch_embed.proj.weight',
      'layers.0.downsample.norm.weight',
      'layers.1.downsample.norm.weight',
      'head.weight',
    ];
    const now = [
      'patch_embed.proj.weight',
      'layers.1.downsample.norm.weight',
      'layers.2.downsample.norm.weight',
      'head.fc.weight',
    ];
    const forth = find(
      old.map((name) => `model.${name}`),
      now,
    );
    expect(forth.prefix).toBe('model.');
    expect(forth.found['layers.1.downsample.norm.weight']).toBe('model.layers.0.downsample.norm.weight');
    expect(Object.keys(forth.found)).toEqual(now);
    expect(find(now, old).found).toEqual(Object.fromEntries(old.map((name, at) => [name, now[at]])));
  });

  test("of torchvision's ViT", () => {
    const found = find(
      [
        'encoder.layers.encoder_layer_11.self_attention.in_proj_weight',
        'encoder.layers.encoder_layer_0.mlp.3.bias',
        'heads.head.bias',
        'class_token',
      ],
      ['blocks.11.attn.qkv.weight', 'blocks.0.mlp.fc2.bias', 'head.bias', 'cls_token'],
    );
    expect(found.left).toEqual([]);
  });

  test('the prefix that gives most names wins, and the own names before translated ones', () => {
    expect(find(['a.conv1.weight', 'a.layer1.conv1.weight', 'opt'], ['conv1.weight', 'layer1.conv1.weight'])).toEqual({
      prefix: 'a.',
      renamedFrom: '',
      found: { 'conv1.weight': 'a.conv1.weight', 'layer1.conv1.weight': 'a.layer1.conv1.weight' },
      left: ['opt'],
    });
    expect(find(['shortcut.0.weight', 'linear.weight'], ['shortcut.0.weight', 'linear.weight']).renamedFrom).toBe('');
  });

  test('two names for one parameter are refused', () => {
    expect(() =>
      find(['shortcut.0.weight', 'downsample.0.weight', 'linear.bias'], ['downsample.0.weight', 'fc.bias']),
    ).toThrow("'shortcut.0.weight' and 'downsample.0.weight' both stand for downsample.0.weight");
  });
});
