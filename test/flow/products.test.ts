// Whole runs with a θ for each partial product: hard at the end of exploration, mapped to exactly what was kept, with
// the accuracy that the trained structure had. Widths differ from each other, so that an exchange of i and j shows.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { parseTheta } from '../../src/flow/multipliers/theta.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { type ConfigurationInput, mergeSettings } from '../../src/flow/settings/config.ts';
import { readBlif } from '../../src/netlist/blif/read.ts';
import { readNpy } from '../../src/netlist/formats/npy.ts';
import { simulate } from '../../src/netlist/simulate.ts';
import { readBytes, sha256 } from '../../src/tensor/files.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-products-'));
afterAll(() => rmSync(parent, { recursive: true }));

const brief: ConfigurationInput = {
  sample: 256,
  train: { epochs: 3 },
  quantize: { images: 128 },
  // A large rate, so that few steps remove something.
  explore: { grain: 'product', harden: 0.5, epochs: 3, lambda: 3, thetaLearningRate: 0.3 },
  recover: { epochs: 1 },
};
const bits = (weights: number, activations: number): ConfigurationInput => ({ bits: { weights, activations } });

/** Σ 2^(i+j) w[i] x[j] over the products of θ = 0, by the definition; θ weight bit by weight bit. */
function keptProducts(theta: readonly number[], weights: number, activations: number): number[] {
  return Array.from({ length: 2 ** (weights + activations) }, (_, pair) => {
    const [w, x] = [pair >> activations, pair & (2 ** activations - 1)];
    return theta.reduce((sum, value, at) => {
      const [i, j] = [Math.floor(at / activations), at % activations];
      return value === 0 ? sum + (((w >> i) & (x >> j) & 1) << (i + j)) : sum;
    }, 0);
  });
}

describe.each([
  ['shared, w3a4', mergeSettings(bits(3, 4), { explore: { lambda: 1 } }), [3, 4]],
  ['a structure per layer, w2a4', mergeSettings(bits(2, 4), { explore: { structure: 'per-layer' } }), [2, 4]],
  ['the lowest columns alone, w5a3', mergeSettings(bits(5, 3), { explore: { columns: 5, lambda: 2 } }), [5, 3]],
] as const)('%s', (name, settings, [weights, activations]) => {
  const folder = join(parent, name);
  test('ends with θ of 0 and 1, the netlist of them, and the accuracy that they had', async () => {
    await runFlow({ folder, settings: mergeSettings(brief, settings), device: { threads: 2 } });
    const { phases, configuration } = readManifest(folder);
    expect(configuration.map.search).toBe('exact');
    const document = parseTheta(readBytes(join(folder, 'theta.json')), 'theta.json');
    const multipliers = phases.map!.multipliers!;
    expect(document.structures.length).toBe(multipliers.length);
    let [kept, gone] = [0, 0];
    for (const [at, { theta }] of document.structures.entries()) {
      for (const value of theta) {
        if (value === 0) kept++;
        else if (value === 1) gone++;
        else throw new Error(`θ of ${value}`);
      }
      const { name: file, certificate } = multipliers[at]!;
      const table = readNpy(readBytes(join(folder, `${file}.npy`)), file, {});
      // Products above the columns that have a θ are always kept.
      let next = 0;
      const columns = configuration.explore.columns;
      const whole = Array.from({ length: weights * activations }, (_, product) =>
        Math.floor(product / activations) + (product % activations) < columns ? theta[next++]! : 0,
      );
      expect(next).toBe(theta.length);
      expect(Array.from(table.data)).toEqual(keptProducts(whole, weights, activations));
      const { network } = readBlif(readFileSync(join(folder, `${file}.blif`), 'utf8'));
      expect(simulate(network, {}).data).toEqual(table.data);
      expect(certificate.forms).toContain('blif');
    }
    expect(Math.min(kept, gone), `${kept} kept, ${gone} gone`).toBeGreaterThan(0);
    const [explored] = phases.explore!.stages.slice(-1);
    const [mapped] = phases.map!.stages;
    expect(mapped!.accuracy).toBe(explored!.accuracy);
    expect(mapped!.loss).toBeCloseTo(explored!.loss, 5);
  });
});

test('a run stopped before, at and behind the hardening ends with the same bits', async () => {
  const settings = mergeSettings(mergeSettings(brief, bits(3, 4)), { explore: { lambda: 1 } });
  const whole = join(parent, 'shared, w3a4');
  const pieces = join(parent, 'pieces');
  await runFlow({ folder: pieces, settings, phases: ['train', 'quantize'], device: { threads: 1 } });
  let stops = 0;
  for (;;) {
    const controller = new AbortController();
    let steps = 0;
    const listener = (event: { kind: string }) => {
      if (event.kind === 'step' && ++steps === 1) controller.abort();
    };
    try {
      await runFlow({ folder: pieces, settings, phases: ['explore'], signal: controller.signal, listener });
      break;
    } catch (error) {
      expect((error as Error).name).toBe('AbortError');
      stops++;
    }
  }
  // Twelve steps, of which a stop lets one more end; the last six are behind the push, the last three hard.
  expect(stops).toBeGreaterThan(4);
  for (const file of ['checkpoints/explored.safetensors', 'theta.json']) {
    expect(sha256(readBytes(join(pieces, file))), file).toBe(sha256(readBytes(join(whole, file))));
  }
});
