// How phases begin: what a start comes to is held against what tram try measures after the same treatments, which other
// tests hold against sums made by hand; what a network has adapted to is not taken out twice; and a run that is stopped
// behind its start ends with the same bits.

import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { quantizedArithmetic, structuredArithmetic, structuresOf } from '../../src/flow/multipliers/multipliers.ts';
import { widthName } from '../../src/flow/multipliers/widths.ts';
import { evaluateRun } from '../../src/flow/results/evaluate.ts';
import { readRivals } from '../../src/flow/results/rivals.ts';
import type { RunSummary } from '../../src/flow/results/summary.ts';
import type { Listener } from '../../src/flow/run/events.ts';
import type { Phase } from '../../src/flow/settings/phases.ts';
import type { ConfigurationInput } from '../../src/flow/settings/settings.ts';
import { describeStart, errorChange } from '../../src/flow/start/start.ts';
import { measureRun, openTriedRun, Trial } from '../../src/flow/try/trial.ts';
import { concreteMultiplier, exactMultiplier } from '../../src/multiplier/multiplier.ts';
import { errorOfRemoval } from '../../src/multiplier/removal.ts';
import { removalOf } from '../../src/multiplier/structure.ts';
import type { ProductTable } from '../../src/multiplier/table.ts';
import { generateFromSpec } from '../../src/netlist/generators/registry.ts';
import { simulate } from '../../src/netlist/simulate.ts';
import { f32 } from '../../src/tensor/tensor.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-start-'));
afterAll(() => rmSync(parent, { recursive: true }));
const base = join(parent, 'base');
const device = { threads: 1 } as const;
const brief = { epochs: 1, batchSize: 100, start: 'none' } as const;
const settings: ConfigurationInput = {
  ...{ sample: 300, train: { epochs: 6, learningRate: 0.05 } },
  ...{ quantize: { images: 100 }, explore: { ...brief, grain: 'column' }, recover: brief },
};

beforeAll(() => runFlow({ folder: base, settings, phases: ['train', 'quantize'], device }));

type Told = RunSummary & { readonly notes: readonly string[] };

/** A copy of the run goes on with other settings. */
async function goOn(name: string, more: ConfigurationInput, phases: readonly Phase[]): Promise<Told> {
  const folder = join(parent, name);
  cpSync(base, folder, { recursive: true });
  const notes: string[] = [];
  const listener: Listener = (event) => void (event.kind === 'note' && notes.push(event.text));
  const summary = await runFlow({ folder, settings: more, phases, redo: true, device, listener });
  return { ...summary, notes };
}

const figuresAt = ({ stages }: RunSummary, name: string) => {
  const found = stages.find(({ stage }) => stage === name);
  return found && { accuracy: found.accuracy, loss: found.loss };
};

async function tried(table: ProductTable | null) {
  const run = await openTriedRun(base, { device });
  const trial = await Trial.open(run, { bits: { weights: 8, activations: 8 }, table }, await measureRun(run));
  const untrained = await trial.untrained(() => {});
  await trial.dispose();
  return untrained;
}

