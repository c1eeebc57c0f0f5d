import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { globSync } from 'tinyglobby';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// Caches of this run alone: no result of an earlier state of the program answers for this one.
const caches = mkdtempSync(join(tmpdir(), 'tram-caches-'));
process.once('exit', () => rmSync(caches, { recursive: true, force: true }));

/** The files that take longest, which begin first: none of them is left alone at the end. */
const longest = [
  'documented',
  'cuda/lowering',
  'flow/killed',
  'flow/run',
  'flow/targets',
  'flow/sweep',
  'flow/settings',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const placeOf = ({ moduleId }: TestSpecification) => {
      const place = longest.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return place < 0 ? longest.length : place;
    };
    return (await super.sort(files)).toSorted((a, b) => placeOf(a) - placeOf(b));
  }
}

/**
 * Tests of one module, and those over several that train nothing and start nothing: they come one after another in few
 * processes, with what they import loaded, and compiled, once for all; but for those that change what a process has
 * once, its modules, environment, directory or clock, and those that draw the cases of the conformance suite, whose
 * values depend on what was drawn before.
 */
const CHANGES =
  /\bvi\.(do)?mock\(|\bvi\.(stub|spyOn|use|resetModules|set)|process\.chdir|process\.env\.\w+ = |engine\/[\w-]*cases\.ts/;
const WORKS =
  /runFlow|child_process|[\w-]*cases\.ts|\.mjs'|(browser|contract|models\/\w+|reference|phases|replicas|server)\.ts'/;
const textOf = (file: string) => readFileSync(join(import.meta.dirname, file), 'utf8');
const together = globSync(['src/**/*.test.ts', 'test/*/*.test.ts'], { cwd: import.meta.dirname }).filter(
  (file) => !CHANGES.test(textOf(file)) && (file.startsWith('src/') || !WORKS.test(textOf(file))),
);
const project = (name: string, include: string[], exclude: string[], isolate: boolean) => ({
  extends: true as const,
  test: { name, include, exclude, isolate },
});

export default defineConfig({
  test: {
    projects: [
      project('alone', ['src/**/*.test.ts', 'test/**/*.test.ts'], together, true),
      project('together', together, [], false),
    ],
    env: { XDG_CACHE_HOME: caches },
    sequence: { sequencer: LongestFirst },
    // They end what hangs, and say nothing about speed: a test that waits, waits for a state.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    expect: { poll: { timeout: 120_000 } },
    // One more than the cores of a small machine: tests that wait for a lock or a browser leave theirs to others.
    maxWorkers: 3,
  },
});
