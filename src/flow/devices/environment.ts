// Which rank this process is, as those who start one process per GPU say it in the environment: torchrun (RANK,
// WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT) and Slurm's srun (SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID,
// SLURM_JOB_NODELIST …). What is missing or contradicts itself is named: a rank that guesses would wait for ever.
// Sources: https://docs.pytorch.org/docs/stable/elastic/run.html, https://slurm.schedmd.com/srun.html

import { UserError } from '../../tensor/errors.ts';

export interface RankPlace {
  /** Who started the ranks. */
  readonly by: 'torchrun' | 'Slurm';
  /** From 0; rank 0 leads. */
  readonly rank: number;
  /** How many there are on all hosts. */
  readonly ranks: number;
  /** The number of the rank on its host, from 0. */
  readonly localRank: number;
  /** Where rank 0 is met. */
  readonly host: string;
  readonly port: number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Overrides the port at which ranks meet. */
export const PORT_VARIABLE = 'TRAM_MASTER_PORT';
/** Beyond any cluster; a larger number is a mistake. */
const MOST_RANKS = 65_536;
/** Where jobs without MASTER_PORT meet, each at a port of its own, below those that systems hand out (from 32768). */
const PORTS = { first: 12_000, count: 20_000 } as const;

const ADVICE =
  'start the program with torchrun --no-python or srun, one process per GPU, or use --device cuda:all for the GPUs of this host';

/** Throws a UserError where the environment names no rank, only a part of one, or contradicts itself. */
export function rankPlace(environment: Environment): RankPlace {
  if (torchrunNames.some((name) => said(environment, name) !== undefined)) return torchrunPlace(environment);
  if (said(environment, 'SLURM_PROCID') !== undefined) return slurmPlace(environment);
  throw new UserError(`--device cuda:ranks: neither RANK nor SLURM_PROCID says which rank this process is; ${ADVICE}`);
}

const torchrunNames = ['RANK', 'WORLD_SIZE', 'LOCAL_RANK'] as const;

function torchrunPlace(environment: Environment): RankPlace {
  require(environment, 'torchrun', [...torchrunNames, 'MASTER_ADDR', 'MASTER_PORT']);
  const ranks = count(environment, 'WORLD_SIZE');
  const place = {
    by: 'torchrun',
    ranks,
    rank: below(environment, 'RANK', ranks, 'WORLD_SIZE'),
    localRank: below(environment, 'LOCAL_RANK', ranks, 'WORLD_SIZE'),
    host: said(environment, 'MASTER_ADDR')!,
    port: torchrunPort(environment),
  } as const;
  if (said(environment, 'LOCAL_WORLD_SIZE') !== undefined) {
    below(environment, 'LOCAL_RANK', count(environment, 'LOCAL_WORLD_SIZE'), 'LOCAL_WORLD_SIZE');
  }
  refuseOtherSlurm(environment, place);
  return place;
}

/**
 * torchrun's agent may have a store of its own at MASTER_PORT, and says so; ranks then meet at the next one.
 */
function torchrunPort(environment: Environment): number {
  const own = said(environment, PORT_VARIABLE);
  if (own !== undefined) return port(environment, PORT_VARIABLE);
  const master = port(environment, 'MASTER_PORT');
  const isTaken = said(environment, 'TORCHELASTIC_USE_AGENT_STORE') === 'True';
  return isTaken ? (master < 65_535 ? master + 1 : master - 1) : master;
}

/** RANK that was exported once for all tasks of srun, which number them differently. */
function refuseOtherSlurm(environment: Environment, { rank, ranks }: RankPlace): void {
  const [task, tasks] = [said(environment, 'SLURM_PROCID'), slurmTasks(environment)];
  const byElastic = said(environment, 'TORCHELASTIC_RUN_ID') !== undefined;
  if (byElastic || task === undefined || tasks !== String(ranks) || task === String(rank)) return;
  throw new UserError(
    `the environment contradicts itself: RANK is ${rank}, SLURM_PROCID is ${task}, of ${tasks} tasks; unset RANK, WORLD_SIZE and LOCAL_RANK where srun starts the ranks`,
  );
}

const slurmTasks = (environment: Environment): string | undefined =>
  said(environment, 'SLURM_STEP_NUM_TASKS') ?? said(environment, 'SLURM_NTASKS');

function slurmPlace(environment: Environment): RankPlace {
  const tasksName = said(environment, 'SLURM_STEP_NUM_TASKS') === undefined ? 'SLURM_NTASKS' : 'SLURM_STEP_NUM_TASKS';
  require(environment, 'Slurm', ['SLURM_PROCID', tasksName, 'SLURM_LOCALID']);
  const ranks = count(environment, tasksName);
  return {
    by: 'Slurm',
    ranks,
    rank: below(environment, 'SLURM_PROCID', ranks, tasksName),
    localRank: below(environment, 'SLURM_LOCALID', ranks, tasksName),
    host: slurmHost(environment),
    port: slurmPort(environment),
  };
}

/**
 * Task 0 runs on the first node of the step. The launch node, where srun was called, is that node only where the call
 * stands in a batch script, so it comes last.
 */
function slurmHost(environment: Environment): string {
  const named = said(environment, 'MASTER_ADDR');
  if (named !== undefined) return named;
  for (const name of ['SLURM_STEP_NODELIST', 'SLURM_JOB_NODELIST', 'SLURM_NODELIST']) {
    const list = said(environment, name);
    if (list !== undefined) return firstHost(name, list);
  }
  const launch = said(environment, 'SLURM_LAUNCH_NODE_IPADDR');
  if (launch !== undefined) return launch;
  throw new UserError(
    'Slurm: none of MASTER_ADDR, SLURM_JOB_NODELIST and SLURM_LAUNCH_NODE_IPADDR says where rank 0 is; set MASTER_ADDR to its host',
  );
}

function slurmPort(environment: Environment): number {
  for (const name of [PORT_VARIABLE, 'MASTER_PORT']) {
    if (said(environment, name) !== undefined) return port(environment, name);
  }
  require(environment, 'Slurm', ['SLURM_JOB_ID']);
  const job = whole(environment, 'SLURM_JOB_ID', 0, 2 ** 32 - 1);
  const step = said(environment, 'SLURM_STEP_ID');
  // Steps of a job that run side by side do not meet each other.
  return PORTS.first + ((job * 7 + (step === undefined ? 0 : Number(step) || 0)) % PORTS.count);
}

/** `gpu[03-05,09],big1` → `gpu03`: the first host of a list in Slurm's short form, with any number of brackets. */
export function firstHost(variable: string, list: string): string {
  const [first = ''] = /^(?:[^,[\]]|\[[^\]]*\])*/.exec(list) ?? [];
  const host = first.replace(/\[([^\]]*)\]/g, (_, numbers: string) => numbers.split(/[,-]/)[0]!);
  const rest = list.slice(first.length);
  if (/^[\w.-]+$/.test(host) && (rest === '' || rest.startsWith(','))) return host;
  throw new UserError(
    `${variable}: expected hosts such as gpu[01-04], got '${list}'; set MASTER_ADDR to rank 0's host`,
  );
}

