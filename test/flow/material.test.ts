// A data set and a model that the caller of the library has in memory: a run with them, and who goes on with it.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { datasetOf } from '../../src/data/memory.ts';
import { openDataset } from '../../src/data/registry.ts';
import { runFlow } from '../../src/flow/flow.ts';
import { evaluateRun } from '../../src/flow/results/evaluate.ts';
import { summarize } from '../../src/flow/results/summarize.ts';
import type { RunSummary } from '../../src/flow/results/summary.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import type { ConfigurationInput } from '../../src/flow/settings/config.ts';
import type { ProductTable } from '../../src/multiplier/table.ts';
import { generateFromSpec } from '../../src/netlist/generators/registry.ts';
import type { Network } from '../../src/netlist/network.ts';
import { simulate } from '../../src/netlist/simulate.ts';
import type { Model } from '../../src/nn/models/model.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-material-'));
afterAll(() => rmSync(parent, { recursive: true }));
const folder = join(parent, 'run');

const { images, labels } = (await openDataset('digits')).train;
const few = (count: number) => ({ images: images!.subarray(0, 64 * count), labels: labels.subarray(0, count) });
const dataset = datasetOf({ name: 'few', height: 8, width: 8, channels: 1, maximum: 16, train: few(200) });
const convolutions = (out: number): Model => ({
  name: 'two-layers',
  description: 'a convolution and a linear layer',
  minimumSize: 4,
  build: (layers, image, classes) => {
    const features = layers.relu(layers.batchNorm('bn', layers.conv('conv', image, { out, kernel: 3, padding: 1 })));
    return layers.linear('fc', layers.globalAveragePool(features), classes);
  },
});
const model = convolutions(8);
const settings: ConfigurationInput = { train: { epochs: 2 }, explore: { epochs: 1 }, recover: { epochs: 1 } };

test('a run takes them, keeps their names and hash, and is read without them', async () => {
  const summary = await runFlow({ folder, dataset, model, settings });
  expect(summary.stages.at(-1)!.stage).toBe('recovered');
  const { configuration, inputs } = readManifest(folder);
  expect([configuration.data, configuration.model]).toEqual(['memory:few', 'memory:two-layers']);
  expect(inputs.data.sha256).toBe(dataset.sha256);
  expect(inputs.layers).toEqual([
    { name: 'conv', kind: 'convolution', macs: 64 * 9 * 8, usual: true },
    { name: 'fc', kind: 'linear', macs: 8 * 10, usual: false },
  ]);
  expect(summarize(folder).stages).toEqual(summary.stages);
});

test('whoever goes on brings them again', async () => {
  const again = { folder, settings: { recover: { epochs: 2 } }, redo: true };
  await expect(runFlow(again)).rejects.toThrow(/two-layers was given in memory by the program.*the option model/);
  await expect(runFlow({ ...again, model })).rejects.toThrow(/data set few was given in memory.*the option dataset/);
  const summary = await runFlow({ ...again, dataset, model });
  const { accuracy } = await evaluateRun({ folder, dataset, model });
  expect(accuracy).toBe(summary.stages.at(-1)!.accuracy);
});

test('other images and other layers under the same names are refused', async () => {
  const other = datasetOf({ name: 'few', height: 8, width: 8, channels: 1, maximum: 16, train: few(150) });
  await expect(runFlow({ folder, dataset: other, model })).rejects.toThrow(/memory:few is not the one that the run/);
  await expect(runFlow({ folder, dataset, model: convolutions(4) })).rejects.toThrow(/two-layers has other layers/);
});

test('naming the same thing in the settings too is refused', async () => {
  const twice = { folder: join(parent, 'twice'), dataset, settings: { ...settings, data: 'digits' } };
  await expect(runFlow(twice)).rejects.toThrow(/data is given, and a data set in memory too/);
});

test('an epoch leaves a resume point behind where that takes little of its time', async () => {
  const wide: Model = {
    ...{ name: 'wide', description: 'twelve million weights', minimumSize: 4 },
    build: (layers, image, classes) => {
      const features = layers.conv('conv', image, { out: 64, kernel: 3 });
      return layers.linear('fc2', layers.linear('fc1', layers.globalAveragePool(features), 160_000), classes);
    },
  };
  for (const [own, isLeft] of [
    [model, true],
    [wide, false],
  ] as const) {
    const at = join(parent, own.name);
    const left: boolean[] = [];
    await runFlow({
      ...{ folder: at, dataset, model: own, settings: { ...settings, sample: 60 }, phases: ['train'] },
      listener: ({ kind }) => {
        if (kind === 'epoch') left.push(existsSync(join(at, 'checkpoints/resume.safetensors')));
      },
    });
    expect(left[0]).toBe(isLeft);
  }
});

test('a multiplier in memory is measured on the quantised network, as a table and as a netlist', async () => {
  const branch = (name: string, products: ProductTable | Network) =>
    runFlow({
      ...{ folder: join(parent, name), from: folder, dataset, model, multiplier: { name, products } },
      settings: { recover: { epochs: 1 } },
    });
  const { network } = generateFromSpec('truncated:8x8:columns=6');
  const asNetwork = await branch('network', network);
  const asTable = await branch('table', simulate(network));
  const stages = ({ stages }: RunSummary) => stages.map(({ stage, accuracy, loss }) => [stage, accuracy, loss]);
  expect(stages(asTable)).toEqual(stages(asNetwork));
  const names = asTable.stages.map(({ stage }) => stage);
  expect(names).toEqual(['float', 'quantized', 'mapped', 'recovery-started', 'recovered']);
  expect(readManifest(join(parent, 'table')).configuration.map.multiplier).toBe('memory:table');
  expect(asNetwork.multipliers[0]!.certificate.forms).toContain('verilog');
  expect(asTable.multipliers[0]!.certificate.forms).not.toContain('verilog');
});
