// What phase 3 takes the slopes of rows by, in a run and where a multiplier is tried: the codes that its layers meet.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test, vi } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { recoveryArithmetic } from '../../src/flow/multipliers/multipliers.ts';
import type { Listener } from '../../src/flow/run/events.ts';
import { measureRun, openTriedRun, Trial } from '../../src/flow/try/trial.ts';
import { generateFromSpec } from '../../src/netlist/generators/registry.ts';
import { simulate } from '../../src/netlist/simulate.ts';

vi.mock('../../src/flow/multipliers/multipliers.ts', async (original) => {
  const module = await original<typeof import('../../src/flow/multipliers/multipliers.ts')>();
  return { ...module, recoveryArithmetic: vi.fn(module.recoveryArithmetic) };
});

const parent = mkdtempSync(join(tmpdir(), 'tram-slopes-'));
afterAll(() => rmSync(parent, { recursive: true }));
const folder = join(parent, 'run');
const device = { threads: 1 } as const;
const bits = { weights: 4, activations: 5 };
const truncated = 'truncated:4x5:columns=3';
const settings = { bits, train: { epochs: 1 }, map: { multiplier: truncated }, recover: { epochs: 1 } };

const called = vi.mocked(recoveryArithmetic);
beforeEach(() => void called.mockClear());

/** What training was given: the last call, since those before it are of kernels that are expected. */
const met = () => called.mock.calls.at(-1)![2];

test('a run takes them by what each layer meets, and straight-through takes none', async () => {
  await runFlow({ folder, settings, device });
  const found = [...met()!];
  expect(found.length).toBeGreaterThan(5);
  for (const [, { weight, activation }] of found) {
    expect([weight.length, activation.length]).toEqual([16, 32]);
    for (const counts of [weight, activation]) expect(Math.max(...Array.from(counts))).toBeGreaterThan(0);
  }
  // Layers differ in what they meet.
  expect(new Set(found.map(([, { activation }]) => String(activation))).size).toBe(found.length);

  const recover = { epochs: 1, gradient: 'straight-through' } as const;
  await runFlow({ folder: join(parent, 'straight'), from: folder, settings: { recover }, device });
  expect(called).toHaveBeenCalled();
  expect(met()).toBeUndefined();
});

test('a run that is stopped in recovery goes on by what the network met at its beginning', async () => {
  const stop = new AbortController();
  const asked = {
    ...{ folder: join(parent, 'stopped'), from: folder, device },
    settings: { recover: { epochs: 3, learningRate: 0.05 } },
  };
  const listener: Listener = (event) => {
    if (event.kind === 'epoch') stop.abort();
  };
  await expect(runFlow({ ...asked, listener, signal: stop.signal })).rejects.toThrow(/abort/i);
  const begun = met();
  called.mockClear();
  await runFlow({ folder: asked.folder, device });
  expect(met()).toEqual(begun);
});

test('a trial takes them by the same', async () => {
  const run = await openTriedRun(folder, { device });
  const table = simulate(generateFromSpec(truncated).network);
  const trial = await Trial.open(run, { bits, table }, await measureRun(run));
  await trial.prepare();
  await trial.recover(1, () => {});
  const ofTrial = met();
  await trial.dispose();
  await runFlow({ folder: join(parent, 'again'), from: folder, settings: { recover: { epochs: 2 } }, device });
  expect(ofTrial?.size).toBe(met()!.size);
  expect(ofTrial).toEqual(met());
});
