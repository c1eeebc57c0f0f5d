// Manifests that the program wrote when the published training was the default (older-manifests.json: a run without
// any setting of its training, and one with a θ per product at a λ): they still mean what they meant, so that what is
// done stays done and a run goes on as it began.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type Manifest, readManifest } from '../../src/flow/run/manifest.ts';
import { mergeSettings, parseConfiguration } from '../../src/flow/settings/config.ts';
import { describeDifference, type Phase, settingsOf } from '../../src/flow/settings/phases.ts';

const stored: Readonly<Record<'defaults' | 'products', unknown>> = JSON.parse(
  readFileSync(join(import.meta.dirname, 'older-manifests.json'), 'utf8'),
);
const parent = mkdtempSync(join(tmpdir(), 'tram-older-'));
afterAll(() => rmSync(parent, { recursive: true }));

function opened(name: keyof typeof stored): Manifest {
  const folder = join(parent, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(stored[name]));
  return readManifest(folder);
}

describe.each(['defaults', 'products'] as const)('a manifest from before the good training (%s)', (name) => {
  const { given, configuration, phases, inputs } = opened(name);

  test('says of each phase what it did', () => {
    const { train, quantize, explore, recover } = configuration;
    for (const phase of [train, quantize, explore, recover]) {
      expect(phase).toMatchObject({ lastBatch: 'short', optimizer: 'sgd' });
    }
    expect(explore).toMatchObject({ learningRate: 5e-4, schedule: 'constant', start: 'none' });
    if (name === 'defaults') {
      expect(quantize).toMatchObject({ quantizer: 'clips', teacher: 'none', learningRate: 1e-3 });
      expect(explore).toMatchObject({ grain: 'column', lambda: 0.3, harden: 0, columns: 8, initiallyRemoved: 4 });
      expect(recover.gradient).toBe('straight-through');
      expect(recover).toMatchObject({ learningRate: 5e-4, schedule: 'cosine', teacher: 'none', start: 'none' });
    } else {
      expect(quantize).toMatchObject({ quantizer: 'steps', teacher: 'float', temperature: 4 });
      expect(explore).toMatchObject({ grain: 'product', lambda: 1, harden: 0.5, powerModel: 'analytic' });
      expect(recover).toMatchObject({ learningRate: 0.01, schedule: 'cosine', teacher: 'float' });
    }
  });

  test('goes on with what was asked for then: no phase is done with other settings', () => {
    const again = parseConfiguration(given, 'test');
    expect(again).toEqual(configuration);
    for (const [phase, { settings }] of Object.entries(phases)) {
      expect(describeDifference(settings, settingsOf(again, phase as Phase, inputs)), phase).toBe('');
    }
  });

  test('takes other settings as it did, with the rest as it was', () => {
    const longer = parseConfiguration(mergeSettings(given, { recover: { epochs: 7 } }), 'test');
    expect(longer).toEqual({ ...configuration, recover: { ...configuration.recover, epochs: 7 } });
    // A target takes λ's place where λ was not asked for, and then θ becomes hard.
    if (name === 'products') return;
    const { explore } = parseConfiguration(mergeSettings(given, { explore: { power: 0.8 } }), 'test');
    expect(explore).toMatchObject({ grain: 'column', power: 0.8, harden: 0.2, learningRate: 5e-4 });
    expect(explore).not.toHaveProperty('lambda');
  });
});

test('a setting of today that is not the one of then is a difference', () => {
  const { phases, inputs } = opened('defaults');
  const today = settingsOf(parseConfiguration({ train: { epochs: 1 } }, 'test'), 'quantize', inputs);
  expect(describeDifference(phases.quantize!.settings, today)).toMatch(
    /quantize\.quantizer "steps" instead of "clips"/,
  );
});
