// Weights stored as other codes in a run: what a truncation of the weights' low bits comes to with the nearest codes
// and with the best ones, that every command sees the same codes, and that a run that is stopped ends with the same
// bits.

import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { evaluateRun } from '../../src/flow/results/evaluate.ts';
import { exportNetwork } from '../../src/flow/results/export.ts';
import type { RunSummary } from '../../src/flow/results/summary.ts';
import type { Listener } from '../../src/flow/run/events.ts';
import { measureRun, openTriedRun, Trial } from '../../src/flow/try/trial.ts';
import { decodeAll } from '../../src/tensor/safetensors.ts';
import { importMultiplier } from '../../src/workbench/import.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-codes-'));
afterAll(() => rmSync(parent, { recursive: true }));
const base = join(parent, 'base');
const device = { threads: 1 } as const;
const images = 100;
/** Without the five lowest bits of the weight: eight rows are left. */
const map = { multiplier: 'broken-array:8x8:rows=5,columns=0', operandOrder: 'activation-weight' } as const;
const recover = { epochs: 1, batchSize: 100, start: 'biases' } as const;

beforeAll(() =>
  runFlow({
    folder: base,
    settings: { sample: 400, train: { epochs: 8 }, quantize: { images } },
    phases: ['train', 'quantize'],
    device,
  }),
);

const settingsOf = (weightCodes: 'nearest' | 'best') => ({ map: { ...map, weightCodes }, recover });

async function runWith(weightCodes: 'nearest' | 'best', phases: readonly ('map' | 'recover')[]) {
  const folder = join(parent, weightCodes);
  cpSync(base, folder, { recursive: true });
  return await runFlow({ folder, settings: settingsOf(weightCodes), phases, redo: true, device });
}

const at = ({ stages }: RunSummary, name: string) => {
  const { accuracy, loss } = stages.find(({ stage }) => stage === name)!;
  return { accuracy, loss: loss! };
};

test('without the low bits of weights, recovery starts far higher with the codes of the nearest rows', async () => {
  const [nearest, best] = [await runWith('nearest', ['map', 'recover']), await runWith('best', ['map', 'recover'])];
  // The mean error is out of the biases in both.
  const [low, high] = [at(nearest, 'recovery-started'), at(best, 'recovery-started')];
  expect(high.accuracy).toBeGreaterThan(low.accuracy + 0.3);
  expect(high.loss).toBeLessThan(low.loss / 2);
  expect(high.accuracy).toBeGreaterThan(at(best, 'mapped').accuracy);

  // Every command has the codes of the run.
  const folder = join(parent, 'best');
  for (const stage of ['mapped', 'recovered'] as const) {
    expect(await evaluateRun({ folder, stage, device })).toMatchObject(at(best, stage));
  }
  const tables = decodeAll(readFileSync(join(folder, 'checkpoints/recovered.safetensors')), 'recovered').tensors;
  const table = Array.from(tables.get('layer2.0.conv1.weight_codes')!.data);
  expect(table).toHaveLength(256);
  // Rows are those of multiples of 32: each weight has the nearer one, and its own code where that is it.
  const steps = table.map((code) => Math.floor(code / 32));
  expect(steps).toEqual(steps.toSorted((a, b) => a - b));
  expect(table[31]).toBe(32);
  expect(table[33]).toBe(33);
  expect(tables.has('fc.weight_codes')).toBe(false);
  const { path } = exportNetwork({ folder, path: join(parent, 'elsewhere.safetensors') });
  const exported = decodeAll(readFileSync(path), path).tensors;
  expect([...exported.keys()].filter((name) => name.includes('codes'))).toEqual([]);

  // As tram try has it, without a run of its own.
  const run = await openTriedRun(base, { device });
  const { table: products } = await importMultiplier(map.multiplier, run.configuration.bits, map);
  const operands = await measureRun(run);
  for (const [weightCodes, of] of [
    [undefined, nearest],
    ['best', best],
  ] as const) {
    const trial = await Trial.open(run, { bits: run.configuration.bits, table: products, weightCodes }, operands);
    const { plain, folded } = await trial.untrained(() => {});
    expect(plain).toEqual(at(of, 'mapped'));
    expect(folded).toEqual(at(of, 'recovery-started'));
    await trial.dispose();
  }
});

test('while θ moves the codes follow it from epoch to epoch, and a stopped exploration ends with the same bits', async () => {
  const explore = { epochs: 3, batchSize: 100, grain: 'product', initiallyRemoved: 7, thetaLearningRate: 0.3 } as const;
  const phases = ['explore', 'map'] as const;
  const begin = async (name: string, weightCodes: 'nearest' | 'best', signal?: AbortSignal, listener?: Listener) => {
    const folder = join(parent, name);
    cpSync(base, folder, { recursive: true });
    const settings = { explore: { ...explore, weightCodes }, map: { weightCodes, search: 'greedy' } } as const;
    const more = { ...(signal ? { signal } : {}), ...(listener ? { listener } : {}) };
    return { folder, summary: await runFlow({ folder, settings, phases, redo: true, device, ...more }) };
  };
  const tablesAt = (folder: string) =>
    decodeAll(readFileSync(join(folder, 'checkpoints/explored.safetensors')), 'explored').tensors;
  const [{ summary: nearest }, { folder, summary }] = [
    await begin('follow-nearest', 'nearest'),
    await begin('follow', 'best'),
  ];
  expect(at(summary, 'approximated').loss).toBeLessThan(0.8 * at(nearest, 'approximated').loss);
  for (const stage of ['approximated', 'explored', 'mapped'] as const) {
    expect(await evaluateRun({ folder, stage, device })).toMatchObject(at(summary, stage));
  }
  const tables = tablesAt(folder);
  const name = 'layer2.0.conv1.structure_codes';
  expect([...tables.keys()].filter((key) => key.endsWith('.weight_codes'))).toEqual([]);

  const controller = new AbortController();
  const stopping: Listener = (event) => void (event.kind === 'step' && event.epoch === 2 && controller.abort());
  await expect(begin('follow-stopped', 'best', controller.signal, stopping)).rejects.toThrow(/abort/i);
  const stopped = join(parent, 'follow-stopped');
  const resume = decodeAll(readFileSync(join(stopped, 'checkpoints/resume.safetensors')), 'resume').tensors;
  // Those of the second epoch are not those of the third.
  expect([...resume.get(name)!.data]).not.toEqual([...tables.get(name)!.data]);
  await runFlow({ folder: stopped, phases: ['explore'], device });
  const file = 'checkpoints/explored.safetensors';
  expect(readFileSync(join(stopped, file)).equals(readFileSync(join(folder, file)))).toBe(true);
});

test('a recovery that is stopped goes on with the same codes to the same bits', async () => {
  const folder = join(parent, 'stopped');
  cpSync(base, folder, { recursive: true });
  const controller = new AbortController();
  const listener: Listener = (event) => void (event.kind === 'step' && controller.abort());
  const options = { folder, settings: settingsOf('best'), phases: ['map', 'recover'], device } as const;
  await expect(runFlow({ ...options, listener, signal: controller.signal })).rejects.toThrow(/abort/i);
  await runFlow({ folder, phases: ['recover'], device });
  const file = 'checkpoints/recovered.safetensors';
  expect(readFileSync(join(folder, file)).equals(readFileSync(join(parent, 'best', file)))).toBe(true);
});
