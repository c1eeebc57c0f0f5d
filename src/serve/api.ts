// What each address of `tram serve` returns, and what it tells while runs work: types alone, which server and page
// share. Invariant: everything is plain JSON, and every run, sweep and file is named by its path in the served folder,
// with `/` between names (`.` where the folder itself is the run); no path of the machine is in it.

import type { NetworkGraph } from '../flow/results/network-graph.ts';
import type { LayerSummary, RunSummary } from '../flow/results/summary.ts';
import type { MetricRecord, StepProgress } from '../flow/run/events.ts';
import type { Owner } from '../flow/run/lock.ts';
import type { StageResult } from '../flow/run/stages.ts';
import type { LayerSensitivity, Treated } from '../flow/sensitivity/report.ts';
import type { Field, NamedChoice } from '../flow/settings/fields.ts';
import type { Phase, TrainingPhase } from '../flow/settings/phases.ts';
import type { SweepReport } from '../flow/sweep/front.ts';
import type { ExploredMultiplier } from '../workbench/explore.ts';

/** What is served, and what a page may ask for. */
export interface ServedFolder {
  /** The folder's own name. */
  readonly name: string;
  readonly version: string;
  /** Whether runs can be started, stopped and resumed. */
  readonly control: boolean;
  /** Then every POST brings it in the header `X-Tram-Secret`: only a page of this server can have read it. */
  readonly secret?: string;
}

/** `damaged`: its manifest cannot be read, `problem` says why. */
export type RunState = 'running' | 'done' | 'unfinished' | 'damaged';

/** A run as the list of runs shows it. */
export interface RunRow {
  readonly name: string;
  readonly state: RunState;
  readonly problem?: string;
  readonly data: string;
  readonly model: string;
  /** ISO dates and times: when it was made, and when its folder last said something new. */
  readonly created: string;
  readonly changed: string;
  /** Settings that are not the default, as texts by the names of options (`lambda`, `train-epochs`). */
  readonly settings: Readonly<Record<string, string>>;
  /** What its finished phases came to. */
  readonly stages: readonly StageResult[];
  readonly donePhases: readonly Phase[];
  /** Where it is in a phase that trains and has not ended. */
  readonly progress?: { readonly phase: TrainingPhase; readonly epoch: number; readonly epochs: number };
  /** The sweep that it is a trial of. */
  readonly sweep?: string;
  /** Phases that trials of its sweep share: it ends with them, and the sweep alone goes on with it. */
  readonly isShared?: true;
}

export interface RunList {
  /** Texts of the settings that rows do not name. */
  readonly defaults: Readonly<Record<string, string>>;
  readonly runs: readonly RunRow[];
}

/** An epoch without θ. */
export type Epoch = Omit<MetricRecord, 'theta'>;

export interface RunMetrics {
  readonly epochs: readonly Epoch[];
  /** What is wrong with the log, where lines of it are no epochs. */
  readonly problem?: string;
}

/** θ of the structures behind each epoch that has them. */
export interface ThetaHistory {
  readonly steps: readonly {
    readonly epoch: number;
    readonly theta: NonNullable<MetricRecord['theta']>;
  }[];
}

/** A run's page. */
export interface RunDetail {
  readonly row: RunRow;
  /** Its `folder` is the run's name. Absent where files of it are damaged: `problem` says which. */
  readonly summary?: RunSummary;
  readonly problem?: string;
  /** By the names of multipliers: what `multiplier` takes as `of`. */
  readonly multipliers: Readonly<Record<string, string>>;
  /** Every setting as text, by its name. */
  readonly settings: Readonly<Record<string, string>>;
  /** The command line that makes such a run. */
  readonly command: string;
  /** Who works in it now. */
  readonly owner?: Pick<Owner, 'pid' | 'host' | 'since' | 'command'>;
  /** Files of the folder that `/file/` gives, by their paths in the served folder. */
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
}

export interface SweepRow {
  readonly name: string;
  readonly problem?: string;
  readonly created: string;
  readonly trials: number;
  readonly done: number;
  readonly failed: number;
}

