// Runs one operation on a backend: its outputs as y0, y1, … and, of the scalar Σ_k ⟨r_k, y_k⟩ with fixed random r_k,
// the gradients of the chosen inputs as d0, d1, …

import type { Backend } from '../../src/engine/backend.ts';
import { gradients } from '../../src/engine/graph/gradients.ts';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import type { OpName } from '../../src/engine/graph/ops.ts';
import { Random } from '../../src/tensor/random.ts';
import { f32, type HostTensor, type Shape, sizeOf, type TensorData } from '../../src/tensor/tensor.ts';
import type { Case } from './cases.ts';

export type Results = Record<string, TensorData>;

/** A case as a graph, its gradients with it. */
export function graphOf(test: Case, inputs: readonly HostTensor[] = test.inputs): Graph {
  const graph = new Graph();
  const values = inputs.map((input, index) =>
    test.constants?.includes(index) ? graph.constant(input) : graph.input(`x${index}`, input.shape, input.dtype),
  );
  const outputs = test.build?.(graph, values) ?? graph.apply(test.op, values, test.attributes);
  outputs.forEach((output, index) => {
    graph.output(`y${index}`, output);
  });
  if (test.differentiate.length > 0) {
    const scalar = weightedSum(graph, differentiableOutputs(test, outputs));
    graph.output('scalar', scalar);
    const found = gradients(
      scalar,
      test.differentiate.map((index) => values[index]!),
    );
    found.forEach((gradient, at) => {
      if (gradient) graph.output(`d${test.differentiate[at]}`, gradient);
    });
  }
  return graph;
}

export async function runCase(
  backend: Backend,
  test: Case,
  inputs: readonly HostTensor[] = test.inputs,
): Promise<Results> {
  return await runGraph(backend, graphOf(test, inputs), inputs);
}

/** Runs the graph of a case. */
export async function runGraph(backend: Backend, graph: Graph, inputs: readonly HostTensor[]): Promise<Results> {
  const session = await backend.openSession();
  const program = await session.compile(graph);
  for (const name of graph.inputs.keys()) program.write(name, inputs[Number(name.slice(1))]!.data);
  await program.run();
  const results: Results = {};
  for (const name of graph.outputs.keys()) results[name] = await program.read(name);
  await session.dispose();
  return results;
}

/** Operations that pass gradients through all their outputs. */
const throughAll: ReadonlySet<OpName> = new Set<OpName>(['minMax', 'allReduce', 'batchNorm']);

/** Outputs through which an operation passes gradients: probabilities, counts and zero points do not. */
function differentiableOutputs(test: Case, outputs: readonly Value[]): readonly Value[] {
  return throughAll.has(test.op) ? outputs : outputs.slice(0, 1);
}

/** r_k. */
export function cotangentOf(shape: Shape, index: number): HostTensor {
  const random = new Random(7, index);
  return f32(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => random.uniform() - 0.5),
  );
}

function weightedSum(graph: Graph, values: readonly Value[]): Value {
  const terms = values.map((value, index) => {
    const weights = cotangentOf(value.shape, index);
    // Codes take the cotangent of their dequantised value; scale 1 and zero point 0 make that the code itself.
    const operand =
      value.dtype === 'u8'
        ? graph.apply1('dequantize', [value, graph.scalar(1), graph.scalar(0)], { granularity: 'tensor' })
        : value;
    return graph.apply1('dot', [operand, graph.constant(weights)], {});
  });
  return terms.reduce((sum, term) => graph.apply1('add', [sum, term], { alpha: 1, beta: 1 }));
}

/** ‖a − b‖ / ‖b‖, or ‖a‖ where b is zero. */
export function relativeError(a: TensorData, b: TensorData): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  return Math.sqrt(norm > 0 ? difference / norm : difference);
}
