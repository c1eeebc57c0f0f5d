// A client of MLflow's tracking server (REST API 2.0, mlflow.org/docs/latest/rest-api.html): the few calls that a run
// needs, within the limits of one call. It answers what failed and whether trying again can help; when to do so is for
// the caller. Credentials come from the environment as MLflow's own clients take them, and go nowhere but into the
// header of a request.

import { UserError } from '../tensor/errors.ts';

/** The most of each in one call (log-batch), and of characters. */
export const limits = { metrics: 1000, params: 100, tags: 100, name: 250, param: 500, tag: 5000 } as const;

/** Milliseconds until a call counts as failed. */
const PATIENCE = 15_000;

/** A call that failed. */
export class MlflowError extends Error {
  /** Whether the same call may succeed later: the server was not reached, is overloaded, or failed itself. */
  readonly passing: boolean;
  /** MLflow's name of it, such as RESOURCE_DOES_NOT_EXIST. */
  readonly code: string | undefined;

  constructor(message: string, passing: boolean, code?: string) {
    super(message);
    this.passing = passing;
    this.code = code;
  }
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The address as it is kept and called; one with credentials or more than a path is a UserError that does not repeat
 * it.
 */
export function trackingAddress(text: string): string {
  const wanted = 'the address of a tracking server, such as http://127.0.0.1:5000, was expected';
  if (!URL.canParse(text)) throw new UserError(`--mlflow: this is no address; ${wanted}`);
  const { protocol, username, password, search, hash, href } = new URL(text);
  if (username !== '' || password !== '') {
    throw new UserError(
      '--mlflow: the address holds credentials, which a run would keep; put them into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN',
    );
  }
  if (!['http:', 'https:'].includes(protocol) || search !== '' || hash !== '') {
    throw new UserError(`--mlflow: http or https and no query; ${wanted}`);
  }
  return href.replace(/\/+$/, '');
}

/** The header that proves who asks; name and password win over a token, as in MLflow. */
export function authorization(environment: Environment): string | undefined {
  const { MLFLOW_TRACKING_TOKEN: token, MLFLOW_TRACKING_USERNAME: name, MLFLOW_TRACKING_PASSWORD: word } = environment;
  if (name && word) return `Basic ${Buffer.from(`${name}:${word}`).toString('base64')}`;
  return token ? `Bearer ${token}` : undefined;
}

export interface Metric {
  readonly key: string;
  readonly value: number;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly step: number;
}

export interface Pair {
  readonly key: string;
  readonly value: string;
}

export interface Batch {
  readonly metrics?: readonly Metric[];
  readonly params?: readonly Pair[];
  readonly tags?: readonly Pair[];
}

/** Batches that are each within the limits, in order. */
export function batchesOf({ metrics = [], params = [], tags = [] }: Batch): Batch[] {
  const parts = <T>(all: readonly T[], most: number) =>
    Array.from({ length: Math.ceil(all.length / most) }, (_, at) => all.slice(at * most, (at + 1) * most));
  // Together at most 1000 in a call: each kind goes by itself.
  return [
    ...parts(params, limits.params).map((part) => ({ params: part })),
    ...parts(tags, limits.tags).map((part) => ({ tags: part })),
    ...parts(metrics, limits.metrics).map((part) => ({ metrics: part })),
  ];
}

export type RunStatus = 'RUNNING' | 'FINISHED' | 'KILLED' | 'FAILED';

export interface RunInfo {
  readonly runId: string;
  readonly artifacts: string;
}

interface ReturnedRun {
  readonly info: { readonly run_id: string; readonly artifact_uri?: string };
}

const infoOf = ({ info }: ReturnedRun): RunInfo => ({ runId: info.run_id, artifacts: info.artifact_uri ?? '' });

export class MlflowClient {
  readonly #address: string;
  readonly #authorization: string | undefined;
  readonly #patience: number;

  constructor(address: string, environment: Environment = process.env, patience = PATIENCE) {
    this.#address = address;
    this.#authorization = authorization(environment);
    this.#patience = patience;
  }

