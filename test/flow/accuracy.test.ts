// What the program is for: at 0.85 of the exact multiplier's power or less, the recovered network is within a point of
// the float one. With the seed 1: run.test.ts.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import type { Stage } from '../../src/flow/run/stages.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-accuracy-'));
afterAll(() => rmSync(parent, { recursive: true }));

test('seed 2 recovers within one percentage point at power ≤ 0.85', async () => {
  const { stages } = await runFlow({
    folder: join(parent, 'run'),
    settings: { seed: 2, train: { epochs: 12 }, explore: { epochs: 3 }, recover: { epochs: 3 } },
    device: { threads: 1 },
  });
  const of = (stage: Stage) => stages.find((result) => result.stage === stage)!;
  expect(of('float').accuracy).toBeGreaterThan(0.96);
  expect(of('explored').power).toBeLessThanOrEqual(0.85);
  expect(of('recovered').gateCost).toBeLessThanOrEqual(0.85);
  expect(of('recovered').accuracy).toBeGreaterThanOrEqual(of('float').accuracy - 0.01);
});
