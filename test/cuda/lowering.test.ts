// What the cuda backend would run, checked without a GPU: every case of the conformance suite and a whole training step
// lower to launches within a device's limits, and the kernels that they name compile.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { KernelLaunch, KernelSource } from '../../src/engine/cuda/lower/launch.ts';
import { dependenciesOf } from '../../src/engine/cuda/lower/schedule.ts';
import { sourcesOf } from '../../src/engine/cuda/lower/sources.ts';
import { type Compiler, compileOptions, kernelFolder, readSource } from '../../src/engine/cuda/runtime/compiler.ts';
import { openCompiler } from '../../src/engine/cuda/runtime/device.ts';
import { KernelLibrary } from '../../src/engine/cuda/runtime/kernel-library.ts';
import { binary, unary } from '../../src/engine/graph/expression.ts';
import { expandedKinds } from '../../src/engine/graph/functions.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import type { OpAttributes } from '../../src/engine/graph/ops.ts';
import { square } from '../../src/engine/graph/window.ts';
import type { TableEmulation } from '../../src/multiplier/error.ts';
import { columnStructure } from '../../src/multiplier/structure.ts';
import { findModel } from '../../src/nn/models/registry.ts';
import { TooLargeError } from '../../src/tensor/errors.ts';
import { sha256 } from '../../src/tensor/files.ts';
import { sizeOf } from '../../src/tensor/tensor.ts';
import { imageTask } from '../../src/train/images.ts';
import { appendUpdates } from '../../src/train/optimizer.ts';
import { type Arithmetic, buildNetwork } from '../../src/train/task.ts';
import { cases } from '../engine/all-cases.ts';
import type { Case } from '../engine/cases.ts';
import { depthwiseCases } from '../engine/depthwise-cases.ts';
import { cudaTargets, hopper } from '../engine/devices.ts';
import { dropoutCases } from '../engine/dropout-cases.ts';
import { formulaCases } from '../engine/formula-cases.ts';
import { matrixCases } from '../engine/matrix-cases.ts';
import { approximateCase } from '../engine/path-cases.ts';
import { poolCases } from '../engine/pool-cases.ts';
import { repeatCases } from '../engine/repeat-cases.ts';
import { graphOf } from '../engine/run-case.ts';
import { wideCases } from '../engine/wide-cases.ts';
import { windowedBitCases } from '../engine/windowed-bit-cases.ts';
import { disagreements, kernelFile } from './contract.ts';
import { lowerGraph } from './fake-memory.ts';

/** The graph of every case; what a lowering finds out about a table it finds out once. */
const graphs = new Map(cases.map((item) => [item, graphOf(item)]));
/** What the H200 would be given. */
const launchesOf = memo((item: Case) => lowerGraph(graphs.get(item)!).launches);

describe.each(Object.entries(cudaTargets))('%s', (_, target) => {
  test('every case lowers to launches within the device’s limits that agree with their kernels', () => {
    for (const [item, graph] of graphs) {
      for (const launch of lowerGraph(graph, target).launches) {
        const { name, grid, block, shared, args } = launch;
        const what = `${item.name}: ${name}`;
        expect(disagreements(launch), what).toEqual([]);
        expect(Math.min(...grid, ...block), what).toBeGreaterThanOrEqual(1);
        expect(Math.max(grid[1], grid[2]), what).toBeLessThan(65536);
        expect(block[0] * block[1] * block[2], what).toBeLessThanOrEqual(1024);
        expect(shared, what).toBeLessThanOrEqual(target.sharedBytesPerBlock);
        expect(args.length, what).toBeGreaterThan(0);
      }
    }
  });
});

