// What a run says beforehand that it will compile, held against what it then compiles: by the kernels that a GPU needs.
// Kernels depend on sizes, so the data set has more images than any sample that a phase takes, and batches of every
// kind leave a rest. No device computes: what a network is worth does not matter here.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { datasetOf } from '../../src/data/memory.ts';
import type { Backend, Session } from '../../src/engine/backend.ts';
import { sourcesOf } from '../../src/engine/cuda/lower/sources.ts';
import { KernelLibrary } from '../../src/engine/cuda/runtime/kernel-library.ts';
import type { Graph } from '../../src/engine/graph/graph.ts';
import { runFlow } from '../../src/flow/flow.ts';
import type { Phase } from '../../src/flow/settings/phases.ts';
import { tryMultipliers } from '../../src/flow/try/try.ts';
import { allocate, type HostTensor, sizeOf, type TensorType } from '../../src/tensor/tensor.ts';
import { hopper } from '../engine/devices.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-expected-'));
afterAll(() => rmSync(parent, { recursive: true }));

const device = vi.hoisted(() => ({ open: (): Backend => undefined as never }));
vi.mock('../../src/flow/devices/local.ts', async (original) => ({
  ...(await original<object>()),
  openLocal: async () => device.open(),
}));
// Zeros are what all else gives for zeros, but no gradient of a loss.
vi.mock('../../src/flow/multipliers/loss-proof.ts', () => ({ checkLoss: () => {} }));

const zeros = ({ dtype, shape }: TensorType) => ({ dtype, shape, data: allocate(dtype, sizeOf(shape)) }) as HostTensor;

/** A device in a GPU's place whose results are zeros. */
function idleDevice(compiles: (graph: Graph) => void, expects: (graph: Graph) => void): Backend {
  const heard = new Set<string>();
  const backend: Backend = {
    device: {
      ...{ name: 'cuda', description: 'computes nothing', memoryBytes: 2 ** 36, ownMemory: true, replicas: 1 },
      emulations: ['lowrank', 'table'],
    },
    openSession: async (): Promise<Session> => {
      const variables = new Map<string, HostTensor>();
      return {
        ...{ backend, bytes: 0 },
        variableNames: () => [...variables.keys()],
        write: (name, tensor) => void variables.set(name, tensor),
        read: async (name) => variables.get(name)!,
        checkReplicas: async () => {},
        compile: async (graph) => {
          compiles(graph);
          for (const [name, type] of graph.variables) if (!variables.has(name)) variables.set(name, zeros(type));
          const outputs = new Map(graph.outputs);
          const read = async (name: string) => zeros(outputs.get(name)!).data;
          return { write: () => {}, run: async () => {}, read, arenaBytes: 0, dispose: async () => {} };
        },
        dispose: async () => {},
      };
    },
    expect: (graphs, name) => {
      if (name !== undefined && heard.has(name)) return;
      if (name !== undefined) heard.add(name);
      for (const graph of graphs) expects(graph);
    },
  };
  return backend;
}

/**
 * Kernels that were needed and had not been expected, those that were not before their phase began, and those that were
 * expected in vain.
 */
async function surprises(work: (enter: (phase: string) => void) => Promise<unknown>) {
  const expected = new Map<string, string>();
  const needed = new Set<string>();
  const missed: string[] = [];
  const late = new Map<string, number>();
  let phase = '';
  const kernelsOf = (graph: Graph) => sourcesOf(graph, hopper()).map((source) => KernelLibrary.nameOf(source));
  device.open = () =>
    idleDevice(
      (graph) => {
        for (const name of kernelsOf(graph)) {
          if (needed.has(name)) continue;
          needed.add(name);
          if (!expected.has(name)) missed.push(`${phase}: ${name}`);
          if (expected.get(name) === phase) late.set(phase, (late.get(phase) ?? 0) + 1);
        }
      },
      (graph) => {
        for (const name of kernelsOf(graph)) if (!expected.has(name)) expected.set(name, phase);
      },
    );
  await work((begun) => {
    phase = begun;
  });
  const vain = [...expected.keys()].filter((name) => !needed.has(name));
  return { missed, late: [...late.keys()], vain, needed: needed.size };
}

