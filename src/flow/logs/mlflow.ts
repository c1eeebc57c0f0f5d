// A run in MLflow, as metrics.jsonl and the manifest have it (docs/logging.md). What is to be sent is always "what the
// server does not have yet", read from the run folder: nothing is lost while the server is away, and a resumed run goes
// on in the same MLflow run, whose identity and last epoch sent are in `mlflow.json`. Training never waits for an
// answer; only the end of the process does, for a while.
// Invariant: an epoch is sent once; a call that is repeated says the same, times included.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';
import {
  artifactFolder,
  type Batch,
  batchesOf,
  limits,
  type Metric,
  MlflowClient,
  MlflowError,
  type Pair,
  type RunInfo,
  type RunStatus,
  trackingAddress,
} from '../../logs/mlflow.ts';
import { readBytes, readJson, sha256, writeJsonInside } from '../../tensor/files.ts';
import { version } from '../../version.ts';
import type { MetricRecord } from '../run/events.ts';
import { files, inFolder } from '../run/folder.ts';
import type { Ending, MlflowOptions, RunLog } from '../run/logs.ts';
import { type Manifest, stageResultOf } from '../run/manifest.ts';
import { readMetrics } from '../run/metrics.ts';
import { type Phase, phasesBeside, phasesOf } from '../settings/phases.ts';
import { endOf, figuresOf, figuresOfStage, nameOf, parametersOf, recordsOf, stepOf, timeOf } from './figures.ts';
import type { LogPlace } from './logs.ts';

const stateSchema = z.strictObject({
  format: z.literal('tram-mlflow'),
  version: z.literal(1),
  url: z.string(),
  experiment: z.string(),
  /** SHA-256 of the parameters: other ones are another run there. */
  parameters: z.string(),
  /** Tag of the run by which it is found, should the answer that named it have been lost. */
  key: z.string(),
  runId: z.string().exactOptional(),
  /** The last epoch of the run as a whole that the server has. */
  sent: z.int().min(0),
  /** When epochs ended that it may lack, in milliseconds, by their number: a repeated call has the same times. */
  times: z.record(z.string(), z.number()),
  /** Phases whose figures it has. */
  phases: z.array(z.string()),
  artifacts: z.boolean(),
});
type State = z.output<typeof stateSchema>;

/** Milliseconds before a failed call is made again, twice as long each time, and for which the end waits. */
export interface Patience {
  readonly first: number;
  readonly most: number;
  readonly end: number;
  /** Of a call. */
  readonly call?: number;
}
const usualPatience: Patience = { first: 1000, most: 60_000, end: 10_000 };

export class MlflowLog implements RunLog {
  readonly #place: LogPlace;
  readonly #options: MlflowOptions;
  readonly #client: MlflowClient;
  readonly #patience: Patience;
  readonly #stop = new AbortController();
  #manifest: Manifest;
  #state: State;
  #run: RunInfo | undefined;
  /** Epochs up to here hold; what the log has beyond may still be cut. */
  #until: number;
  #working: Promise<void> | undefined;
  #isAway = false;
  /** Set for good where trying again cannot help. */
  #refused = false;
  #wantsAgain = false;

  constructor(options: MlflowOptions, place: LogPlace, patience: Patience = usualPatience) {
    this.#options = options;
    this.#place = place;
    this.#patience = patience;
    this.#manifest = place.manifest;
    this.#client = new MlflowClient(trackingAddress(options.url), process.env, patience.call);
    this.#state = this.#read();
    this.#until =
      this.#logged().length === 0 ? 0 : Math.max(...this.#finished().map((record) => this.#step(record)), 0);
    this.#send();
  }

  goOn(epoch: number): void {
    this.#until = epoch;
    this.#send();
  }

  epoch(record: MetricRecord): void {
    this.#until = this.#step(record);
    this.#timeAt(this.#until);
    this.#send();
  }

  done(manifest: Manifest, _phase: Phase): void {
    this.#manifest = manifest;
    this.#send();
  }

  /** Whether the server has all of the run. */
  get isComplete(): boolean {
    return !this.#refused && !this.#isAway && this.#pending().epochs === 0 && this.#unsentPhases().length === 0;
  }