test('counts of bits have the shared memory of their stages and of their own arrays', () => {
  const bits = ({ source }: KernelLaunch) => source.file.startsWith('approximate-bit') && 'BM' in source.defines;
  // Few images make tiles of 64 rows.
  const counted = [3, 5, 6].flatMap((size) =>
    [2, 64].flatMap((images) =>
      (['truncation', 'structure'] as const).flatMap((form) =>
        [8, 6, 4].map((width) => {
          const shape = { x: [images, 16, 16, 64], w: [size, size, 64, 64], padding: Math.floor(size / 2) };
          return approximateCase(`${size}×${size}`, shape, [width, width], form);
        }),
      ),
    ),
  );
  const seen = new Set<string>();
  for (const item of [...cases, ...counted]) {
    for (const launch of lowerGraph(graphs.get(item) ?? graphOf(item)).launches.filter(bits)) {
      const { KH, KW, BM, STAGES, ABITS } = launch.source.defines;
      const own = kernelFile(launch.source).kernels.get(launch.name)!.ownBytes();
      const what = `${item.name}: ${launch.name}, ${STAGES} stages of ${BM} rows, ${ABITS} bits`;
      expect(launch.shared + own, what).toBeLessThanOrEqual(hopper().sharedBytesPerBlock);
      seen.add(`${launch.name} ${KH}×${KW} of ${BM}`);
    }
  }
  expect([...seen]).toEqual(expect.arrayContaining(['multiply 5×5 of 128', 'multiply 5×5 of 64']));
});

test('a tensor of more elements than kernels count is refused by the layer', () => {
  const one = (elements: number) => {
    const graph = new Graph();
    const x = graph.input('x', [elements]);
    graph.output(
      'y',
      graph.labelled('conv1', () => graph.apply1('relu', [x], {})),
    );
    return graph;
  };
  expect(lowerGraph(one(2 ** 31 - 2 ** 16)).launches).toHaveLength(1);
  expect(() => lowerGraph(one(2 ** 31 - 2 ** 16 + 1))).toThrow(TooLargeError);
  expect(() => lowerGraph(one(2 ** 33))).toThrow(/^conv1: a tensor has 8589934592 elements, .* a smaller batch size/);
});

describe('look-ups', () => {
  const lookedUp = (x: readonly number[], [kh, kw]: readonly [number, number]) => {
    const graph = new Graph();
    const scalars = ['xScale', 'xZero', 'wScale', 'wZero'].map((name, at) => graph.input(name, at < 2 ? [] : [1]));
    const codes = [graph.input('x', x, 'u8'), graph.input('w', [kh, kw, 1, 1], 'u8')];
    const inputs = [...codes, ...scalars, graph.input('error', [4, 4], 'i32')];
    const attributes = {
      ...square(),
      weightBits: 2,
      activationBits: 2,
      error: { kind: 'table', emulation: 'table' },
    } as const;
    graph.output('y', graph.apply1('axmConv2d', inputs, attributes));
    return lowerGraph(graph).launches;
  };

  test('have a thread for each eight codes that are laid out, so that none counts on past 31 bits', () => {
    const pixels = [1, 32767, 65536, 1];
    const { grid, block } = lookedUp(pixels, [1, 1]).find(({ name }) => name === 'arrange_codes')!;
    expect(grid[0] * block[0]).toBe(sizeOf(pixels));
  });

  test('in a window whose taps have no room in shared memory are refused', () => {
    expect(lookedUp([1, 200, 200, 1], [200, 200]).length).toBeGreaterThan(0);
    expect(() => lookedUp([1, 250, 250, 1], [250, 250])).toThrow(/the 250×250 taps of its window are more than/);
  });
});

function trainingStep(batch: number) {
  const images = { height: 32, width: 32, channels: 3, classes: 10, scale: 255, mean: [0, 0, 0], deviation: [1, 1, 1] };
  const structure = columnStructure({ weightBits: 8, activationBits: 8 }, 8);
  const arithmetic: Arithmetic = {
    kind: 'quantized',
    weightBits: 8,
    activationBits: 8,
    channelwise: true,
    multiplierOf: () => ({ kind: 'structure', theta: 'theta', structure }),
  };
  const { graph, layers, loss } = buildNetwork(imageTask(findModel('resnet18'), images), arithmetic, 'train', batch);
  const parameters = layers.parameters.filter(({ trainable }) => trainable).map(({ value }) => value);
  const variables = [...parameters, graph.variable('theta', [structure.count])];
  appendUpdates(loss, [{ variables, rate: 'rate', momentum: 0.9, weightDecay: 5e-4 }]);
  return graph;
}

