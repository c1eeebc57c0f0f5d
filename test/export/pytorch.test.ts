// Networks written for PyTorch: what their files look like, and, where a Python with torch is installed, that they
// compute what the program computes, layer by layer and from pixels to logits; broken ones must say where.
// One Python process runs all of them. TRAM_PYTHON names another interpreter than python3.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { constant, exp, input, whereGreater } from '../../src/engine/graph/expression.ts';
import { formula } from '../../src/engine/operations/formula.ts';
import type { ExportFiles } from '../../src/export/exporter.ts';
import { exportPyTorch } from '../../src/export/pytorch/exporter.ts';
import type { FrozenMultiplier } from '../../src/integer/frozen.ts';
import { exactTable, productTable } from '../../src/multiplier/table.ts';
import type { Model, ModelBuilder } from '../../src/nn/models/model.ts';
import { findModel } from '../../src/nn/models/registry.ts';
import { swin } from '../../src/nn/models/swin.ts';
import { visionTransformer } from '../../src/nn/models/vit.ts';
import { sha256 } from '../../src/tensor/files.ts';
import { fixture, fixtureNames } from '../integer/fixtures.ts';
import { pythonWithTorch } from '../python.ts';
import { resting } from './resting.ts';

const python = pythonWithTorch();
const place = mkdtempSync(join(tmpdir(), 'tram-pytorch-'));
afterAll(() => rmSync(place, { recursive: true }));

/** Products that lack what the three low bits of either operand add up to. */
const rough: FrozenMultiplier = {
  name: 'rough',
  exact: false,
  table: productTable(
    8,
    8,
    false,
    exactTable(8, 8).data.map((product, pair) => product - (pair & 7) * ((pair >> 8) & 7)),
  ),
};

const model = (name: string, build: ModelBuilder, minimumSize = 8): Model => ({
  ...{ name, description: 'of a test', minimumSize, build },
});

/** A bottleneck with groups and dilation, ceiling pools, averages of pixels alone. */
const bottleneck = model('bottleneck', (nn, image, classes) => {
  const stem = nn.relu(nn.batchNorm('stem.bn', nn.conv('stem', image, { out: 8, kernel: 3, stride: 2, padding: 1 })));
  const x = nn.maxPool(stem, 3, 2, 0, { ceil: true });
  const joined = nn.block('block', () => {
    const a = nn.relu(nn.batchNorm('block.bn1', nn.conv('block.conv1', x, { out: 4, kernel: 1 })));
    const spec = { out: 4, kernel: 3, padding: 2, dilation: 2, groups: 2 };
    const b = nn.relu(nn.batchNorm('block.bn2', nn.conv('block.conv2', a, spec)));
    return nn.relu(nn.add(nn.batchNorm('block.bn3', nn.conv('block.conv3', b, { out: 8, kernel: 1 })), x));
  });
  const pooled = nn.averagePool(joined, 3, 2, 1, { countPadding: false });
  return nn.linear('fc', nn.flatten(pooled), classes);
});

/** Branches side by side with rectangular kernels, a gate over channels, a leaky ReLU. */
const inception = model('inception', (nn, image, classes) => {
  const x = nn.leakyRelu(nn.conv('stem', image, { out: 6, kernel: 3, padding: 1, bias: true }), 0.1);
  const mixed = nn.block('mixed', () => {
    const branches = [
      nn.relu(nn.batchNorm('mixed.a.bn', nn.conv('mixed.a', x, { out: 3, kernel: 1 }), { epsilon: 1e-3 })),
      nn.relu(
        nn.conv('mixed.b2', nn.conv('mixed.b1', x, { out: 2, kernel: [1, 3], padding: [0, 1] }), {
          out: 3,
          kernel: [3, 1],
          padding: [1, 0],
        }),
      ),
      nn.conv('mixed.c', nn.averagePool(x, 3, 1, 1), { out: 2, kernel: 1 }),
    ];
    return nn.concat(branches, -1);
  });
  const means = nn.reshape(nn.globalAveragePool(mixed), [mixed.shape[0]!, 1, 1, 8]);
  const gate = nn.sigmoid(nn.conv('gate', means, { out: 8, kernel: 1, bias: true }));
  return nn.linear('fc', nn.globalAveragePool(nn.gate(mixed, gate)), classes);
});

const bump = formula('x·exp(−|x|) and "more"', (x) => whereGreater(x, 0, x.times(exp(x.negated())), x.times(exp(x))));
const centred = formula('len', (x) => x.minus(constant(0.5)).over(input(0).times(input(0)).plus(1)));

