// The report of a run: the same bytes each time, from the folder alone, with everything that is needed to judge and
// repeat the run.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import type { RunSummary } from '../../src/flow/results/summary.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { exactPower } from '../../src/multiplier/power.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-report-'));
const folder = join(parent, 'run');
const page = () => readFileSync(join(folder, 'report.html'), 'utf8');
const report = (figures?: readonly ('svg' | 'png' | 'pdf')[]) =>
  runFlow({ folder, phases: ['report'], ...(figures ? { figures } : {}) });
afterAll(() => rmSync(parent, { recursive: true }));

let summary: RunSummary;
beforeAll(async () => {
  summary = await runFlow({
    folder,
    settings: {
      bits: { weights: 4, activations: 4 },
      exactLayers: ['fc'],
      train: { epochs: 1 },
      explore: { epochs: 1, grain: 'column', lambda: 1, structure: 'per-layer' },
      recover: { epochs: 1 },
    },
    command: 'tram run --lambda 1',
  });
});

test('power and gate cost are two measures relative to an exact 8×8 multiplier, each at its own stages', () => {
  const of = (key: 'power' | 'gateCost') =>
    summary.stages.filter((stage) => stage[key] !== undefined).map(({ stage }) => stage);
  expect(of('power')).toEqual(['quantized', 'approximated', 'exploration-started', 'explored']);
  expect(of('gateCost')).toEqual(['mapped', 'recovery-started', 'recovered']);
  const exact = exactPower(4, 4);
  expect(exact).toBeLessThan(0.21);
  const at = (name: string) => summary.stages.find(({ stage }) => stage === name)!;
  expect(at('quantized').power).toBe(exact);
  expect(at('explored').power).toBeLessThan(exact);
  // What the training logs is relative to the same multiplier.
  const logged = readFileSync(join(folder, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(logged.find(({ phase }) => phase === 'explore').power).toBeCloseTo(at('explored').power!, 12);
  const approximate = summary.layers.filter(({ multiplier }) => multiplier !== null);
  const macs = approximate.reduce((sum, layer) => sum + layer.macs, 0);
  const mean = approximate.reduce((sum, layer) => {
    const { gateCost } = summary.multipliers.find(({ name }) => name === layer.multiplier)!;
    return sum + (gateCost! * layer.macs) / macs;
  }, 0);
  expect(at('recovered').gateCost).toBeCloseTo(mean, 12);
  expect(at('recovered').gateCost).toBeLessThan(84 / 400);
});

test('each layer has its share of the multiplications and of the gates, the exact one too', () => {
  expect(summary.layers).toHaveLength(10);
  expect(summary.multipliers).toHaveLength(9);
  expect(summary.layers.find(({ name }) => name === 'fc')!.multiplier).toBeNull();
  expect(summary.layers.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1);
  // The exact layer works with the cheapest exact 4×4 multiplier, of 84 unit gates.
  const gates = summary.layers.map(({ macs, multiplier }) => {
    return macs * (summary.multipliers.find(({ name }) => name === multiplier)?.gateCost ?? 84 / 400);
  });
  const all = gates.reduce((sum, own) => sum + own, 0);
  summary.layers.forEach(({ gateShare }, k) => void expect(gateShare).toBeCloseTo(gates[k]! / all, 12));
});

test('a second report is the same to the byte, whatever the data set does', async () => {
  const before = page();
  const figures = readdirSync(join(folder, 'figures')).map((name) =>
    readFileSync(join(folder, 'figures', name), 'utf8'),
  );
  await report();
  expect(page()).toBe(before);
  expect(
    readdirSync(join(folder, 'figures')).map((name) => readFileSync(join(folder, 'figures', name), 'utf8')),
  ).toEqual(figures);
});

test('the page says what was run: settings with their defaults, the command, data, device and versions', () => {
  const html = page();
  const { inputs, program, phases } = readManifest(folder);
  for (const text of [
    summary.verdict.slice(0, 40),
    '<th scope="row">explore.lambda</th><td>1</td><td>0.3</td>',
    'tram run --bits 4 --exact-layers fc --train-epochs 1 --lambda 1 --structure per-layer --structure-grain column --explore-epochs 1 --recover-epochs 1',
    '<pre tabindex="0">tram run --lambda 1</pre>',
    '1 797 of 8×8×1',
    inputs.data.sha256,
    `tram ${program.tram}, Node.js ${program.node}`,
    phases.train!.device.detail,
    'Power and gate cost are two measures',
  ]) {
    expect(html).toContain(text);
  }
  expect(html.match(/Power and gate cost are two measures/g)).toHaveLength(1);
});

test('many multipliers are a row per layer and folded pictures', () => {
  const html = page();
  expect(html.match(/<details>/g)!.length).toBeGreaterThanOrEqual(9 + 2);
  // Of a figure outside the folds there are the run's own two.
  const open = html.replace(/<details>.*?<\/details>/gs, '');
  expect(open.match(/<figure>/g)).toHaveLength(2);
  expect(open).toContain('<th scope="row">layer1.0.conv1</th>');
});

test('figures are written in the forms asked for; those of another time are gone', async () => {
  await report(['svg', 'png', 'pdf']);
  const names = readdirSync(join(folder, 'figures'));
  for (const ending of ['svg', 'png', 'pdf']) expect(names).toContain(`curves.${ending}`);
  expect(readFileSync(join(folder, 'figures/curves.png')).subarray(1, 4).toString()).toBe('PNG');
  expect(readFileSync(join(folder, 'figures/curves.pdf')).subarray(0, 5).toString()).toBe('%PDF-');
  await report();
  expect(existsSync(join(folder, 'figures/curves.pdf'))).toBe(false);
  expect(readdirSync(join(folder, 'figures')).every((name) => name.endsWith('.svg'))).toBe(true);
});
