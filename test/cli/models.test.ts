// The page of models is what the definitions say today, and quick to make: building a graph must cost next to nothing.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { methodsOf, modelsPage } from '../../src/cli/models-page.ts';
import { listModels } from '../../src/flow/models.ts';
import { Layers } from '../../src/nn/layers.ts';
import { tram } from './program.ts';

const read = (path: string) => readFileSync(join(import.meta.dirname, '../..', path), 'utf8');

test('docs/models.md is current; else npm run build && node scripts/models-doc.mjs', () => {
  expect(read('docs/models.md')).toBe(modelsPage(listModels(), read('src/nn/layers.ts')));
});

test('it lists every method of the layer library', () => {
  const listed = methodsOf(read('src/nn/layers.ts')).map(({ name }) => name);
  const members = Object.entries(Object.getOwnPropertyDescriptors(Layers.prototype));
  const methods = members.flatMap(([name, { value }]) => (value && name !== 'constructor' ? [name] : []));
  expect(methods.filter((name) => !listed.includes(name))).toEqual([]);
});

test('tram models lists all, or tells the layers of one', async () => {
  const { code, out } = await tram('models');
  expect(code).toBe(0);
  expect(out).toMatch(/^resnet8 +78 042 +12 501 632 +10 +32×32×3 +10$/m);
  expect(out.split('\n').filter((line) => /×\d+×3 +\d+$/.test(line)).length).toBe(listModels().length);
  const one = JSON.parse((await tram('models', 'imagenet/regnetx_600m', '--classes', '7', '--json')).out);
  expect(one).toMatchObject({ classes: 7, image: [224, 224, 3] });
  expect(one.layers.at(-1)).toMatchObject({ name: 'head.fc', weightShape: [1, 1, 528, 7] });
  const small = await tram('models', 'imagenet/resnet18', '--image', '16x16x3');
  expect(small).toMatchObject({
    code: 2,
    err: expect.stringMatching(/needs images of at least 32×32 pixels, not 16×16/),
  });
});

test('an unknown model is told with the nearest names, not with all', async () => {
  const { code, err } = await tram('models', 'imagenet/regnetx_600');
  expect(code).toBe(2);
  expect(err).toMatch(
    /unknown model 'imagenet\/regnetx_600'; did you mean 'imagenet\/regnetx_600m'\? valid: .*and \d+ more/,
  );
  expect(err.length).toBeLessThan(300);
});