describe('a start', () => {
  const spec = 'truncated:8x8:columns=7';
  const map = { multiplier: spec };

  test.each([
    ['biases', 'folded'],
    ['biases,statistics', 'reestimated'],
  ] as const)(
    'of recovery with %s is the network that tram try measures as %s, and training goes on from there',
    async (start, treatment) => {
      const untrained = await tried(simulate(generateFromSpec(spec).network));
      const phases = ['map', 'recover'] as const;
      const begun = await goOn(`recover-${start}`, { map, recover: { ...brief, start } }, phases);
      expect(figuresAt(begun, 'mapped')).toEqual(untrained.plain);
      expect(figuresAt(begun, 'recovery-started')).toEqual(untrained[treatment]);
      expect(untrained[treatment].loss).toBeLessThan(untrained.plain.loss);
      const [note] = begun.notes.filter((text) => text.startsWith('start: '));
      expect(note).toMatch(/^start: the mean error of 9 layers went into their biases.*: [\d.]+ % → [\d.]+ %$/);
      // What training ends with knows where it began.
      const plain = await goOn(`recover-none-${start}`, { map, recover: brief }, phases);
      expect(figuresAt(plain, 'recovery-started')).toBeUndefined();
      expect(figuresAt(begun, 'recovered')).not.toEqual(figuresAt(plain, 'recovered'));
    },
  );

  test('of quantisation estimates the statistics under the exact multiplier, with and without training behind it', async () => {
    const { plain, reestimated } = await tried(null);
    const quantize = { images: 100, start: 'statistics' } as const;
    const alone = await goOn('quantize', { quantize }, ['quantize']);
    expect(figuresAt(alone, 'calibrated')).toEqual(plain);
    expect(figuresAt(alone, 'quantized')).toEqual(reestimated);
    expect(figuresAt(alone, 'quantization-started')).toBeUndefined();
    const trained = await goOn('quantize-train', { quantize: { ...brief, ...quantize } }, ['quantize']);
    expect(figuresAt(trained, 'calibrated')).toEqual(plain);
    expect(figuresAt(trained, 'quantization-started')).toEqual(reestimated);
    expect(figuresAt(trained, 'quantized')).not.toEqual(reestimated);
    await expect(evaluateRun({ folder: join(parent, 'quantize'), stage: 'calibrated', device })).rejects.toThrow(
      /the network of the stage calibrated is not kept; expected one of float, quantized, /,
    );
  });

  test('of exploration is that of its first θ, and a run that is stopped behind it ends with the same bits', async () => {
    const explore = { ...brief, epochs: 2, start: 'biases,statistics', grain: 'column', initiallyRemoved: 7 } as const;
    const whole = await goOn('whole', { explore }, ['explore']);
    const first = await tried(simulate(generateFromSpec(spec).network));
    // Sums of shares are rounded, those of a removal are not.
    expect(figuresAt(whole, 'approximated')!.loss).toBeCloseTo(first.plain.loss, 4);
    expect(figuresAt(whole, 'exploration-started')!.loss).toBeCloseTo(first.reestimated.loss, 4);

    const folder = join(parent, 'stopped');
    cpSync(base, folder, { recursive: true });
    for (const redo of [true, false]) {
      const controller = new AbortController();
      const listener: Listener = (event) => void (event.kind === 'step' && controller.abort());
      const options = { folder, settings: { explore }, phases: ['explore'], device, listener } as const;
      await expect(runFlow({ ...options, redo, signal: controller.signal })).rejects.toThrow(/abort/i);
    }
    const resumed = await runFlow({ folder, phases: ['explore'], device });
    expect(resumed.stages).toEqual(whole.stages);
    for (const file of ['checkpoints/explored.safetensors', 'theta.json', 'metrics.jsonl']) {
      expect(readFileSync(join(folder, file)).equals(readFileSync(join(parent, 'whole', file))), file).toBe(true);
    }
  });

  test('takes out what a multiplier does otherwise than the one that the network has adapted to', async () => {
    const run = await openTriedRun(base, { device });
    const session = await run.backend.openSession();
    const [{ name, structure }] = structuresOf(run.configuration, run.layers) as [ReturnType<typeof structuresOf>[0]];
    const structured = structuredArithmetic(run);
    const exact = quantizedArithmetic(run, exactMultiplier);
    const truncated = concreteMultiplier(simulate(generateFromSpec('truncated:8x8:columns=3').network));
    const to = quantizedArithmetic(run, () => truncated);
    const change = (from: typeof exact, into: typeof exact) => errorChange(session, { from, to: into })('conv1');
    const errorOf = (theta: number[]) => errorOfRemoval(removalOf(structure, theta));

    // θ is used clamped: this is three columns gone.
    session.write(name, f32([8], [1, 2, 1, 0, -1, 0, 0, 0]));
    expect(await change(structured, to)).toBeUndefined();
    expect(await change(exact, to)).toEqual(errorOf([1, 1, 1, 0, 0, 0, 0, 0]));
    expect(await change(exact, exact)).toBeUndefined();
    session.write(name, f32([8], [1, 1, 0.5, 0.25, 0, 0, 0, 0]));
    const found = await change(structured, to);
    const [of, before] = [errorOf([1, 1, 1, 0, 0, 0, 0, 0]), errorOf([1, 1, 0.5, 0.25, 0, 0, 0, 0])];
    expect(found).toEqual(of.map((error, pair) => error - before[pair]!));
    // A linear layer keeps the exact multiplier here.
    expect(await errorChange(session, { from: exact, to })('fc')).toBeUndefined();
    await session.dispose();
  });

  test('is that of narrower exact multipliers, too, in a run and in tram try', async () => {
    const quantize = { images: 100, start: 'statistics' } as const;
    const [bits, narrow] = [4, 3].map((width) => ({ weights: width, activations: width }));
    const { stages } = await goOn('narrow', { bits: narrow!, quantize }, ['quantize']);
    const { accuracy, loss } = stages.find(({ stage }) => stage === 'quantized')!;
    expect(loss).not.toBe(stages.find(({ stage }) => stage === 'calibrated')!.loss);

    const map = { multiplier: 'dadda:4x4' };
    await goOn('rivals', { bits: bits!, quantize, map, rivals: 'post-training' }, [
      ...(['quantize', 'map', 'recover', 'rivals'] as const),
    ]);
    const folder = join(parent, 'rivals');
    const rival = readRivals(folder).rivals.find(({ bits }) => widthName(bits) === '3×3')!;
    expect(rival.plain).toEqual({ accuracy, loss });
    const run = await openTriedRun(folder, { device });
    const trial = await Trial.open(run, { bits: narrow!, table: null }, await measureRun(run));
    expect((await trial.untrained(() => {})).plain).toMatchObject({ accuracy, loss });
    await trial.dispose();
  });

  test('says what could not be treated', () => {
    expect(describeStart({ biases: { folded: 2, left: ['a', 'b'] }, statistics: 0 })).toBe(
      'the mean error of 2 layers went into their biases, nothing takes that of a, b; no batch norm whose statistics could be estimated anew',
    );
    expect(describeStart({ biases: { folded: 0, left: [] } })).toBe('no mean error to take out');
  });
});
