// The work on a sweep with runs that only pretend: who claims what, in which order, and what becomes of failures.

import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { errorMetrics } from '../../multiplier/metrics.ts';
import { exactTable } from '../../multiplier/table.ts';
import { StorageError, UserError } from '../../tensor/errors.ts';
import { requireNewFolder } from '../ahead.ts';
import type { FlowOptions } from '../flow.ts';
import type { RunSummary } from '../results/summary.ts';
import type { DeviceOptions } from '../run/device.ts';
import { lockRun } from '../run/lock.ts';
import { MANIFEST_VERSION, readManifest, writeManifest } from '../run/manifest.ts';
import { type ConfigurationInput, parseConfiguration } from '../settings/config.ts';
import type { SweepEvent } from './events.ts';
import { claimPath, keepOutcome, openSweep, outcomeOf, type SweepPlan } from './folder.ts';
import { parseAxis, trialsOf } from './grid.ts';
import { statusOf } from './status.ts';
import { planSweep, reportSweep, sweep, workOnSweep } from './sweep.ts';
import { workOn } from './work.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-work-'));
afterAll(() => rmSync(parent, { recursive: true }));

const trials = (...over: string[]) => trialsOf({ over: over.map(parseAxis), settings: { train: { epochs: 2 } } });

async function newSweep(name: string, over: readonly string[], rungs: readonly number[] = []) {
  const folder = join(parent, name);
  return { folder, plan: await openSweep(folder, { trials: trials(...over), rungs: [...rungs] }) };
}

const summary = { stages: [{ stage: 'float', accuracy: 0.5, loss: 1 }] } as unknown as RunSummary;
const phaseStart = { kind: 'phase-start', phase: 'train', title: '', resumed: false } as const;

