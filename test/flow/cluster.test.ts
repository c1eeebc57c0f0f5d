// A sweep given to schedulers: the scripts and files that are written, checked by those who read them (bash, the types
// of the Kubernetes API, Python), what is submitted and remembered, and how the sweep stands. Schedulers are stand-ins
// here that write down what they are asked; a real Slurm is in scripts/check-slurm.mjs.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { keepOutcome } from '../../src/flow/sweep/folder.ts';
import { statusOf } from '../../src/flow/sweep/status.ts';
import { tram } from '../cli/program.ts';

const root = join(import.meta.dirname, '../..');
const home = process.cwd();
const path = process.env.PATH;
const place = realpathSync(mkdtempSync(join(tmpdir(), 'tram-cluster-')));
afterAll(() => {
  process.chdir(home);
  process.env.PATH = path;
  rmSync(place, { recursive: true });
});

/** A program on the path that writes down its words, and answers. */
function standIn(name: string, answer: string): void {
  mkdirSync(join(place, 'bin'), { recursive: true });
  const file = join(place, 'bin', name);
  writeFileSync(file, `#!/bin/sh\nprintf '%s\\n' "${name} $*" >> '${place}/asked'\n${answer}\n`);
  chmodSync(file, 0o755);
}

const asked = () => (existsSync(join(place, 'asked')) ? readFileSync(join(place, 'asked'), 'utf8') : '');
const textOf = (name: string) => readFileSync(join(place, 'a b', 'big', 'cluster', name), 'utf8');
const folder = 'a b/big';

beforeAll(async () => {
  process.chdir(place);
  mkdirSync('a b');
  process.env.PATH = `${join(place, 'bin')}${delimiter}${path}`;
  const { code, out } = await tram('sweep', folder, '--over', 'lambda=1,2,3', '--plan');
  expect([code, out]).toEqual([0, expect.stringMatching(/^planned: 3 trials in 'a b\/big'/)]);
  expect(existsSync(join(folder, 'trials'))).toBe(false);
});

