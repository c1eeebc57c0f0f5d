// Exact multipliers of fewer bits beside a run's own: measured in the run, told plainly in its summary and page, on the
// axis of the exact 8×8 multiplier, and nothing of the run changed by them.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { compareRuns, synthesizeRuns } from '../../src/flow/results/compare.ts';
import { comparedPoints, judge } from '../../src/flow/results/compared-front.ts';
import { readRivals } from '../../src/flow/results/rivals.ts';
import type { RunSummary } from '../../src/flow/results/summary.ts';
import type { ConfigurationInput } from '../../src/flow/settings/config.ts';
import { readBytes, sha256 } from '../../src/tensor/files.ts';
import { Technology } from '../../src/workbench/synthesised-power.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-rivals-'));
afterAll(() => rmSync(parent, { recursive: true }));
const [plain, rivalled] = [join(parent, 'plain'), join(parent, 'rivals')];
const brief: ConfigurationInput = {
  bits: { weights: 4, activations: 4 },
  sample: 240,
  quantize: { images: 64 },
  train: { epochs: 4 },
  explore: { epochs: 1 },
  recover: { epochs: 1 },
};
const notes: string[] = [];
let summary: RunSummary;

beforeAll(async () => {
  await runFlow({ folder: plain, settings: brief });
  summary = await runFlow({
    folder: rivalled,
    settings: { ...brief, rivals: 'recovered' },
    listener: (event) => event.kind === 'note' && notes.push(event.text),
  });
});

test('rivals change nothing of what a run computes', () => {
  for (const file of ['checkpoints/recovered.safetensors', 'multiplier.v', 'metrics.jsonl', 'theta.json']) {
    expect(sha256(readBytes(join(rivalled, file))), file).toBe(sha256(readBytes(join(plain, file))));
  }
  expect(existsSync(join(plain, 'rivals.json'))).toBe(false);
});

test('each width is measured, retrained where asked for, and costs what the exact 8×8 multiplier makes of it', () => {
  const { rivals, synthesised } = readRivals(rivalled);
  expect(rivals.map(({ bits }) => [bits.weights, bits.activations])).toEqual([
    [3, 4],
    [3, 3],
  ]);
  for (const { plain: quantized, recovered } of rivals) {
    expect(quantized.accuracy).toBeGreaterThan(0.05);
    expect(recovered!.accuracy).toBeGreaterThan(0.05);
  }
  // An exact 4×4 multiplier stands at about 0.16 of the exact 8×8, never at 1.
  expect(synthesised!.exact).toBeGreaterThan(0.12);
  expect(synthesised!.exact).toBeLessThan(0.2);
  expect(rivals[1]!.synthesised!).toBeLessThan(rivals[0]!.synthesised!);
  expect(synthesised!.own).toBeLessThan(0.2);
});

test('the summary says whether the multiplier is dominated, with figures of this run, and the page draws it', () => {
  const { front, verdict } = summary;
  expect(front!.kind).toBe('synthesised');
  expect(front!.rivals.map(({ label, series }) => `${label} ${series}`)).toEqual([
    ...['4×4 exact', '3×4 exact', '3×4 exact-retrained', '3×3 exact', '3×3 exact-retrained'],
  ]);
  const isBeaten = front!.rivals.some(
    ({ power, accuracy }) => power <= front!.own.power && accuracy >= front!.own.accuracy,
  );
  expect(front!.dominatedBy !== null).toBe(isBeaten);
  expect(verdict).toMatch(isBeaten ? /is dominated by it\.$/ : /None of the 5 rivals measured here/);
  const page = readFileSync(join(rivalled, 'report.html'), 'utf8');
  expect(page).toContain('<h2>Rivals</h2>');
  expect(page).toContain('class="scroll narrow"');
  expect(existsSync(join(rivalled, 'figures/front-synthesised.svg'))).toBe(true);
  expect(existsSync(join(rivalled, 'figures/front-gates.svg'))).toBe(true);
});

test('a finished phase is not done again, and an interrupted one goes on behind the last width', async () => {
  const events: string[] = [];
  const again = (settings: ConfigurationInput, redo: boolean) =>
    runFlow({
      ...{ folder: rivalled, settings, redo },
      listener: (event) => {
        if (event.kind === 'phase-start') events.push(event.phase);
        if (event.kind === 'note') events.push(event.text);
      },
    });
  await again({}, false);
  expect(events.filter((event) => !event.startsWith('data'))).toEqual(['report']);
  events.length = 0;
  const stop = new AbortController();
  const asked = { folder: rivalled, settings: { rivals: 'post-training' as const }, redo: true, signal: stop.signal };
  await runFlow({
    ...asked,
    listener: (event) => event.kind === 'note' && event.text.startsWith('exact 3×4') && stop.abort(),
  }).catch(() => {});
  expect(readRivals(rivalled).rivals).toHaveLength(1);
  const before = readRivals(rivalled).rivals[0]!;
  await again({ rivals: 'post-training' }, false);
  expect(readRivals(rivalled).rivals[0]).toMatchObject(before);
  expect(readRivals(rivalled).rivals).toHaveLength(2);
});

test('runs are compared with their rivals on the axis of the exact 8×8, in any technology', async () => {
  const technology = new Technology();
  const runs = await synthesizeRuns(compareRuns([plain, rivalled]), technology);
  await technology.close();
  for (const { synthesised } of runs) {
    expect(synthesised!.exact['4×4']).toBeGreaterThan(0.12);
    expect(synthesised!.exact['4×4']).toBeLessThan(0.22);
  }
  const points = comparedPoints(runs, 'synthesised');
  expect(points.filter(({ runs: own }) => own.length === 0).map(({ label }) => label)).toEqual(['4×4', '3×4', '3×3']);
  for (const { point, by } of judge(points)) {
    if (by) expect(by.power <= point.power && by.accuracy >= point.accuracy).toBe(true);
  }
});
