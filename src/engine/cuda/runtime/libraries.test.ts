import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { compilerCandidates, driverCandidates, ncclCandidates, type SearchEnvironment } from './libraries.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tram-cuda-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function put(...path: string[]): string {
  const file = join(root, ...path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, '');
  return file;
}
const environment = (variables: Record<string, string>): SearchEnvironment => ({
  platform: 'linux',
  variables,
  home: join(root, 'home'),
});

test('the compiler is found in a toolkit, in the wheels of an active environment and beside a python3 on the path', () => {
  const toolkit = put('cuda', 'lib64', 'libnvrtc.so.13');
  const wheel = put('venv', 'lib', 'python3.12', 'site-packages', 'nvidia', 'cu13', 'lib', 'libnvrtc.so.13');
  const older = put('other', 'lib', 'python3.10', 'site-packages', 'nvidia', 'cuda_nvrtc', 'lib', 'libnvrtc.so.12');
  put('other', 'bin', 'python3');
  const variables = {
    CUDA_HOME: join(root, 'cuda'),
    VIRTUAL_ENV: join(root, 'venv'),
    PATH: join(root, 'other', 'bin'),
  };
  const found = compilerCandidates(environment(variables)).filter((path) => path.startsWith(root));
  expect(found).toEqual([toolkit, wheel, older]);
});

test('NCCL is found in wheels, and Linux alone has it', () => {
  const wheel = put('venv', 'lib', 'python3.12', 'site-packages', 'nvidia', 'nccl', 'lib', 'libnccl.so.2');
  put('venv', 'lib', 'python3.12', 'site-packages', 'nvidia', 'nccl', 'lib', 'libnccl-net.so');
  const chosen = put('mine', 'libnccl.so.2.28.9');
  const variables = { VIRTUAL_ENV: join(root, 'venv'), TRAM_CUDA_PATH: join(root, 'mine'), PATH: '' };
  const found = ncclCandidates(environment(variables));
  expect(found.filter((path) => path.startsWith(root))).toEqual([chosen, wheel]);
  expect(found.at(-1)).toBe('libnccl.so.2');
  expect(ncclCandidates({ ...environment(variables), platform: 'win32' })).toEqual([]);
});

test('the folder of the user’s choice comes first, and the names for the system’s loader last', () => {
  const chosen = put('mine', 'libnvrtc.so');
  put('cuda', 'lib64', 'libnvrtc.so.13');
  const found = compilerCandidates(
    environment({ TRAM_CUDA_PATH: join(root, 'mine'), CUDA_PATH: join(root, 'cuda'), PATH: '' }),
  );
  expect(found[0]).toBe(chosen);
  expect(found.at(-1)).toBe('libnvrtc.so.11.2');
});

test('companions and other libraries of the folder are not taken for the compiler', () => {
  put('cuda', 'lib64', 'libnvrtc-builtins.so.13.0');
  put('cuda', 'lib64', 'libnvrtc_static.a');
  const found = compilerCandidates(environment({ CUDA_PATH: join(root, 'cuda'), PATH: '' }));
  expect(found.filter((path) => path.startsWith(root))).toEqual([]);
});

test('the driver is asked of the system unless the chosen folder has one', () => {
  expect(driverCandidates(environment({}))[0]).toBe('libcuda.so.1');
  const chosen = put('mine', 'libcuda.so.1');
  expect(driverCandidates(environment({ TRAM_CUDA_PATH: join(root, 'mine') }))[0]).toBe(chosen);
  expect(driverCandidates({ platform: 'win32', variables: {}, home: root })).toEqual(['nvcuda.dll']);
});
