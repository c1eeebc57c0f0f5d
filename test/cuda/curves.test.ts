// The loss curves that a GPU must follow are those of this version of the program: the wasm backend follows them here.
// What computes them is plain JavaScript over the built program, so that a GPU host runs it without a compiler; here it
// runs in a process of its own.

import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

const script = `
  import { readFileSync } from 'node:fs';
  import { curvesOf, curvesPath, distances } from './bench/cuda-setup.mjs';
  import { wasmBackend } from './dist/engine/wasm/runtime/backend.js';
  const pinned = JSON.parse(readFileSync(curvesPath, 'utf8'));
  console.log(JSON.stringify(distances(await curvesOf(wasmBackend({ threads: 1 })), pinned)));
`;

test('the pinned losses of all kinds of training are those of the wasm backend', () => {
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  const found = JSON.parse(output);
  expect(Object.keys(found)).toEqual(['float', 'phase 1', 'steps', 'phase 3']);
  expect(found.float.largest).toBeLessThan(1e-5);
  for (const phase of ['phase 1', 'steps', 'phase 3']) {
    expect(found[phase].first, phase).toBeLessThan(2e-4);
    expect(found[phase].largest, phase).toBeLessThan(2e-2);
  }
});