/** A run that was started or resumed from the page. */
export interface Job {
  readonly name: string;
  readonly command: string;
  readonly state: 'working' | 'stopping' | 'stopped' | 'done' | 'failed';
  /** What it said last, in one line. */
  readonly said: string;
  readonly step?: Pick<StepProgress, 'epoch' | 'epochs' | 'step' | 'steps' | 'loss' | 'accuracy'> & {
    readonly phase: TrainingPhase;
  };
}

/** What a form that starts runs is made from. */
export interface RunForm {
  readonly fields: readonly Field[];
  readonly choices: Readonly<Record<'data' | 'models' | 'recipes', readonly NamedChoice[]>>;
}

/** A form as a command, and what is wrong, by the names of fields; `name` and `together` are the form's own. */
export interface Planned {
  readonly command: string;
  readonly problems: Readonly<Record<string, string>>;
}

/** `POST /api/ADDRESS` with JSON, with --control alone: what each takes and returns. */
export interface Orders {
  /** The texts of the fields that are filled in, by name. */
  readonly command: { readonly takes: NewRun; readonly gives: Planned };
  readonly start: { readonly takes: NewRun; readonly gives: Job };
  readonly stop: { readonly takes: { readonly name: string }; readonly gives: Job };
  readonly resume: { readonly takes: { readonly name: string }; readonly gives: Job };
}
export interface NewRun {
  readonly name: string;
  readonly fields: Readonly<Record<string, string>>;
}

/** The front of a sweep as far as it has come. */
export interface SweepView {
  readonly row: SweepRow;
  /** Its `folder` is the sweep's name. */
  readonly report: SweepReport;
  /** Of points whose multiplier is there, by their names: what `multiplier` takes as `of`. */
  readonly multipliers: Readonly<Record<string, string>>;
}

/** The network of a run, layer by layer. */
export interface NetworkView {
  readonly graph: NetworkGraph;
  readonly layers: readonly LayerSummary[];
  /** By the names of multipliers: what `multiplier` takes as `of`. */
  readonly multipliers: Readonly<Record<string, string>>;
  /** What was measured with `tram sensitivity`, where it stands beside the run. */
  readonly sensitivity: { readonly treated: Treated; readonly layers: readonly LayerSensitivity[] } | null;
}

/** Something that `multiplier` takes as `of`. */
export interface KnownMultiplier {
  readonly of: string;
  readonly title: string;
}

/** `GET /api/ADDRESS?QUERY`: each address with what it returns. */
export interface Answers {
  /** No query. */
  readonly folder: ServedFolder;
  /** No query. */
  readonly runs: RunList;
  /** `name`. */
  readonly run: RunDetail;
  /** `name`. */
  readonly metrics: RunMetrics;
  /** `name`. */
  readonly theta: ThetaHistory;
  /** No query. */
  readonly sweeps: readonly SweepRow[];
  /** No query; with --control alone. */
  readonly form: RunForm;
  /** No query: none without --control. */
  readonly jobs: readonly Job[];
  /** `name`. */
  readonly sweep: SweepView;
  /** `name`, of a run. */
  readonly network: NetworkView;
  /** `of`: a generator such as `dadda:8x8`, or the path of a file in the served folder. */
  readonly multiplier: ExploredMultiplier;
  /** No query. */
  readonly multipliers: readonly KnownMultiplier[];
}
export type Address = keyof Answers;
export type Query = Readonly<Record<string, string>>;

/** A request that was refused, with status 4xx or 5xx. */
export interface Refusal {
  readonly error: string;
}

/** `GET /api/events`: server-sent events, each the JSON of one of these. */
export type ServerEvent =
  /** First of all; another `session` than before: the server was started anew, and everything is to be asked again. */
  | { readonly kind: 'hello'; readonly session: string }
  | { readonly kind: 'run'; readonly run: RunRow }
  | { readonly kind: 'run-gone'; readonly name: string }
  /** Epochs behind the first `from` ones; a `from` smaller than what is known: the log was cut there. */
  | { readonly kind: 'epochs'; readonly name: string; readonly from: number; readonly epochs: readonly MetricRecord[] }
  | { readonly kind: 'job'; readonly job: Job }
  | { readonly kind: 'sweep'; readonly sweep: SweepRow }
  | { readonly kind: 'sweep-gone'; readonly name: string };

export type { Field } from '../flow/settings/fields.ts';
export type { DrawnNetlist, ExploredMultiplier } from '../workbench/explore.ts';