const step = lowerGraph(trainingStep(256));

describe('a training step of ResNet18 with a trained structure', () => {
  const { commands, launches, planned } = step;

  test('agrees with its kernels', () => {
    expect(launches.flatMap(disagreements)).toEqual([]);
  });

  test('updates all parameters in few launches, large layers by themselves, and copies what is assigned elsewhere in one', () => {
    const updates = launches.filter(({ name }) => name === 'sgd').length;
    expect(updates).toBeGreaterThan(2);
    expect(updates).toBeLessThan(9);
    expect(launches.filter(({ name }) => name === 'copy')).toHaveLength(1);
  });

  test('forms the matrix of a θ that all layers share once, and its gradient of the sum over the layers', () => {
    const count = (kernel: string) => launches.filter(({ name }) => name === kernel).length;
    expect([count('structure_matrix'), count('structure_matrix_gradient')]).toEqual([1, 1]);
    expect(count('structure_dots')).toBeGreaterThan(15);
  });

  test('needs less than 1.5 GB for the activations of 256 images', () => {
    expect(planned.arenaBytes).toBeLessThan(1.5e9);
  });

  test('is a graph in which work that does not depend on each other is not in a row', () => {
    const dependencies = dependenciesOf(commands);
    const depth: number[] = [];
    for (const before of dependencies) depth.push(1 + Math.max(0, ...before.map((at) => depth[at]!)));
    expect(Math.max(...depth)).toBeLessThan(0.8 * commands.length);
    expect(dependencies.every((before, at) => before.every((earlier) => earlier < at))).toBe(true);
  });
});

test('the kernels of a program are known without memory for it', () => {
  const names = (sources: readonly KernelSource[]) => [...new Set(sources.map(KernelLibrary.nameOf))].sort();
  const known = names(sourcesOf(trainingStep(256), hopper()));
  expect(known.length).toBeGreaterThan(30);
  expect(known).toEqual(names(step.launches.map(({ source }) => source)));
});

test('every kernel is launched by a case or a training step', () => {
  const launched = new Set(
    [step.launches, ...cases.map(launchesOf)].flatMap((launches) =>
      launches.map(({ source, name }) => `${source.file}: ${name}`),
    ),
  );
  const kernels = readdirSync(kernelFolder())
    .filter((file) => file.endsWith('.cu'))
    .flatMap((file) => {
      const text = readFileSync(join(kernelFolder(), file), 'utf8');
      const names = text.matchAll(/(?:^KERNEL|__global__ void(?: __launch_bounds__\([^)]*\))?)\s+(\w+)\(/gm);
      return [...names].map(([, name]) => `${file}: ${name}`);
    });
  expect(kernels.length).toBeGreaterThan(60);
  expect(kernels.filter((kernel) => !launched.has(kernel))).toEqual([]);
});

test('a sum that needs more than 32 bits is refused with what to do', () => {
  const item = cases.find(({ name }) => name === 'axmConv2d: exact, linear layer')!;
  const [x, w, ...rest] = item.inputs;
  const channels = 40_000;
  const wide = {
    ...item,
    differentiate: [],
    inputs: [
      { ...x!, shape: [1, 1, 1, channels], data: new Uint8Array(channels) },
      { ...w!, shape: [1, 1, channels, 10], data: new Uint8Array(10 * channels) },
      ...rest,
    ],
  };
  expect(() => lowerGraph(graphOf(wide))).toThrow('sums 40000 products of 8×8 bits');
});

test('a structure whose digits do not fit the shared memory is refused with what to do', () => {
  const item = cases.find(({ name }) => name === 'axmConv2d: trained structure, 3×3 with padding')!;
  const rtx30 = { ...hopper('fp32'), sharedBytesPerBlock: 101_376, warpgroups: false };
  expect(() => lowerGraph(graphOf(item), rtx30)).toThrow(
    /a structure of 8 columns in the precision fp32 needs \d+ bytes of shared memory per block, and this GPU has \d+; choose the precision tf32/,
  );
});

