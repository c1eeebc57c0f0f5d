import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { FlowOptions } from '../flow/flow.ts';
import { UserError } from '../tensor/errors.ts';
import { runProgram } from './program.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-log-options-'));
afterAll(() => rmSync(parent, { recursive: true }));

/** What the flow is asked for by a command, and what the command says. */
async function asked(...args: string[]): Promise<{ asked: FlowOptions[]; err: string }> {
  const all: FlowOptions[] = [];
  let err = '';
  const runFlow = async (options: FlowOptions) => {
    all.push(options);
    throw new UserError('asked');
  };
  await runProgram(args, {
    stdout: { write: () => {} },
    stderr: {
      write: (text) => {
        err += text;
      },
    },
    loadFlow: async () => ({ runFlow, evaluateRun: () => Promise.reject(new UserError('asked')) }),
  });
  return { asked: all, err };
}

test('logs are asked for by options, not by settings', async () => {
  const url = 'http://127.0.0.1:5000';
  const given = ['--tensorboard', '--mlflow', `${url}/`, '--mlflow-experiment', 'digits'];
  const { asked: runs } = await asked('run', join(parent, 'run'), ...given);
  expect(runs[0]).toMatchObject({ settings: {}, logs: { tensorboard: true, mlflow: { url, experiment: 'digits' } } });
  expect((await asked('run', join(parent, 'run'))).asked[0]!.logs).toEqual({});
});

test('every run of a sweep has them, in its own folder and with the sweep as a tag', async () => {
  const given = ['--over', 'lambda=1,2', '--tensorboard', '--mlflow', 'https://mlflow.example/tracking'];
  const { asked: runs } = await asked('sweep', join(parent, 'lambdas'), ...given);
  expect(runs.length).toBeGreaterThan(0);
  const mlflow = { url: 'https://mlflow.example/tracking', tags: { 'tram.sweep': 'lambdas' } };
  for (const run of runs) expect(run.logs).toEqual({ tensorboard: true, mlflow });
});

test.each([
  ['http://anna:geheim@127.0.0.1:5000', 'holds credentials'],
  ['http://127.0.0.1:5000/?token=geheim', 'no query'],
  ['ftp://geheim', 'http or https'],
  ['geheim', 'no address'],
])('the address %s is refused, and not repeated', async (url, reason) => {
  const { asked: runs, err } = await asked('run', join(parent, 'other'), '--mlflow', url);
  expect([runs.length, err]).toEqual([0, expect.stringContaining(reason)]);
  expect(err).not.toContain('geheim');
});

test('an experiment without a server is a mistake', async () => {
  expect((await asked('run', '--mlflow-experiment', 'a')).err).toContain(
    '--mlflow-experiment has no effect without --mlflow',
  );
});
