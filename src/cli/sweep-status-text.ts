// The text of `tram sweep status`: a line for all of it, then who works on what, what is stuck, what failed and what
// waits. A function of the status alone and the time.

import type { QueuedTask, Submitted } from '../flow/sweep/cluster/slurm.ts';
import type { JobStatus, SweepStatus } from '../flow/sweep/status.ts';
import { clockTime, type Style, shellWord } from './style.ts';

/** Names of waiting runs that are written out. */
const MOST_NAMES = 8;

export function statusText(
  status: SweepStatus,
  submitted: readonly Submitted[],
  queue: readonly QueuedTask[] | undefined,
  style: Style,
  now = Date.now(),
): string {
  const { folder, jobs } = status;
  const of = (...states: readonly JobStatus['state'][]) => jobs.filter(({ state }) => states.includes(state));
  const stuck = of('stale', 'silent');
  const unbegun = of('waiting').filter(({ reason }) => reason !== undefined);
  const waiting = of('waiting').filter(({ reason }) => reason === undefined);
  const width = Math.min(48, Math.max(0, ...[...of('running'), ...stuck].map(({ job }) => job.length)));
  return [
    `${style.bold(folder)}: ${headline(status)}`,
    ...section(
      'at work',
      of('running').map((job) => atWork(job, width, now)),
    ),
    ...section(
      'claimed, but silent',
      stuck.map((job) => `${atWork(job, width, now)}${advice(job)}`),
    ),
    ...section(
      'failed (--retry tries again)',
      of('failed').map(({ job, reason }) => `${job}: ${reason}`),
    ),
    ...section(
      'failed before it began (the next worker tries again)',
      unbegun.map(({ job, reason }) => `${job}: ${reason}`),
    ),
    ...section(
      'dropped',
      of('dropped').map(({ job, reason }) => `${job}: ${reason}`),
    ),
    ...section('waiting', waitingLines(waiting)),
    ...section(
      'submitted to Slurm',
      submitted.map((one) => queueLine(one, queue)),
    ),
    ...(status.done > 0 && jobs.every(({ state }) => state === 'done' || state === 'failed' || state === 'dropped')
      ? [`nothing is left to do; the front: tram sweep ${shellWord(folder)} --report`]
      : []),
  ].join('\n');
}

const section = (title: string, lines: readonly string[]): string[] =>
  lines.length === 0 ? [] : [title, ...lines.map((line) => `  ${line}`)];

function headline({ trials, done, failed, dropped, running, waiting, stale, ...rest }: SweepStatus): string {
  const { epochsLeft, secondsLeft, jobs } = rest;
  const shared = jobs.filter(({ job, state }) => job.startsWith('shared/') && state !== 'done').length;
  const counts = { failed, dropped, 'at work': running, silent: stale, waiting };
  const parts = Object.entries(counts).flatMap(([name, count]) => (count > 0 ? [`${count} ${name}`] : []));
  const left =
    secondsLeft === null ? '' : `, about ${clockTime(1000 * secondsLeft)}${running === 0 ? ' for one worker' : ''}`;
  return [
    `${done} of ${trials} trials done`,
    ...(shared > 0 ? [`${shared} shared ${shared === 1 ? 'run' : 'runs'} before them`] : []),
    ...parts,
    ...(epochsLeft > 0 ? [`${epochsLeft} epochs left${left}`] : []),
  ].join(', ');
}

function atWork(
  { job, phase, epoch, epochs, host, pid, task, since, lastSign }: JobStatus,
  width: number,
  now: number,
) {
  const where = [host, ...(pid === undefined ? [] : [`process ${pid}`]), ...(task === undefined ? [] : [task])];
  return [
    job.padEnd(width),
    (phase === undefined ? 'begins' : `${phase} ${epoch}/${epochs}`).padEnd(16),
    where.filter((part) => part !== undefined).join(', ') || 'by nobody known',
    ...(since === undefined ? [] : [`since ${shortTime(since)}`]),
    ...(lastSign === undefined ? [] : [`last sign of life ${ago(now - Date.parse(lastSign))}`]),
  ].join('  ');
}

/** "2026-03-01 12:30:05", in UTC. */
const shortTime = (time: string): string => time.replace('T', ' ').replace(/\.\d+Z$/, '');

const ago = (milliseconds: number): string =>
  milliseconds < 1500 ? 'now' : `${clockTime(milliseconds)} ago by the clocks`;

const advice = ({ state }: JobStatus): string =>
  state === 'stale' ? '; the next worker takes it over' : '; look again in a minute';

function waitingLines(waiting: readonly JobStatus[]): string[] {
  const groups = new Map<string, JobStatus[]>();
  for (const job of waiting) groups.set(job.waitsFor ?? '', [...(groups.get(job.waitsFor ?? '') ?? []), job]);
  return [...groups].map(([waitsFor, jobs]) => {
    const names = jobs.slice(0, MOST_NAMES).map(({ job }) => job);
    const more = jobs.length > MOST_NAMES ? ` and ${jobs.length - MOST_NAMES} more` : '';
    return `${names.join(', ')}${more}: ${waitsFor === '' ? 'for a worker' : `for ${waitsFor}`}`;
  });
}

function queueLine({ job, part, tasks }: Submitted, queue: readonly QueuedTask[] | undefined): string {
  const name = `job ${job} (${part}, ${tasks} ${tasks === 1 ? 'task' : 'tasks'})`;
  if (!queue) return `${name}: squeue does not answer here`;
  const own = queue.filter(({ task }) => task.split('_')[0] === job);
  if (own.length === 0) return `${name}: not in the queue any more`;
  return `${name}: ${own.map(({ task, state, reason }) => `${task} ${state.toLowerCase()}${reason && reason !== 'None' ? ` (${reason})` : ''}`).join(', ')}`;
}
