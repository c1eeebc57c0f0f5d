// Logs that other programs read, beside the run's own: what they are told, and what asks for them. They decide nothing:
// a run trains the same bits with and without them, and a log that fails is left, not the run.

import type { Session } from '../../engine/backend.ts';
import type { Phase } from '../settings/phases.ts';
import type { MetricRecord } from './events.ts';
import type { Manifest } from './manifest.ts';

export { trackingAddress } from '../../logs/mlflow.ts';

export interface MlflowOptions {
  /** Address of the tracking server: `http://127.0.0.1:5000`. Credentials are in the environment, never here. */
  readonly url: string;
  /** Default: that of the environment (MLFLOW_EXPERIMENT_NAME), else `tram`. */
  readonly experiment?: string;
  /** What the run is called there; default: the name of its folder. */
  readonly name?: string;
  readonly tags?: Readonly<Record<string, string>>;
}

export interface LogOptions {
  /** Event files for TensorBoard in the run folder. */
  readonly tensorboard?: boolean;
  readonly mlflow?: MlflowOptions;
}

/** How the work of a process on a run ended. */
export type Ending = 'done' | 'stopped' | 'failed';

export interface RunLog {
  /** Training goes on behind this epoch of the run (0: the first is to come); what was told of later ones is void. */
  goOn(epoch: number): void | Promise<void>;
  /** An epoch has ended, and is in metrics.jsonl. */
  epoch(record: MetricRecord, session: Session): void | Promise<void>;
  /** A phase is done; the manifest has its record. */
  done(manifest: Manifest, phase: Phase): void | Promise<void>;
  close(ending: Ending): void | Promise<void>;
}

export const noLog: RunLog = { goOn() {}, epoch() {}, done() {}, close() {} };