describe('a table', () => {
  const mapped = wideCases.find(({ name }) => name === 'axmConv2d: products of bits, 48 to 64 channels')!;
  const random = wideCases.find(({ name }) => name === 'axmConv2d: constant table, 48 to 64 channels')!;
  const kernelOf = (item: Case, emulation?: TableEmulation) => {
    const error = { kind: 'table', ...(emulation ? { emulation } : {}) };
    const attributes = { ...item.attributes, error } as OpAttributes['axmConv2d'];
    const { launches } = lowerGraph(graphOf({ ...item, attributes } as Case));
    return launches.map(({ name }) => name).find((name) => name === 'multiply' || name === 'look_up');
  };

  test('that factors becomes planes, any other is looked up, as is one that must be', () => {
    expect(kernelOf(mapped)).toBe('multiply');
    expect(kernelOf(mapped, 'table')).toBe('look_up');
    expect(kernelOf(random)).toBe('look_up');
  });

  test('without a factorisation cannot be forced into one', () => {
    expect(() => kernelOf(random, 'lowrank')).toThrow(/no low-rank emulation.*products of bits.*table applies/);
  });
});

const nvcc = findNvcc();
/** One source per file and kind of work, as an RTX 30 and an H200 would compile it. */
const representative = new Map<string, KernelSource>();
const ofDepthwise = depthwiseCases.filter(({ name }) => name.includes('two outputs per channel'));
const ofMatrixUnits = [...wideCases, ...windowedBitCases, ...matrixCases];
for (const item of [...ofMatrixUnits, ...ofDepthwise, ...poolCases, ...repeatCases, ...dropoutCases]) {
  for (const { source, name } of launchesOf(item)) {
    if (source.text !== undefined) continue;
    const { MODE = '', COLUMNS = '', ENTRY = '', WIDTH = '', SOURCES = '', PRODUCTS = '', BN = '' } = source.defines;
    const { WINDOWS = '' } = source.defines;
    const narrow = Number(BN) < 64 ? BN : '';
    representative.set(
      `${name} ${[MODE, COLUMNS, ENTRY, WIDTH, SOURCES, PRODUCTS, narrow, WINDOWS].join(' ')}`,
      source,
    );
  }
}
const sources = new Map([...representative.values()].map((source) => [KernelLibrary.nameOf(source), source]));

describe(nvcc ? 'kernels compile' : 'kernels compile (skipped: nvcc is not on the path)', () => {
  const compile = (source: KernelSource, capability: number, folder: string) => {
    const defines = capability === 90 ? source.defines : withoutWarpgroups(source.defines);
    const options = compileOptions({ ...source, defines }, capability).filter((option) => option.startsWith('-D'));
    const architecture = capability === 90 ? '90a' : String(capability);
    const code = `arch=compute_${architecture},code=sm_${architecture}`;
    // The text as it is compiled at run time, with its includes put in.
    const [text, output] = [join(folder, 'kernel.cu'), join(folder, 'kernel.cubin')];
    writeFileSync(text, readSource(source));
    const args = [`-gencode=${code}`, '-cubin', '-std=c++17', ...options, '-o', output, text];
    execFileSync(nvcc!, args, { stdio: 'pipe' });
  };
  const ofHopper = new Set(['approximate-planes.cu', 'approximate-bits.cu', 'approximate-bit-gradients.cu']);
  const capabilities = ({ file }: KernelSource) => (ofHopper.has(file) ? [90] : [90, 86]);
  const all = [...sources].flatMap(([name, source]) =>
    capabilities(source).map((capability) => ({ name, source, capability })),
  );
  test.runIf(nvcc).each(process.env.EVERY_CASE ? all : oneOfEach(all))('$name for $capability', (one) => {
    const folder = mkdtempSync(join(tmpdir(), 'tram-nvcc-'));
    compile(one.source, one.capability, folder);
    rmSync(folder, { recursive: true });
  });
});

/**
 * Of each file, with a tile and without, and capability the source whose name has the least hash; every one compiles
 * with EVERY_CASE=1, and on a GPU (npm run test:gpu). What all of them read and define is held against the files
 * above (contract.ts).
 */
