// A sweep as an indexed Job of Kubernetes, written as a file for kubectl: one pod for each trial that is left. Not
// submitted here. Fields after https://kubernetes.io/docs/concepts/workloads/controllers/job/ (1.29 and later); the
// test checks the file against the types of the API.

import { UserError } from '../../../tensor/errors.ts';
import {
  CLUSTER_FOLDER,
  type ClusterRequest,
  folderInside,
  jobName,
  type Left,
  workersFor,
  workerWords,
} from './request.ts';

export interface KubernetesRequest extends ClusterRequest {
  /** The container image, in which `tram` is a command. */
  readonly image: string;
  /** The PersistentVolumeClaim that holds what the current directory holds here. */
  readonly volume: string;
}

/** Relative to the sweep's folder. */
export const KUBERNETES_FILE = `${CLUSTER_FOLDER}/kubernetes.yaml`;

/** Seconds between SIGTERM and SIGKILL: for the step in progress, and saving. */
const GRACE = 120;

/** JSON, which YAML reads, but for what some take for the end of a line or refuse. */
const text = (value: unknown): string =>
  JSON.stringify(value).replaceAll(
    /[\x7f-\x9f\u2028\u2029\ufeff]/g,
    (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/** A word of a container's command, in which Kubernetes puts variables for `$(NAME)` and one `$` for two. */
const literal = (word: string): string => word.replaceAll('$', '$$$$');

/** The file; a UserError where nothing is left. */
export function kubernetesJob(request: KubernetesRequest, { trials }: Left): string {
  const { folder, directory, image, volume, limit, gpus, cpus, memory } = request;
  if (trials === 0) throw new UserError(`${folder}: nothing is left to do; tram sweep ${folder} --report shows it`);
  const pods = workersFor(trials, request);
  const resources = {
    ...(gpus === undefined ? {} : { 'nvidia.com/gpu': String(gpus) }),
    ...(cpus === undefined ? {} : { cpu: String(cpus) }),
    ...(memory === undefined ? {} : { memory }),
  };
  const name = jobName(folder);
  return `# A sweep of tram as an indexed Job: kubectl apply -f this file. Made by tram sweep submit; it may be changed.
apiVersion: batch/v1
kind: Job
metadata:
  name: ${name}
spec:
  # A pod for each ${request.trialsEach === 1 ? 'trial that was' : `${request.trialsEach} trials that were`} left; which one it does is decided by the claims in the sweep's folder.
  completionMode: Indexed
  completions: ${pods}
  # Pods at a time. What trials have in common is done by the first ones while the others wait: begin with few.
  parallelism: ${Math.min(pods, limit ?? pods)}
  # A pod that dies is replaced, and the new one goes on from what was saved.
  backoffLimitPerIndex: 6
  podFailurePolicy:
    rules:
      # Evicted, drained or preempted: that does not count.
      - action: Ignore
        onPodConditions:
          - type: DisruptionTarget
            status: "True"
      # The trial failed, and its reason stands in the folder: the same again would fail again.
      - action: FailIndex
        onExitCodes:
          containerName: worker
          operator: In
          values: [2]
  template:
    spec:
      restartPolicy: Never
      # From SIGTERM to SIGKILL: the worker saves and gives its trial back.
      terminationGracePeriodSeconds: ${GRACE}
      containers:
        - name: worker
          image: ${text(image)}
          command: [${workerWords(request, folderInside(request), 'trials')
            .map((word) => text(literal(word)))
            .join(', ')}]
          # Relative paths of the sweep are meant from here.
          workingDir: ${text(directory)}
          resources:
            limits: ${text(resources)}
          volumeMounts:
            - name: sweep
              mountPath: ${text(directory)}
      volumes:
        # A file system that all pods may write (ReadWriteMany) and that holds the sweep and its data.
        - name: sweep
          persistentVolumeClaim:
            claimName: ${text(volume)}
`;
}
