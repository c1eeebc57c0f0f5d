// The logs of a run, as many as were asked for. A log that fails is told of once and then left alone, so that no disk
// and no server can end a training.

import { UserError } from '../../tensor/errors.ts';
import type { Listener } from '../run/events.ts';
import { type LogOptions, noLog, type RunLog } from '../run/logs.ts';
import type { Manifest } from '../run/manifest.ts';

export interface LogPlace {
  readonly folder: string;
  readonly manifest: Manifest;
  readonly listener: Listener;
}

/** Opens what was asked for, and tells it what the folder holds already. */
export async function openLogs(options: LogOptions | undefined, place: LogPlace): Promise<RunLog> {
  const { tensorboard, mlflow } = options ?? {};
  const opened: RunLog[] = [];
  if (tensorboard) {
    const { TensorBoardLog } = await import('./tensorboard.ts');
    opened.push(await guarded('TensorBoard', place, () => new TensorBoardLog(place)));
  }
  if (mlflow) {
    const { MlflowLog } = await import('./mlflow.ts');
    opened.push(await guarded('MLflow', place, () => new MlflowLog(mlflow, place)));
  }
  return {
    goOn: (epoch) => all(opened, (log) => log.goOn(epoch)),
    epoch: (record, session) => all(opened, (log) => log.epoch(record, session)),
    done: (manifest, phase) => all(opened, (log) => log.done(manifest, phase)),
    close: (ending) => all(opened, (log) => log.close(ending)),
  };
}

async function all(logs: readonly RunLog[], tell: (log: RunLog) => void | Promise<void>): Promise<void> {
  for (const log of logs) await tell(log);
}

async function guarded(name: string, { listener }: LogPlace, open: () => RunLog): Promise<RunLog> {
  let log: RunLog = noLog;
  const attempt = async (work: () => void | Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      log = noLog;
      const reason = error instanceof Error ? error.message : String(error);
      const fault = error instanceof UserError ? reason : `internal error: ${reason}`;
      listener({ kind: 'note', text: `${name}: ${fault}; the run goes on without this log` });
    }
  };
  await attempt(() => {
    log = open();
  });
  return {
    goOn: (epoch) => attempt(() => log.goOn(epoch)),
    epoch: (record, session) => attempt(() => log.epoch(record, session)),
    done: (manifest, phase) => attempt(() => log.done(manifest, phase)),
    close: (ending) => attempt(() => log.close(ending)),
  };
}
