import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    env: { XDG_CACHE_HOME: caches },
    sequence: { sequencer: LongestFirst },
    // They end what hangs, and say nothing about speed: a test that waits, waits for a state.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 120_000 } },
    // One more than the cores of a small machine: tests that wait for a lock or a browser leave theirs to others.
    maxWorkers: 3,
  },
});
