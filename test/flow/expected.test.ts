// What a run says beforehand that it will compile, held against what it then compiles: by the kernels that a GPU needs.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import type { Backend } from '../../src/engine/backend.ts';
import { sourcesOf } from '../../src/engine/cuda/lower/sources.ts';
import { KernelLibrary } from '../../src/engine/cuda/runtime/kernel-library.ts';
import type { Graph } from '../../src/engine/graph/graph.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { runFlow } from '../../src/flow/flow.ts';
import { hopper } from '../engine/devices.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-expected-'));
afterAll(() => rmSync(parent, { recursive: true }));

const device = vi.hoisted(() => ({ open: (): Backend => undefined as never }));
vi.mock('../../src/flow/devices/local.ts', async (original) => ({
  ...(await original<object>()),
  openLocal: async () => device.open(),
}));

const kernelsOf = (graph: Graph) => sourcesOf(graph, hopper()).map((source) => KernelLibrary.nameOf(source));

test.each([
  ['a network with batch norms', false],
  // Its biases follow θ.
  ['a network whose batch norms are folded', true],
])(
  'all kernels of training, quantisation and exploration were expected, and few others: %s',
  async (_, foldBatchNorm) => {
    const expected = new Set<string>();
    const needed = new Map<string, string>();
    let phase = '';
    device.open = () => {
      const backend = wasmBackend({ threads: 2 });
      return {
        ...backend,
        openSession: async () => {
          const session = await backend.openSession();
          const compile = session.compile.bind(session);
          session.compile = (graph) => {
            for (const name of kernelsOf(graph)) if (!needed.has(name)) needed.set(name, phase);
            return compile(graph);
          };
          return session;
        },
        expect: (graphs) => {
          for (const graph of graphs) for (const name of kernelsOf(graph)) expected.add(name);
        },
      };
    };
    const short = { epochs: 1 };
    await runFlow({
      folder: join(parent, `run-${foldBatchNorm}`),
      settings: {
        model: join(import.meta.dirname, 'small-network.mjs'),
        ...{ sample: 100, train: short, quantize: { ...short, foldBatchNorm }, explore: short },
      },
      phases: ['train', 'quantize', 'explore'],
      listener: (event) => {
        if (event.kind === 'phase-start') phase = event.phase;
      },
    });
    expect(new Set(needed.values())).toEqual(new Set(['train', 'quantize', 'explore']));
    expect([...needed].filter(([name]) => !expected.has(name))).toEqual([]);
    expect([...expected].filter((name) => !needed.has(name)).length).toBeLessThanOrEqual(2);
  },
);
