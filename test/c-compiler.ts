// The C compiler of this machine, for tests of C that the program writes. Where there is none such tests are skipped,
// and say so.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, onTestFinished } from 'vitest';
import type { ExportFiles } from '../src/export/exporter.ts';

const works = (compiler: string) => spawnSync(compiler, ['--version'], { stdio: 'ignore' }).status === 0;
const [c, cxx] = [
  ['gcc', 'clang', 'cc'],
  ['g++', 'clang++', 'c++'],
].map((names) => names.find(works));

/** A group of tests that compile C. */
export const describeC = (name: string, tests: () => void) =>
  c ? describe(name, tests) : describe.skip(`${name} (no C compiler here: install gcc)`, tests);

/** A folder with these files, gone when the test has ended. */
export function folderOf(files: ExportFiles): string {
  const folder = mkdtempSync(join(tmpdir(), 'tram-c-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [path, content] of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

const STRICT = ['-Wall', '-Wextra', '-Werror', '-pedantic'];
/** Whatever C leaves undefined ends the program. */
export const sanitized = ['-g1', '-fsanitize=undefined,address', '-fno-sanitize-recover=all'];

/** Compiles C99 with all warnings as errors; the result runs the program in its folder: its text, its exit code. */
export function compileC(folder: string, sources: readonly string[], options: readonly string[] = sanitized) {
  execFileSync(c!, ['-std=c99', ...STRICT, ...options, '-o', 'program', ...sources], { cwd: folder, stdio: 'pipe' });
  return () => {
    const { stdout, stderr, status } = spawnSync(join(folder, 'program'), { cwd: folder, encoding: 'utf8' });
    return { status, text: `${stdout}${stderr}` };
  };
}

/** Compiles C99 into a library that a program loads while it runs; its path. */
export function compileLibrary(folder: string, source: string, options: readonly string[] = []): string {
  const library = join(folder, `${source}.so`);
  execFileSync(c!, ['-std=c99', ...STRICT, ...options, '-fPIC', '-shared', '-o', library, source], {
    ...{ cwd: folder, stdio: 'pipe' },
  });
  return library;
}

/** Compiles C++ without linking it, where there is a compiler of C++. */
export function compileCxx(folder: string, sources: readonly string[]): void {
  if (cxx) execFileSync(cxx, ['-std=c++11', ...STRICT, '-c', ...sources], { cwd: folder, stdio: 'pipe' });
}
