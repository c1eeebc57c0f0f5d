// The server of `tram serve` without a browser: what it answers, what it tells while a run works, and above all what it
// refuses.

import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FlowOptions } from '../../src/flow/flow.ts';
import type { RunSummary } from '../../src/flow/results/summary.ts';
import { readManifest, writeManifest } from '../../src/flow/run/manifest.ts';
import { hostIn } from '../../src/serve/access.ts';
import type { Job, RunList, RunMetrics, ServerEvent } from '../../src/serve/api.ts';
import { type Serving, serve } from '../../src/serve/server.ts';
import { Tail } from '../../src/serve/tail.ts';
import { epoch, makeRun, until } from './folder.ts';

const place = mkdtempSync(join(tmpdir(), 'tram-serve-'));
const folder = join(place, 'runs');

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** The path as it is, which fetch would tidy up. */
function ask(
  { port }: Pick<Serving, 'port'>,
  path: string,
  {
    method = 'GET',
    headers = {},
    body = '',
  }: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  return new Promise((done, fail) => {
    const sent = httpRequest({ host: '127.0.0.1', port, path, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => done({ status: response.statusCode!, headers: response.headers, text }));
      response.on('error', fail);
    });
    sent.on('error', fail);
    sent.end(body);
  });
}

beforeAll(() => {
  makeRun(join(folder, 'a'), { seed: 2 }, 3, 0.75);
  makeRun(join(folder, 'deep', 'er', 'b <i>&'), { explore: { lambda: 0.7 } }, 1);
  writeFileSync(join(folder, 'a', 'report.html'), '<p>report</p>');
  makeRun(join(folder, 'b\\c'), {}, 1);
  writeFileSync(join(folder, 'b\\c', 'report.html'), '<p>c</p>');
  writeFileSync(join(folder, 'a', '.hidden.json'), '{}');
  writeFileSync(join(folder, 'loose.json'), '{}');
  writeFileSync(join(place, 'outside.json'), '"secret"');
  symlinkSync(join(place, 'outside.json'), join(folder, 'a', 'link.json'));
  symlinkSync(place, join(folder, 'a', 'up'));
  mkdirSync(join(folder, 'damaged'));
  makeRun(join(place, 'swept', 'sw', 'shared', 'train-0a'), {}, 1);
  makeRun(join(place, 'swept', 'sw', 'trials', 'b'), {}, 1);
  writeFileSync(join(place, 'swept', 'sw', 'sweep.json'), '{}');
  writeFileSync(join(folder, 'damaged', 'manifest.json'), '{"format":');
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

const multiplier = {
  ...{ name: 'm', theta: [], gateCost: 0.2, mseToTarget: null, signed: false },
  metrics: {
    ...{ errorRate: 0, meanErrorDistance: 0, normalizedMeanErrorDistance: 0, meanSquareError: 0, maxErrorDistance: 0 },
    ...{ meanRelativeErrorDistance: 0, meanRelativeErrorOfNonzero: 0, meanError: 0, errorVariance: 0 },
    worst: { w: 0, x: 0, product: 0, exact: 0 },
  },
  certificate: { forms: [], pairs: 0, sha256: { table: '' } },
};

test('a run that was whole before harms were a phase is done, one that lacks a phase is not', async () => {
  const old = join(place, 'old');
  const given = { quantize: { layerCost: 0.2 }, map: { multiplier: 'exact' } } as const;
  for (const [name, done] of [
    ['whole', ['train', 'quantize', 'map', 'recover']],
    ['mapped', ['train', 'quantize', 'map']],
    ['begun', ['train']],
  ] as const) {
    makeRun(join(old, name), given, 1);
    const manifest = readManifest(join(old, name));
    const train = manifest.phases.train!;
    const map = { ...train, files: { 'm.npy': '0'.repeat(64) }, multipliers: [{ ...multiplier, layers: ['conv1'] }] };
    const phases = Object.fromEntries(done.map((phase) => [phase, phase === 'map' ? map : train]));
    writeManifest(join(old, name), { ...manifest, phases });
  }
  const serving = await serve({ folder: old, port: 0 });
  const { runs } = JSON.parse((await ask(serving, '/api/runs')).text) as RunList;
  await serving.close();
  expect(Object.fromEntries(runs.map(({ name, state }) => [name, state]))).toEqual({
    ...{ whole: 'done', mapped: 'unfinished', begun: 'unfinished' },
  });
});

describe('a folder that is read', () => {
  let serving: Serving;
  beforeAll(async () => {
    serving = await serve({ folder, port: 0, pace: { glance: 100, scan: 200 } });
  });
  afterAll(() => serving.close());

  test('lists every run with what differs from the defaults, also one that cannot be read', async () => {
    const { text } = await ask(serving, '/api/runs');
    const { runs, defaults } = JSON.parse(text) as RunList;
    expect(runs.map(({ name }) => name).sort()).toEqual(['a', 'b\\c', 'damaged', 'deep/er/b <i>&']);
    const [a, , damaged, b] = runs.toSorted((one, other) => (one.name < other.name ? -1 : 1));
    expect(a).toMatchObject({ state: 'unfinished', settings: { seed: '2' }, donePhases: ['train'] });
    expect(b?.settings).toMatchObject({ lambda: '0.7' });
    expect(b?.settings).not.toHaveProperty('seed');
    expect(defaults.seed).toBe('1');
    expect(damaged?.problem).toMatch(/^damaged\/manifest.json is not valid JSON/);
    expect(text).not.toContain(place);
  });

  test('gives epochs, files and pages with headers that let them do nothing else', async () => {
    const { epochs } = JSON.parse((await ask(serving, '/api/metrics?name=a')).text) as RunMetrics;
    expect(epochs.map((one) => one.epoch)).toEqual([1, 2, 3]);
    const report = await ask(serving, '/file/a/report.html');
    expect([report.status, report.text]).toEqual([200, '<p>report</p>']);
    expect(await ask(serving, '/file/b%5cc/report.html')).toMatchObject({ status: 200, text: '<p>c</p>' });
    expect(report.headers['content-security-policy']).toMatch(/^sandbox; default-src 'none'/);
    const named = await ask(serving, `/api/run?name=${encodeURIComponent('deep/er/b <i>&')}`);
    expect(JSON.parse(named.text)).toMatchObject({ command: "tram run 'deep/er/b <i>&' --lambda 0.7" });
    const page = await ask(serving, '/');
    expect(page.headers['content-security-policy']).toContain("script-src 'self'");
    expect(page.headers['x-content-type-options']).toBe('nosniff');
  });

  test.each([
    '/file/../outside.json',
    '/file/a/../../outside.json',
    '/file/a/%2e%2e/%2e%2e/outside.json',
    '/file/a/..%2f..%2foutside.json',
    '/file/a/..%5c..%5coutside.json',
    '/file//etc/hostname.txt',
    '/file/%2fetc%2fhosts.txt',
    '/file/a/link.json',
    '/file/a/up/outside.json',
    '/file/a/.hidden.json',
    '/file/a/.lock',
    '/file/loose.json',
    '/file/a/metrics.jsonl%00.txt',
    '/file/a/figures',
    '/../package.json',
    '/main.js/../../package.json',
    '/..%2fpackage.json',
  ])('does not give %s', async (path) => {
    const { status, text } = await ask(serving, path);
    expect(status).toBe(404);
    expect(text).not.toContain('secret');
  });

  test('answers to no other name', async () => {
    for (const host of ['evil.example', `evil.example:${serving.port}`, 'localhost.evil.example', 'a b', '[::2]']) {
      expect((await ask(serving, '/api/runs', { headers: { host } })).status, host).toBe(421);
    }
    for (const host of ['localhost', `127.0.0.1:${serving.port}`, '[::1]:80', 'LOCALHOST:1']) {
      expect((await ask(serving, '/api/folder', { headers: { host } })).status, host).toBe(200);
    }
    expect(hostIn('a@localhost')).toBeUndefined();
  });

  test('reads alone, and refuses what is too long', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      expect((await ask(serving, '/api/start', { method, body: method === 'POST' ? '{}' : '' })).status, method).toBe(
        405,
      );
    }
    expect((await ask(serving, `/api/run?name=${'a'.repeat(5000)}`)).status).toBe(414);
    expect((await ask(serving, '/api/run', { headers: { x: 'a'.repeat(20_000) } })).status).toBe(431);
    expect((await ask(serving, '/api/nothing')).status).toBe(404);
    expect((await ask(serving, '/api/constructor')).status).toBe(404);
    expect((await ask(serving, '/api/run?name=constructor')).status).toBe(404);
    expect((await ask(serving, '/api/run')).status).toBe(400);
    expect((await ask(serving, '/%')).status).toBe(400);
    expect((await ask(serving, '/api/form')).status).toBe(404);
  });

  test('tells of epochs as they are logged, once each, and of a log that was cut', async () => {
    const events: ServerEvent[] = [];
    const sent = httpRequest({ host: '127.0.0.1', port: serving.port, path: '/api/events' }, (response) => {
      let rest = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        const texts = (rest + part).split('\n\n');
        rest = texts.pop()!;
        for (const text of texts) if (text.startsWith('data: ')) events.push(JSON.parse(text.slice(6)));
      });
    });
    sent.end();
    await until('hello', () => events.some(({ kind }) => kind === 'hello'));
    const told = () => events.flatMap((event) => (event.kind === 'epochs' && event.name === 'a' ? [event] : []));
    const log = join(folder, 'a', 'metrics.jsonl');
    const line = `${JSON.stringify(epoch(1, 'explore'))}\n`;
    appendFileSync(log, line.slice(0, 20));
    await serving.library.lookAt('a');
    expect(told()).toEqual([]);
    appendFileSync(log, line.slice(20));
    await until('the epoch', () => told().length > 0);
    expect(told()).toEqual([{ kind: 'epochs', name: 'a', from: 3, epochs: [epoch(1, 'explore')] }]);
    writeFileSync(log, `${JSON.stringify(epoch(1))}\n`);
    await until('the cut', () => told().length > 1);
    expect(told()[1]).toEqual({ kind: 'epochs', name: 'a', from: 0, epochs: [epoch(1)] });
    makeRun(join(folder, 'new'), {}, 1);
    await until('a new run', () => events.some((event) => event.kind === 'run' && event.run.name === 'new'));
    rmSync(join(folder, 'new'), { recursive: true });
    await until('that it is gone', () => events.some((event) => event.kind === 'run-gone' && event.name === 'new'));
    sent.destroy();
  });
});