/** Formulas that have no name, means over tokens, parts and shifts. */
const formulas = model('formulas', (nn, image, classes) => {
  const x = centred(bump(nn.conv('stem', image, { out: 6, kernel: 3, stride: 2, bias: true })));
  const tokens = nn.reshape(nn.roll(nn.pad(x, 1, 1, 0), [1, -1], [1, 2]), [x.shape[0]!, 12, 6]);
  const y = nn.tanh(nn.silu(nn.linear('mix', nn.slice(tokens, 1, 2, 10), 6, { bias: false })));
  return nn.linear('fc', nn.mean(nn.batchNorm('norm', y), 1), classes);
});

/** Sums beyond 2^24, where float32 has no odd numbers: a multiplier that is far too high. */
const large = model('large', (nn, image, classes) => nn.linear('fc', nn.flatten(image), classes));
const high: FrozenMultiplier = {
  name: 'high',
  exact: false,
  table: productTable(
    8,
    8,
    false,
    rough.table.data.map((product) => product + 100_001),
  ),
};

const hostileName = '"""\nimport os; os.abort()\n\'\\é';
const hostile = model(hostileName, (nn, image, classes) => {
  const names = ['forward', 'class', 'a\'b"\\', '../x', 'é', 'self.register_buffer'];
  let x = image;
  for (const name of names) x = nn.relu(nn.batchNorm(`${name}.bn`, nn.conv(name, x, { out: 4, kernel: 1 })));
  x = nn.block('b"""\nraise SystemExit(9)', () =>
    nn.relu(nn.conv('b"""\nraise'.replace('\n', '.x'), x, { out: 4, kernel: 1 })),
  );
  return nn.linear('forward.2', nn.globalAveragePool(x), classes);
});

const card = { imageSize: 8, classes: 5, classifier: 'head', source: 'a test' };
const transformers = [
  visionTransformer({ name: 'vit', description: 'tiny', card, patch: 4, width: 8, depth: 1, heads: 2 }),
  swin({
    ...{ name: 'swin', description: 'tiny', card, patch: 1, window: 4, width: 8 },
    depths: [2, 1],
    heads: [2, 2],
  }),
];

interface Ran {
  readonly code: number;
  readonly out: string;
}

const ran = new Map<string, Ran>();
const written = new Map<string, ExportFiles>();

function write(folder: string, files: ExportFiles): void {
  for (const [path, content] of files) {
    mkdirSync(dirname(join(place, folder, path)), { recursive: true });
    writeFileSync(join(place, folder, path), content);
  }
}

/** A folder's files with something changed in one of them. */
function broken<T extends string | Uint8Array>(
  files: ExportFiles,
  path: string,
  change: (content: T) => T,
): ExportFiles {
  const content = files.get(path) as T;
  const changed = change(content);
  expect(changed).not.toEqual(content);
  return new Map([...files, [path, changed]]);
}

const DRIVER = `
import contextlib, io, json, runpy, sys
import torch
torch.set_num_threads(1)
for line in sys.stdin:
    folder, *arguments = json.loads(line)
    out = io.StringIO()
    code = 0
    sys.argv = ["network.py", *arguments]
    with contextlib.redirect_stdout(out):
        try:
            runpy.run_path(folder + "/network.py", run_name="__main__")
        except SystemExit as end:
            code = end.code
        except Exception as error:
            code, _ = 70, print(repr(error))
    print(json.dumps([folder, code, out.getvalue()]))
`;

beforeAll(async () => {
  for (const name of fixtureNames) written.set(name, await exportPyTorch(await fixture(name)));
  const models = [findModel('resnet8'), bottleneck, inception, formulas, ...transformers];
  for (const one of models) {
    const size = one.name === 'swin' ? 10 : 8;
    written.set(one.name, await exportPyTorch(await resting(one, { multiplier: rough, size })));
  }
  written.set('large', await exportPyTorch(await resting(large, { multiplier: high })));
  written.set('hostile', await exportPyTorch(await resting(hostile, { multiplier: { ...rough, name: 'self' } })));
  const good = written.get('residual')!;
  written.set(
    'broken table',
    broken(good, 'tables/truncated_8x8_columns_7.npy', (bytes: Uint8Array) => {
      const other = bytes.slice();
      const view = new DataView(other.buffer);
      for (let at = 128 + 4 * 100; at < other.length; at += 4 * 256)
        view.setInt32(at, view.getInt32(at, true) + 1, true);
      return other;
    }),
  );
  written.set(
    'broken norm',
    broken(good, 'network.py', (text: string) =>
      text.replace('factor.view(shape) + self', 'factor.view(shape) - self'),
    ),
  );
  written.set(
    'broken logits',
    broken(good, 'network.py', (text: string) => text.replace('return self.fc(', 'return 1e-3 + self.fc(')),
  );
  written.set(
    'broken padding',
    broken(good, 'network.py', (text: string) => text.replace('value=outside', 'value=3')),
  );
  written.set(
    'changed file',
    broken(good, 'weights.safetensors', (bytes: Uint8Array) => bytes.subarray(1)),
  );
  for (const [name, files] of written) {
    const exported = name === 'changed file' ? good : files;
    const hashes = Object.fromEntries([...exported].map(([path, content]) => [path, sha256(content)]));
    write(name, new Map([...files, ['export.json', JSON.stringify({ files: hashes })]]));
  }
  if (python === undefined) return;
  const runs = [...written.keys()].map((name) => [join(place, name)]);
  const asked = [...runs, [join(place, 'residual'), '--accuracy']].map((one) => JSON.stringify(one)).join('\n');
  const out = execFileSync(python, ['-c', DRIVER], { input: asked, encoding: 'utf8', maxBuffer: 2 ** 26 });
  const results = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as [string, number, string]);
  results.forEach(([folder, code, text], at) => {
    ran.set(at === runs.length ? 'accuracy' : folder.slice(place.length + 1), { code, out: text });
  });
});

