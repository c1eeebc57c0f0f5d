// What the phases of one process hand on to each other: a model that was just saved is not read again, unless somebody
// has changed its file.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import type { RunEvent } from '../../src/flow/run/events.ts';
import type { ConfigurationInput } from '../../src/flow/settings/config.ts';

const seen = vi.hoisted(() => ({ open: new Map<number, string>(), read: [] as string[] }));

vi.mock('node:fs', async (original) => {
  const real = await original<typeof import('node:fs')>();
  const openSync = (path: string, ...rest: [string | number, number?]) => {
    const descriptor = real.openSync(path, ...rest);
    seen.open.set(descriptor, path);
    return descriptor;
  };
  const readFileSync = ((path: number | string, ...rest: []) => {
    if (typeof path === 'number') seen.read.push(seen.open.get(path)!);
    return real.readFileSync(path, ...rest);
  }) as typeof real.readFileSync;
  // No clock of a file system stands still for so long.
  const renameSync = (from: string, to: string) => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30);
    real.renameSync(from, to);
  };
  const changed = { openSync, readFileSync, renameSync };
  return { ...real, default: { ...real, ...changed }, ...changed };
});

const parent = mkdtempSync(join(tmpdir(), 'tram-handed-on-'));
afterAll(() => rmSync(parent, { recursive: true }));

const settings: ConfigurationInput = {
  sample: 448,
  train: { epochs: 1 },
  explore: { epochs: 1, teacher: 'float' },
  recover: { epochs: 1, teacher: 'float' },
};
const phases = ['train', 'quantize', 'explore', 'map', 'recover'] as const;

test('a phase does not read what a phase before it saved', async () => {
  const folder = join(parent, 'whole');
  await runFlow({ folder, settings, phases });
  const models = seen.read.filter((path) => /(float|quantized|explored|recovered)\.safetensors$/.test(path));
  const times = (name: string) => models.filter((path) => basename(path) === `${name}.safetensors`).length;
  // The float one for its quantisation alone; the summary of the run hashes files in pieces.
  expect(['float', 'quantized', 'explored', 'recovered'].map(times)).toEqual([1, 0, 0, 0]);
});

test.each([
  ['float', 'train', 'quantize'],
  ['quantized', 'quantize', 'explore'],
  ['float', 'quantize', 'explore'],
  ['explored', 'explore', 'map'],
  ['explored', 'map', 'recover'],
  ['float', 'map', 'recover'],
] as const)('the model %s, changed behind %s, is noticed by %s', async (name, behind, by) => {
  const folder = join(parent, `${name}-${by}`);
  const path = join(folder, `checkpoints/${name}.safetensors`);
  const begun: string[] = [];
  const listener = (event: RunEvent) => {
    if (event.kind === 'phase-start') begun.push(event.phase);
    if (event.kind !== 'phase-end' || event.phase !== behind) return;
    const bytes = readFileSync(path);
    bytes[bytes.length - 3]! ^= 1;
    writeFileSync(path, bytes);
  };
  await expect(runFlow({ folder, settings, phases, listener })).rejects.toThrow(
    `${path} is not the file that the run wrote`,
  );
  expect(begun.at(-1)).toBe(by);
});
