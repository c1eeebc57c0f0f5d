// The form `rtl` of an export: plain Verilog-2001 of the network's layers, one file per module, a list of files per
// layer that simulators and synthesis tools read (`-f`), how tops are driven, what elements and arrays cost.
// Invariant: the same network and options give the same files, byte for byte.

import type { FrozenNetwork } from '../../integer/frozen.ts';
import { interpreter } from '../../integer/interpret.ts';
import type { IntegerNetwork, ProductOperation } from '../../integer/network.ts';
import { systolicPicture } from '../../report/systolic.ts';
import { UserError } from '../../tensor/errors.ts';
import type { ExportFiles, ExportImages, ExportInput } from '../exporter.ts';
import { elementFigures, type FigureOptions } from './figures.ts';
import type { ArraySize, LayerTop } from './interface.ts';
import { layerFiles, layerSumBits } from './layer.ts';
import { arrayVerilog, elementVerilog, multiplierVerilog, productFormat } from './multiplier.ts';
import { delay, memory, skew, skid } from './plumbing.ts';
import { type RtlReport, reportMarkdown } from './report.ts';
import { constants, requantise, results } from './results.ts';
import { sequencer } from './sequencer.ts';
import { elementActivity, type RecordedLayer } from './stimulus.ts';
import { streamsMarkdown } from './streams.ts';
import { accumulators, rowSum } from './sums.ts';
import { DEFAULT_ARRAY, layerTops, networkModules, type RtlOptions, type sharedModules } from './tops.ts';

const shared: Readonly<Record<(typeof sharedModules)[number], string>> = {
  tram_accumulators: accumulators,
  tram_constants: constants,
  tram_delay: delay,
  tram_memory: memory,
  tram_requantise: requantise,
  tram_results: results,
  tram_row_sum: rowSum,
  tram_sequencer: sequencer,
  tram_skew: skew,
  tram_skid: skid,
};

const MOST_ROWS = 64;
const MOST_BLOCK = 65_536;

export interface RtlExportOptions extends RtlOptions, Omit<FigureOptions, 'cache'> {
  /** Whether elements and arrays are synthesised for the report (default true). */
  readonly figures?: boolean;
  /** Where results of synthesis are kept; default: the user's cache; null: nowhere. */
  readonly cache?: string | null;
}

/** Cycles in which elements are watched, for the activity of power figures. */
const WATCHED = 2048;
const USUAL_SIZES: readonly ArraySize[] = [
  { rows: 4, columns: 4 },
  { rows: 8, columns: 8 },
];

/** The files of the form: Verilog, file lists, streams.md, array.svg, report.md and report.json. */
export async function exportRtl(input: ExportInput, options: RtlExportOptions = {}): Promise<ExportFiles> {
  const { frozen, network, images } = input;
  const files = verilogFiles(frozen, network, options);
  const { rows, columns } = options.array ?? DEFAULT_ARRAY;
  const tops = layerTops(network, options);
  const report = await reportOf(input, tops, images, options);
  return new Map([
    ...files,
    ['streams.md', streamsMarkdown(network, tops)],
    ['array.svg', `${systolicPicture(rows, columns)}\n`],
    ['report.md', reportMarkdown(report)],
    ['report.json', `${JSON.stringify(report, null, 2)}\n`],
  ]);
}

async function reportOf(
  { frozen, network }: ExportInput,
  tops: readonly LayerTop[],
  images: ExportImages,
  options: RtlExportOptions,
): Promise<RtlReport> {
  const { array = DEFAULT_ARRAY, figures: wanted = true, block: _, ...flow } = options;
  const products = network.operations.filter(({ kind }) => kind === 'product') as ProductOperation[];
  const withTop = new Set(tops.map(({ product }) => network.operations[product]));
  const report = { model: network.name, stage: frozen.stage, tops };
  const without = products.filter((one) => !withTop.has(one)).map(({ layer }) => layer);
  const sizes = [...new Map([...USUAL_SIZES, array].map((size) => [`${size.rows}x${size.columns}`, size])).values()];
  const erring = network.multipliers.map((one, number) => ({ ...one, number })).filter(({ exact }) => !exact);
  const figures = [];
  if (wanted && images.count > 0) {
    const size = images.pixels.length / images.count;
    const values = interpreter(network)(images.pixels.subarray(0, size));
    for (const { name, table, number } of erring) {
      const layers: RecordedLayer[] = tops
        .filter(({ product }) => (network.operations[product] as ProductOperation).multiplier === number)
        .map((top) => ({ top, input: values[network.operations[top.product]!.inputs[0]!]! }));
      if (layers.length === 0) continue;
      const netlist = netlistOf(frozen, name);
      const sumBits = Math.max(...layers.map(({ top }) => layerSumBits(network, top, productFormat(table, netlist))));
      const activityOf = (products: typeof table) => elementActivity(network, layers, products, WATCHED);
      const design = { name, table, netlist };
      figures.push(await elementFigures(design, sumBits, sizes, activityOf, flow));
    }
  }
  return { ...report, without, figures };
}

const netlistOf = (frozen: Pick<FrozenNetwork, 'multipliers'>, name: string) =>
  frozen.multipliers.find((one) => one.name === name)?.netlist;

/** The Verilog of all layers that have a top (`layerTops`), with the gates of the frozen network's multipliers. */
export function verilogFiles(
  frozen: Pick<FrozenNetwork, 'multipliers'>,
  network: IntegerNetwork,
  options: RtlOptions = {},
): Map<string, string> {
  checkOptions(options);
  const modules = networkModules(network);
  const tops = layerTops(network, options);
  const files = new Map<string, string>();
  const formats = network.multipliers.map(({ name, table }, n) => {
    const netlist = netlistOf(frozen, name);
    const format = productFormat(table, netlist);
    const own = modules.multipliers[n]!;
    files.set(`${own.multiplier}.v`, multiplierVerilog(own, table, netlist));
    files.set(`${own.element}.v`, elementVerilog(own, table, format));
    files.set(`${own.array}.v`, arrayVerilog(own, table, format));
    return format;
  });
  for (const top of tops) {
    const product = network.operations[top.product]!;
    const format = formats['multiplier' in product ? (product.multiplier as number) : -1]!;
    for (const [name, text] of layerFiles(network, modules, top, format)) files.set(name, text);
    files.set(`${top.module}.f`, top.files.map((name) => `${name}\n`).join(''));
  }
  for (const [name, text] of Object.entries(shared)) files.set(`${name}.v`, text);
  return files;
}

function checkOptions({ array, block }: RtlOptions): void {
  for (const [what, value] of Object.entries({ rows: array?.rows ?? 1, columns: array?.columns ?? 1 })) {
    if (Number.isInteger(value) && value >= 1 && value <= MOST_ROWS) continue;
    throw new UserError(`an array of ${value} ${what}: expected an integer from 1 to ${MOST_ROWS}`);
  }
  if (block !== undefined && !(Number.isInteger(block) && block >= 1 && block <= MOST_BLOCK)) {
    throw new UserError(`a block of ${block} positions: expected an integer from 1 to ${MOST_BLOCK}`);
  }
}
