// How the examples of a split reach a program: read batch by batch and written into the inputs of the task, unless the task has a better way
// for this device and split. Whatever the way, a program computes on the same bytes.

import type { Batch, Split } from '../data/split.ts';
import type { Program, Session } from '../engine/backend.ts';
import type { Feed, Task } from './task.ts';

export function feedOf(session: Session, task: Pick<Task, 'inputs' | 'feed'>, split: Split): Feed {
  return task.feed?.(session, split) ?? { inputs: task.inputs, read: split.read };
}

/** Sets a program's inputs for the run to come. */
export function writeBatch(program: Program, { inputs }: Batch): void {
  for (const [name, values] of Object.entries(inputs)) program.write(name, values);
}
