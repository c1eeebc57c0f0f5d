// What a run starts before it reads its data: the processes that compile, where no kernel of this program is kept and a
// driver is there. On libraries that stand in for the driver's and the compiler's, in a process of its own for each
// run. Its data are not there, so that the run ends where they would be read; what it has started by then is counted.

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findCuda } from '../../src/engine/cuda/runtime/device.ts';
import { KernelLibrary } from '../../src/engine/cuda/runtime/kernel-library.ts';
import { compileLibrary, describeC } from '../c-compiler.ts';
import { root } from '../documented.ts';

const place = mkdtempSync(join(tmpdir(), 'tram-prepare-'));
afterAll(() => rmSync(place, { recursive: true }));

/** A folder of libraries. */
function libraries(name: string, ...files: readonly string[]): string {
  const folder = join(place, name);
  mkdirSync(join(folder, 'lib'), { recursive: true });
  for (const file of files) copyFileSync(join(place, 'fake-cuda.c.so'), join(folder, 'lib', file));
  return folder;
}

/** How many compiler processes a run has started when it comes to its data. */
function startedBy(device: string, TRAM_CUDA_PATH: string, cache: string): number {
  const text = `
    import { readdirSync, readFileSync } from 'node:fs';
    import { runFlow } from ${JSON.stringify(pathToFileURL(join(root, 'dist/index.js')).href)};
    const settings = { data: 'images:no-such-folder' };
    const end = await runFlow({ folder: 'run', settings, device: { name: '${device}' } }).catch(({ message }) => message);
    if (!/no-such-folder/.test(end)) throw new Error(end);
    const isCompiler = (pid) => readFileSync('/proc/' + pid + '/cmdline', 'utf8').includes('compiler-process.js');
    const tasks = readdirSync('/proc/self/task');
    const children = tasks.flatMap((task) => readFileSync('/proc/self/task/' + task + '/children', 'utf8').split(' '));
    console.log(children.filter((pid) => pid !== '' && isCompiler(pid)).length);
    process.exit();`;
  const words = ['--input-type=module', '-e', text];
  const env = { ...process.env, TRAM_CUDA_PATH, XDG_CACHE_HOME: join(place, cache) };
  return Number(execFileSync(process.execPath, words, { cwd: place, env, encoding: 'utf8' }));
}

describeC('before data are read', () => {
  let whole = '';
  beforeAll(() => {
    copyFileSync(join(import.meta.dirname, 'fake-cuda.c'), join(place, 'fake-cuda.c'));
    compileLibrary(place, 'fake-cuda.c', ['-D_POSIX_C_SOURCE=200112L', '-std=c11']);
    whole = libraries('whole', 'libcuda.so.1', 'libnvrtc.so.13');
  });

  test('a run on a GPU starts compilers where no kernel is kept, any other none', () => {
    expect(startedBy('cuda', whole, 'empty')).toBeGreaterThanOrEqual(2);
    expect(startedBy('wasm', whole, 'empty')).toBe(0);
  });

  test('where kernels of this program, compiler and driver are kept it starts none', async () => {
    const keep = async (cache: string, version: string, driverVersion: number) => {
      const compiler = { version, compile: async () => Uint8Array.of(1) };
      const target = { capability: 90, device: 'first', driverVersion };
      const kernels = new KernelLibrary(() => compiler, target, join(place, cache, 'tram/kernels'));
      await kernels.image({ file: 'approximate-codes.cu', defines: {} });
    };
    await keep('own', '13.0', 13000);
    expect(startedBy('cuda', whole, 'own')).toBe(0);
    await keep('older', '12.9', 13000);
    await keep('older', '13.0', 12080);
    expect(startedBy('cuda', whole, 'older')).toBeGreaterThanOrEqual(2);
  });

  test.skipIf(findCuda().available)('where there is no driver it starts none', () => {
    expect(startedBy('cuda', libraries('half', 'libnvrtc.so.13'), 'empty')).toBe(0);
  });
});