test('a log is read on from where it was, and again where it is another one', async () => {
  const path = join(place, 'log');
  const tail = new Tail(path, (line) => (typeof line === 'number' ? line : undefined));
  expect(await tail.look()).toBeUndefined();
  writeFileSync(path, '1\n2\nx\n"text"\n3');
  expect(await tail.look()).toEqual({ from: 0, records: [1, 2] });
  expect(tail.faults).toBe(2);
  appendFileSync(path, '4\n5\n');
  expect(await tail.look()).toEqual({ from: 2, records: [34, 5] });
  expect(await tail.look()).toBeUndefined();
  // Longer than before, and written in its place: only the bytes tell.
  writeFileSync(path, '7\n7\n7\n7\n7\n7\n7\n7\n7\n7\n');
  expect((await tail.look())?.from).toBe(0);
  expect(tail.records).toEqual(new Array(10).fill(7));
  writeFileSync(`${path}.new`, '9\n');
  renameSync(`${path}.new`, path);
  expect(await tail.look()).toEqual({ from: 0, records: [9] });
});

test('with another host or with control everything needs the token', async () => {
  const serving = await serve({ folder, port: 0, host: '0.0.0.0' });
  try {
    expect(serving.token).toMatch(/^[\w-]{24}$/);
    for (const path of ['/', '/main.js', '/api/runs', '/api/events', '/file/a/report.html', '/?token=wrong']) {
      expect((await ask(serving, path)).status, path).toBe(401);
    }
    const { status, headers } = await ask(serving, `/?token=${serving.token}`);
    expect([status, headers.location]).toEqual([303, '/']);
    const [cookie = ''] = headers['set-cookie'] ?? [];
    expect(cookie).toMatch(/HttpOnly; SameSite=Strict/);
    expect((await ask(serving, '/api/runs', { headers: { cookie: cookie.split(';')[0]! } })).status).toBe(200);
    const authorization = `Bearer ${serving.token}`;
    expect((await ask(serving, '/api/runs', { headers: { authorization } })).status).toBe(200);
    expect((await ask(serving, '/api/runs', { headers: { authorization: `${authorization}x` } })).status).toBe(401);
  } finally {
    await serving.close();
  }
});