function oneOfEach<T extends { readonly name: string; readonly source: KernelSource; readonly capability: number }>(
  all: readonly T[],
): readonly T[] {
  const hashOf = ({ name }: T) => sha256(name);
  const least = new Map<string, T>();
  for (const one of all) {
    const key = `${one.source.file} ${'BM' in one.source.defines} ${one.capability}`;
    const found = least.get(key);
    if (!found || hashOf(one) < hashOf(found)) least.set(key, one);
  }
  return [...least.values()];
}

/** The texts of all generated kernels as one file, each kernel under a name of its own. */
function generatedKernels(): string {
  const texts = new Set<string>();
  for (const item of [...formulaCases, ...repeatCases]) {
    for (const { source } of launchesOf(item)) if (source.text !== undefined) texts.add(source.text);
  }
  const include = '#include "formula.cuh"\n';
  const kernels = [...texts].map((text, number) =>
    text.replace(include, '').replace(/\b(formula|move|clear)\(/g, (_, name) => `${name}_${number}(`),
  );
  return readSource({ file: 'formulas.cu', text: [include, ...kernels].join('\n') });
}

describe(nvcc ? 'generated kernels compile' : 'generated kernels compile (skipped: nvcc is not on the path)', () => {
  test.runIf(nvcc).each(process.env.EVERY_CASE ? [80, 90] : [90])('for capability %i', (capability) => {
    const folder = mkdtempSync(join(tmpdir(), 'tram-nvcc-'));
    const file = join(folder, 'generated.cu');
    writeFileSync(file, generatedKernels());
    const args = [`-arch=sm_${capability}`, '-cubin', '-std=c++17', '-Werror=all-warnings', '-o', `${file}bin`, file];
    execFileSync(nvcc!, args, { stdio: 'pipe' });
    rmSync(folder, { recursive: true });
  });
});

test('every operator of expressions is a function of the generated kernels', () => {
  const header = readSource({ file: 'formula.cuh', text: '#include "formula.cuh"\n' });
  const made: readonly string[] = expandedKinds;
  const operators = [...unary, ...binary, 'whereGreater'].filter((kind) => !made.includes(kind));
  expect(operators.filter((kind) => !header.includes(`INLINE float ${kind}(`))).toEqual([]);
});

/**
 * What the program itself compiles with; it takes less of the language than nvcc, so its word counts where it is there.
 */
const runtimeCompiler = findRuntimeCompiler();
describe(runtimeCompiler ? 'the run-time compiler' : 'the run-time compiler (skipped: NVRTC is not there)', () => {
  test.runIf(runtimeCompiler).each([80, 90])('takes all generated kernels for capability %i', async (capability) => {
    const options = compileOptions({ file: 'formulas.cu', defines: {} }, capability);
    expect((await runtimeCompiler!.compile(generatedKernels(), 'formulas.cu', options)).length).toBeGreaterThan(0);
  });
  const files = new Map([...sources.values()].map((source) => [source.file, source] as const));
  test.runIf(runtimeCompiler).each([...files])('takes %s', async (_, source) => {
    const image = await runtimeCompiler!.compile(readSource(source), source.file, compileOptions(source, 90));
    expect(image.length).toBeGreaterThan(0);
  });
});

function memo<K, V>(make: (key: K) => V): (key: K) => V {
  const made = new Map<K, V>();
  return (key) => {
    if (!made.has(key)) made.set(key, make(key));
    return made.get(key)!;
  };
}

function findRuntimeCompiler(): Compiler | undefined {
  try {
    return openCompiler();
  } catch {
    return undefined;
  }
}

function withoutWarpgroups(defines: KernelSource['defines']): KernelSource['defines'] {
  return 'WGMMA' in defines ? { ...defines, WGMMA: 0 } : defines;
}

function findNvcc(): string | undefined {
  try {
    execFileSync('nvcc', ['--version'], { stdio: 'pipe' });
    return 'nvcc';
  } catch {
    return undefined;
  }
}
