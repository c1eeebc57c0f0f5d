// A sweep on a real Slurm of one node, started here and ended with this script: submitted with tram sweep submit, one
// task cancelled in the middle and put back by hand, one told that its time is over, which puts itself back; the front
// and the trained weights have to be those of a sweep without Slurm, to the last bit.
// Needs root, slurmctld, slurmd and munged (Debian: slurm-wlm, munge); without them it says so and ends well.
//
//   node scripts/check-slurm.mjs [--keep]        --keep: leave the folder for a look at logs
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { queueOf, submittedJobs } from '../dist/flow/sweep/cluster/slurm.js';
import { statusOf } from '../dist/flow/sweep/status.js';

const program = join(import.meta.dirname, '../dist/cli/main.js');
const place = mkdtempSync(join(tmpdir(), 'tram-slurm-'));
chmodSync(place, 0o755);
const daemons = [];
process.on('exit', () => {
  for (const daemon of daemons) daemon.kill('SIGKILL');
  if (process.argv.includes('--keep')) console.log(`kept: ${place}`);
  else rmSync(place, { recursive: true, force: true });
});

for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => process.exit(1));

function skip(reason) {
  console.log(`Slurm is not tested: ${reason}`);
  process.exit(0);
}

if (process.getuid?.() !== 0) skip('its daemons are started as root');
const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
for (const name of ['slurmctld', 'slurmd', 'munged', 'sbatch']) {
  if (spawnSync('which', [name], { env: { PATH } }).status !== 0) skip(`${name} is not installed (slurm-wlm, munge)`);
}

const freePort = () =>
  new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });

const node = hostname().split('.')[0];
const at = (name) => join(place, name);
for (const name of ['state', 'spool', 'munge']) mkdirSync(at(name));
writeFileSync(at('munge.key'), randomBytes(128), { mode: 0o400 });
writeFileSync(
  at('slurm.conf'),
  `ClusterName=tram
SlurmctldHost=${node}(127.0.0.1)
SlurmctldPort=${await freePort()}
SlurmdPort=${await freePort()}
SlurmUser=root
AuthType=auth/munge
# A job that was put back waits for so many seconds: 120 where nothing is said.
AuthInfo=socket=${at('munge/socket')},cred_expire=5
StateSaveLocation=${at('state')}
SlurmdSpoolDir=${at('spool')}
SlurmctldPidFile=${at('slurmctld.pid')}
SlurmdPidFile=${at('slurmd.pid')}
SlurmctldLogFile=${at('slurmctld.log')}
SlurmdLogFile=${at('slurmd.log')}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=15
NodeName=${node} NodeHostname=${node} NodeAddr=127.0.0.1 CPUs=1 State=UNKNOWN
PartitionName=main Nodes=${node} Default=YES MaxTime=INFINITE State=UP
`,
);
process.env.PATH = PATH;
process.env.SLURM_CONF = at('slurm.conf');
const env = { ...process.env, FORCE_COLOR: '', NO_COLOR: '1' };

function daemon(name, ...args) {
  const child = spawn(name, args, { env, cwd: place, stdio: ['ignore', 'ignore', 'pipe'] });
  child.said = '';
  child.stderr.on('data', (data) => {
    child.said = (child.said + data).slice(-2000);
  });
  child.on('error', (error) => {
    child.said += error.message;
  });
  daemons.push(child);
  return child;
}

const call = (name, ...args) =>
  execFileSync(name, args, { env, cwd: place, encoding: 'utf8', timeout: 120_000 }).trim();
const tram = (...args) => call(process.execPath, program, ...args);
/** Asks until the answer is one; each question costs little. */
async function until(what, seconds, ask) {
  for (const end = performance.now() + 1000 * seconds; performance.now() < end; await setTimeout(100)) {
    const answer = await ask();
    if (answer) return answer;
  }
  throw new Error(`waited ${seconds} s in vain for ${what}`);
}

const munged = daemon(
  'munged',
  '--foreground',
  '--force',
  `--socket=${at('munge/socket')}`,
  `--key-file=${at('munge.key')}`,
  `--pid-file=${at('munge/pid')}`,
  `--log-file=${at('munge/log')}`,
  `--seed-file=${at('munge/seed')}`,
);
const controller = daemon('slurmctld', '-D', '-i', '-f', at('slurm.conf'));
const worker = daemon('slurmd', '-D', '-N', node, '-f', at('slurm.conf'));
const sinfo = () => spawnSync('sinfo', ['--noheader', '--format=%T'], { env, encoding: 'utf8', timeout: 5000 });
await until('an idle node', 25, () => sinfo().stdout?.trim() === 'idle').catch((error) => {
  const logs = ['slurmctld.log', 'slurmd.log', 'munge/log'].filter((name) => existsSync(at(name)));
  const last = logs.map((name) => readFileSync(at(name), 'utf8').trim().split('\n').at(-1));
  skip([error.message, ...last, ...[munged, controller, worker].map(({ said }) => said.trim())].join('; '));
});
console.log(`${call('sinfo', '--version')} is up on ${node}`);

