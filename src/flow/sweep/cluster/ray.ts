// A sweep as jobs of Ray, written as a Python script: first what trials have in common, then a job for each trial that
// is left. Not run here. After https://docs.ray.io/en/latest/cluster/running-applications/job-submission/sdk.html.

import { resolve } from 'node:path';
import { UserError } from '../../../tensor/errors.ts';
import { CLUSTER_FOLDER, type ClusterRequest, commandLine, type Left, workersFor, workerWords } from './request.ts';

/** Relative to the sweep's folder. */
export const RAY_FILE = `${CLUSTER_FOLDER}/ray_jobs.py`;

/** The file; a UserError where nothing is left. */
export function rayScript(request: ClusterRequest, { shared, trials }: Left): string {
  const { folder, directory, gpus, cpus, limit } = request;
  if (trials === 0) throw new UserError(`${folder}: nothing is left to do; tram sweep ${folder} --report shows it`);
  const line = (part: 'shared' | 'trials') =>
    JSON.stringify(
      `cd ${commandLine([directory])} && exec ${commandLine(workerWords(request, resolve(folder), part))}`,
    );
  return `# A sweep of tram as jobs of Ray, made by tram sweep submit; it may be changed. Needs pip install "ray[default]", and a
# file system that all nodes see. A job that is stopped saves, and gives its trial back; run this file again for what is
# left (tram sweep submit writes it anew).
import os
import time

from ray.job_submission import JobStatus, JobSubmissionClient

client = JobSubmissionClient(os.environ.get("RAY_ADDRESS", "http://127.0.0.1:8265"))
ENDED = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED}
# What a job gets on its node; Ray sets CUDA_VISIBLE_DEVICES.
RESOURCES = {"entrypoint_num_gpus": ${gpus ?? 0}, "entrypoint_num_cpus": ${cpus ?? 1}}
# Between SIGTERM and SIGKILL, in seconds: for the step in progress, and saving.
ENVIRONMENT = {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "120"}}


def run(entrypoint, count, limit):
    """Runs that many jobs, at most limit of them at a time, and waits for all."""
    waiting, jobs = count, []
    while waiting > 0 or jobs:
        while waiting > 0 and len(jobs) < limit:
            jobs.append(client.submit_job(entrypoint=entrypoint, runtime_env=ENVIRONMENT, **RESOURCES))
            print("submitted", jobs[-1], flush=True)
            waiting -= 1
        time.sleep(float(os.environ.get("POLL_SECONDS", "5")))
        for job in list(jobs):
            status = client.get_job_status(job)
            if status in ENDED:
                print("ended", job, status, flush=True)
                jobs.remove(job)


# What trials have in common, so that no GPU is held by a job that waits for it.
run(${line('shared')}, ${shared}, ${Math.max(1, shared)})
# ${request.trialsEach === 1 ? 'One trial' : `${request.trialsEach} trials`} in each job; which is decided by the claims in the sweep's folder.
run(${line('trials')}, ${workersFor(trials, request)}, ${limit ?? workersFor(trials, request)})
`;
}
