// Processes that compile, with a library that stands in for the compiler: its machine code is the number of the process
// that made it. A text says what happens: "wait" takes until a file of that name is there, "die" ends the process. The
// first that opens it while STUB_HANGS names a file never comes so far as to compile. As NVRTC does, it puts handlers
// of signals back without their flags.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { compileLibrary, describeC, folderOf } from '../../../../test/c-compiler.ts';
import { CompilerProcesses, type CompilerProcessesOptions } from './compiler-processes.ts';

const stub = `
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static char text[4096];
int nvrtcVersion(int *major, int *minor) {
  const char *hangs = getenv("STUB_HANGS");
  if (hangs && open(hangs, O_CREAT | O_EXCL, 0600) >= 0) for (;;) pause();
  *major = 13;
  *minor = 0;
  return 0;
}
const char *nvrtcGetErrorString(int status) { return status ? "refused" : ""; }
int nvrtcCreateProgram(uint64_t *program, const char *source, const char *name, int headers, void *a, void *b) {
  (void)name; (void)headers; (void)a; (void)b;
  snprintf(text, sizeof text, "%s", source);
  *program = 1;
  return 0;
}
int nvrtcDestroyProgram(void *program) { (void)program; return 0; }
int nvrtcCompileProgram(void *program, int count, const char **options) {
  (void)program; (void)count; (void)options;
  if (!strncmp(text, "wait ", 5)) while (access(text + 5, F_OK)) usleep(1000);
  if (!strcmp(text, "die")) raise(SIGKILL);
  for (int each = 0; each < 2; each++) {
    struct sigaction before;
    sigaction(each ? SIGTERM : SIGINT, NULL, &before);
    before.sa_flags = 0;
    sigaction(each ? SIGTERM : SIGINT, &before, NULL);
  }
  return !strcmp(text, "wrong");
}
int nvrtcGetProgramLogSize(void *program, size_t *bytes) { (void)program; *bytes = 5; return 0; }
int nvrtcGetProgramLog(void *program, char *log) { (void)program; memcpy(log, "line", 5); return 0; }
int nvrtcGetCUBINSize(void *program, size_t *bytes) { (void)program; *bytes = 4; return 0; }
int nvrtcGetCUBIN(void *program, char *image) {
  (void)program;
  int number = (int)getpid();
  memcpy(image, &number, 4);
  return 0;
}
`;

function library(): { readonly library: string; readonly version: string } {
  const folder = folderOf(new Map([['stub.c', stub]]));
  return { library: compileLibrary(folder, 'stub.c', ['-D_DEFAULT_SOURCE']), version: '13.0' };
}

