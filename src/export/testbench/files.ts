// The folder of benches of a network: for chosen layers the job of each with its benches, for their multipliers a bench
// of all operand pairs, the Verilog that is tested, a Makefile.
// Invariant: the golden values come from whoever interprets the network; the Verilog is taken as it is.

import type { FrozenMultiplier } from '../../integer/frozen.ts';
import type { IntegerNetwork } from '../../integer/network.ts';
import { invariant } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import type { ExportFiles } from '../exporter.ts';
import { Identifiers } from '../identifiers.ts';
import { type ArraySize, streamLengths } from '../rtl/interface.ts';
import { productFormat } from '../rtl/multiplier.ts';
import { streamsMarkdown } from '../rtl/streams.ts';
import { layerTops, networkModules } from '../rtl/tops.ts';
import { type BenchNames, jobMemories } from './bench.ts';
import { cocotbBench } from './cocotb.ts';
import { icarusBench } from './icarus.ts';
import { type LayerJob, layerJob } from './job.ts';
import { makefile, testModule } from './makefile.ts';
import { type MultiplierModule, multiplierBench, productMemory } from './multiplier-bench.ts';
import {
  type BenchPlan,
  PLAN_FILE,
  type PlannedBench,
  type PlannedLayer,
  planReadme,
  planText,
  titleOf,
} from './plan.ts';
import { chooseSlices, type LayerSlice, slicesOf } from './slices.ts';
import { verilatorBench } from './verilator.ts';

export const BENCH_ARRAY: ArraySize = { rows: 4, columns: 4 };

export interface BenchOptions {
  /** Names of layers; default: the first and the last whose multiplier is not exact. */
  readonly layers?: readonly string[];
  /** Rows and columns of the array; default 4×4, which simulates many times faster than a larger one. */
  readonly array?: ArraySize;
  /** Positions of a block at most. */
  readonly block?: number;
}

export interface BenchInput {
  readonly network: IntegerNetwork;
  /** Those of the network, with their gates. */
  readonly multipliers: readonly FrozenMultiplier[];
  /** The Verilog of the network for this array, files by name. */
  readonly rtl: ExportFiles;
  /** Of each image that is simulated, the values of all tensors by number. */
  readonly golden: readonly ((tensor: number) => ArrayLike<number>)[];
}

export function benchFiles(
  { network, multipliers: frozen, rtl, golden }: BenchInput,
  options: BenchOptions = {},
): ExportFiles {
  const tops = layerTops(network, { array: BENCH_ARRAY, ...given({ array: options.array, block: options.block }) });
  const slices = chooseSlices(slicesOf(network, tops), options.layers);
  const files = new Map<string, string | Uint8Array>();
  const modules = [...rtl.keys()].filter((name) => name.endsWith('.v')).map((name) => name.slice(0, -2));
  const identifiers = new Identifiers(modules);
  const multipliers = new Map<string, PlannedBench & MultiplierModule>();
  const multiplierOf = (slice: LayerSlice) => {
    const name = slice.top.multiplier;
    const known = multipliers.get(name);
    if (known) return known;
    const planned = planMultiplier(network, slice, frozen, identifiers.add(`tb_${name}`));
    multipliers.set(name, planned);
    files.set(`${planned.bench}/products.mem`, productMemory(name, slice.multiplier.table, planned.format));
    files.set(`${planned.bench}.v`, multiplierBench(planned, slice.multiplier.table));
    return planned;
  };
  const layers = slices.map((slice): PlannedLayer => {
    const multiplier = multiplierOf(slice);
    const job = layerJob(
      slice,
      golden.map((values) => ({
        input: values(slice.product.inputs[0]!),
        sums: values(slice.product.output),
        output: values(slice.requantise.output),
      })),
    );
    const bench = identifiers.add(`tb_${slice.name}`);
    const names: BenchNames = {
      ...{ title: titleOf(slice.name), bench, products: `${multiplier.bench}/products.mem` },
      ...{ source: identifiers.add(`${bench}_source`), stalls: identifiers.add(`${bench}_stalls`) },
    };
    addBenches(files, job, names, multiplier);
    const { top } = slice;
    return {
      ...{ title: names.title, bench, values: golden.length * streamLengths(top).results, top: top.module },
      sources: top.files.map((name) => `rtl/${name}`),
      ...{ images: golden.length, multiplier: top.multiplier, array: [top.size.rows, top.size.columns] },
    };
  });
  const needed = new Set([...layers, ...multipliers.values()].flatMap(({ sources }) => sources));
  for (const path of needed) {
    const text = rtl.get(path.slice('rtl/'.length));
    invariant(text !== undefined, `the Verilog has no file ${path}`);
    files.set(path, text);
  }
  const plan: BenchPlan = {
    layers,
    multipliers: [...multipliers.values()].map(({ title, bench, values, top, sources }) => ({
      ...{ title, bench, values, top, sources },
    })),
  };
  files.set(PLAN_FILE, planText(plan));
  files.set('Makefile', makefile(plan));
  files.set('README.md', planReadme(plan));
  files.set('streams.md', streamsMarkdown(network, [...new Set(slices.map(({ top }) => top))]));
  return files;
}

function addBenches(
  files: Map<string, string | Uint8Array>,
  job: LayerJob,
  names: BenchNames,
  multiplier: MultiplierModule,
): void {
  const { bench } = names;
  for (const [name, text] of jobMemories(job, names.title)) files.set(`${bench}/${name}`, text);
  files.set(`${bench}.v`, icarusBench(job, names, multiplier));
  files.set(`${bench}.cpp`, verilatorBench(job, names, multiplier.format));
  files.set(`${testModule(bench)}.py`, cocotbBench(job, names, multiplier.format));
}

function planMultiplier(
  network: IntegerNetwork,
  { top, product, multiplier }: LayerSlice,
  frozen: readonly FrozenMultiplier[],
  bench: string,
): PlannedBench & MultiplierModule {
  const { table } = multiplier;
  const module = top.multiplier;
  const { halfAdder, fullAdder } = networkModules(network).multipliers[product.multiplier]!;
  const parts = [module, halfAdder, fullAdder];
  const netlist = frozen.find(({ name }) => name === multiplier.name)?.netlist;
  return {
    ...{ title: titleOf(module), bench, values: table.data.length, top: module },
    sources: top.files.filter((name) => parts.includes(name.slice(0, -2))).map((name) => `rtl/${name}`),
    ...{ module, format: productFormat(table, netlist) },
  };
}
