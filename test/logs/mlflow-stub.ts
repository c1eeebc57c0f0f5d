// An MLflow tracking server as far as a run talks to it, for tests: it keeps what it is told, refuses what MLflow
// refuses (calls beyond the limits, parameters that change, names with other characters), and fails when told to.

import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface StubRun {
  readonly runId: string;
  readonly name: string;
  status: string;
  readonly tags: Map<string, string>;
  readonly params: Map<string, string>;
  readonly metrics: { key: string; value: number; timestamp: number; step: number }[];
}

/** What becomes of a call: it is done, answered with a status, never answered, or done with the answer lost. */
export type Fate = 'done' | number | 'silent' | 'lost';

export class MlflowStub {
  readonly calls: { method: string; path: string; authorization: string | undefined }[] = [];
  readonly experiments = new Map<string, string>();
  readonly runs = new Map<string, StubRun>();
  readonly artifacts = new Map<string, Buffer>();
  fate: (path: string, count: number) => Fate = () => 'done';
  artifactUri = (id: string) => `mlflow-artifacts:/1/${id}/artifacts`;
  readonly #server = createServer((request, response) => {
    void (async () => {
      const body = await bodyOf(request);
      const { method = '', url = '', headers } = request;
      this.calls.push({ method, path: url, authorization: headers.authorization });
      const fate = this.fate(url, this.calls.length);
      if (fate === 'silent') return;
      if (typeof fate === 'number') {
        response.writeHead(fate).end('{"error_code":"TEMPORARILY_UNAVAILABLE","message":"not now"}');
        return;
      }
      const [status, answer] = this.#answer(method, url, body);
      if (fate === 'lost') request.socket.destroy();
      else response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    })();
  });

  async listen(port = 0): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(port, '127.0.0.1', done));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  #answer(method: string, url: string, body: Buffer): [number, object] {
    const { pathname, searchParams } = new URL(url, 'http://stub');
    if (method === 'PUT' && pathname.startsWith('/api/2.0/mlflow-artifacts/artifacts/')) {
      this.artifacts.set(decodeURIComponent(pathname.slice('/api/2.0/mlflow-artifacts/artifacts/'.length)), body);
      return [200, {}];
    }
    const call = pathname.replace('/api/2.0/mlflow/', '');
    const given = body.length > 0 ? JSON.parse(body.toString()) : {};
    switch (`${method} ${call}`) {
      case 'GET experiments/get-by-name': {
        const id = this.experiments.get(searchParams.get('experiment_name')!);
        return id === undefined ? missing() : [200, { experiment: { experiment_id: id } }];
      }
      case 'POST experiments/create':
        if (this.experiments.has(given.name)) return refused('RESOURCE_ALREADY_EXISTS');
        this.experiments.set(given.name, String(this.experiments.size + 1));
        return [200, { experiment_id: this.experiments.get(given.name) }];
      case 'POST runs/create': {
        const runId = `run${this.runs.size + 1}`;
        const tags = new Map<string, string>(given.tags.map(({ key, value }: Pair) => [key, value]));
        const run = { runId, name: given.run_name, status: 'RUNNING', tags, params: new Map(), metrics: [] };
        this.runs.set(runId, run);
        return [200, { run: this.#infoOf(runId) }];
      }
      case 'POST runs/search': {
        const [, key, value] = /^tags\."([^"]+)" = '([^']*)'$/.exec(given.filter)!;
        const found = [...this.runs.values()].filter(({ tags }) => tags.get(key!) === value);
        return [200, found.length === 0 ? {} : { runs: found.map(({ runId }) => this.#infoOf(runId)) }];
      }
      case 'GET runs/get': {
        const id = searchParams.get('run_id')!;
        return this.runs.has(id) ? [200, { run: this.#infoOf(id) }] : missing();
      }
      case 'POST runs/update':
        this.runs.get(given.run_id)!.status = given.status;
        return [200, {}];
      case 'POST runs/log-batch':
        return this.#log(this.runs.get(given.run_id)!, given);
      default:
        return [404, { error_code: 'ENDPOINT_NOT_FOUND', message: `${method} ${call}` }];
    }
  }

  #infoOf(runId: string) {
    return { info: { run_id: runId, artifact_uri: this.artifactUri(runId) } };
  }

  #log(
    run: StubRun,
    { metrics = [], params = [], tags = [] }: { metrics?: StubRun['metrics']; params?: Pair[]; tags?: Pair[] },
  ): [number, object] {
    if (metrics.length > 1000 || params.length > 100 || tags.length > 100) return refused('INVALID_PARAMETER_VALUE');
    const names = [...metrics, ...params, ...tags].map(({ key }) => key);
    if (names.some((name) => !/^[\w\-. /:]+$/.test(name) || name.length > 250))
      return refused('INVALID_PARAMETER_VALUE');
    for (const { key, value } of params) {
      if (value.length > 500 || (run.params.get(key) ?? value) !== value) return refused('INVALID_PARAMETER_VALUE');
      run.params.set(key, value);
    }
    for (const { key, value } of tags) run.tags.set(key, value);
    // The same point, times included, is stored once.
    for (const metric of metrics) {
      if (!run.metrics.some((one) => JSON.stringify(one) === JSON.stringify(metric))) run.metrics.push(metric);
    }
    return [200, {}];
  }
}

interface Pair {
  key: string;
  value: string;
}

const refused = (error_code: string): [number, object] => [400, { error_code, message: 'refused' }];
const missing = (): [number, object] => [404, { error_code: 'RESOURCE_DOES_NOT_EXIST', message: 'there is none' }];

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}
