// A backend that computes as another does and writes down what it was asked: the variables that a session was given,
// each compiled graph as canonical text, and what was written to a program before each run. What a setting does must
// show here or in the manifest; tests of meaning read it. A device with memory of its own is pretended, so that batches
// arrive as picks and not as pixels.

import { createHash } from 'node:crypto';
import type { Backend, Program, Session } from '../../src/engine/backend.ts';
import type { Graph, Value } from '../../src/engine/graph/graph.ts';
import type { HostTensor, TensorData } from '../../src/tensor/tensor.ts';

export interface RecordedRun {
  /** Inputs as they stood at this run. */
  readonly inputs: ReadonlyMap<string, TensorData>;
}

export interface RecordedProgram {
  readonly graph: Graph;
  readonly runs: RecordedRun[];
}

export interface RecordedSession {
  /** Variables written by the host before the first program was compiled: what the session starts from. */
  readonly start: Map<string, HostTensor>;
  readonly programs: RecordedProgram[];
}

export interface Recording {
  readonly backend: Backend;
  readonly sessions: RecordedSession[];
}

/** Wraps a backend. */
export function recording(inner: Backend): Recording {
  const sessions: RecordedSession[] = [];
  const backend: Backend = {
    device: { ...inner.device, ownMemory: true, memoryBytes: 2 ** 32 },
    openSession: async () => {
      const session = await inner.openSession();
      const record: RecordedSession = { start: new Map(), programs: [] };
      sessions.push(record);
      return recordedSession(backend, session, record);
    },
  };
  return { backend, sessions };
}

function recordedSession(backend: Backend, inner: Session, record: RecordedSession): Session {
  return new Proxy(inner, {
    get(target, key) {
      if (key === 'backend') return backend;
      if (key === 'write') {
        return (name: string, tensor: HostTensor) => {
          if (record.programs.length === 0) record.start.set(name, { ...tensor, data: tensor.data.slice() });
          target.write(name, tensor);
        };
      }
      if (key === 'compile') {
        return async (graph: Graph) => {
          const runs: RecordedRun[] = [];
          record.programs.push({ graph, runs });
          return recordedProgram(await target.compile(graph), runs);
        };
      }
      const value = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function recordedProgram(inner: Program, runs: RecordedRun[]): Program {
  const inputs = new Map<string, TensorData>();
  return new Proxy(inner, {
    get(target, key) {
      if (key === 'write') {
        return (name: string, data: TensorData) => {
          inputs.set(name, data.slice());
          target.write(name, data);
        };
      }
      if (key === 'run') {
        return () => {
          runs.push({ inputs: new Map(inputs) });
          return target.run();
        };
      }
      const value = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Everything that a recording holds, as one text: equal texts mean that the device was asked for exactly the same. */
export function traceOf(sessions: readonly RecordedSession[]): string {
  return JSON.stringify(
    sessions.map(({ start, programs }) => ({
      start: [...start].map(([name, tensor]) => [name, tensor.shape, hashOf(tensor.data)]),
      programs: programs.map(({ graph, runs }) => ({
        graph: graphText(graph),
        runs: runs.map(({ inputs }) => [...inputs].map(([name, data]) => [name, hashOf(data)])),
      })),
    })),
  );
}

/** A graph as text: operations with attributes and operands, and where variables, inputs and constants stand. */
export function graphText(graph: Graph): string {
  const operand = ({ source, shape, dtype, id }: Value): string => {
    switch (source.kind) {
      case 'node':
        return `%${id}`;
      case 'constant':
        return `constant ${dtype}[${shape}] ${hashOf(source.tensor.data)}`;
      default:
        return `${source.kind} ${source.name}: ${dtype}[${shape}]`;
    }
  };
  const lines = graph.nodes.map(
    ({ op, attributes, inputs, outputs }) =>
      `${outputs.map(({ id, shape }) => `%${id}[${shape}]`)} = ${op} ${JSON.stringify(attributes)} (${inputs.map(operand).join('; ')})`,
  );
  const named = (values: ReadonlyMap<string, Value>) =>
    [...values].map(([name, value]) => `${name} = ${operand(value)}`);
  return [...lines, 'outputs', ...named(graph.outputs), 'assignments', ...named(graph.assignments)].join('\n');
}

export function hashOf(data: TensorData): string {
  return createHash('sha256')
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex')
    .slice(0, 16);
}

/** The training steps of a session: programs whose graph updates something by SGD. */
export function trainingPrograms({ programs }: RecordedSession): RecordedProgram[] {
  return programs.filter(({ graph }) => graph.nodes.some(({ op }) => op === 'sgd'));
}

/**
 * Whether a session was opened to check a training step before the phase trains (flow/multipliers/training-proof.ts),
 * and given up then.
 */
export function isTrial({ programs }: RecordedSession): boolean {
  return programs.some(({ graph }) => graph.outputs.has('proof.0'));
}