  async close(ending: Ending): Promise<void> {
    const patience = ending === 'done' ? this.#patience.end : this.#patience.end / 4;
    const timer = setTimeout(patience, undefined, { signal: this.#stop.signal }).catch(() => {});
    const rest = (async () => {
      await this.#working;
      if (!this.#refused) await this.#attempt(() => this.#finish(ending));
    })();
    await Promise.race([rest, timer]);
    this.#stop.abort();
    await rest.catch(() => {});
    if (this.#refused || this.isComplete) return;
    const open = this.#pending().epochs;
    this.#note(
      `${open === 0 ? 'the end of the run' : `${open} ${open === 1 ? 'epoch' : 'epochs'}`} could not be sent; tram export ${this.#place.folder} --mlflow ${this.#state.url} sends what is missing`,
    );
  }

  /** Goes on sending until the server has everything, one call after the other. */
  #send(): void {
    this.#wantsAgain = true;
    if (this.#working || this.#refused) return;
    this.#working = (async () => {
      while (this.#wantsAgain && !this.#stop.signal.aborted && !this.#refused) {
        this.#wantsAgain = false;
        await this.#attempt(() => this.#sendMissing());
      }
      this.#working = undefined;
    })();
  }

  /** Does it, again and again while that may help; tells once that the server is away, and once that it is back. */
  async #attempt(work: () => Promise<void>): Promise<void> {
    for (let wait = this.#patience.first; ; wait = Math.min(2 * wait, this.#patience.most)) {
      if (this.#stop.signal.aborted) return;
      try {
        await work();
        if (this.#isAway) this.#note('the server answers again');
        this.#isAway = false;
        return;
      } catch (error) {
        if (!(error instanceof MlflowError) || !error.passing) {
          this.#refused = true;
          const reason = error instanceof Error ? error.message : String(error);
          this.#note(`${this.#state.url} refuses: ${reason}; the run goes on without this log`);
          return;
        }
        if (!this.#isAway) {
          this.#note(
            `${this.#state.url} cannot be reached (${error.message}); training goes on, and it is tried again`,
          );
        }
        this.#isAway = true;
      }
      await setTimeout(wait, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  async #sendMissing(): Promise<void> {
    const { runId } = await this.#open();
    const { epochs, metrics, last } = this.#pending();
    const phases = this.#unsentPhases();
    if (epochs > 0) {
      await this.#log(runId, { metrics });
      this.#keep({
        sent: last,
        times: Object.fromEntries(Object.entries(this.#state.times).filter(([step]) => Number(step) > last)),
      });
    }
    for (const phase of phases) {
      await this.#log(runId, { metrics: this.#stages(phase) });
      this.#keep({ phases: [...this.#state.phases, phase] });
    }
  }

  async #finish(ending: Ending): Promise<void> {
    await this.#sendMissing();
    const { runId, artifacts } = await this.#open();
    const { configuration, phases: done } = this.#manifest;
    const isDone = phasesBeside(configuration, done).every((phase) => done[phase]);
    if (isDone && !this.#state.artifacts) {
      await this.#upload(artifacts);
      this.#keep({ artifacts: true });
    }
    const statuses = { done: isDone ? 'FINISHED' : 'KILLED', stopped: 'KILLED', failed: 'FAILED' } as const;
    const status: RunStatus = statuses[ending];
    await this.#client.updateRun(runId, status, Date.now());
  }

  /** The run there, made when this one has none; parameters and tags are sent with it. */
  async #open(): Promise<RunInfo> {
    if (this.#run) return this.#run;
    const { runId } = this.#state;
    if (runId !== undefined) {
      const run = await this.#client.getRun(runId);
      await this.#client.updateRun(runId, 'RUNNING');
      this.#run = run;
      return run;
    }
    const { folder, manifest } = this.#place;
    this.#keep({});
    const experimentId = await this.#client.experiment(this.#state.experiment);
    const token = { key: 'tram.key', value: this.#state.key };
    const tags: Pair[] = Object.entries({
      'mlflow.source.name': 'tram',
      'mlflow.source.type': 'LOCAL',
      'tram.version': version,
      'tram.data': manifest.inputs.data.name,
      'tram.model': manifest.configuration.model,
      ...this.#options.tags,
    }).map(([key, value]) => ({ key: cut(key, limits.name), value: cut(value, limits.tag) }));
    // A run that was made before its name came back is found by its key.
    const run =
      (await this.#client.findRun(experimentId, token)) ??
      (await this.#client.createRun({
        experimentId,
        name: this.#options.name ?? nameOf(folder),
        started: Date.parse(manifest.created),
        tags: [...tags, token],
      }));
    const params = Object.entries(parametersOf(manifest.configuration)).map(([key, value]) => ({
      key: cut(key, limits.name),
      value: cut(String(value), limits.param),
    }));
    await this.#log(run.runId, { params });
    this.#keep({ runId: run.runId });
    this.#run = run;
    return run;
  }

  async #log(runId: string, batch: Batch): Promise<void> {
    for (const part of batchesOf(batch)) await this.#client.logBatch(runId, part);
  }

  #logged(): MetricRecord[] {
    return recordsOf(this.#manifest, readMetrics(this.#place.folder));
  }

  #finished(): MetricRecord[] {
    return this.#logged().filter(({ phase }) => this.#manifest.phases[phase]);
  }