/** Works with a pretended run; the runs in the order in which they ended, and the events. */
async function work(
  { folder, plan }: { folder: string; plan: SweepPlan },
  run: (name: string, options: FlowOptions) => Promise<void> | void,
  more: {
    slots?: number | readonly DeviceOptions[];
    signal?: AbortSignal;
    retry?: boolean;
    trials?: number;
    sharedOnly?: boolean;
  } = {},
) {
  const done: string[] = [];
  const events: SweepEvent[] = [];
  const { slots = 1, ...rest } = more;
  const perform = async (options: FlowOptions) => {
    const name = `${basename(dirname(options.folder))}/${basename(options.folder)}`;
    options.listener?.(phaseStart);
    await run(name, options);
    done.push(name);
    return summary;
  };
  const error = await workOn({
    ...{ folder, plan, perform, slots: typeof slots === 'number' ? Array.from({ length: slots }, () => ({})) : slots },
    listener: (event) => events.push(event),
    ...rest,
  }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { done, events, error };
}

const statesOf = (folder: string, plan: SweepPlan) =>
  plan.trials.map(({ name }) => outcomeOf(folder, `trials/${name}`)?.state);

test('what is shared is done first and once, and trials branch from it', async () => {
  const sweep = await newSweep('order', ['lambda=1,2', 'seed=1,2']);
  const from = new Map<string, string | undefined>();
  const { done, error } = await work(sweep, (name, options) => void from.set(name, options.from));
  expect(error).toBeUndefined();
  expect(done).toHaveLength(6);
  for (const name of done.filter((one) => one.startsWith('trials/'))) {
    const source = from.get(name)!;
    expect(source.startsWith(join(sweep.folder, 'shared'))).toBe(true);
    expect(done.indexOf(`shared/${basename(source)}`)).toBeLessThan(done.indexOf(name));
  }
  expect(statesOf(sweep.folder, sweep.plan)).toEqual(['done', 'done', 'done', 'done']);
  // Nothing is left to claim, and a second round finds nothing to do.
  expect(readdirSync(join(sweep.folder, 'trials')).filter((name) => name.endsWith('.claim'))).toEqual([]);
  expect((await work(sweep, () => {})).done).toEqual([]);
});

/** Waits until so many wait, who then go on together. */
function inGroups(size: number): () => Promise<void> {
  let waiting: (() => void)[] = [];
  return () =>
    new Promise((go) => {
      waiting.push(go);
      if (waiting.length < size) return;
      for (const one of waiting) one();
      waiting = [];
    });
}

test('of several devices each has one run at a time, and none is idle while there is work', async () => {
  const sweep = await newSweep('devices', ['lambda=1,2,3,4,5,6']);
  const slots = [0, 1].map((index) => ({ name: 'cuda' as const, index }));
  const busy = new Set<number>();
  const pairs = inGroups(2);
  const served = new Map<string, number>();
  const { error, events } = await work(
    sweep,
    async (name, { device }) => {
      expect(device!.name).toBe('cuda');
      expect(busy.has(device!.index!)).toBe(false);
      busy.add(device!.index!);
      served.set(name, device!.index!);
      // A trial ends once there is one on the other device: with an idle device none would.
      if (name.startsWith('trials/')) await pairs();
      busy.delete(device!.index!);
    },
    { slots },
  );
  expect(error).toBeUndefined();
  const counts = slots.map(({ index }) => [...served.values()].filter((one) => one === index).length);
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(7);
  for (const count of counts) expect(count).toBeGreaterThanOrEqual(3);
  expect(events.flatMap((event) => (event.kind === 'begin' ? [event.device] : []))).toContain('cuda:1');
});

test('several workers on one folder never have the same run, and all wait for the last', async () => {
  const sweep = await newSweep('together', ['lambda=1,2,3,4,5,6']);
  const atWork = new Set<string>();
  const ended = new Set<string>();
  const threes = inGroups(3);
  const run = async (name: string) => {
    expect(atWork.has(name)).toBe(false);
    if (name.startsWith('trials/')) expect([...ended].some((one) => one.startsWith('shared/'))).toBe(true);
    atWork.add(name);
    // One worker has two at most.
    if (name.startsWith('trials/')) await threes();
    ended.add(name);
  };
  const both = await Promise.all([work(sweep, run, { slots: 2 }), work(sweep, run, { slots: 2 })]);
  expect(both.map(({ error }) => error)).toEqual([undefined, undefined]);
  expect(statesOf(sweep.folder, sweep.plan)).toEqual(new Array(6).fill('done'));
  expect(both.flatMap(({ done }) => done)).toHaveLength(7);
  expect(both.every(({ done }) => done.length > 0)).toBe(true);
});

test('a trial that diverges is kept with its reason and the others go on; it is tried again on demand alone', async () => {
  const sweep = await newSweep('diverging', ['lambda=1,2,3']);
  const fails = (name: string) => {
    if (name.endsWith('lambda2')) throw new UserError('the loss is no number in epoch 1; lower the learning rate');
    if (name.endsWith('lambda3')) throw new Error('index out of range');
  };
  const { events, error } = await work(sweep, fails);
  expect(error).toBeUndefined();
  expect(statesOf(sweep.folder, sweep.plan)).toEqual(['done', 'failed', 'failed']);
  expect(outcomeOf(sweep.folder, 'trials/lambda2')).toMatchObject({ reason: /lower the learning rate/, begun: true });
  expect(outcomeOf(sweep.folder, 'trials/lambda3')?.reason).toBe('internal error: index out of range');
  expect(events.filter(({ kind }) => kind === 'failed')).toHaveLength(2);
  expect((await work(sweep, () => {})).done).toEqual([]);
  expect((await work(sweep, () => {}, { retry: true })).done).toEqual(['trials/lambda2', 'trials/lambda3']);
});

test('without what it branches from a trial fails; what never began is tried again', async () => {
  const sweep = await newSweep('rootless', ['lambda=1,2']);
  const { events } = await work(sweep, () => {}, { slots: 1 });
  expect(events.at(-1)?.kind).toBe('done');
  const other = await newSweep('no-data', ['lambda=1,2']);
  const perform = async (): Promise<RunSummary> => {
    throw new UserError('the data are not there');
  };
  await workOn({ ...other, slots: [{}], perform });
  expect(statesOf(other.folder, other.plan)).toEqual(['failed', 'failed']);
  expect(outcomeOf(other.folder, 'trials/lambda1')?.reason).toMatch(/^shared\/.*failed: the data are not there$/);
  expect((await work(other, () => {})).done).toHaveLength(3);
  expect(statesOf(other.folder, other.plan)).toEqual(['done', 'done']);
});

test('a full disk ends the work, is no result of a trial, and the same call goes on', async () => {
  const sweep = await newSweep('full', ['lambda=1,2,3']);
  let isFull = true;
  const run = (name: string) => {
    if (isFull && name.endsWith('lambda2'))
      throw new StorageError('cannot write x: no space left on the disk (ENOSPC)');
  };
  const { error, done } = await work(sweep, run);
  expect(error).toBeInstanceOf(StorageError);
  expect(done).toHaveLength(2);
  expect(statesOf(sweep.folder, sweep.plan)).toEqual(['done', undefined, undefined]);
  isFull = false;
  expect((await work(sweep, run)).done).toEqual(['trials/lambda2', 'trials/lambda3']);
});

test('being stopped leaves runs without an outcome and gives the claims back', async () => {
  const sweep = await newSweep('stopped', ['lambda=1,2,3']);
  const stop = new AbortController();
  const run = (name: string, { signal }: FlowOptions) => {
    if (name.endsWith('lambda2')) stop.abort();
    signal?.throwIfAborted();
  };
  const { error } = await work(sweep, run, { signal: stop.signal });
  expect(error).toBe(stop.signal.reason);
  expect(statesOf(sweep.folder, sweep.plan)).toEqual(['done', undefined, undefined]);
  expect((await work(sweep, () => {})).done).toEqual(['trials/lambda2', 'trials/lambda3']);
});

const boot = '/proc/sys/kernel/random/boot_id';

/** As a process leaves it that was killed: of this machine and boot, with a number that no process has. */
function claimOf(folder: string, trial: string, other: object = {}): string {
  const place = existsSync(boot) ? `${readFileSync(boot, 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}` : null;
  const owner = { token: 'a'.repeat(24), pid: 2 ** 22 + 1, host: hostname(), place, started: '1', since: '' };
  const claimed = join(folder, 'trials', `${trial}.claim`);
  mkdirSync(claimed, { recursive: true });
  writeFileSync(join(claimed, '.lock'), JSON.stringify({ ...owner, command: '', ...other }));
  return claimed;
}

test.skipIf(!existsSync(boot))('a claim whose process is gone is taken over at once', async () => {
  const sweep = await newSweep('orphaned', ['lambda=1,2']);
  const claimed = claimOf(sweep.folder, 'lambda1');
  const { done, events } = await work(sweep, () => {});
  expect(done).toContain('trials/lambda1');
  // It was never taken for one that works elsewhere.
  expect(events.filter(({ kind }) => kind === 'elsewhere')).toEqual([]);
  expect(existsSync(claimed)).toBe(false);
});

test('a claim on another host holds while its heart beats, whatever the number of its process, and nobody waits for it', async () => {
  const sweep = await newSweep('two-hosts', ['lambda=1,2,3,4']);
  // The boot of this machine and a number that nobody has here: a clone of it, which works all the same.
  const claimed = ['lambda1', 'lambda2'].map((name) => claimOf(sweep.folder, name, { host: 'elsewhere' }));
  const beat = setInterval(() => {
    const time = new Date(Date.now() - 3_600_000);
    for (const path of claimed) utimesSync(join(path, '.lock'), time, time);
  }, 300);
  const start = performance.now();
  const { done, events, error } = await work(sweep, () => {}, { trials: 4 }).finally(() => clearInterval(beat));
  expect(error).toBeUndefined();
  expect(done.filter((name) => name.startsWith('trials/'))).toEqual(['trials/lambda3', 'trials/lambda4']);
  expect(events.filter(({ kind }) => kind === 'elsewhere')).toHaveLength(2);
  // Less than a silence after which it would be taken over.
  expect(performance.now() - start).toBeLessThan(20_000);
  expect(claimed.every((path) => existsSync(path))).toBe(true);
});

test('a worker does as many trials as it is to, and what they have in common before; or that alone', async () => {
  const sweep = await newSweep('part', ['lambda=1,2,3', 'seed=1,2']);
  const shared = await work(sweep, () => {}, { sharedOnly: true });
  expect(shared.done).toHaveLength(2);
  expect(shared.done.every((name) => name.startsWith('shared/'))).toBe(true);
  expect((await work(sweep, () => {}, { sharedOnly: true })).done).toEqual([]);
  expect((await work(sweep, () => {}, { trials: 1 })).done).toHaveLength(1);
  expect((await work(sweep, () => {}, { trials: 2, slots: 3 })).done).toHaveLength(2);
  const tasks = await Promise.all([1, 1, 1, 1].map((trials) => work(sweep, () => setTimeout(50), { trials })));
  expect(tasks.map(({ done }) => done.length).toSorted()).toEqual([0, 1, 1, 1]);
  expect(statesOf(sweep.folder, sweep.plan)).toEqual(new Array(6).fill('done'));
});

test('whoever has lost its claim while it stood still does not say how the trial ended', async () => {
  const sweep = await newSweep('lost-claim', ['lambda=1,2']);
  const lose = (name: string) => {
    if (name !== 'trials/lambda1' || outcomeOf(sweep.folder, name)) return;
    claimOf(sweep.folder, 'lambda1', { token: 'b'.repeat(24), host: 'elsewhere' });
    keepOutcome(sweep.folder, name, { state: 'done', begun: true, seconds: 7 });
    throw new UserError('another process has taken over');
  };
  const { error, events } = await work(sweep, lose);
  expect(error).toBeUndefined();
  expect(events.filter(({ kind }) => kind === 'failed')).toEqual([]);
  expect(outcomeOf(sweep.folder, 'trials/lambda1')).toMatchObject({ state: 'done', seconds: 7 });
  // Also while the other one is still at work.
  const other = await newSweep('lost-claims', ['lambda=1,2']);
  const taken = (name: string) => {
    if (name.startsWith('trials/')) claimOf(other.folder, basename(name), { token: 'b'.repeat(24), host: 'elsewhere' });
  };
  const stop = new AbortController();
  void setTimeout(1000).then(() => stop.abort());
  expect((await work(other, taken, { signal: stop.signal })).error).toBe(stop.signal.reason);
  expect(statesOf(other.folder, other.plan)).toEqual([undefined, undefined]);
  // Once said, it stays.
  expect(keepOutcome(sweep.folder, 'trials/lambda1', { state: 'failed', begun: true, seconds: 8 })).toBe(false);
  expect(outcomeOf(sweep.folder, 'trials/lambda1')).toMatchObject({ state: 'done', seconds: 7 });
  expect(readdirSync(join(sweep.folder, 'trials')).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

/** A run that has mapped a multiplier of this cost. */
function mapped(folder: string, gateCost: number, own: ConfigurationInput = {}): void {
  mkdirSync(folder, { recursive: true });
  const settings: ConfigurationInput = { approximate: ['all'], map: { multiplier: 'drum:8x8' }, ...own };
  const stages = [{ stage: 'mapped' as const, accuracy: 0.1, loss: 2, gateCost }];
  const multiplier = {
    ...{ name: 'multiplier', layers: ['fc'], theta: [], gateCost, mseToTarget: null, signed: false },
    ...{ metrics: errorMetrics(exactTable(2, 2)), certificate: { forms: [], pairs: 16, sha256: { table: '' } } },
  };
  writeManifest(folder, {
    ...{ format: 'tram-run', version: MANIFEST_VERSION, program: { tram: '0', node: '20' }, created: '' },
    ...{ given: settings, configuration: parseConfiguration(settings, 'test') },
    inputs: {
      data: {
        ...{ name: 'digits', sha256: '0', directory: '/', trainImages: 1, testImages: 1, classes: 10, scale: 16 },
        ...{ image: { height: 8, width: 8, channels: 1 }, mean: [0.3], deviation: [0.4], classCounts: [2], split: '' },
      },
      layers: [{ name: 'fc', macs: 640 }],
    },
    phases: {
      map: {
        ...{ settings: '{}', files: { 'multiplier.npy': '0'.repeat(64) }, stages, seconds: 1, finished: '' },
        ...{ device: { name: 'wasm', detail: '' }, multipliers: [multiplier] },
      },
    },
  });
}

test('halving: at a rung all wait for the last, the dominated are dropped, and the rest goes on where it was', async () => {
  const sweep = await newSweep('halving', ['lambda=1,2,3,4'], [1]);
  const visits: string[] = [];
  // Accuracy 0.9, 0.8, 0.7, 0.6 at costs 0.9, 0.2, 0.5, 0.6: the first two are the front.
  const costs = [0.9, 0.2, 0.5, 0.6];
  const run = (name: string, { folder, listener, signal }: FlowOptions) => {
    if (!name.startsWith('trials/')) return;
    const number = Number(name.at(-1));
    if (!visits.includes(name)) {
      mapped(folder, costs[number - 1]!);
      visits.push(name);
      const record = { phase: 'recover', epoch: 1, testAccuracy: 1 - number / 10 } as never;
      listener?.({ kind: 'epoch', epochs: 3, record });
    } else visits.push(name);
    signal?.throwIfAborted();
  };
  const { error, events } = await work(sweep, run);
  expect(error).toBeUndefined();
  expect(visits).toEqual([1, 2, 3, 4, 1, 2].map((number) => `trials/lambda${number}`));
  expect(statesOf(sweep.folder, sweep.plan)).toEqual(['done', 'done', 'dropped', 'dropped']);
  expect(events.filter(({ kind }) => kind === 'dropped')).toHaveLength(2);
  expect(outcomeOf(sweep.folder, 'trials/lambda4')?.reason).toMatch(
    /^after 1 epoch of the recovery others were better/,
  );
});

test('what trials share is gone on with under the name that an earlier program gave it, and nothing else is', async () => {
  const sweep = await newSweep('renamed', ['lambda=1,2', 'seed=1,2']);
  const place = join(sweep.folder, 'shared');
  const older = (digit: number) => join(place, `quantize-${digit}${'0'.repeat(11)}`);
  const before = { unreadable: older(0), other: older(1), claimed: older(2), done: older(3) };
  for (const [seed, folder] of [
    [1, before.done],
    [2, before.claimed],
    [3, before.other],
  ] as const) {
    mapped(folder, 0.5, { seed, train: { epochs: 2 } });
  }
  keepOutcome(sweep.folder, `shared/${basename(before.done)}`, { state: 'done', begun: true, seconds: 1 });
  mkdirSync(before.unreadable, { recursive: true });
  writeFileSync(join(before.unreadable, 'manifest.json'), '{');
  const lock = await lockRun(claimPath(sweep.folder, `shared/${basename(before.claimed)}`));
  const seeds = new Map<string, number | undefined>();
  const { error } = await work(sweep, (name, { folder }) => {
    if (!name.startsWith('shared/')) return;
    seeds.set(name, existsSync(join(folder, 'manifest.json')) ? readManifest(folder).configuration.seed : undefined);
  });
  lock.release();
  expect(error).toBeUndefined();
  expect([...seeds.values()]).toEqual([1, undefined]);
  expect(existsSync(before.done) || existsSync(`${before.done}.json`)).toBe(false);
  for (const folder of [before.claimed, before.other, before.unreadable]) expect(existsSync(folder)).toBe(true);
});

test('a trial that was killed behind the epoch of a rung is judged there all the same', async () => {
  const sweep = await newSweep('lost-rung', ['lambda=1,2'], [1]);
  const visits: string[] = [];
  const isDominated = (name: string) => name.endsWith('lambda2');
  const record = (name: string) => ({
    ...{ phase: 'recover', epoch: 1, loss: 1, crossEntropy: 1, trainAccuracy: 0.5, testLoss: 1, learningRate: 0.1 },
    testAccuracy: isDominated(name) ? 0.5 : 0.9,
  });
  // The second trial has logged the epoch, but whoever was to write down the rung is gone.
  const killed = join(sweep.folder, 'trials', 'lambda2');
  mapped(killed, 0.5);
  writeFileSync(join(killed, 'metrics.jsonl'), `${JSON.stringify(record('lambda2'))}\n`);
  const run = (name: string, { folder, listener, signal }: FlowOptions) => {
    if (!name.startsWith('trials/')) return;
    visits.push(name);
    mapped(folder, 0.5);
    if (visits.length === 1) listener?.({ kind: 'epoch', epochs: 10, record: record(name) as never });
    signal?.throwIfAborted();
  };
  expect((await work(sweep, run)).error).toBeUndefined();
  expect(visits).toEqual(['trials/lambda1', 'trials/lambda1']);
  expect(statesOf(sweep.folder, sweep.plan)).toEqual(['done', 'dropped']);
});

test('a folder of something else, other plans, and a changed plan are refused; a copy goes on', async () => {
  const foreign = join(parent, 'foreign');
  mkdirSync(foreign);
  writeFileSync(join(foreign, 'thesis.tex'), '');
  const wanted = { trials: trials('lambda=1,2'), rungs: [] };
  await expect(openSweep(foreign, wanted)).rejects.toThrow(/is not the folder of a sweep .* thesis\.tex/);
  await expect(openSweep(join(parent, 'nowhere'), undefined)).rejects.toThrow(/begin one with tram sweep .* --over/);
  const { folder } = await newSweep('mine', ['lambda=1,2']);
  // Nor is the folder of a sweep one of a run.
  for (const look of [() => readManifest(folder), () => requireNewFolder(folder, 'train')])
    expect(look).toThrow(/is the folder of a sweep, not of a run; tram sweep .* --report/);
  await expect(openSweep(folder, { trials: trials('lambda=1,3'), rungs: [] })).rejects.toThrow(
    /without the trial lambda3/,
  );
  await expect(openSweep(folder, { ...wanted, rungs: [1] })).rejects.toThrow(/without halving/);
  const copy = join(parent, 'copy');
  await work({ folder, plan: await openSweep(folder, wanted) }, (name) => {
    if (name === 'trials/lambda2') throw new StorageError('full');
  });
  cpSync(folder, copy, { recursive: true });
  rmSync(folder, { recursive: true });
  expect((await work({ folder: copy, plan: await openSweep(copy, undefined) }, () => {})).done).toEqual([
    'trials/lambda2',
  ]);
  const plan = join(copy, 'sweep.json');
  writeFileSync(plan, readFileSync(plan, 'utf8').replace('"lambda": 2', '"lambda": 5'));
  await expect(openSweep(copy, undefined)).rejects.toThrow(/was changed since the program wrote it/);
});

test('what no plan, worker or front can be made of is refused before anything is written', async () => {
  const folder = join(parent, 'refused');
  const plan = { over: [parseAxis('seed=1,2')] };
  const limits = [
    ...[-1, Number.NaN, Number.POSITIVE_INFINITY].map((loss) => [{ loss }, /^loss is .*; a number of at least 0 was/]),
    ...[-1, 0, Number.NaN].map((power) => [
      { power },
      /^power is .*; a number above 0 was expected, 1 for that of the/,
    ]),
  ] as [{ loss?: number; power?: number }, RegExp][];
  for (const [question, reason] of limits) {
    await expect(planSweep({ folder, plan, question })).rejects.toThrow(reason);
    await expect(sweep({ folder, plan, ...question })).rejects.toThrow(reason);
    await expect(reportSweep({ folder, ...question })).rejects.toThrow(reason);
  }
  await expect(planSweep({ folder, plan, rungs: [Number.NaN] })).rejects.toThrow(/^halving is after NaN; rising whole/);
  await expect(planSweep({ folder, plan, rungs: [10] })).rejects.toThrow(/^halving after 10 epochs has no effect: no /);
  await expect(sweep({ folder, plan, devices: [] })).rejects.toThrow(/^devices is empty; /);
  await expect(workOnSweep({ folder, devices: [] })).rejects.toThrow(/^devices is empty; /);
  expect(existsSync(folder)).toBe(false);
  const settings = { recover: { epochs: 40 } };
  expect((await planSweep({ folder, plan: { ...plan, settings }, rungs: 'usual' })).rungs).toEqual([10, 20]);
});

const lookers = {
  status: (folder: string) => statusOf(folder),
  work: (folder: string) => workOnSweep({ folder }),
  report: (folder: string) => reportSweep({ folder, synthesis: null }),
};

test.each([
  ['sweep.json', ['status', 'work', 'report'], /; restore it, or begin a new sweep$/],
  ['trials/lambda1.json', ['status', 'work', 'report'], /; remove it to have the run looked at again$/],
  ['trials/lambda1.rung1.json', ['work'], /; remove it to have the run looked at again$/],
] as const)('a damaged %s is told to %j in one line, with what to do', async (name, asked, advice) => {
  const { folder } = await newSweep(`damaged-${name.replaceAll('/', '-')}`, ['lambda=1,2'], [1]);
  mkdirSync(join(folder, 'trials'), { recursive: true });
  const path = join(folder, name);
  for (const text of ['', '{', 'null', '[]', '{}', '{ "state": 3, "task": 3 }']) {
    writeFileSync(path, text);
    for (const who of asked) {
      const refusal: unknown = await (async () => lookers[who](folder))().catch((error: unknown) => error);
      expect(refusal, text).toBeInstanceOf(UserError);
      expect((refusal as UserError).message).toMatch(advice);
      expect((refusal as UserError).message).toContain(path);
    }
  }
});

test('a number of trials that is none is refused', async () => {
  const { folder } = await newSweep('number', ['lambda=1,2']);
  for (const number of [0, -1, 1.5, Number.NaN]) {
    const working = workOnSweep({ folder, trials: number, signal: AbortSignal.abort(new Error('it began')) });
    await expect(working).rejects.toThrow(`trials is ${number}; a whole number of at least 1 was expected`);
  }
});