const compiled = JSON.stringify(import.meta.url.replace('/src/', '/dist/').replace('.test.ts', '.js'));
const processOf = (image: Uint8Array) => new Int32Array(image.slice().buffer)[0]!;
const children = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
const isAlive = (pid: number): boolean => {
  try {
    return !/^\S+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
};
const instead = { version: '13.0', compile: async () => new Uint8Array(new Int32Array([process.pid]).buffer) };
const options: CompilerProcessesOptions = { processes: 2, priority: 19, isAwaited: true, instead };

describeC('compiler processes', () => {
  test('compile at once, give up what waits, say what does not compile, and end when they are to', async () => {
    const compiler = new CompilerProcesses(library(), options);
    const gate = join(folderOf(new Map()), 'gate');
    const [first, second] = [compiler.compile(`wait ${gate}`, 'a.cu', []), compiler.compile('', 'b.cu', [])];
    const beside = processOf(await second);
    const third = compiler.compile(`wait ${gate}`, 'c.cu', []);
    const fourth = compiler.compile('', 'd.cu', []);
    expect(compiler.withdraw(fourth)).toBe(true);
    expect(compiler.withdraw(third)).toBe(false);
    writeFileSync(gate, '');
    const [one, two] = [processOf(await first), processOf(await third)];
    expect(two).toBe(beside);
    expect(new Set([one, two, process.pid]).size).toBe(3);
    expect(readFileSync(`/proc/${one}/stat`, 'utf8').split(' ')[18]).toBe('19');
    const wrong = compiler.compile('wrong', 'e.cu', ['-DX=1']);
    await expect(wrong).rejects.toThrow('e.cu does not compile with -DX=1: refused\nline');
    compiler.close();
    await vi.waitFor(() => expect([one, two].filter(isAlive)).toEqual([]), 4000);
  });

  test('are all started beforehand where that is wanted, and then there are no others', async () => {
    const compiler = new CompilerProcesses(library(), options);
    const before = children(process.pid);
    compiler.start();
    const own = () => children(process.pid).filter((pid) => !before.includes(pid));
    const started = own();
    expect(started).toHaveLength(2);
    const gate = join(folderOf(new Map()), 'gate');
    const images = [1, 2, 3].map(() => compiler.compile(`wait ${gate}`, 'a.cu', []));
    writeFileSync(gate, '');
    const used = new Set((await Promise.all(images)).map(processOf));
    expect([...used].every((pid) => started.includes(pid))).toBe(true);
    expect(own()).toEqual(started);
    compiler.close();
    await vi.waitFor(() => expect(started.filter(isAlive)).toEqual([]), 4000);
  });

  test('are busy while a kernel waits, and while more than half of them compile', async () => {
    const compiler = new CompilerProcesses(library(), { ...options, processes: 3 });
    const gates = ['first', 'second'].map((name) => join(folderOf(new Map()), name));
    const [first, second] = gates.map((gate) => compiler.compile(`wait ${gate}`, 'a.cu', []));
    expect(compiler.isBusy).toBe(true);
    // Both are under way where a third is done.
    await compiler.compile('', 'b.cu', []);
    expect(compiler.isBusy).toBe(true);
    writeFileSync(gates[0]!, '');
    await first;
    expect(compiler.isBusy).toBe(false);
    writeFileSync(gates[1]!, '');
    await second;
    expect(compiler.isBusy).toBe(false);
    compiler.close();
  });

  test('of one that ends, the kernel is compiled instead, and nothing waits for it', async () => {
    const compiler = new CompilerProcesses(library(), { ...options, processes: 1 });
    const images = await Promise.all(['die', ''].map((text) => compiler.compile(text, 'a.cu', [])));
    expect(images.map(processOf)).toEqual([process.pid, process.pid]);
    const { instead: _, ...ahead } = options;
    const alone = new CompilerProcesses(library(), { ...ahead, processes: 1 });
    await expect(alone.compile('die', 'a.cu', [])).rejects.toThrow('the process that compiles a.cu has ended');
  });

  test('one that hangs before it is there delays nothing', async () => {
    process.env.STUB_HANGS = join(folderOf(new Map()), 'hangs');
    const compiler = new CompilerProcesses(library(), options);
    const images = await Promise.all(['', ''].map((text) => compiler.compile(text, 'a.cu', [])));
    delete process.env.STUB_HANGS;
    const [one, two] = images.map(processOf);
    expect([one === two, one === process.pid]).toEqual([true, false]);
    compiler.close();
  });

  test('of another version of the library nothing is taken', async () => {
    const compiler = new CompilerProcesses({ ...library(), version: '12.9' }, options);
    expect(processOf(await compiler.compile('', 'a.cu', []))).toBe(process.pid);
  });

  test('where none can be started, kernels are compiled instead', () => {
    const text = `
      import { openSync } from 'node:fs';
      import { CompilerProcesses } from ${compiled};
      const instead = { compile: async () => Uint8Array.of(7) };
      const options = { processes: 2, priority: 0, isAwaited: true, instead };
      const compiler = new CompilerProcesses({ library: '', version: '13.0' }, options);
      try { for (;;) openSync('/dev/null'); } catch {}
      const images = await Promise.all(['', '', ''].map((text) => compiler.compile(text, 'a.cu', [])));
      process.stdout.write(images.join(' '));`;
    const run = 'ulimit -n 64 && exec "$0" --input-type=module -e "$1"';
    const { status, stdout } = spawnSync('sh', ['-c', run, process.execPath, text], { encoding: 'utf8' });
    expect([status, stdout]).toEqual([0, '7 7 7']);
  });

  test('a process that has compiled itself ends by a signal as before', () => {
    const text = `
      import { createRequire } from 'node:module';
      import { Compiler } from ${compiled.replace('compiler-processes', 'compiler')};
      const koffi = createRequire(${JSON.stringify(import.meta.url)})('koffi');
      const compiler = new Compiler(koffi, ${JSON.stringify(library().library)});
      await compiler.compile('', 'a.cu', []);
      setInterval(() => {}, 1000);
      process.kill(process.pid, 'SIGTERM');`;
    const ending = { encoding: 'utf8', timeout: 10_000, killSignal: 'SIGKILL' } as const;
    const { signal, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', text], ending);
    expect([signal, stderr]).toEqual(['SIGTERM', '']);
  }, 20_000);

  test('they keep a process that waits for them, no other, and end with it however that ends', async () => {
    const given = JSON.stringify(library());
    const runs = (isAwaited: boolean, rest: string) => {
      const text = `
        import { CompilerProcesses } from ${compiled};
        const compiler = new CompilerProcesses(${given}, { processes: 1, priority: 0, isAwaited: ${isAwaited} });
        const image = await compiler.compile('', 'a.cu', []);
        process.stdout.write(new Int32Array(image.slice().buffer)[0] + '\\n');
        ${rest}`;
      return spawnSync(process.execPath, ['--input-type=module', '-e', text], { encoding: 'utf8', timeout: 20_000 });
    };
    const ends = [
      runs(true, ''),
      runs(true, `compiler.compile('wait /nowhere', 'b.cu', []); setTimeout(() => process.exit(), 100);`),
      runs(true, `process.kill(process.pid, 'SIGKILL');`),
      runs(
        true,
        `compiler.compile('wait /nowhere', 'b.cu', []); setTimeout(() => process.kill(process.pid, 'SIGKILL'), 100);`,
      ),
    ];
    expect(ends.map(({ status, signal }) => signal ?? status)).toEqual([0, 0, 'SIGKILL', 'SIGKILL']);
    const compilers = ends.map(({ stdout }) => Number(stdout));
    expect(compilers.every((pid) => pid > 0)).toBe(true);
    await vi.waitFor(() => expect(compilers.filter(isAlive)).toEqual([]), 4000);
    // Nothing keeps it until the answer comes, and Node says so.
    expect(runs(false, '').status).toBe(13);
  }, 30_000);
});