  #step(record: MetricRecord): number {
    return stepOf(this.#manifest.configuration, record);
  }

  /** Epochs that the server lacks. */
  #pending(): { readonly epochs: number; readonly metrics: Metric[]; readonly last: number } {
    const records = this.#logged().filter((record) => {
      const step = this.#step(record);
      return step > this.#state.sent && step <= this.#until;
    });
    const metrics = records.flatMap((record) => {
      const step = this.#step(record);
      const timestamp = Math.round(this.#state.times[step] ?? timeOf(this.#manifest, record) ?? this.#timeAt(step));
      return figuresOf(record).map(([key, value]) => ({ key, value, timestamp, step }));
    });
    return {
      epochs: records.length,
      metrics,
      last: Math.max(this.#state.sent, ...records.map((one) => this.#step(one))),
    };
  }

  /** When an epoch ended: as was once written down, else now. */
  #timeAt(step: number): number {
    const time = this.#state.times[step] ?? Date.now();
    if (step > this.#state.sent) this.#keep({ times: { ...this.#state.times, [step]: time } });
    return time;
  }

  #unsentPhases(): Phase[] {
    const { configuration, phases: done } = this.#manifest;
    return phasesOf(configuration).filter((phase) => done[phase] && !this.#state.phases.includes(phase));
  }

  #stages(phase: Phase): Metric[] {
    const { configuration, phases: done } = this.#manifest;
    const { stages, finished } = done[phase]!;
    const place = { timestamp: Date.parse(finished), step: endOf(configuration, phase) };
    const last = phase === 'recover' ? stages.slice(-1) : [];
    return [
      ...stages.flatMap((stage) => figuresOfStage(stageResultOf(stage), `stage/${stage.stage}`)),
      ...last.flatMap((stage) => figuresOfStage(stageResultOf(stage), 'result')),
    ].map(([key, value]) => ({ key, value, ...place }));
  }

  /** Report, settings and netlists, where the server takes files itself. */
  async #upload(uri: string): Promise<void> {
    const folder = artifactFolder(uri);
    if (folder === undefined) {
      this.#note(`artifacts of this server lie at ${uri}, where its REST interface does not take them; none are sent`);
      return;
    }
    const { map, explore } = this.#manifest.phases;
    const netlists = Object.keys(map?.files ?? {}).filter((path) => /\.(v|blif|errors\.json)$/.test(path));
    const paths = ['manifest.json', files.metrics, files.page, ...netlists, ...(explore ? [files.theta] : [])];
    for (const path of paths) {
      const full = inFolder(this.#place, path);
      if (existsSync(full)) await this.#client.upload(folder, basename(path), readBytes(full));
    }
  }

  /** What is kept of the run there, unless it is another one: another server, experiment, or other settings. */
  #read(): State {
    const path = inFolder(this.#place, files.mlflow);
    const url = trackingAddress(this.#options.url);
    const experiment = this.#options.experiment ?? process.env.MLFLOW_EXPERIMENT_NAME ?? 'tram';
    const parameters = sha256(JSON.stringify(parametersOf(this.#manifest.configuration)));
    const kept = existsSync(path) ? stateSchema.safeParse(readJson(path)).data : undefined;
    if (kept?.url === url && kept.experiment === experiment && kept.parameters === parameters) return kept;
    return {
      ...{ format: 'tram-mlflow', version: 1, url, experiment, parameters, key: randomBytes(16).toString('hex') },
      ...{ sent: 0, times: {}, phases: [], artifacts: false },
    };
  }

  #keep(change: Partial<State>): void {
    this.#state = { ...this.#state, ...change };
    writeJsonInside(this.#place.folder, files.mlflow, this.#state);
  }

  #note(text: string): void {
    this.#place.listener({ kind: 'note', text: `MLflow: ${text}` });
  }
}

const cut = (text: string, most: number): string => (text.length <= most ? text : `${text.slice(0, most - 1)}…`);
