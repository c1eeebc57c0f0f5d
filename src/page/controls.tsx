// Stopping and resuming a run, and what one that was started here is doing now, step by step. Shown where the server
// allows it.

import { useEffect, useState } from 'preact/hooks';
import type { Job, RunRow } from '../serve/api.ts';
import { fixed, percent } from '../tensor/numbers.ts';
import { useAnswer } from './answer.ts';
import type { Source } from './source.ts';

/** The run's job here, as events tell of it. */
function useJob(source: Source, name: string): Job | undefined {
  const { value } = useAnswer(source, 'jobs');
  const [told, setTold] = useState<Job>();
  useEffect(
    () => source.listen((event) => event.kind === 'job' && event.job.name === name && setTold(event.job)),
    [source, name],
  );
  return told ?? value?.find((job) => job.name === name);
}

export const isLive = ({ state }: Job): boolean => state === 'working' || state === 'stopping';

export function RunControls({
  source,
  name,
  row,
}: {
  readonly source: Source;
  readonly name: string;
  readonly row?: RunRow;
}) {
  const folder = useAnswer(source, 'folder');
  const job = useJob(source, name);
  const [problem, setProblem] = useState<string>();
  const secret = folder.value?.secret;
  if (!source.order || secret === undefined) return null;
  const order = (what: 'stop' | 'resume') => {
    setProblem(undefined);
    source.order!(what, { name }, secret).catch(({ message }: Error) => setProblem(message));
  };
  const atWork = job && isLive(job);
  const canResume = row?.state === 'unfinished' && !row.isShared && !atWork;
  return (
    <div class="controls">
      {atWork ? (
        <button type="button" disabled={job.state === 'stopping'} onClick={() => order('stop')}>
          {job.state === 'stopping' ? 'Stopping…' : 'Stop and save'}
        </button>
      ) : null}
      {canResume ? (
        <button type="button" class="primary" onClick={() => order('resume')}>
          Resume
        </button>
      ) : null}
      {job && job.state !== 'done' ? (
        <p class={job.state === 'failed' ? 'bad' : 'muted'}>
          {atWork && job.step
            ? `${job.step.phase}, epoch ${job.step.epoch} of ${job.step.epochs}, step ${job.step.step} of ${job.step.steps}: loss ${fixed(job.step.loss, 3)}, accuracy ${percent(job.step.accuracy, 1)}`
            : job.said}
        </p>
      ) : null}
      {atWork && job.step ? (
        <progress aria-label="Steps of the epoch" value={job.step.step} max={job.step.steps} />
      ) : null}
      {problem === undefined ? null : <p role="alert">{problem}</p>}
    </div>
  );
}
