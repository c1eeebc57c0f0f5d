// The files for schedulers that are only written for: what stands in the sweep's folder, and whose text it is.

import { makeFolderInside, writeInside } from '../../../tensor/files.ts';
import { KUBERNETES_FILE, type KubernetesRequest, kubernetesJob } from './kubernetes.ts';
import { RAY_FILE, rayScript } from './ray.ts';
import { CLUSTER_FOLDER, type ClusterRequest, type Left } from './request.ts';

export { KUBERNETES_FILE, RAY_FILE };

export function writeClusterFile(
  folder: string,
  path: typeof KUBERNETES_FILE | typeof RAY_FILE,
  request: ClusterRequest | KubernetesRequest,
  left: Left,
): void {
  const text = 'image' in request ? kubernetesJob(request, left) : rayScript(request, left);
  makeFolderInside(folder, CLUSTER_FOLDER);
  writeInside(folder, path, text);
}