const images = (count: number) => ({
  images: Uint8Array.from({ length: count * 32 * 32 * 3 }, (_, at) => Math.imul(at, 2654435761) >>> 24),
  labels: Int32Array.from({ length: count }, (_, image) => image % 10),
});
const dataset = datasetOf({
  ...{ name: 'images', height: 32, width: 32, channels: 3 },
  ...{ train: images(3000), test: images(700) },
});

const small = join(import.meta.dirname, 'small-network.mjs');
const short = { epochs: 1, batchSize: 256 };
let runs = 0;

/** A run of some settings beside a short course. */
const run = (model: string, phases: readonly Phase[], settings: Record<string, object> = {}) =>
  surprises((enter) =>
    runFlow({
      ...{ folder: join(parent, `run-${runs++}`), dataset, phases },
      settings: {
        ...{ model, train: { ...short, ...settings.train }, quantize: { ...settings.quantize } },
        ...{ explore: { ...short, ...settings.explore }, map: { ...settings.map } },
        recover: { ...short, ...settings.recover },
      },
      listener: (event) => {
        if (event.kind === 'phase-start') enter(event.phase);
      },
    }),
  );

const all = ['train', 'quantize', 'explore', 'map', 'recover'] as const;

describe('all kernels of a run were expected before they were needed, and few others', () => {
  test.each<[string, string, Record<string, object>, (readonly Phase[])?]>([
    ['ResNet18', 'resnet18', {}],
    // Its biases follow θ.
    ['folded batch norms', small, { quantize: { ...short, foldBatchNorm: true } }],
    [
      'a limit of the loss, chosen codes of weights',
      small,
      {
        explore: { maxLoss: 2, start: 'biases,statistics', weightCodes: 'best' },
        map: { weightCodes: 'best' },
        recover: { start: 'biases' },
      },
    ],
    // Last batches are short, and what is mapped is known when it is mapped.
    [
      'λ said, learned clips, soft columns',
      small,
      {
        quantize: { ...short, quantizer: 'clips' },
        explore: { lambda: 1, grain: 'column' },
        map: { search: 'greedy' },
        recover: { gradient: 'difference' },
      },
    ],
    ['a given multiplier', small, { map: { multiplier: 'drum:8x8' } }, all.filter((phase) => phase !== 'explore')],
  ])('%s', async (_, model, settings, phases = all) => {
    const { missed, late, vain, needed } = await run(model, phases, settings);
    expect(needed).toBeGreaterThan(40);
    expect(missed).toEqual([]);
    // A phase waits for what it expects itself.
    expect(late).toEqual(settings.map && 'search' in settings.map ? ['map'] : []);
    expect(vain.length).toBeLessThanOrEqual(3);
  });

  test('of a run that ends with its multiplier, none of recovery', async () => {
    const { missed, vain } = await run(small, all.slice(0, 4));
    expect(missed).toEqual([]);
    expect(vain.length).toBeLessThanOrEqual(1);
  });
});

test('so were those of multipliers that are tried and retrained with, from the first on', async () => {
  const folder = join(parent, 'tried');
  const settings = { model: small, train: { epochs: 1 } };
  await surprises(() => runFlow({ folder, settings, phases: ['train', 'quantize'] }));
  const tried = await surprises((enter) =>
    tryMultipliers({
      ...{ run: folder, multipliers: ['truncated:8x8,columns=4'], exact: [], recover: 1 },
      listener: (event) => {
        if (event.kind === 'begin') enter(event.name);
      },
    }),
  );
  // Before, the operands of the run's own network are counted.
  expect(tried.missed.filter((name) => !name.startsWith(': '))).toEqual([]);
  expect(tried.vain).toEqual([]);
});
