// What a cluster's scheduler calls this process, from the environment that it sets: for people who look for a worker.
// It decides nothing.

const plain = (text: string | undefined): string | undefined =>
  text && /^[\w.:-]{1,80}$/.test(text) ? text : undefined;

/** "Slurm task 17_4", "Kubernetes index 3", "Ray job raysubmit_x"; undefined where no scheduler has started it. */
export function schedulerTask(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const { SLURM_JOB_ID: job, SLURM_ARRAY_JOB_ID: array, SLURM_ARRAY_TASK_ID: task } = env;
  if (plain(array) && plain(task)) return `Slurm task ${array}_${task}`;
  if (plain(job)) return `Slurm job ${job}`;
  if (plain(env.JOB_COMPLETION_INDEX)) return `Kubernetes index ${env.JOB_COMPLETION_INDEX}`;
  return plain(env.RAY_JOB_ID) ? `Ray job ${env.RAY_JOB_ID}` : undefined;
}
