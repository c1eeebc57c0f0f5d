// The form `testbench` of an export: golden values of chosen layers from the first test images, and benches that
// compare the layers' Verilog with them.
// Invariant: inputs, sums and results of a layer are what the interpreter of integers has inside the whole network.

import { interpreter } from '../../integer/interpret.ts';
import { UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import type { ExportFiles, ExportInput } from '../exporter.ts';
import { verilogFiles } from '../rtl/exporter.ts';
import { BENCH_ARRAY, type BenchOptions, benchFiles } from './files.ts';

export interface TestbenchOptions extends BenchOptions {
  /** Test images that are simulated, from the first on; default 2, so that one follows another without a reset. */
  readonly simulated?: number;
}

export const SIMULATED_IMAGES = 2;

export function exportTestbench(input: ExportInput, options: TestbenchOptions = {}): ExportFiles {
  const { frozen, network, images } = input;
  const { simulated = SIMULATED_IMAGES, ...asked } = options;
  const count = Math.min(simulated, images.count);
  if (count < 1) throw new UserError('no test image to take golden values from: expected at least one');
  const run = interpreter(network);
  const size = images.pixels.length / images.count;
  const golden = Array.from({ length: count }, (_, n) => {
    const values = run(images.pixels.subarray(n * size, (n + 1) * size), { checked: true });
    // The interpreter's memory is that of its last run.
    const kept = values.map((tensor) => tensor.slice());
    return (tensor: number) => kept[tensor]!;
  });
  const rtl = verilogFiles(frozen, network, {
    array: BENCH_ARRAY,
    ...given({ array: asked.array, block: asked.block }),
  });
  return benchFiles({ network, multipliers: frozen.multipliers, rtl, golden }, asked);
}
