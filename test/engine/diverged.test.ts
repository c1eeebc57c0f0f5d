// A network that has diverged shows it: what is no number stays none through the operations that choose among values.
// On every device that is here.

import { describe, expect, test } from 'vitest';
import type { Backend } from '../../src/engine/backend.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { squareWindow } from '../../src/engine/graph/window.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { cudaDevices, wasmDevices } from './devices.ts';

const { devices, reason } = cudaDevices();
const backends: readonly [string, () => Backend][] = [
  ['reference', () => referenceBackend()],
  ...wasmDevices.map(({ name, open }) => [name, open] as [string, () => Backend]),
  ...(reason === undefined ? devices.slice(0, 1).map(({ name, open }) => [name, open] as [string, () => Backend]) : []),
];

/** One channel or several, so that kernels of one lane and of four both run. */
describe.each(backends)('%s', (_, open) => {
  test.each([1, 4, 7])('a NaN anywhere in a window is its maximum and takes its gradient, %i channels', async (c) => {
    const session = await open().openSession();
    const graph = new Graph();
    const geometry = squareWindow(2, 2);
    const x = graph.input('x', [1, 4, 4, c]);
    graph.output('y', graph.apply1('maxPool', [x], geometry));
    const g = graph.input('g', [1, 2, 2, c]);
    graph.output('dx', graph.apply1('maxPoolGradient', [g, x], geometry));
    const program = await session.compile(graph);
    // The window of row and column `window` has a NaN at its tap `window`.
    const data = new Float32Array(16 * c).map((_, at) => 1 + at);
    const places = [0, 1, 2, 3].map((window) => {
      const row = 2 * (window >> 1) + (window >> 1);
      const column = 2 * (window & 1) + (window & 1);
      return (row * 4 + column) * c + (window % c);
    });
    for (const place of places) data[place] = Number.NaN;
    program.write('x', data);
    program.write('g', new Float32Array(4 * c).fill(1));
    await program.run();
    const [y, dx] = [await program.read('y'), await program.read('dx')];
    places.forEach((place, window) => {
      expect(y[window * c + (window % c)], `window ${window}`).toBeNaN();
      expect(dx[place], `gradient of window ${window}`).toBe(1);
    });
    expect([...y].filter(Number.isNaN)).toHaveLength(4);
    expect([...dx].reduce((sum, value) => sum + value, 0)).toBe(4 * c);
    await session.dispose();
  });
});
