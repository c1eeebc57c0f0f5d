// A sweep whose workers are killed at random moments: no trial is lost, none is done twice, and nobody works on a trial
// that another one has. What is true is read off a journal that the workers append to and that the claims, locks and
// results under test know nothing of; the killer writes into it, too, before each kill.
// TRAM_KILLS=200 makes it long; the same with trained networks: node scripts/check-kills.mjs.

import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { isWorkedOn, openSweep, outcomeOf } from '../../src/flow/sweep/folder.ts';
import { parseAxis, trialsOf } from '../../src/flow/sweep/grid.ts';
import { jobsOf } from '../../src/flow/sweep/tree.ts';
import { faultsIn } from './journal.ts';

const KILLS = Number(process.env.TRAM_KILLS ?? 8);
const WORKERS = 3;
const STEPS = 6;
/** Long enough that most kills come before the last trial, which does not end before all have come; only waiting. */
const STEP_MS = '100';

const parent = mkdtempSync(join(tmpdir(), 'tram-kills-'));
const children = new Set<ChildProcess>();
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(parent, { recursive: true });
});

const dist = join(import.meta.dirname, '../../dist');
const script = join(import.meta.dirname, 'worker.mjs');

/** Numbers from 0 to 1, the same ones each time (a multiplicative congruential generator, Lehmer 1951). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

test('workers killed at random lose no trial and do none twice', async () => {
  const folder = join(parent, 'sweep');
  const journal = join(parent, 'journal');
  const lambdas = Array.from({ length: Math.max(8, KILLS) }, (_, at) => at + 1);
  const trials = trialsOf({ over: [parseAxis(`lambda=${lambdas.join(',')}`)], settings: { train: { epochs: 2 } } });
  const plan = await openSweep(folder, { trials, rungs: [] });
  const jobs = jobsOf(plan.trials).map(({ path }) => path);
  writeFileSync(journal, '');
  const hold = join(parent, 'hold');
  writeFileSync(hold, jobs.at(-1)!);
  const random = numbers(14);
  let kills = 0;
  const isOpen = () => jobs.some((job) => !outcomeOf(folder, job));
  const ended = new Map<number, number | null>();
  const start = () => {
    const child = spawn(process.execPath, [script, dist, folder, journal, String(STEPS), STEP_MS, hold], {
      stdio: 'inherit',
    });
    children.add(child);
    child.on('exit', (code) => {
      children.delete(child);
      ended.set(child.pid!, code);
    });
  };
  while (isOpen()) {
    while (children.size < WORKERS) start();
    // From before the first claim to the middle of a trial.
    await setTimeout(kills < KILLS ? 100 + 300 * random() : 100);
    const victim = [...children][Math.floor(random() * children.size)];
    if (!victim || kills >= KILLS) continue;
    kills++;
    appendFileSync(journal, `kill ${victim.pid} - 0\n`);
    victim.kill('SIGKILL');
    if (kills === KILLS) rmSync(hold);
  }
  while (children.size > 0) await setTimeout(50);
  expect(kills).toBe(KILLS);
  expect(jobs.map((job) => outcomeOf(folder, job)?.state)).toEqual(jobs.map(() => 'done'));
  expect([...ended.values()].filter((code) => code !== null && code !== 0)).toEqual([]);
  const text = readFileSync(journal, 'utf8');
  expect(faultsIn(text, jobs, STEPS)).toEqual([]);
  // A claim may be left whose worker was killed just after the end of its run; it claims nothing.
  expect(isWorkedOn(folder)).toBe(false);
  console.log(`${KILLS} kills, ${jobs.length} runs of ${STEPS} steps, ${text.split('\n').length - 1} lines of journal`);
});

test('the journal tells of a trial that is lost, done twice, or in two hands', () => {
  const steps = (pid: number, from: number, to: number) =>
    Array.from({ length: to - from }, (_, at) => `step ${pid} t ${from + at + 1}`);
  const told = (...lines: readonly string[]) => faultsIn(`${lines.join('\n')}\n`, ['t'], 3);
  expect(told('begin 1 t 0', ...steps(1, 0, 3), 'done 1 t 3')).toEqual([]);
  // Killed between a step and its saving: that step is done again, and no other.
  expect(told('begin 1 t 0', ...steps(1, 0, 2), 'kill 1 - 0', 'begin 2 t 1', ...steps(2, 1, 3), 'done 2 t 3')).toEqual(
    [],
  );
  expect(told('begin 1 t 0', ...steps(1, 0, 3), 'done 1 t 3', 'kill 1 - 0', 'begin 2 t 3', 'done 2 t 3')).toEqual([]);
  expect(told('begin 1 t 0', ...steps(1, 0, 2))).toEqual(['t was never done']);
  expect(
    told('begin 1 t 0', ...steps(1, 0, 3), 'done 1 t 3', 'kill 1 - 0', 'begin 2 t 0', ...steps(2, 0, 3), 'done 2 t 3'),
  ).toEqual(['t began at 0 when 3 steps were done', 't was done again after it was done']);
  expect(told('begin 1 t 0', 'step 1 t 1', 'begin 2 t 1', ...steps(2, 1, 3), 'done 2 t 3')[0]).toBe(
    't was begun by 2 while 1 lived and had it',
  );
});
