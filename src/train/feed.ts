// How the examples of a split reach a program: read batch by batch and written into the inputs of the task, unless the
// task has a better way for this device and split. Whatever the way, a program computes on the same bytes. Invariant: a
// batch that does not hold what the task declares is refused, since an input that is not written keeps the values of an
// earlier batch.

import type { AugmentOptions } from '../data/augment.ts';
import type { Batch, Split } from '../data/split.ts';
import type { Program, Session } from '../engine/backend.ts';
import { Graph } from '../engine/graph/graph.ts';
import { UserError } from '../tensor/errors.ts';
import type { TensorType } from '../tensor/tensor.ts';
import { allocate, sizeOf } from '../tensor/tensor.ts';
import type { Feed, Task } from './task.ts';

/** `augment`: the changes that selections will ask for, where they may. */
export function feedOf(
  session: Pick<Session, 'backend'>,
  task: Pick<Task, 'inputs' | 'feed'>,
  split: Split,
  augment?: AugmentOptions,
): Feed {
  const own = task.feed?.(session, split, augment);
  const { inputs, read, ...parts } = own ?? ({ inputs: task.inputs, read: (...asked) => split.read(...asked) } as Feed);
  const declared = new Map<number, ReadonlyMap<string, TensorType>>();
  const declaredFor = (rows: number) => {
    const known = declared.get(rows) ?? declaredInputs(inputs, rows);
    declared.set(rows, known);
    return known;
  };
  return {
    ...parts,
    inputs,
    read: async (selection, rows, signal) => {
      const batch = await read(selection, rows, signal);
      requireBatch(batch, declaredFor(rows), rows);
      return batch;
    },
  };
}

function declaredInputs(inputs: Feed['inputs'], rows: number): ReadonlyMap<string, TensorType> {
  const graph = new Graph();
  inputs(graph, rows);
  return graph.inputs;
}

function requireBatch({ inputs, targets }: Batch, declared: ReadonlyMap<string, TensorType>, rows: number): void {
  const wrong = (what: string, expected: string) =>
    new UserError(`a split was asked for ${rows} rows and gave ${what}; ${expected} expected`);
  for (const [name, { dtype, shape }] of declared) {
    const values = inputs[name];
    const expected = `${sizeOf(shape)} of type ${dtype} were`;
    if (!values) throw wrong(`nothing for the input ${name}`, expected);
    if (values.constructor !== allocate(dtype, 0).constructor || values.length !== sizeOf(shape)) {
      throw wrong(`${values.length} values in a ${values.constructor.name} for the input ${name}`, expected);
    }
  }
  const more = Object.keys(inputs).find((name) => !declared.has(name));
  if (more !== undefined) throw wrong(`an input ${more}`, `${[...declared.keys()].join(' and ')} alone were`);
  if (!(Number.isFinite(targets) && targets > 0)) throw wrong(`${targets} targets`, 'at least one was');
}

/** Sets a program's inputs for the run to come. */
export function writeBatch(program: Program, { inputs }: Batch): void {
  for (const [name, values] of Object.entries(inputs)) program.write(name, values);
}
