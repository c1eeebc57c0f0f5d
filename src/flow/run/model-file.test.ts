// Models from files: what is taken, and that every mistake in one is told in a line that says where.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Graph } from '../../engine/graph/graph.ts';
import { Layers, multiplyFloat } from '../../nn/layers.ts';
import { UserError } from '../../tensor/errors.ts';
import { isModelFile } from '../settings/model-name.ts';
import { loadModelFile } from './model-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-model-'));
let files = 0;

function write(text: string): string {
  const path = join(folder, `net${files++}.mjs`);
  writeFileSync(path, text);
  return path;
}

async function build(text: string): Promise<Layers> {
  const { model } = await loadModelFile(write(text));
  const graph = new Graph();
  const nn = new Layers(graph, { training: true, multiply: multiplyFloat });
  model.build(nn, graph.input('image', [2, 8, 8, 1]), 10);
  return nn;
}

const net = `export default (nn, image, classes) => {
  const x = nn.relu(nn.conv('conv1', image, { out: 4, kernel: 3 }));
  return nn.linear('fc', nn.globalAveragePool(x), classes);
};`;

test('names of files are told from names of models', () => {
  expect(['./net.mjs', 'net.js', '/a/b.ts', 'x.cjs'].every(isModelFile)).toBe(true);
  expect(['resnet8', 'imagenet/resnet18', 'imagenet/regnetx_1.6g'].some(isModelFile)).toBe(false);
});

describe('a file is taken', () => {
  test('that exports a function', async () => {
    expect((await build(net)).multiplying.map(({ name }) => name)).toEqual(['conv1', 'fc']);
  });

  test('that exports a model, with what it tells', async () => {
    const text = `${net.replace('export default', 'const build =')}\nexport default { name: 'mine', minimumSize: 5, build };`;
    const { model } = await loadModelFile(write(text));
    expect(model).toMatchObject({ name: 'mine', minimumSize: 5 });
    expect((await build(text)).multiplying).toHaveLength(2);
  });

  test('anew when its text has changed', async () => {
    const path = write(net);
    const before = await loadModelFile(path);
    writeFileSync(path, net.replace("'conv1'", "'other'"));
    const after = await loadModelFile(path);
    expect(after.sha256).not.toBe(before.sha256);
    const graph = new Graph();
    const nn = new Layers(graph, { training: false, multiply: multiplyFloat });
    after.model.build(nn, graph.input('image', [1, 8, 8, 1]), 3);
    expect(nn.multiplying[0]?.name).toBe('other');
  });

  test('where the run found it, if it is no longer where the user stands', async () => {
    const path = write(net);
    const known = await loadModelFile(path);
    expect((await loadModelFile('elsewhere/net.mjs', known)).path).toBe(path);
  });
});

test.each([
  [
    'nothing',
    'export const net = 1;',
    /net\d+\.mjs: no model is its default export: expected export default a function/,
  ],
  ['a build that is none', 'export default { build: 3 };', /: build is number 3: expected a function/],
  [
    'a size that is none',
    `${net.replace('export default', 'const build =')} export default { build, minimumSize: 0 };`,
    /minimumSize is number 0: expected a whole number/,
  ],
  ['what throws while it is read', '\n\nmissing();', /net\d+\.mjs:3: ReferenceError: missing is not defined/],
  ['what imports nothing there is', "import 'no-such-package';", /Cannot find package 'no-such-package'/],
  [
    'what throws while it is built',
    'export default () => {\n  throw new Error("no");\n};',
    /net\d+\.mjs:2: Error: no$/,
  ],
  ['what throws no error', 'export default () => {\n  throw "no";\n};', /net\d+\.mjs: Error: no$/],
  [
    'an unknown method',
    'export default (nn, x) => {\n  return nn.con("a", x, { out: 1, kernel: 1 });\n};',
    /net\d+\.mjs:2: nn has no method 'con'; did you mean 'conv'\?/,
  ],
  [
    'a method far from all',
    'export default (nn, x) => nn.quantumLeap(x);',
    /nn has no method 'quantumLeap'; docs\/models\.md lists/,
  ],
  [
    'two shapes added',
    'export default (nn, x) =>\n  nn.add(x, nn.globalAveragePool(x));',
    /net\d+\.mjs:2: (add|sum): inputs /,
  ],
  [
    'logits of another shape',
    net.replace('Pool(x), classes)', 'Pool(x), classes + 1)'),
    /returns the shape \[2, 11\]: expected \[2, 10\], a row of 10 logits/,
  ],
  ['a promise', 'export default async (nn, x) => x;', /returns a promise \(it must not be async\): expected/],
  ['no value', 'export default () => {};', /returns nothing: expected a value of shape \[2, 10\]/],
  [
    'no layer that multiplies',
    "export default (nn, x, classes) => nn.slice(nn.concat([nn.graph.apply1('reshape', [x], { shape: [2, 64] })], 1), 1, 0, classes);",
    /has no layer that multiplies; use nn\.conv or nn\.linear/,
  ],
  [
    'an option that no layer has',
    net.replace('kernel: 3', 'kernel: 3, pad: 1'),
    /net\d+\.mjs:2: conv1: no option is called 'pad'/,
  ],
  [
    'a layer that leads nowhere',
    net.replace('return', "nn.conv('side', image, { out: 4, kernel: 3 }); return"),
    /nothing of the layer side reaches the logits, but its multiplications would be counted/,
  ],
  [
    'two layers of one name',
    net.replace('return', "nn.conv('conv1', image, { out: 4, kernel: 3 }); return"),
    /two layers have the tensor conv1\.weight; give each/,
  ],
])('%s is told in one line', async (_, text, message) => {
  const error = await build(text).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(UserError);
  expect((error as Error).message).toMatch(message);
  expect((error as Error).message).not.toMatch(/\n|internal:|file:/);
});

test('a file that is not there, or is another than the run was made with, is refused by name', async () => {
  await expect(loadModelFile('no-such-net.mjs')).rejects.toThrow(/cannot read .*no-such-net\.mjs/);
  const path = write(net);
  const { sha256 } = await loadModelFile(path);
  const known = { path, sha256 };
  writeFileSync(path, `${net}\n`);
  await expect(loadModelFile(path, known)).rejects.toThrow(
    `the model file ${path} is not as it was when the run was made with it (the run's has SHA-256 ${sha256.slice(0, 12)}…); bring it back, or use another folder`,
  );
  await expect(loadModelFile('no-such-net.mjs', { ...known, path: '/no/such.mjs' })).rejects.toThrow(/is not there/);
});