const exact = [...fixtureNames.filter((name) => name !== 'islands'), 'resnet8', 'bottleneck', 'large', 'hostile'];
const rounded = ['islands', 'inception', 'formulas', 'vit', 'swin'];

describe.skipIf(python === undefined)('in PyTorch (a Python with torch is needed; TRAM_PYTHON names one)', () => {
  test.each(exact)('%s: codes and sums of every layer are equal, and the logits of all images', (name) => {
    const { code, out } = ran.get(name)!;
    expect(out).toMatch(/^\d+ layers, \d+ images: [\d,]+ codes and [\d,]+ sums equal\n/);
    expect(out).toMatch(/largest difference 0\.0e\+00, limit [\d.e+-]+\nequal\n$/);
    expect(code).toBe(0);
  });

  test.each(rounded)('%s: sums are equal, codes but for ties, and logits', (name) => {
    const { code, out } = ran.get(name)!;
    expect(out).toMatch(/^\d+ layers, \d+ images: [\d,]+ codes and [\d,]+ sums equal/);
    const ties = Number(/ but for (\d+) codes/.exec(out)?.[1] ?? 0);
    expect(ties).toBeLessThanOrEqual(2);
    if (ties === 0) expect(out).toMatch(/\nequal\n$/);
    expect(code).toBe(0);
  });

  test.each([
    [
      'broken table',
      /^not equal: stem|^not equal: block_\w+: \d+ of \d+ sums differ, first at \(\d+, \d+, \d+, \d+\): -?\d+ here/,
    ],
    ['broken norm', /^not equal: block_conv1: \d+ of \d+ codes differ/],
    ['broken logits', /\nnot equal: /],
    ['changed file', /\nnot equal: weights\.safetensors is not the file that was exported/],
    ['broken padding', /^not equal: stem: \d+ of \d+ sums differ, first at \(0, \d, 0, \d\)/],
  ])('a %s is found, and where', (name, message) => {
    const { code, out } = ran.get(name)!;
    expect(out).toMatch(message);
    expect(code).toBe(1);
  });

  test('classifies the stored images as the program does', () => {
    const { code, out } = ran.get('accuracy')!;
    const [, right, count, expected] = /^(\d+) of (\d+) test images .* in the program (\d+)\n$/.exec(out) ?? [];
    expect([code, right, count]).toEqual([0, expected, '8']);
  });
});

/** The text of a method. */
const method = (name: string, of: string): string =>
  new RegExp(`    def ${of}\\(self.*?\\n(?=\\n\\n|    def )`, 's').exec(textOf(name))?.[0] ?? '';
const textOf = (name: string): string => (written.get(name)!.get('network.py') as string).split('class Network')[1]!;

