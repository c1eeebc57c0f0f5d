// Where the NVIDIA libraries are: the driver's libcuda comes with the driver and is found by the system's loader; NVRTC
// comes with the CUDA toolkit or with Python wheels (nvidia-cuda-nvrtc), which the loader does not know, NCCL with the
// system or with wheels (nvidia-nccl). This file lists the places in order; it opens nothing.

import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/** A folder of the user's choice that is searched before all others. */
export const CUDA_PATH_VARIABLE = 'TRAM_CUDA_PATH';

export interface SearchEnvironment {
  readonly platform: NodeJS.Platform;
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly home: string;
}

export const thisMachine = (): SearchEnvironment => ({
  platform: process.platform,
  variables: process.env,
  home: homedir(),
});

const LINUX_FOLDERS = [
  '',
  'lib64',
  'lib',
  'lib/x86_64-linux-gnu',
  'targets/x86_64-linux/lib',
  'targets/sbsa-linux/lib',
];
const WINDOWS_FOLDERS = ['', 'bin', join('bin', 'x64')];

/** Names and paths to try for the driver's library, best first. */
export function driverCandidates(environment: SearchEnvironment = thisMachine()): string[] {
  const { platform, variables } = environment;
  const name = platform === 'win32' ? 'nvcuda.dll' : 'libcuda.so.1';
  const chosen = variables[CUDA_PATH_VARIABLE];
  const inChosen = chosen ? libraryFolders(chosen, platform).map((folder) => join(folder, name)) : [];
  const usual =
    platform === 'linux' ? ['/usr/lib/wsl/lib', '/usr/local/nvidia/lib64', '/usr/lib/x86_64-linux-gnu'] : [];
  return [...inChosen.filter(existsSync), name, ...usual.map((folder) => join(folder, name)).filter(existsSync)];
}

/** Paths of NVRTC libraries that exist, best first, and at the end the bare names for the system's loader. */
export function compilerCandidates(environment: SearchEnvironment = thisMachine()): string[] {
  const { platform } = environment;
  const found = libraryPlaces(environment, /^(cu\d+|cuda_nvrtc)$/).flatMap((folder) => compilersIn(folder, platform));
  const names = platform === 'win32' ? ['nvrtc64_130_0.dll', 'nvrtc64_120_0.dll'] : systemNames;
  return [...new Set([...found, ...names])];
}

const systemNames = ['libnvrtc.so', 'libnvrtc.so.13', 'libnvrtc.so.12', 'libnvrtc.so.11.2'];

/** Paths of NCCL libraries that exist, best first, and at the end the name for the system's loader. For Linux alone. */
export function ncclCandidates(environment: SearchEnvironment = thisMachine()): string[] {
  if (environment.platform !== 'linux') return [];
  const found = libraryPlaces(environment, /^(cu\d+|nccl)$/).flatMap((folder) =>
    children(folder, /^libnccl\.so(\.\d+)*$/).sort((a, b) => a.length - b.length),
  );
  return [...new Set([...found, 'libnccl.so.2'])];
}

/** The folders that may hold a library: chosen by variable, the toolkit's, those of Python wheels of such a name. */
function libraryPlaces({ platform, variables, home }: SearchEnvironment, wheel: RegExp): string[] {
  const toolkits = [variables[CUDA_PATH_VARIABLE], variables.CUDA_PATH, variables.CUDA_HOME];
  if (platform === 'linux') {
    toolkits.push('/usr/local/cuda', ...children('/usr/local', /^cuda-\d/).reverse(), '/opt/cuda', '/usr');
  }
  const folders = toolkits.filter((path) => path !== undefined).flatMap((path) => libraryFolders(path, platform));
  const wheels = sitePackages({ platform, variables, home }).flatMap((site) =>
    children(join(site, 'nvidia'), wheel).flatMap((path) => libraryFolders(path, platform)),
  );
  return [...folders, ...wheels].filter(existsSync);
}

/**
 * Folders of installed Python packages: of the active environments, of every python3 on the path, of the system and of
 * the user.
 */
function sitePackages({ platform, variables, home }: SearchEnvironment): string[] {
  const prefixes = [variables.VIRTUAL_ENV, variables.CONDA_PREFIX, '/usr/local', '/usr', join(home, '.local')];
  for (const folder of (variables.PATH ?? '').split(delimiter)) {
    const python = join(folder, platform === 'win32' ? 'python.exe' : 'python3');
    if (folder === '' || !existsSync(python)) continue;
    prefixes.push(dirname(folder), dirname(dirname(realpathSync(python))));
  }
  const sites = prefixes
    .filter((prefix) => prefix !== undefined)
    .flatMap((prefix) => {
      if (platform === 'win32') return [join(prefix, 'Lib', 'site-packages')];
      const versions = [...children(join(prefix, 'lib'), /^python3/), ...children(join(prefix, 'lib64'), /^python3/)];
      return versions.flatMap((version) => [join(version, 'site-packages'), join(version, 'dist-packages')]);
    });
  return [...new Set(sites)].filter(existsSync);
}

function libraryFolders(root: string, platform: NodeJS.Platform): string[] {
  return (platform === 'win32' ? WINDOWS_FOLDERS : LINUX_FOLDERS).map((folder) => join(root, folder));
}

function compilersIn(folder: string, platform: NodeJS.Platform): string[] {
  const pattern = platform === 'win32' ? /^nvrtc64_\d+_\d+\.dll$/ : /^libnvrtc\.so(\.\d+)*$/;
  return children(folder, pattern).sort((a, b) => a.length - b.length);
}

/** Full paths of the entries of a folder whose names match; none where the folder cannot be read. */
function children(folder: string, pattern: RegExp): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => pattern.test(name))
      .sort()
      .map((name) => join(folder, name));
  } catch {
    return [];
  }
}
