// Every network of networks.py, exported by PyTorch in several ways, gives PyTorch's logits, and counts the same
// multiplications however it was exported. It needs PyTorch and some ten seconds:
//
//     TRAM_PYTHON=python3 npx vitest run test/onnx/pytorch.test.ts

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { modelOf } from '../../src/nn/onnx/model.ts';
import { readGraph } from '../../src/onnx/graph.ts';
import { type Expected, farthest, logitsOf, logSoftmax } from './logits.ts';

const python = process.env.TRAM_PYTHON;
const name = 'networks that PyTorch exports';

if (python === undefined) describe.skip(`${name} (skipped: TRAM_PYTHON names no Python with PyTorch)`, () => {});
else {
  describe(name, () => {
    const folder = mkdtempSync(join(tmpdir(), 'tram-onnx-'));
    afterAll(() => rmSync(folder, { recursive: true }));
    const made = spawnSync(python, [join(import.meta.dirname, 'networks.py'), 'all', folder], { encoding: 'utf8' });
    const expected: Readonly<Record<string, Expected>> =
      made.status === 0 ? JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) : {};
    const work = new Map<string, number>();

    test('are written', () => {
      expect(made.stderr).toBe('');
      expect(Object.keys(expected).length).toBeGreaterThanOrEqual(120);
    });

    test.each(Object.entries(expected))('%s', async (file, { image, logits }) => {
      const model = modelOf(readGraph(join(folder, file)), file);
      const { logits: found, layers } = await logitsOf(model, image);
      expect(farthest(file.startsWith('vgg') ? logSoftmax(found) : found, logits)).toBeLessThan(1e-5);
      // Images are told apart, or nothing would have been compared.
      expect(farthest([logits[0]!], [logits[1]!])).toBeGreaterThan(1e-3);
      const macs = layers.reduce((sum, layer) => sum + layer.macs, 0);
      const network = file.replace(/-\d+-\w+\.onnx$/, '');
      expect(macs).toBe(work.get(network) ?? macs);
      work.set(network, macs);
    });
  });
}