describe('network.py', () => {
  test('reads as a person would write it', () => {
    expect(method('residual', 'forward')).toMatchInlineSnapshot(`
      "    def forward(self, image):
              x = image.float() * self.pixel_scale + self.pixel_offset
              x = F.relu(self.stem_bn(self.stem(x)))
              x = F.max_pool2d(x, 3, stride=2, padding=1)

              # block
              y = F.relu(self.block_conv1_bn(self.block_conv1(x)))
              y = self.block_conv2_bn(self.block_conv2(y))
              x = self.block_shortcut_bn(self.block_shortcut(x))
              x = F.relu(y + x)

              return self.fc(F.avg_pool2d(x, 2).flatten(1))
      "
    `);
    expect(method('vit', 'forward')).toMatchInlineSnapshot(`
      "    def forward(self, image):
              x = image.float() * self.pixel_scale + self.pixel_offset
              x = F.pad(self.patch_embed_proj(x).flatten(2).transpose(1, 2), (0, 0, 1, 0))
              x = x + self.cls_token_and_pos_embed

              # blocks.0
              y = self.blocks_0_attn_qkv(self.blocks_0_norm1(x)).reshape(-1, 5, 3, 2, 4)
              query = y[:, :, 0].transpose(1, 2)
              key = y[:, :, 1].transpose(1, 2)
              value = y[:, :, 2].transpose(1, 2)
              y = F.softmax(query @ key.transpose(-2, -1) * 0.5, -1)
              y = (y @ value).transpose(1, 2).reshape(-1, 5, 8)
              x = x + self.blocks_0_attn_proj(y)
              y = F.gelu(self.blocks_0_mlp_fc1(self.blocks_0_norm2(x)))
              x = x + self.blocks_0_mlp_fc2(y)

              x = self.norm(x[:, 0:1].flatten(1))
              return self.head(x)
      "
    `);
    expect(method('kinds', '__init__')).toMatchInlineSnapshot(`
      "    def __init__(self):
              super().__init__()
              truncated_8x8_columns_7 = ProductTable("truncated_8x8_columns_7")
              drum_8x8_bits_4 = ProductTable("drum_8x8_bits_4")
              signed_table = ProductTable("signed_table", signed=True)
              exact_8x8 = ProductTable("exact_8x8", signed=True)

              self.register_buffer("pixel_scale", torch.zeros((3, 1, 1)))
              self.register_buffer("pixel_offset", torch.zeros((3, 1, 1)))
              self.stem = AxMConv2d(truncated_8x8_columns_7, 3, 4, 3, padding=1)
              self.stem_bn = BatchNorm(4)

              self.block_conv1 = AxMConv2d(drum_8x8_bits_4, 4, 8, 3, stride=2, padding=1, groups=2)
              self.block_conv1_bn = BatchNorm(8)
              self.block_conv2 = AxMConv2d(signed_table, 8, 8, (3, 1), padding=(1, 0))
              self.block_conv2_bn = BatchNorm(8)
              self.block_shortcut = AxMConv2d(truncated_8x8_columns_7, 4, 8, 1, stride=2)
              self.block_shortcut_bn = BatchNorm(8)

              self.fc = AxMLinear(exact_8x8, 8, 5)

      "
    `);
  });

  test('a formula without a name is a function beside the network', () => {
    const text = written.get('formulas')!.get('network.py') as string;
    expect(/^def formula_x_exp.*?\n\n/ms.exec(text)?.[0]).toMatchInlineSnapshot(`
      "def formula_x_exp_x_and_more(x0):
          return torch.where(x0 > torch.tensor(0.0), (x0 * torch.exp((-x0))), (x0 * torch.exp(x0)))

      "
    `);
  });

  test('names of models, layers and blocks cannot become Python', () => {
    const text = written.get('hostile')!.get('network.py') as string;
    expect(text).not.toMatch(/^\s*(import os|raise)/m);
    expect(text.split('"""')[1]).toContain('import os');
    expect([...written.get('hostile')!.keys()].every((path) => /^[\w./]+$/.test(path) && !path.includes('..'))).toBe(
      true,
    );
  });

  test('no line is too long, and nothing of another network is in it', () => {
    for (const [name, files] of written) {
      const lines = (files.get('network.py') as string).split('\n');
      expect(Math.max(...lines.map((line) => line.length)), name).toBeLessThanOrEqual(110);
      expect(lines.join('\n'), name).not.toMatch(/TITLE|# NETWORK|undefined|\[object/);
    }
  });
});

test('images are needed to compare with', async () => {
  const { frozen } = await fixture('residual');
  const images = { count: 0, pixels: new Uint8Array(), labels: new Int32Array() };
  await expect(exportPyTorch({ frozen, images })).rejects.toThrow('no test images');
});

test('what has no words in PyTorch is refused by its layer', async () => {
  const moved = model('moved', (nn, image, classes) => {
    const x = nn.conv('stem', image, { out: 4, kernel: 4, stride: 4 });
    const y = nn.block('turned', () => nn.permute(x, [1, 0, 2, 3]));
    return nn.linear('fc', nn.reshape(y, [image.shape[0]!, 16]), classes);
  });
  const made = await resting(moved, { multiplier: rough });
  await expect(exportPyTorch(made)).rejects.toThrow('turned: permute moves the axis of the batch');
});

test('the fixed part is Python that stands for itself', () => {
  const text = readFileSync(join(import.meta.dirname, '../../src/export/pytorch/template.py'), 'utf8');
  expect(text.split('# NETWORK\n')).toHaveLength(2);
  expect(text.startsWith('"""TITLE"""\n')).toBe(true);
});
