// The form `integer`: the network as integers in files, and the report of how it compares with the float-scaled one on
// the images that are given.

import { wasmBackend } from '../../engine/wasm/runtime/backend.ts';
import { Comparison } from '../../integer/compare.ts';
import { integerFiles } from '../../integer/files.ts';
import type { ExportFiles, ExportInput } from '../exporter.ts';
import { integerReport } from './report.ts';

export async function exportIntegers({ frozen, network, images }: ExportInput): Promise<ExportFiles> {
  const files = integerFiles(network);
  const comparison = await Comparison.open(frozen, network, wasmBackend({ threads: 1 }));
  try {
    const length = images.pixels.length / images.count;
    for (let k = 0; k < images.count; k++) {
      await comparison.add(images.pixels.subarray(k * length, (k + 1) * length), images.labels[k]!);
    }
    const figures = comparison.figures();
    files.set('report.json', `${JSON.stringify(figures, null, 2)}\n`);
    files.set('report.md', integerReport(`${frozen.model} (${frozen.stage})`, figures));
    return files;
  } finally {
    await comparison.dispose();
  }
}
