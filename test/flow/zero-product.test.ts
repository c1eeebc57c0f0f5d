// The product of the weights' zero point as the multiplier makes it: what it does to operands that are cut short in an
// eight-bit data path, and what is said where it cannot be.

import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { exportNetwork } from '../../src/flow/results/export.ts';
import type { ConfigurationInput } from '../../src/flow/settings/settings.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-zero-'));
afterAll(() => rmSync(parent, { recursive: true }));
const base = join(parent, 'base');
const device = { threads: 1 } as const;
const quantize = { images: 100, quantizer: 'steps' } as const;

beforeAll(() =>
  runFlow({ folder: base, settings: { train: { epochs: 5 }, quantize }, phases: ['train', 'quantize'], device }),
);

let runs = 0;
async function mapped(map: ConfigurationInput['map'], more: ConfigurationInput = {}) {
  const folder = join(parent, `run${runs++}`);
  cpSync(base, folder, { recursive: true });
  const { stages } = await runFlow({ folder, settings: { ...more, map }, phases: ['map'], redo: true, device });
  return Object.fromEntries(stages.map(({ stage, accuracy }) => [stage, accuracy]));
}

/** Without the three lowest activation bits, which are the rows of the second operand. */
const cut = { multiplier: 'broken-array:8x8:rows=3,columns=0', operandOrder: 'weight-activation' } as const;

test('activation bits that are not read cost next to nothing, where an exact product of the zero point is lost', async () => {
  const exact = await mapped(cut);
  const own = await mapped({ ...cut, zeroProduct: 'own' });
  expect(own.quantized).toBe(exact.quantized);
  // Half of the weights' range times bits that differ from pixel to pixel: the network guesses.
  expect(exact.mapped).toBeLessThan(0.5);
  expect(own.mapped).toBeGreaterThan(own.quantized! - 0.1);
});

test('the product of an exact multiplier is the exact product', async () => {
  const map = { multiplier: 'dadda:8x8' } as const;
  expect(await mapped({ ...map, zeroProduct: 'own' })).toEqual(await mapped(map));
});

test('says why where there is no one zero point, or no given multiplier, before anything is trained', async () => {
  const refused = (settings: ConfigurationInput) =>
    expect(runFlow({ folder: join(parent, 'refused'), settings, device })).rejects;
  const map = { ...cut, zeroProduct: 'own' } as const;
  await refused({ map, quantize: { quantizer: 'clips' } }).toThrow(
    /--zero-product own needs one zero point for all weights: those of --quantizer clips differ/,
  );
  const bits = { weights: 2, activations: 8 };
  await refused({ map: { ...map, multiplier: 'truncated:2x8:columns=6' }, quantize, bits }).toThrow(
    /of 2 bits it is 2 or 1, by channel/,
  );
  await refused({ map: { zeroProduct: 'own' } }).toThrow(
    /map\.zeroProduct is own, but no file of a multiplier is given/,
  );
  const checkpoint = join(parent, 'quantised.safetensors');
  exportNetwork({ folder: base, path: checkpoint, stage: 'quantized', quantizers: true });
  await refused({ map, train: { checkpoint } }).toThrow(/those of the checkpoint have zero points of their own/);
});
