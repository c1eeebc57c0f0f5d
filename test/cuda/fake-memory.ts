// Addresses without a device: what lowering needs to turn a graph into commands where there is no GPU.

import type { Precision, Target } from '../../src/engine/cuda/launch.ts';
import { lowerPlan, scratchBytes } from '../../src/engine/cuda/lower/program.ts';
import { gradients } from '../../src/engine/gradients.ts';
import { Graph } from '../../src/engine/graph.ts';
import { plan } from '../../src/engine/plan.ts';
import type { GpuCase } from './gpu-cases.ts';

/** An H200 as far as lowering is concerned. */
export const target = (precision: Precision = 'tf32'): Target => ({
  multiprocessors: 132,
  sharedBytesPerBlock: 232_448,
  precision,
  warpgroups: true,
});

const ARENA = 0x7000_0000_0000n;

export function lowerGraph(graph: Graph, on: Target = target()) {
  const planned = plan(graph, { alignment: 256, workspaceBytes: (node) => scratchBytes(node, on) });
  let next = 0x1000_0000n;
  const allocate = (bytes: number) => {
    const at = next;
    next += BigInt(Math.ceil(bytes / 256) * 256);
    return at;
  };
  const variables = new Map([...graph.variables.keys()].map((name) => [name, allocate(4)]));
  const tasks = lowerPlan(
    planned,
    {
      of: (storage) => {
        if (storage.region === 'arena') return ARENA + BigInt(storage.offset);
        return storage.region === 'variable'
          ? variables.get(storage.name)!
          : 0x2000_0000n + BigInt(storage.index * 256);
      },
      variable: (name) => variables.get(name)!,
    },
    on,
    { counters: (count) => allocate(4 * count), table: (bytes) => allocate(bytes.byteLength) },
  );
  return { planned, tasks, launches: tasks.map(({ launch }) => launch) };
}

/** A conformance case as a graph with its gradients. */
export function graphOf(item: GpuCase): Graph {
  const graph = new Graph();
  const values = item.inputs.map((input, index) =>
    item.constants?.includes(index) ? graph.constant(input) : graph.input(`x${index}`, input.shape, input.dtype),
  );
  const outputs = graph.apply(item.op, values, item.attributes);
  outputs.forEach((output, index) => {
    graph.output(`y${index}`, output);
  });
  if (item.differentiate.length > 0 && outputs[0]!.dtype === 'f32') {
    const scalar = graph.apply1('sum', [outputs[0]!], {});
    const weighted = graph.apply1('dot', [outputs[0]!, outputs[0]!], {});
    graph.output('scalar', scalar);
    const targets = item.differentiate.map((index) => values[index]!);
    gradients(weighted, targets).forEach((gradient, at) => {
      if (gradient) graph.output(`d${item.differentiate[at]}`, gradient);
    });
  }
  return graph;
}