test('Slurm: two scripts that bash reads, submitted one after the other and remembered', async () => {
  standIn('sbatch', 'case "$*" in *trials*) echo "18;north" ;; *) echo 17 ;; esac');
  standIn('squeue', 'echo "17_1|RUNNING|None"; echo "18_[1-3%2]|PENDING|Dependency"; echo "9_1|RUNNING|None"');
  const words = ['--gpus-per-task', '1', '--cpus-per-task', '4', '--time', '04:00:00', '--partition', 'gpu'];
  const more = ['--mem', '16G', '--account', 'me', '--array-limit', '2', '--sbatch', 'qos=long', '--data', 'digits'];
  const dry = await tram('sweep', 'submit', folder, '--slurm', ...words, ...more, '--dry-run');
  expect(dry).toMatchObject({ code: 0, err: '' });
  expect(asked()).toBe('');
  for (const name of ['shared.sbatch', 'trials.sbatch']) {
    expect(spawnSync('bash', ['-n'], { input: textOf(name), encoding: 'utf8' })).toMatchObject({
      status: 0,
      stderr: '',
    });
  }
  const options = textOf('trials.sbatch')
    .match(/^#SBATCH .*$/gm)!
    .map((line) => line.replace('#SBATCH --', ''));
  expect(options).toEqual([
    ...['job-name=tram-big-trials', `chdir=${place}`, 'array=1-3%2', `output="${place}/a b/big/cluster/%A_%a.log"`],
    ...['open-mode=append', 'requeue', 'signal=B:TERM@120', 'ntasks=1', 'partition=gpu', 'time=04:00:00', 'account=me'],
    ...['gpus-per-task=1', 'cpus-per-task=4', 'mem=16G', 'qos=long'],
  ]);
  // Slurm reads options up to the first command.
  expect(
    textOf('trials.sbatch')
      .split('\n')
      .findIndex((line) => line.startsWith('#SBATCH --qos')),
  ).toBeLessThan(
    textOf('trials.sbatch')
      .split('\n')
      .findIndex((line) => /^[^#]/.test(line)),
  );
  expect(textOf('trials.sbatch')).toContain(`sweep work '${place}/a b/big' --trials 1 --device cuda --data digits &`);
  expect(textOf('shared.sbatch')).toMatch(/array=1-1%2\n[\s\S]* --shared --device cuda --data digits &/);
  const { code, out } = await tram('sweep', 'submit', folder, '--slurm', ...words);
  expect([code, out]).toEqual([
    0,
    expect.stringMatching(/^job 17: .*shared\.sbatch.*1 task .*\njob 18: .*3 tasks for 3 trials\n/),
  ]);
  expect(asked().split('\n')[1]).toBe(
    `sbatch --parsable --dependency=afterany:17 ${place}/a b/big/cluster/trials.sbatch`,
  );
  const { out: status } = await tram('sweep', 'status', folder);
  expect(status).toMatch(/job 17 \(shared, 1 task\): 17_1 running\n/);
  expect(status).toMatch(/job 18 \(trials, 3 tasks\): 18_\[1-3%2\] pending \(Dependency\)/);
});

test.each([
  [[], /say for which scheduler: --slurm, --kubernetes or --ray/],
  [['--slurm', '--ray'], /cannot be used with/],
  [['--slurm', '--device', 'cuda'], /--device cuda needs GPUs: say how many a task gets with --gpus-per-task/],
  [['--slurm', '--gpus-per-task', '2'], /say with --device what a task does with them/],
  [['--slurm', '--partition', 'a;rm'], /--partition: expected a name, got 'a;rm'/],
  [['--slurm', '--sbatch', 'x\n#SBATCH y'], /--sbatch: expected an option/],
  [['--kubernetes'], /--kubernetes needs --image/],
  [['--slurm', '--image', 'x'], /--image belongs to --kubernetes and has no effect with --slurm; leave it out/],
  [['--ray', '--mem', '16G'], /--mem belongs to --slurm and --kubernetes and has no effect with --ray/],
  [['--slurm', '--mem', '16Gi'], /--mem: expected a size of Slurm such as 16G, got '16Gi'/],
  [['--slurm', '--time', '4h'], /--time: expected a time of Slurm such as 04:00:00 \(hours\), .*, got '4h'/],
  [['--slurm', '--time', '4:00'], /--time: expected at least 5 minutes, .* got '4:00'/],
])('submit %j is refused in one line', async (words, reason) => {
  const { code, err } = await tram('sweep', 'submit', folder, ...words);
  expect([code, err]).toEqual([2, expect.stringMatching(reason)]);
  expect(err.trim().split('\n')).toHaveLength(1);
});

test('a folder of any name reaches the worker as it is, and nothing in it is obeyed', async () => {
  const names = [
    '$(touch pwned)`touch pwned`',
    '"; touch pwned #',
    "it's $$HOME $(HOME)",
    '50%a %A %%',
    '- x: [y, &z]',
    'a\u2028b\u0085c\x7f😀',
  ];
  const hostile = ['a\\nb', 'a\nb'];
  const plan = readFileSync(join(folder, 'sweep.json'));
  for (const name of [...names, ...hostile]) {
    mkdirSync(join(place, 'odd', name), { recursive: true });
    writeFileSync(join(place, 'odd', name, 'sweep.json'), plan);
  }
  const submit = (name: string, ...words: string[]) => tram('sweep', 'submit', join('odd', name), ...words);
  const clusterFile = (name: string, file: string) => readFileSync(join(place, 'odd', name, 'cluster', file), 'utf8');
  for (const name of names) {
    expect(await submit(name, '--slurm', '--dry-run', '--program', 'printf')).toMatchObject({ code: 0 });
    const script = clusterFile(name, 'trials.sbatch');
    const said = spawnSync('bash', ['-c', script.replace(/ sweep work /, " '%s\\n' ")], {
      cwd: place,
      encoding: 'utf8',
    });
    expect(said.stdout.split('\n')[0]).toBe(join(place, 'odd', name));
    expect(script).toMatch(/^#SBATCH --output=[^\n]*\/cluster\/%A_%a\.log"?$/m);
    const log = /^#SBATCH --output=([^\n]*)$/m
      .exec(script)![1]!
      .replace(/^"([^\n]*)"$/, '$1')
      .replace(/\\(.)/g, '$1');
    // As Slurm fills it in.
    expect(log.replace(/%(.)/g, (_, symbol) => (symbol === '%' ? '%' : '7'))).toBe(
      join(place, 'odd', name, 'cluster/7_7.log'),
    );
    const pod = await submit(name, '--kubernetes', '--image', 'tram', '--volume', 'home');
    expect(pod).toMatchObject({ code: 0 });
    const job = clusterFile(name, 'kubernetes.yaml');
    // Ends of lines to some readers of YAML, and what others refuse.
    expect(job).not.toMatch(/[\x7f-\x9f\u2028\u2029]/);
    const [worker] = parse(job).spec.template.spec.containers;
    // As Kubernetes does: $$ is one, and of a variable it knows the value.
    const seen = worker.command[3].replace(/\$(\$|\((\w+)\))/g, (_: string, what: string) =>
      what === '$' ? '$' : '/root',
    );
    expect(seen).toBe(join('odd', name));
  }
  for (const name of hostile) {
    const { code, err } = await submit(name, '--slurm', '--dry-run');
    expect([code, err]).toEqual([2, expect.stringMatching(/choose another one/)]);
    expect(err.trim().split('\n')).toHaveLength(1);
  }
  expect(existsSync(join(place, 'pwned'))).toBe(false);
});

test('what sbatch refuses is told in its words', async () => {
  standIn('sbatch', 'echo "sbatch: error: invalid partition specified: gpu" >&2; exit 1');
  const { code, err } = await tram('sweep', 'submit', folder, '--slurm');
  expect([code, err]).toEqual([2, 'tram: sbatch: sbatch: error: invalid partition specified: gpu\n']);
});

/** What the compiler says of a Job against the types of the Kubernetes API. */
function faultsOf(job: unknown): string {
  const types = join(place, 'types');
  mkdirSync(types, { recursive: true });
  writeFileSync(
    join(types, 'job.ts'),
    `import type { Job } from 'kubernetes-types/batch/v1';\nexport const job: Job = ${JSON.stringify(job)};\n`,
  );
  const compilerOptions = {
    ...{ strict: true, noEmit: true, skipLibCheck: true, module: 'esnext', moduleResolution: 'bundler', types: [] },
    paths: { 'kubernetes-types/*': [join(root, 'node_modules/kubernetes-types/*')] },
  };
  writeFileSync(join(types, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['job.ts'] }));
  return spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', types], { encoding: 'utf8' }).stdout;
}

test('Kubernetes: an indexed Job that the types of its API accept, down to every name', async () => {
  const words = ['--image', 'registry/tram:1', '--volume', 'home', '--gpus-per-task', '1', '--mem', '16Gi'];
  expect(await tram('sweep', 'submit', folder, '--kubernetes', ...words, '--array-limit', '2')).toMatchObject({
    code: 0,
  });
  const job = parse(textOf('kubernetes.yaml'));
  expect(faultsOf(job)).toBe('');
  const misspelt = structuredClone(job);
  misspelt.spec.template.spec.containers[0].volumeMounts[0].mountpath = '/x';
  expect(faultsOf(misspelt)).toMatch(/mountpath/);
  expect(job.spec).toMatchObject({ completionMode: 'Indexed', completions: 3, parallelism: 2 });
  const { template } = job.spec;
  const [worker] = template.spec.containers;
  expect(worker.command).toEqual(['tram', 'sweep', 'work', 'a b/big', '--trials', '1', '--device', 'cuda']);
  expect(worker.resources.limits).toEqual({ 'nvidia.com/gpu': '1', memory: '16Gi' });
  expect(worker.workingDir).toBe(worker.volumeMounts[0].mountPath);
  // What the API asks for beyond its types: rules that name a container, no restart in place, a volume for each mount.
  expect(template.spec.restartPolicy).toBe('Never');
  expect(job.spec.podFailurePolicy.rules[1].onExitCodes.containerName).toBe(worker.name);
  expect(worker.volumeMounts[0].name).toBe(template.spec.volumes[0].name);
});

const hasPython = spawnSync('python3', ['--version']).status === 0;

test.skipIf(!hasPython)('Ray: a script that submits what is shared first, then a job for each trial', async () => {
  expect(await tram('sweep', 'submit', folder, '--ray', '--gpus-per-task', '1', '--array-limit', '2')).toMatchObject({
    code: 0,
  });
  // As much of ray.job_submission as there is to call, with the names of its arguments.
  mkdirSync(join(place, 'python/ray'), { recursive: true });
  writeFileSync(join(place, 'python/ray/__init__.py'), '');
  writeFileSync(
    join(place, 'python/ray/job_submission.py'),
    `import enum
class JobStatus(str, enum.Enum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
class JobSubmissionClient:
    jobs = {}
    def __init__(self, address=None): print("to", address)
    def submit_job(self, *, entrypoint, runtime_env=None, entrypoint_num_cpus=None, entrypoint_num_gpus=None):
        open_jobs = [job for job, asked in self.jobs.items() if asked < 2]
        print("at once", len(open_jobs) + 1, entrypoint_num_gpus, entrypoint)
        self.jobs[len(self.jobs)] = 0
        return len(self.jobs) - 1
    def get_job_status(self, job):
        self.jobs[job] += 1
        return JobStatus.RUNNING if self.jobs[job] < 2 else JobStatus.SUCCEEDED
`,
  );
  const env = {
    ...process.env,
    PYTHONPATH: join(place, 'python'),
    POLL_SECONDS: '0.01',
    RAY_ADDRESS: 'http://head:8265',
  };
  const said = execFileSync('python3', [join(folder, 'cluster/ray_jobs.py')], { env, encoding: 'utf8' }).split('\n');
  const jobs = said.filter((line) => line.startsWith('at once'));
  expect(said[0]).toBe('to http://head:8265');
  expect(jobs.map((line) => line.match(/--shared|--trials 1/)?.[0])).toEqual([
    '--shared',
    ...Array(3).fill('--trials 1'),
  ]);
  expect(jobs.map((line) => Number(line.split(' ')[2]))).toEqual([
    1,
    1,
    2,
    expect.toSatisfy((one: number) => one <= 2),
  ]);
  expect(jobs[1]).toContain(`1 cd ${place} && exec `);
});

test('status: done, failed, at work and silent on other hosts, and what waits for what', async () => {
  const [shared] = (await statusOf(folder)).jobs;
  expect(shared).toMatchObject({ job: expect.stringMatching(/^shared\//), state: 'waiting' });
  expect((await statusOf(folder)).jobs[1]).toMatchObject({ job: 'trials/lambda1', waitsFor: shared!.job });
  for (const kind of ['shared', 'trials']) mkdirSync(join(folder, kind));
  keepOutcome(folder, shared!.job, { state: 'done', begun: true, seconds: 100 });
  keepOutcome(folder, 'trials/lambda1', { state: 'failed', reason: 'the loss is no number', begun: true, seconds: 1 });
  const claim = (trial: string, host: string) => {
    const owner = {
      token: 'f00df00df00d',
      pid: 7,
      host,
      place: 'other pid:[1]',
      started: '1',
      since: '2026-01-01T10:00:00.000Z',
    };
    mkdirSync(join(folder, `trials/${trial}.claim`), { recursive: true });
    writeFileSync(
      join(folder, `trials/${trial}.claim/.lock`),
      JSON.stringify({ ...owner, command: '', task: 'Slurm task 18_2' }),
    );
  };
  claim('lambda2', 'node7');
  claim('lambda3', 'node8');
  mkdirSync(join(folder, 'trials/lambda2'));
  const record = {
    phase: 'explore',
    epoch: 3,
    loss: 1,
    crossEntropy: 1,
    trainAccuracy: 0,
    testLoss: 1,
    testAccuracy: 0,
  };
  writeFileSync(
    join(folder, 'trials/lambda2/metrics.jsonl'),
    `${JSON.stringify({ ...record, learningRate: 1 })}\n{"pha`,
  );
  const beat = setInterval(() => claim('lambda2', 'node7'), 50);
  const status = await statusOf(folder, { watch: 0.6 }).finally(() => clearInterval(beat));
  expect(status).toMatchObject({ trials: 3, done: 0, failed: 1, running: 1, stale: 1, waiting: 0 });
  expect(status.jobs.slice(1)).toMatchObject([
    { state: 'failed', reason: 'the loss is no number' },
    { state: 'running', host: 'node7', pid: 7, task: 'Slurm task 18_2', phase: 'explore', epoch: 3 },
    { state: 'silent', host: 'node8' },
  ]);
  expect(status.epochsLeft).toBeGreaterThan(0);
  expect(status.secondsLeft).toBeGreaterThan(0);
  const { out } = await tram('sweep', 'status', folder, '--watch', '0', '--no-color');
  expect(out).toMatch(/0 of 3 trials done, 1 failed, 2 silent/);
  expect(out).toMatch(/trials\/lambda1: the loss is no number/);
});

test('what failed before it began is left: status says why, submit counts it, and the rest needs --retry', async () => {
  expect(await tram('sweep', 'early', '--over', 'lambda=1,2', '--plan')).toMatchObject({ code: 0 });
  for (const kind of ['shared', 'trials']) mkdirSync(join('early', kind));
  const [shared] = (await statusOf('early')).jobs;
  const failed = { state: 'failed', reason: 'no GPU here', seconds: 1 } as const;
  keepOutcome('early', shared!.job, { ...failed, begun: false });
  keepOutcome('early', 'trials/lambda1', { ...failed, begun: false });
  keepOutcome('early', 'trials/lambda2', { state: 'done', begun: true, seconds: 1 });
  const status = await tram('sweep', 'status', 'early', '--no-color');
  expect(status.out).toMatch(/^early: 1 of 2 trials done, 1 shared run before them, 2 waiting, /);
  expect(status.out).toMatch(/failed before it began \(the next worker .*\n.*\n {2}trials\/lambda1: no GPU here\n$/);
  const submit = (...words: string[]) => tram('sweep', 'submit', 'early', '--slurm', '--dry-run', ...words);
  expect((await submit()).out).toMatch(/shared\.sbatch, 1 task .*\n.*1 task for 1 trial\n/);
  for (const job of [shared!.job, 'trials/lambda1']) {
    rmSync(join('early', `${job}.json`));
    keepOutcome('early', job, { ...failed, begun: true });
  }
  expect(await submit()).toMatchObject({ code: 2, err: expect.stringMatching(/no trial is left to do/) });
  expect((await submit('--retry')).out).toMatch(/1 task for 1 trial\nagain without --dry-run submits/);
  expect(existsSync('early/trials/lambda1.json')).toBe(true);
});

test('a worker that is told twice to end saves once, gives its trial back, and another one goes on', async () => {
  const words = ['--sample', '60', '--train-epochs', '400', '--multiplier', 'dadda:3x3', '--bits', '3'];
  expect(await tram('sweep', 'told', '--over', 'seed=1,2', ...words, '--plan')).toMatchObject({ code: 0 });
  const main = join(root, 'dist/cli/main.js');
  const child = spawn(process.execPath, [main, 'sweep', 'work', 'told', '--trials', '1', '--threads', '1'], {
    cwd: place,
  });
  let out = '';
  child.stdout.on('data', (data) => {
    out += data;
  });
  let err = '';
  child.stderr.on('data', (data) => {
    err += data;
  });
  const ended = new Promise<number | null>((done) => child.on('close', done));
  while (child.exitCode === null && !out.includes('epoch 2/400')) await setTimeout(100);
  child.kill('SIGTERM');
  child.kill('SIGTERM');
  await setTimeout(30);
  child.kill('SIGTERM');
  expect(await ended).toBe(143);
  expect(err).toMatch(/^tram: stopped; the work so far is saved, and any worker on the sweep goes on with it\n$/);
  expect(existsSync('told/trials/seed1/checkpoints/resume.safetensors')).toBe(true);
  expect(existsSync('told/trials/seed1.claim')).toBe(false);
  expect(existsSync('told/trials/seed1.json')).toBe(false);
});
