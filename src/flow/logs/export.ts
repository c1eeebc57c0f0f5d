// A run that is there, brought into the logs of other programs: what they are told while a run trains, as far as its
// folder has it.

import type { Listener } from '../run/events.ts';
import { eventFile } from '../run/folder.ts';
import { requireIntact } from '../run/integrity.ts';
import { lockRun } from '../run/lock.ts';
import type { LogOptions } from '../run/logs.ts';
import { readManifest } from '../run/manifest.ts';
import { MlflowLog } from './mlflow.ts';
import { TensorBoardLog } from './tensorboard.ts';

export interface LogsExported {
  /** The event file, in the run folder. */
  readonly events?: string;
  /** Address of the server that has everything now. */
  readonly mlflow?: string;
}

/**
 * Completes the logs that are asked for of the run in a folder. The event file has of weights what the checkpoints
 * behind the phases have. A server that cannot be reached is told to the listener, and is then not in what is returned.
 * A UserError says what is wrong with the run, or that another process works on it.
 */
export async function exportLogs(
  folder: string,
  options: LogOptions,
  listener: Listener = () => {},
): Promise<LogsExported> {
  const lock = await lockRun(folder);
  try {
    const manifest = readManifest(folder);
    requireIntact(folder, manifest.phases);
    const place = { folder, manifest, listener };
    let exported: LogsExported = {};
    if (options.tensorboard) {
      const log = new TensorBoardLog(place);
      try {
        await log.stored();
      } finally {
        log.close();
      }
      exported = { ...exported, events: eventFile(manifest) };
    }
    if (options.mlflow) {
      const log = new MlflowLog(options.mlflow, place);
      await log.close('done');
      if (log.isComplete) exported = { ...exported, mlflow: options.mlflow.url };
    }
    return exported;
  } finally {
    lock.release();
  }
}