test('a port that is taken, a folder that is not there, a file: one line each', async () => {
  const serving = await serve({ folder, port: 0 });
  await expect(serve({ folder, port: serving.port })).rejects.toThrow(/^port \d+ of 127.0.0.1 is taken; choose/);
  await serving.close();
  await expect(serve({ folder: join(place, 'none'), port: 0 })).rejects.toThrow(/none is not there; give a folder/);
  await expect(serve({ folder: join(place, 'outside.json'), port: 0 })).rejects.toThrow(/is a file; a folder/);
  await expect(serve({ folder, port: 0, host: '192.0.2.1' })).rejects.toThrow(/is no address of this machine/);
});

test('what trials of a sweep share is done with its last phase, and the sweep alone goes on with it', async () => {
  const perform = () => new Promise<RunSummary>(() => {});
  const serving = await serve({ folder: join(place, 'swept'), port: 0, perform });
  try {
    const authorization = `Bearer ${serving.token}`;
    const get = async (path: string) => JSON.parse((await ask(serving, path, { headers: { authorization } })).text);
    const { runs } = (await get('/api/runs')) as RunList;
    expect(runs.map(({ name, state, isShared }) => [name, state, isShared]).sort()).toEqual([
      ['sw/shared/train-0a', 'done', true],
      ['sw/trials/b', 'unfinished', undefined],
    ]);
    const headers = {
      authorization,
      'content-type': 'application/json',
      'x-tram-secret': (await get('/api/folder')).secret,
    };
    const body = JSON.stringify({ name: 'sw/shared/train-0a' });
    const { status, text } = await ask(serving, '/api/resume', { method: 'POST', headers, body });
    expect([status, JSON.parse(text).error]).toEqual([
      400,
      'sw/shared/train-0a is what trials of sw share; tram sweep sw goes on with it',
    ]);
  } finally {
    await serving.close();
  }
});

