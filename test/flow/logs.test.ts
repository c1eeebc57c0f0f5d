// What a run tells other programs: it trains the same bits with and without, its event file holds what metrics.jsonl
// holds, each once, however often the run was stopped, and an MLflow server that fails costs the run nothing.

import { createHash } from 'node:crypto';
import { appendFileSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { exportLogs } from '../../src/flow/logs/export.ts';
import { MlflowLog } from '../../src/flow/logs/mlflow.ts';
import { checkRun } from '../../src/flow/results/check.ts';
import type { MetricRecord, RunEvent } from '../../src/flow/run/events.ts';
import { eventFile } from '../../src/flow/run/folder.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { readMetrics } from '../../src/flow/run/metrics.ts';
import type { ConfigurationInput } from '../../src/flow/settings/config.ts';
import { decode, type Entry, hparams, readRecords, shown } from '../logs/event-reader.ts';
import { MlflowStub } from '../logs/mlflow-stub.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-logs-'));
afterAll(() => rmSync(parent, { recursive: true }));

const settings: ConfigurationInput = {
  sample: 200,
  bits: { weights: 4, activations: 4 },
  train: { epochs: 2 },
  explore: { epochs: 3 },
  recover: { epochs: 1 },
};

const eventsOf = (folder: string) => readFileSync(join(folder, eventFile(readManifest(folder))));
const points = (entries: readonly Entry[] | undefined) => entries?.map(({ step, value }) => [step, value.simple]);
const float = Math.fround;

/** Everything that was trained, as hashes. */
function bitsOf(folder: string): Record<string, string> {
  const hash = (path: string) =>
    createHash('sha256')
      .update(readFileSync(join(folder, path)))
      .digest('hex');
  const checkpoints = readdirSync(join(folder, 'checkpoints')).map((name) => `checkpoints/${name}`);
  const paths = [...checkpoints, 'metrics.jsonl', 'theta.json', 'multiplier.npy', 'multiplier.v'];
  return Object.fromEntries(paths.map((path) => [path, hash(path)]));
}

/** By tag and step, without what tells times. */
function saidBy(folder: string): string[] {
  return [...shown(eventsOf(folder))]
    .flatMap(([tag, entries]) =>
      entries.map(({ step, value }) => {
        const data = tag.startsWith('_hparams_')
          ? ''
          : createHash('sha256').update(JSON.stringify(value)).digest('hex');
        return `${tag} ${step} ${data}`;
      }),
    )
    .toSorted();
}

