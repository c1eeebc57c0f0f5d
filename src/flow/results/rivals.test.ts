import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { StageResult } from '../run/stages.ts';
import { parseConfiguration } from '../settings/config.ts';
import { type Rivals, rivalPoints, runFronts } from './rivals.ts';
import { triedPoints, tryFolder } from './tried.ts';
import { verdictOf } from './verdict.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-rivals-'));
afterAll(() => rmSync(parent, { recursive: true }));

const measured = (accuracy: number) => ({ accuracy, loss: 0.3 });
const widths = (weights: number, activations: number) => ({ weights, activations });
/** The figures of the network that this was found with. */
const rivals: Rivals = {
  ...{ format: 'tram-rivals', version: 1, facts: '', synthesised: { library: 'ASAP7', own: 0.65, exact: 0.96 } },
  rivals: [
    { bits: widths(5, 5), plain: measured(0.8934), synthesised: 0.3 },
    { bits: widths(4, 5), plain: measured(0.8898), recovered: measured(0.8952), synthesised: 0.22 },
    { bits: widths(4, 4), plain: measured(0.873), synthesised: 0.17 },
  ],
};
const stages = (accuracy: number): StageResult[] => [
  { stage: 'quantized', accuracy: 0.8945, loss: 0.3, power: 1 },
  { stage: 'recovered', accuracy, loss: 0.3, gateCost: 0.72 },
];
const configuration = parseConfiguration({}, 'test');

describe('a run among its rivals', () => {
  test('is dominated where a rival is as cheap and as accurate, and says by which, with both figures', () => {
    const [front] = runFronts(configuration, stages(0.8877), rivals);
    expect(front).toMatchObject({ kind: 'synthesised', library: 'ASAP7' });
    expect(front!.dominatedBy).toMatchObject({ label: '4×5', series: 'exact-retrained', power: 0.22 });
    const verdict = verdictOf({ configuration, stages: stages(0.8877), multipliers: [], exactLayers: [], front });
    expect(verdict).toContain(
      'An exact 4×5 multiplier, retrained, has 89.52 % at synthesised power 0.22: this multiplier (88.77 % at 0.65) is dominated by it.',
    );
    expect(verdict).not.toContain('compare with --bits');
  });

  test('is not where none is', () => {
    const better = runFronts(configuration, stages(0.896), rivals)[0]!;
    expect(better.dominatedBy).toBeNull();
    const cheap = { ...rivals, synthesised: { library: 'ASAP7', own: 0.05, exact: 0.96 } };
    expect(runFronts(configuration, stages(0.6), cheap)[0]!.dominatedBy).toBeNull();
    expect(
      verdictOf({ configuration, stages: stages(0.896), multipliers: [], exactLayers: [], front: better }),
    ).toContain('None of the 5 rivals measured here is as cheap (synthesised power 0.65) and as accurate.');
  });

  test('has one picture for each kind of power, and the axis of both is the exact 8×8 multiplier', () => {
    const fronts = runFronts(configuration, stages(0.8877), rivals);
    expect(fronts.map(({ kind }) => kind)).toEqual(['synthesised', 'gates']);
    for (const { kind, own, rivals: points } of fronts) {
      expect(new Set([own, ...points].map((point) => point.kind))).toEqual(new Set([kind]));
    }
    // 84 of the 400 unit gates of the exact 8×8, not the 1 that it would be of itself.
    const narrow = { ...configuration, bits: widths(4, 4) };
    const [, gates] = runFronts(narrow, stages(0.87), { ...rivals, rivals: [] });
    expect(gates!.rivals).toMatchObject([{ label: '4×4', power: 84 / 400 }]);
    expect(rivalPoints(rivals, 'modelled').every(({ power }) => power < 0.5)).toBe(true);
  });
});

test('what tram try measured in the same network stands beside the run, of another network nothing does', () => {
  const run = join(parent, 'run');
  const one = (name: string, more: object = {}) => ({
    ...{ name, source: name, group: 'tried', bits: widths(8, 8), gateCost: 0.5, synthesised: { power: 0.4 } },
    results: { plain: measured(0.1), reestimated: measured(0.8), recovered: measured(0.88) },
    ...more,
  });
  mkdirSync(tryFolder(run));
  const file = join(tryFolder(run), 'try.json');
  const multipliers = [
    one('truncated:8x8:columns=6'),
    one('mul8u_2NDH.v', { gateCost: null }),
    one('worse.v', { better: false }),
    one('exact 4×5', { group: 'exact', bits: widths(4, 5) }),
  ];
  writeFileSync(file, JSON.stringify({ run: { quantized: 'aa' }, library: 'ASAP7', multipliers }));
  expect(triedPoints(run, 'aa', 'ASAP7').map(({ label, series, kind }) => [label, series, kind])).toEqual([
    ['truncated:8x8:columns=6', 'truncated', 'gates'],
    ['truncated:8x8:columns=6', 'truncated', 'synthesised'],
    ['mul8u_2NDH.v', 'given', 'synthesised'],
    ['4×5', 'exact-retrained', 'gates'],
    ['4×5', 'exact-retrained', 'synthesised'],
  ]);
  expect(triedPoints(run, 'aa', 'unit_gate').every(({ kind }) => kind === 'gates')).toBe(true);
  expect(triedPoints(run, 'bb', 'ASAP7')).toEqual([]);
  writeFileSync(file, 'no JSON');
  expect(triedPoints(run, 'aa', 'ASAP7')).toEqual([]);
});