describe('control', () => {
  const begun: FlowOptions[] = [];
  let serving: Serving;
  /** Stands in for a run: it works until it is told to stop. */
  const perform = (options: FlowOptions) => {
    begun.push(options);
    return new Promise<RunSummary>((_, fail) => {
      options.signal?.addEventListener('abort', () => fail(options.signal?.reason));
    });
  };
  const order = async (path: string, body: unknown, change: Record<string, string> = {}) => {
    const authorization = `Bearer ${serving.token}`;
    const { text } = await ask(serving, '/api/folder', { headers: { authorization } });
    const headers = {
      authorization,
      'content-type': 'application/json',
      'x-tram-secret': JSON.parse(text).secret,
      ...change,
    };
    const answer = await ask(serving, path, { method: 'POST', headers, body: JSON.stringify(body) });
    return { ...answer, json: JSON.parse(answer.text) };
  };
  const plan = { name: 'mine/one', fields: { lambda: '0.5', 'train-epochs': '1', 'new-classifier': '' } };
  beforeAll(async () => {
    serving = await serve({ folder, port: 0, perform });
  });
  afterAll(() => serving.close());

  test('says the same as a command, and what is wrong field by field', async () => {
    const { json } = await order('/api/command', plan);
    expect(json).toEqual({ command: `tram run ${folder}/mine/one --lambda 0.5 --train-epochs 1`, problems: {} });
    const wrong = await order('/api/command', { name: 'a', fields: { lambda: 'much' } });
    expect(Object.keys(wrong.json.problems).sort()).toEqual(['lambda', 'name']);
    expect(begun).toEqual([]);
  });

  test('refuses what no page of its own has sent', async () => {
    const refused = async (change: Record<string, string>) => (await order('/api/start', plan, change)).status;
    expect(await refused({ 'x-tram-secret': 'guessed' })).toBe(403);
    expect(await refused({ origin: 'http://evil.example' })).toBe(403);
    expect(await refused({ origin: 'null' })).toBe(403);
    expect(await refused({ 'sec-fetch-site': 'cross-site' })).toBe(403);
    expect(await refused({ 'content-type': 'text/plain' })).toBe(415);
    expect(await refused({ authorization: 'Bearer no' })).toBe(401);
    expect((await order('/api/start', { ...plan, more: 'x'.repeat(70_000) })).status).toBe(413);
    for (const name of ['../out', '/etc/x', 'a/../../x', '.hidden', '', 'up/x y', '-x', 'a/up/x']) {
      expect((await order('/api/start', { ...plan, name })).status, name).toBe(400);
    }
    expect((await order('/api/start', { name: 'x', fields: { constructor: '1' } })).status).toBe(400);
    expect((await order('/api/stop', { name: 'a' })).json.error).toMatch(/^a was not started from this page/);
    expect((await order('/api/resume', { name: 'nothing' })).status).toBe(404);
    expect(begun).toEqual([]);
  });

  test('starts a run with these settings, does not start it twice, and stops it', async () => {
    const started = await order('/api/start', plan);
    expect(started.json).toMatchObject({
      name: 'mine/one',
      state: 'working',
      command: expect.stringMatching(/--lambda 0.5/),
    });
    expect(begun[0]).toMatchObject({ settings: { explore: { lambda: 0.5 }, train: { epochs: 1 } } });
    expect(begun[0]?.folder).toBe(join(folder, 'mine/one'));
    expect((await order('/api/start', plan)).json.error).toMatch(/is being worked on already/);
    for (const name of ['mine/one/in', 'a/in', 'a/deep/in', 'mine']) {
      expect((await order('/api/start', { ...plan, name })).json.error, name).toMatch(
        /is a run(, whose folder holds no other| that begins in this folder); choose another name/,
      );
    }
    expect((await order('/api/stop', { name: 'mine/one' })).json.state).toBe('stopping');
    const jobs = async (): Promise<Job[]> =>
      JSON.parse((await ask(serving, '/api/jobs', { headers: { authorization: `Bearer ${serving.token}` } })).text);
    await until('it has stopped', async () => (await jobs())[0]?.state === 'stopped');
    expect((await order('/api/stop', { name: 'mine/one' })).json.error).toBe(
      'mine/one has ended already: stopped; the work so far is saved',
    );
    expect((await order('/api/resume', { name: 'a' })).json).toMatchObject({ command: `tram run ${folder}/a` });
    expect(begun.length).toBe(2);
  });
});
