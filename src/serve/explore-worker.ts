// The thread that reads one multiplier for the page (explore.ts), and ends.

import { parentPort, workerData } from 'node:worker_threads';
import { oneLine, UserError } from '../tensor/errors.ts';
import { type ExploredMultiplier, exploreFile, exploreMultiplier } from '../workbench/explore.ts';
import type { Exploration, Explored } from './explore.ts';

function explore(task: Exploration): Promise<ExploredMultiplier> {
  if (task.kind === 'bytes') return exploreFile(task.file, task.bytes, task.signed ? { signed: true } : {});
  return exploreMultiplier(task.kind === 'generator' ? task.spec : task.path);
}

const answer: Explored = await explore(workerData as Exploration).then(
  (multiplier) => ({ kind: 'explored', multiplier }) as const,
  (error: unknown) => {
    if (!(error instanceof UserError)) throw error;
    return { kind: 'refused', message: oneLine(error.message) } as const;
  },
);
parentPort!.postMessage(answer);