  /** The identity of an experiment, which is made when it is missing. */
  async experiment(name: string): Promise<string> {
    try {
      return await this.#experimentOf(name);
    } catch (error) {
      if (!(error instanceof MlflowError) || error.code !== 'RESOURCE_DOES_NOT_EXIST') throw error;
    }
    try {
      const { experiment_id } = await this.#post<{ experiment_id: string }>('experiments/create', { name });
      return experiment_id;
    } catch (error) {
      // Another process was first.
      if (error instanceof MlflowError && error.code === 'RESOURCE_ALREADY_EXISTS')
        return await this.#experimentOf(name);
      throw error;
    }
  }

  async #experimentOf(name: string): Promise<string> {
    const path = `experiments/get-by-name?experiment_name=${encodeURIComponent(name)}`;
    const { experiment } = await this.#call<{ experiment: { experiment_id: string } }>('GET', api(path));
    return experiment.experiment_id;
  }

  async createRun(run: {
    readonly experimentId: string;
    readonly name: string;
    readonly started: number;
    readonly tags: readonly Pair[];
  }): Promise<RunInfo> {
    const { experimentId: experiment_id, name: run_name, started: start_time, tags } = run;
    const made = await this.#post<{ run: ReturnedRun }>('runs/create', { experiment_id, run_name, start_time, tags });
    return infoOf(made.run);
  }

  /** The run that has a tag of this value, where one was made; `value` holds no quotes. */
  async findRun(experimentId: string, { key, value }: Pair): Promise<RunInfo | undefined> {
    const filter = `tags."${key}" = '${value}'`;
    const body = { experiment_ids: [experimentId], filter, max_results: 1 };
    const { runs = [] } = await this.#post<{ runs?: readonly ReturnedRun[] }>('runs/search', body);
    return runs[0] && infoOf(runs[0]);
  }

  async getRun(runId: string): Promise<RunInfo> {
    const path = `runs/get?run_id=${encodeURIComponent(runId)}`;
    return infoOf((await this.#call<{ run: ReturnedRun }>('GET', api(path))).run);
  }

  async logBatch(runId: string, batch: Batch): Promise<void> {
    await this.#post('runs/log-batch', { run_id: runId, ...batch });
  }

  async updateRun(runId: string, status: RunStatus, ended?: number): Promise<void> {
    const end = ended === undefined ? {} : { end_time: ended };
    await this.#post('runs/update', { run_id: runId, status, ...end });
  }

  /** Sends a file; `folder` is the run's place in a server that takes them (mlflow-artifacts:). */
  async upload(folder: string, name: string, bytes: Uint8Array): Promise<void> {
    const path = `${folder}/${name}`.split('/').map(encodeURIComponent).join('/');
    await this.#call('PUT', `/api/2.0/mlflow-artifacts/artifacts/${path}`, bytes);
  }

  #post<T>(path: string, body: object): Promise<T> {
    return this.#call<T>('POST', api(path), JSON.stringify(body));
  }

  async #call<T>(method: string, path: string, body?: string | Uint8Array): Promise<T> {
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${this.#address}${path}`, {
        method,
        headers: {
          ...(typeof body === 'string' ? { 'content-type': 'application/json' } : {}),
          ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }),
        },
        ...(body === undefined ? {} : { body }),
        redirect: 'error',
        signal: AbortSignal.timeout(this.#patience),
      });
      text = await response.text();
    } catch (error) {
      throw new MlflowError(reasonOf(error, this.#patience), true);
    }
    const answer = parsed(text);
    if (response.ok) return (answer ?? {}) as T;
    const { error_code: code, message } = (answer ?? {}) as { error_code?: string; message?: string };
    const passing = response.status >= 500 || response.status === 429 || response.status === 408;
    const detail = [code, message].filter(Boolean).join(': ').slice(0, 300);
    throw new MlflowError(
      `${response.status}${detail === '' ? ` ${response.statusText}` : ` ${detail}`}`,
      passing,
      code,
    );
  }
}

const api = (path: string): string => `/api/2.0/mlflow/${path}`;

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function reasonOf(error: unknown, patience: number): string {
  const { name, message, cause } = error as Error & { cause?: { code?: string; message?: string } };
  if (name === 'TimeoutError') return `no answer within ${patience / 1000} s`;
  return cause?.code ?? cause?.message ?? message;
}

/** Where a run's artifacts are taken by the server itself; undefined where they lie elsewhere. */
export function artifactFolder(uri: string): string | undefined {
  return /^mlflow-artifacts:(?:\/\/[^/]*)?\/+(.+?)\/*$/.exec(uri)?.[1];
}