describe('a run with logs', () => {
  const plain = join(parent, 'plain');
  const whole = join(parent, 'whole');
  const parts = join(parent, 'parts');
  const stub = new MlflowStub();
  const notes: string[] = [];
  /** Notes of each process. */
  const processes: string[][] = [];
  let url = '';
  const listener = (event: RunEvent) => void (event.kind === 'note' && notes.push(event.text));

  beforeAll(async () => {
    url = await stub.listen();
    await runFlow({ folder: plain, settings });
    await runFlow({ folder: whole, settings, logs: { tensorboard: true } });
    // Stopped in the middle of epochs; the server is down for a while, and loses answers.
    stub.fate = (path, count) => {
      if (count >= 3 && count < 6) return 503;
      return count % 5 === 0 && (path.includes('log-batch') || path.includes('create')) ? 'lost' : 'done';
    };
    const logs = { tensorboard: true, mlflow: { url, experiment: 'digits', tags: { 'tram.sweep': 'mine' } } };
    for (const steps of [3, 8, 11]) {
      const controller = new AbortController();
      let left = steps;
      const stopping = (event: RunEvent) => {
        listener(event);
        if (event.kind === 'step' && --left === 0) controller.abort();
      };
      const work = runFlow({ folder: parts, settings, logs, listener: stopping, signal: controller.signal });
      await expect(work).rejects.toThrow(/abort/i);
      // A kill may tear the last record.
      appendFileSync(join(parts, eventFile(readManifest(parts))), eventsOf(parts).subarray(0, 20));
      processes.push(notes.splice(0));
    }
    await runFlow({ folder: parts, settings, logs, listener });
    processes.push(notes.splice(0));
  });
  afterAll(() => stub.close());

  test('trains the same bits as one without, and is the same run to the flow', async () => {
    expect(bitsOf(whole)).toEqual(bitsOf(plain));
    expect(bitsOf(parts)).toEqual(bitsOf(plain));
    const skipped: string[] = [];
    const before = eventsOf(whole);
    await runFlow({
      folder: whole,
      settings,
      logs: { tensorboard: true },
      listener: (event) => void (event.kind === 'phase-skip' && skipped.push(event.phase)),
    });
    expect(skipped).toEqual(['train', 'quantize', 'explore', 'map', 'recover']);
    expect(eventsOf(whole).equals(before)).toBe(true);
    expect(checkRun(parts)).toMatchObject({ whole: true, extra: [] });
  });

  test('its event file holds every epoch of metrics.jsonl once, on one axis', () => {
    const tags = shown(eventsOf(whole));
    const before = { train: 0, quantize: 2, explore: 2, recover: 5 };
    const expected = (phase: MetricRecord['phase'], key: 'loss' | 'testAccuracy' | 'power' | 'learningRate') =>
      readMetrics(whole)
        .filter((record) => record.phase === phase)
        .map((record) => [before[phase] + record.epoch, float(record[key]!)]);
    expect(points(tags.get('train/loss'))).toEqual(expected('train', 'loss'));
    expect(points(tags.get('explore/test_accuracy'))).toEqual(expected('explore', 'testAccuracy'));
    expect(points(tags.get('explore/power'))).toEqual(expected('explore', 'power'));
    expect(points(tags.get('recover/learning_rate'))).toEqual(expected('recover', 'learningRate'));
    for (const [tag, entries] of tags) {
      const steps = entries.map(({ step }) => step);
      expect(steps, tag).toEqual([...new Set(steps)].toSorted((a, b) => a - b));
    }
    const recovered = readManifest(whole).phases.recover!.stages.at(-1)!;
    expect(points(tags.get('result/accuracy'))).toEqual([[6, float(recovered.accuracy)]]);
  });

  test('its histograms are of θ, weights and steps of each layer', () => {
    const tags = shown(eventsOf(whole));
    const theta = readMetrics(whole).find(({ phase, epoch }) => phase === 'explore' && epoch === 3)!.theta!.theta!;
    const { histogram } = tags.get('theta/all')!.at(-1)!.value;
    expect(histogram).toMatchObject({ num: theta.length, min: Math.min(...theta), max: Math.max(...theta) });
    expect(histogram.sum).toBeCloseTo(
      theta.reduce((sum, value) => sum + value, 0),
      12,
    );
    expect(histogram.sumSquares).toBeCloseTo(
      theta.reduce((sum, value) => sum + value * value, 0),
      12,
    );
    const { limits, buckets } = histogram as { limits: number[]; buckets: number[] };
    buckets.forEach((count, at) => {
      const [left, right] = [at === 0 ? Number.NEGATIVE_INFINITY : limits[at - 1]!, limits[at]!];
      const last = at === buckets.length - 1;
      const within = theta.filter((value) => value >= left && (last || value < right)).length;
      expect(count, `bucket ${at}`).toBe(within);
    });
    const weights = tags.get('weights/conv1')!;
    expect(weights.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(weights[0]!.value.histogram.num).toBe(3 * 3 * 1 * 16);
    expect(tags.get('weight_steps/conv1')!.map(({ step }) => step)).toEqual([3, 4, 5, 6]);
    expect(tags.get('input_step/fc')!.every(({ value }) => value.simple > 0)).toBe(true);
  });

  test('has the report’s pictures, and its settings with their end', () => {
    const tags = shown(eventsOf(whole));
    for (const name of ['multiplier-dots', 'multiplier-error-map', 'theta']) {
      const { image } = tags.get(`figures/${name}`)![0]!.value;
      const png = Buffer.from(image.png);
      expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([image.width, image.height]);
    }
    const { metadata } = tags.get('_hparams_/session_start_info')![0]!.value;
    expect(metadata.plugin.name).toBe('hparams');
    const { start } = decode(metadata.plugin.content, hparams);
    const told = new Map(start.hparams.map(({ key, value }: { key: string; value: object }) => [key, value]));
    expect(told.get('explore.epochs')).toEqual({ number: 3 });
    expect(told.get('model')).toEqual({ string: 'resnet8' });
    const end = decode(tags.get('_hparams_/session_end_info')![0]!.value.metadata.plugin.content, hparams);
    expect(end.end.status).toBe(1);
  });

  test('stopped again and again, with torn ends, its file says the same', () => {
    expect(saidBy(parts)).toEqual(saidBy(whole));
  });

  test('epochs that are done again void what was said of them, and other settings are said anew', async () => {
    const folder = join(parent, 'redone');
    cpSync(whole, folder, { recursive: true });
    const logs = { tensorboard: true };
    await runFlow({ folder, settings: { explore: { lambda: 3 } }, phases: ['explore'], redo: true, logs });
    const tags = shown(eventsOf(folder));
    expect(tags.has('recover/loss')).toBe(false);
    expect(tags.has('figures/theta')).toBe(false);
    expect(points(tags.get('explore/loss'))?.map((point) => point[1])).toEqual(
      readMetrics(folder).flatMap(({ phase, loss }) => (phase === 'explore' ? [float(loss)] : [])),
    );
    const { start } = decode(tags.get('_hparams_/session_start_info')!.at(-1)!.value.metadata.plugin.content, hparams);
    expect(tags.get('_hparams_/session_start_info')!.length).toBe(1);
    expect(start.hparams.find(({ key }: { key: string }) => key === 'explore.lambda').value).toEqual({ number: 3 });
  });

  test('a finished run can be brought into an event file', async () => {
    await exportLogs(plain, { tensorboard: true }, () => {});
    const [made, live] = [saidBy(plain), saidBy(whole)];
    // Weights are known behind the phases alone, and not as the last step left them where statistics were taken anew.
    const ofEpochs = (said: readonly string[]) =>
      said.filter((one) => !/^(weights|weight_steps|input_step)\//.test(one));
    expect(ofEpochs(made)).toEqual(ofEpochs(live));
    expect(
      shown(eventsOf(plain))
        .get('weights/conv1')!
        .map(({ step }) => step),
    ).toEqual([2, 5, 6]);
    const before = eventsOf(plain);
    await exportLogs(plain, { tensorboard: true }, () => {});
    expect(eventsOf(plain).equals(before)).toBe(true);
  });

  test('the MLflow run is one, with every epoch once, in spite of all failures', () => {
    expect([...stub.runs.keys()]).toEqual(['run1']);
    const run = stub.runs.get('run1')!;
    expect([run.name, run.status, run.tags.get('tram.sweep')]).toEqual(['parts', 'FINISHED', 'mine']);
    expect(stub.experiments.has('digits')).toBe(true);
    expect(run.params.get('explore.epochs')).toBe('3');
    for (const phase of ['train', 'explore', 'recover']) {
      const own = run.metrics.filter(({ key }) => key === `${phase}/loss`);
      expect(own.map(({ value }) => value)).toEqual(
        readMetrics(parts).flatMap((record) => (record.phase === phase ? [record.loss] : [])),
      );
    }
    const seen = run.metrics.map(({ key, step }) => `${key} ${step}`);
    expect(seen).toEqual([...new Set(seen)]);
    expect([...stub.artifacts.keys()]).toEqual(
      expect.arrayContaining(['1/run1/artifacts/report.html', '1/run1/artifacts/multiplier.v']),
    );
    const count = (all: readonly string[], part: string) => all.filter((text) => text.includes(part)).length;
    expect(count(processes.flat(), 'cannot be reached')).toBeGreaterThan(0);
    for (const one of processes) {
      const away = count(one, 'cannot be reached');
      expect([away - 1, away]).toContain(count(one, 'answers again'));
    }
  });
});

describe('an MLflow server', () => {
  const folder = join(parent, 'away');
  /** With a server that does not answer; one that answers gets all the time that a busy machine takes. */
  const short = { first: 5, most: 20, end: 300, call: 100 };
  const logTo = (url: string, notes: string[], patience = { first: 5, most: 20, end: 30_000, call: 30_000 }) => {
    const listener = (event: RunEvent) => void (event.kind === 'note' && notes.push(event.text));
    return new MlflowLog({ url }, { folder, manifest: readManifest(folder), listener }, patience);
  };

  beforeAll(() => cpSync(join(parent, 'plain'), folder, { recursive: true }));

  test.each([
    ['refuses the connection', undefined],
    ['never answers', 'silent'],
    ['fails', 500],
  ] as const)('that %s costs one warning, and what is missed is sent later', async (_, fate) => {
    rmSync(join(folder, 'mlflow.json'), { force: true });
    const stub = new MlflowStub();
    const url = await stub.listen();
    if (fate === undefined) await stub.close();
    else stub.fate = () => fate;
    const notes: string[] = [];
    const log = logTo(url, notes, short);
    await log.close('done');
    expect(notes).toEqual([
      expect.stringMatching(/^MLflow: .* cannot be reached \(.+\); training goes on, and it is tried again$/),
      expect.stringContaining(`tram export ${folder} --mlflow ${url}`),
    ]);
    if (fate === undefined) return;
    stub.fate = () => 'done';
    const later = logTo(url, notes);
    await later.close('done');
    expect(later.isComplete).toBe(true);
    expect(notes.length).toBe(2);
    expect(stub.runs.get('run1')!.metrics.filter(({ key }) => key.endsWith('/loss')).length).toBeGreaterThan(6);
    await stub.close();
  });

  test('gets credentials from the environment, which are never kept; what it refuses is not tried again', async () => {
    rmSync(join(folder, 'mlflow.json'), { force: true });
    const stub = new MlflowStub();
    const url = await stub.listen();
    const secret = 'very-secret-token';
    process.env.MLFLOW_TRACKING_TOKEN = secret;
    try {
      stub.fate = (path) => (path.includes('log-batch') ? 403 : 'done');
      const notes: string[] = [];
      await logTo(url, notes).close('done');
      expect(notes).toEqual([expect.stringMatching(/refuses: 403 .*; the run goes on without this log$/)]);
      expect(stub.calls.filter(({ path }) => path.includes('log-batch')).length).toBe(1);
      expect(new Set(stub.calls.map(({ authorization }) => authorization))).toEqual(new Set([`Bearer ${secret}`]));
      expect(readFileSync(join(folder, 'mlflow.json'), 'utf8') + notes.join()).not.toContain(secret);
    } finally {
      delete process.env.MLFLOW_TRACKING_TOKEN;
      await stub.close();
    }
  });

  test('whose artifacts lie elsewhere gets none, and that is said', async () => {
    rmSync(join(folder, 'mlflow.json'), { force: true });
    const stub = new MlflowStub();
    stub.artifactUri = (id) => `s3://bucket/${id}`;
    const notes: string[] = [];
    await logTo(await stub.listen(), notes).close('done');
    expect(notes).toEqual([expect.stringContaining('artifacts of this server lie at s3://bucket/run1')]);
    expect(stub.artifacts.size).toBe(0);
    await stub.close();
  });
});

test('an event file that is damaged in the middle is continued from there', async () => {
  const folder = join(parent, 'damaged');
  cpSync(join(parent, 'redone'), folder, { recursive: true });
  const path = join(folder, eventFile(readManifest(folder)));
  const half = readFileSync(path).subarray(0, 9000);
  rmSync(path);
  appendFileSync(path, half);
  appendFileSync(path, Buffer.alloc(500, 7));
  await exportLogs(folder, { tensorboard: true }, () => {});
  expect(() => readRecords(readFileSync(path))).not.toThrow();
  expect(points(shown(readFileSync(path)).get('explore/loss'))?.length).toBe(3);
  expect(existsSync(path)).toBe(true);
});
