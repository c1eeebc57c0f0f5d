// An exploration that an earlier program has begun goes on, whatever is refused at a beginning since.

import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { UserError } from '../../src/tensor/errors.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-goes-on-'));
afterAll(() => rmSync(parent, { recursive: true }));

const since = vi.hoisted(() => ({ refuses: false }));
vi.mock('../../src/flow/multipliers/targets.ts', async (original) => ({
  ...(await original<object>()),
  requireTimeForTheta: () => {
    if (since.refuses) throw new UserError('out of reach');
  },
}));

test('a stopped exploration goes on behind its resume point, and is refused from its beginning', async () => {
  const folder = join(parent, 'run');
  const settings = {
    ...{ model: join(import.meta.dirname, 'small-network.mjs'), sample: 100 },
    ...{ train: { epochs: 1 }, explore: { epochs: 2, batchSize: 16 } },
  };
  await runFlow({ folder, settings, phases: ['train', 'quantize'] });
  const begun = join(parent, 'begun');
  cpSync(folder, begun, { recursive: true });
  since.refuses = true;
  await expect(runFlow({ folder, settings, phases: ['explore'] })).rejects.toThrow('out of reach');
  const options = { folder: begun, settings, phases: ['explore'] } as const;
  since.refuses = false;
  const stop = new AbortController();
  const listener = (event: { kind: string }) => void (event.kind === 'step' && stop.abort());
  await expect(runFlow({ ...options, listener, signal: stop.signal })).rejects.toThrow(/abort/i);
  since.refuses = true;
  await runFlow(options);
  expect(readManifest(begun).phases.explore).toBeDefined();
  await expect(runFlow({ ...options, redo: true })).rejects.toThrow('out of reach');
});