const epochs = 12;
const plan = ['--over', 'multiplier=exact:3x3,exact:2x3', '--sample', '60', '--train-epochs', '1'];
const short = [...plan, '--recover-epochs', String(epochs)];
const words = ['--threads', '1', '--no-synthesis'];

const folder = at('sweep');
tram('sweep', 'sweep', ...short, '--plan');
const { submitted } = JSON.parse(
  tram('sweep', 'submit', 'sweep', '--slurm', '--cpus-per-task', '1', ...words, '--json'),
);
const { tasks } = submitted.find(({ part }) => part === 'trials');
assert.equal(tasks, 2);
console.log(`submitted: ${submitted.map((one) => `job ${one.job}, ${one.part}, ${one.tasks} tasks`).join('; ')}`);

const trials = () => (existsSync(at('sweep/trials')) ? readdirSync(at('sweep/trials')) : []);
const logged = (name) => {
  const path = join(folder, 'trials', name, 'metrics.jsonl');
  if (!existsSync(path)) return 0;
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.includes('"recover"')).length;
};
const stateOf = (task) => call('squeue', '--noheader', '--states=all', '--format=%T', `--jobs=${task}`);
const claimOf = (name) => {
  try {
    return JSON.parse(readFileSync(join(folder, 'trials', `${name}.claim`, '.lock'), 'utf8'));
  } catch {
    return undefined;
  }
};

/** A trial in the middle of its recovery, and its task. */
const inTheMiddle = (but) =>
  until('a trial in the middle of its recovery', 120, () => {
    for (const name of trials().filter((one) => !one.includes('.') && one !== but)) {
      const claim = claimOf(name);
      if (claim && logged(name) >= 2 && logged(name) < epochs / 2) return { name, task: claim.task.split(' ').at(-1) };
    }
    return undefined;
  });

const first = await inTheMiddle();
// In this process: a program takes longer to start than the trial to end.
const shown = await statusOf(folder);
const queue = await queueOf(submittedJobs(folder));
const seen = shown.jobs.find((one) => one.job === `trials/${first.name}`);
assert.equal(seen.state, 'running');
assert.equal(seen.host, hostname());
assert.equal(seen.task, `Slurm task ${first.task}`);
assert.ok(
  queue.some((one) => one.state === 'RUNNING'),
  JSON.stringify(queue),
);

call('scancel', first.task);
await until('the end of the cancelled task', 30, () => stateOf(first.task) === 'CANCELLED');
assert.equal(claimOf(first.name), undefined, 'a cancelled task has given its trial back');
const done = logged(first.name);
assert.ok(done >= 2 && done < epochs, `the cancelled trial stands at epoch ${done}`);
console.log(
  `cancelled: task ${first.task} after ${done} of ${epochs} epochs of ${first.name}; the claim is given back`,
);
call('scontrol', 'requeue', first.task);

const second = await inTheMiddle(first.name);
// As Slurm does it before the end of a task's time: the batch script alone is told.
call('scancel', '--batch', '--signal=TERM', second.task);
await until('the task to be back in the queue', 30, () => /PENDING|REQUEUE/.test(stateOf(second.task)));
console.log(`told that its time is over: task ${second.task}, ${second.name}; it is back in the queue`);

await until(
  'the end of the sweep',
  150,
  () => existsSync(at('sweep/front.json')) && call('squeue', '--noheader') === '',
);

console.log('the same sweep without Slurm');
tram('sweep', 'alone', ...short, '--quiet', ...words);

const sha256 = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');
const names = trials().filter((one) => !one.includes('.'));
assert.equal(names.length, 2);
for (const name of names) {
  for (const file of ['checkpoints/recovered.safetensors', 'metrics.jsonl', 'multiplier.v']) {
    const path = join('trials', name, file);
    assert.equal(sha256(at(join('sweep', path))), sha256(at(join('alone', path))), `${path} differs`);
  }
}
const front = (name) => JSON.parse(readFileSync(at(`${name}/front.json`), 'utf8'));
assert.deepEqual(front('sweep'), front('alone'));

// What was saved was not done again: each epoch of each trial is told once in the logs of all tasks.
const logs = readdirSync(at('sweep/cluster')).filter((name) => name.endsWith('.log'));
const told = logs.flatMap(
  (name) => readFileSync(at(`sweep/cluster/${name}`), 'utf8').match(/^trials\/\S+: recover epoch \d+/gm) ?? [],
);
const twice = told.filter((line, index) => told.indexOf(line) !== index);
assert.deepEqual(twice, [], 'epochs that were done twice');
assert.equal(told.length, 2 * epochs);
const stops = logs.flatMap(
  (name) => readFileSync(at(`sweep/cluster/${name}`), 'utf8').match(/the work so far is saved/g) ?? [],
);
assert.equal(stops.length, 2);
console.log(
  `equal: front, weights, logs and netlists of ${names.length} trials; no epoch twice; 2 stops, after which the trials went on where they were`,
);
// Its daemons end with it.
process.exit(0);
