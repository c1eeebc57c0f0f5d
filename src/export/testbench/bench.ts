// What the benches of a layer job have in common, in whatever language: names, and the numbers of its work.

import { streamLengths } from '../rtl/interface.ts';
import { activationBeatBits, type LayerJob } from './job.ts';
import { memoryFile } from './memory.ts';

export interface BenchNames {
  /** The layer's name for people, in comments and messages: one line of harmless characters. */
  readonly title: string;
  /** The bench's module, and the names of its files and of the folder of its memories: an identifier. */
  readonly bench: string;
  /** Modules of the bench in Verilog. */
  readonly source: string;
  readonly stalls: string;
  /** The memory of all products of the multiplier, by {w, x}. */
  readonly products: string;
}

/** Any text as one that may stand in comments and messages of every language. */
export const harmless = (text: string): string => text.slice(0, 120).replaceAll(/[^\w.,:#()+-]/g, '?');

/** The numbers of a job's work by the names that all benches have them under; what they mean: ../rtl/interface.ts. */
export function sizesOf({ slice, images, extent }: LayerJob, productBits: number): Record<string, number> {
  const { top } = slice;
  const lengths = streamLengths(top);
  const { size, positions, block } = top;
  const [, kw, depth] = slice.product.weightShape as readonly [number, number, number, number];
  return {
    ...{ R: size.rows, C: size.columns, IMAGES: images, GROUPS: top.groups, TAPS: top.taps, OUTPUTS: top.outputs },
    ...{ TAP_TILES: top.tapTiles, OUTPUT_TILES: top.outputTiles, POSITIONS: positions, BLOCK: block },
    BLOCKS: Math.ceil(positions / block),
    ...{ COLUMNS: extent[1], WINDOW: kw, DEPTH: depth },
    ...{ WEIGHTS: lengths.weights, ACTIVATIONS: lengths.activations },
    ...{ CONSTANTS: lengths.constants, RESULTS: lengths.results },
    ...{ WB: top.weightBits, XB: top.activationBits, CB: top.classBits, YB: top.resultBits, PB: productBits },
    BEAT: activationBeatBits(top),
    PATIENCE: 10_000 + 32 * (lengths.weights + top.tapTiles * Math.min(block, positions) + lengths.constants),
  };
}

/** The memories of a job by their names in its folder. */
export function jobMemories(job: LayerJob, title: string): ReadonlyMap<string, string> {
  const { slice, sumBits } = job;
  const { top } = slice;
  const { size, weightBits, activationBits, resultBits } = top;
  const beat = activationBeatBits(top);
  const of = `of ${title}`;
  return new Map([
    ['weights.mem', memoryFile(`weights ${of}, w_data`, job.weights, size.columns * weightBits)],
    [
      'activations.mem',
      memoryFile(`activations ${of}, {x_class, x_taps, x_data} of ${activationBits} bits each`, job.activations, beat),
    ],
    ['constants.mem', memoryFile(`constants ${of}, c_data`, job.constants, 32)],
    ['results.mem', memoryFile(`expected results ${of}, y_data`, job.results, resultBits)],
    ['sums.mem', memoryFile(`sums ${of} that the results are made of`, job.sums, sumBits)],
  ]);
}