/**
 * Which of the GPUs that a rank can see is its own. Slurm may let each task see its own GPU alone; torchrun lets all
 * ranks of a host see the same ones.
 */
export function gpuOfRank({ by, localRank }: RankPlace, environment: Environment): number {
  const visible = environment.CUDA_VISIBLE_DEVICES;
  if (visible === undefined) return localRank;
  const gpus = visible
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '' && !one.startsWith('-'));
  if (gpus.length === 1 && by === 'Slurm') return 0;
  if (localRank < gpus.length) return localRank;
  throw new UserError(
    `local rank ${localRank} has no GPU: CUDA_VISIBLE_DEVICES is '${visible}', ${gpus.length} of this host; start as many ranks per host as it has GPUs`,
  );
}

function said(environment: Environment, name: string): string | undefined {
  const value = environment[name]?.trim();
  return value === '' ? undefined : value;
}

function require(environment: Environment, who: string, names: readonly string[]): void {
  const missing = names.filter((name) => said(environment, name) === undefined);
  if (missing.length === 0) return;
  const there = names.filter((name) => !missing.includes(name));
  throw new UserError(
    `the environment is incomplete: ${there.join(', ')} ${there.length === 1 ? 'is' : 'are'} set as ${who} does, but not ${missing.join(', ')}; ${ADVICE}`,
  );
}

function whole(environment: Environment, name: string, from: number, to: number): number {
  const text = said(environment, name)!;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= from && value <= to) return value;
  throw new UserError(`${name}: expected a whole number from ${from} to ${to}, got '${text}'`);
}

const count = (environment: Environment, name: string): number => whole(environment, name, 1, MOST_RANKS);
const port = (environment: Environment, name: string): number => whole(environment, name, 1, 65_535);

function below(environment: Environment, name: string, limit: number, limitName: string): number {
  const value = whole(environment, name, 0, MOST_RANKS);
  if (value < limit) return value;
  throw new UserError(
    `the environment contradicts itself: ${name} is ${value}, ${limitName} is ${limit}; ranks are counted from 0`,
  );
}
