import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// Caches of this run alone: no result of an earlier state of the program answers for this one.
const caches = mkdtempSync(join(tmpdir(), 'tram-caches-'));
process.once('exit', () => rmSync(caches, { recursive: true, force: true }));

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    env: { XDG_CACHE_HOME: caches },
    // They end what hangs, and say nothing about speed: a test that waits, waits for a state.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 120_000 } },
    // One more than the cores of a small machine: tests that wait for a lock or a browser leave theirs to others.
    maxWorkers: 3,
  },
});
