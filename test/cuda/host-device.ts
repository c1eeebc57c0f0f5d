// Kernels on the host: what a graph lowers to is compiled by the C++ compiler of this machine and run launch by launch
// on an image of device memory, poisoned where nothing was written. For kernels that use no matrix units (test/cuda/
// host/device.h says what there is); slow, exact about indices, barriers and the order of sums, silent about speed.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KernelLaunch, KernelSource, Target } from '../../src/engine/cuda/lower/launch.ts';
import { lowerOn } from '../../src/engine/cuda/lower/lowerings.ts';
import { lowerPlan, planFor } from '../../src/engine/cuda/lower/program.ts';
import { launchesOf } from '../../src/engine/cuda/lower/schedule.ts';
import { readSource } from '../../src/engine/cuda/runtime/compiler.ts';
import { KernelLibrary } from '../../src/engine/cuda/runtime/kernel-library.ts';
import type { Graph, Value } from '../../src/engine/graph/graph.ts';
import type { Storage } from '../../src/engine/graph/plan.ts';
import { byteSize, type HostTensor, type TensorData } from '../../src/tensor/tensor.ts';

/** Where an image of memory begins. */
export const BASE = 0x7000_0000_0000n;
const folder = join(import.meta.dirname, 'host');

/** Functions of kernels that device.h replaces. */
const onHost = [
  ...['packF16', 'copyAsync16', 'commitCopies', 'waitForCopies', 'publishCopies'],
  ...['multiplyTf32', 'copyAsync4', 'copyAsync8', 'waitForAllCopies'],
  ...['initBarrier', 'publishBarriers', 'arriveAt', 'arriveWithCopies'],
  ...['arriveWithBytes', 'waitForPhase', 'copyBulk', 'meet', 'takeRegisters', 'giveRegisters', 'takeSums'],
  ...['countBitsGroup64', 'multiplyBytes', 'multiplyF16', 'multiplyBytesGroup64', 'multiplyBytesGroup128'],
  ...['loadMatrices', 'loadMatricesTransposed', 'beginGroup', 'endGroup', 'waitForGroup', 'multiplyF16Group64'],
];

export function findHostCompiler(): string | undefined {
  try {
    execFileSync('g++', ['--version'], { stdio: 'pipe' });
    return 'g++';
  } catch {
    return undefined;
  }
}

/** A folder with the compiled kernels of one test run. */
export class HostDevice {
  readonly #folder = mkdtempSync(join(tmpdir(), 'tram-host-kernels-'));
  readonly #program = join(this.#folder, 'run');
  readonly #libraries = new Map<string, string>();

  constructor() {
    // Checked jumps must not leave their stack.
    const options = ['-std=c++20', '-O1', '-U_FORTIFY_SOURCE', '-rdynamic'];
    const args = [...options, '-o', this.#program, join(folder, 'run.cpp'), '-ldl'];
    execFileSync('g++', args, { stdio: 'pipe' });
  }

  dispose(): void {
    rmSync(this.#folder, { recursive: true });
  }

  /**
   * The outputs of a graph's program, and its variables behind it under their names; `descending`: with threads and
   * blocks in the opposite order.
   */
  run(
    graph: Graph,
    inputs: ReadonlyMap<string, HostTensor>,
    target: Target,
    descending = false,
    variables: ReadonlyMap<string, HostTensor> = new Map(),
  ): Record<string, TensorData> {
    const lower = lowerOn(target);
    const planned = planFor(graph, lower, {});
    const image: { at: number; data: Uint8Array }[] = [];
    let end = 0;
    const allocate = (bytes: number, data?: Uint8Array) => {
      const at = end;
      end += Math.ceil(Math.max(1, bytes) / 256) * 256 + 256;
      if (data) image.push({ at, data });
      return BASE + BigInt(at);
    };
    const arena = allocate(planned.arenaBytes);
    const own = allocate(planned.ownBytes);
    const constants = new Map<number, bigint>();
    for (const value of graph.constants) {
      const storage = planned.storage(value);
      const { source } = value;
      if (storage.region === 'constant' && source.kind === 'constant')
        constants.set(storage.index, allocate(byteSize(value), bytesOf(source.tensor.data)));
    }
    const kept = new Map(
      [...variables].map(([name, { data }]) => [name, allocate(data.byteLength, bytesOf(data))] as const),
    );
    const addressOf = (storage: Storage): bigint => {
      if (storage.region === 'arena') return arena + BigInt(storage.offset);
      if (storage.region === 'own') return own + BigInt(storage.offset);
      if (storage.region === 'constant') return constants.get(storage.index)!;
      return kept.get(storage.name)!;
    };
    const commands = lowerPlan(planned, addressOf, lower, {
      counters: (count) => allocate(4 * count, new Uint8Array(4 * count)),
      place: (data) => allocate(data.byteLength, bytesOf(data)),
    });
    for (const [name, value] of graph.inputs) {
      const at = Number(addressOf(planned.storage(value)) - BASE);
      image.push({ at, data: bytesOf(inputs.get(name)!.data) });
    }
    const memory = new Uint8Array(end).fill(0xff);
    for (const { at, data } of image) memory.set(data, at);
    const after = this.execute(memory, launchesOf(commands), descending);
    const types = { f32: Float32Array, i32: Int32Array, u8: Uint8Array } as const;
    const read = (value: Value, address: bigint) => {
      const at = Number(address - BASE);
      return new types[value.dtype](new Uint8Array(after.subarray(at, at + byteSize(value))).buffer);
    };
    return {
      ...Object.fromEntries([...kept].map(([name, at]) => [name, read(graph.variables.get(name)!, at)])),
      ...Object.fromEntries(
        [...graph.outputs].map(([name, value]) => [name, read(value, addressOf(planned.outputStorage(value)))]),
      ),
    };
  }

  /** What launches one after the other make of an image of memory. */
  execute(memory: Uint8Array, launches: readonly KernelLaunch[], descending = false): Uint8Array {
    const [file, list] = [join(this.#folder, 'memory'), join(this.#folder, 'launches')];
    writeFileSync(file, memory);
    const lines = launches.map(({ source, name, grid, block, shared, args }) =>
      [this.#library(source), name, ...grid, ...block, shared, Buffer.from(args).toString('hex')].join(' '),
    );
    writeFileSync(list, `${lines.join('\n')}\n`);
    execFileSync(this.#program, [file, `${BASE}`, list, ...(descending ? ['descending'] : [])], { stdio: 'pipe' });
    return readFileSync(file);
  }

  #library(source: KernelSource): string {
    const key = KernelLibrary.nameOf(source) + (source.text ?? '');
    const known = this.#libraries.get(key);
    if (known) return known;
    const library = join(this.#folder, `kernels-${this.#libraries.size}.so`);
    const text = readSource(source)
      .replace(/asm\("(min|max)\.NaN\.f32 %0, %1, %2;"[^;]*;/g, 'y = a != a || b != b ? NAN : f$1f(a, b);')
      .replace(/\basm( volatile)?\(/g, 'NO_INSTRUCTION(')
      // What device.h has in place of instructions.
      .replace(new RegExp(`(INLINE \\w+) (${onHost.join('|')})\\(`, 'g'), '$1 $2OnDevice(')
      .replace(/extern __shared__ __align__\(\d+\) (\w+) (\w+)\[\];/g, '$1 *$2 = ($1 *)dynamicShared;');
    const names = [...text.matchAll(/(?:^KERNEL|__global__ void(?: __launch_bounds__\([^)]*\))?)\s+(\w+)\(/gm)];
    const calls = names.map(
      ([, name]) =>
        `extern "C" __attribute__((weak)) void call_${name}(const unsigned char *p) { invoke(${name}, p); }`,
    );
    // A file has kernels that its macros leave out: those that are there say so by their names.
    const file = `${library}.cpp`;
    writeFileSync(file, `#include "device.h"\n${text}\n`);
    const defines = Object.entries(source.defines).map(([name, value]) => `-D${name}=${value}`);
    const flags = ['-std=c++20', '-O1', '-w', '-fPIC', '-shared', '-ffp-contract=off', `-I${folder}`, ...defines];
    const preprocessed = execFileSync('g++', [...flags.filter((flag) => flag !== '-shared'), '-E', '-P', file], {
      stdio: 'pipe',
      maxBuffer: 1e9,
    }).toString();
    const present = calls.filter((_, at) => new RegExp(`void\\s+${names[at]![1]}\\(`).test(preprocessed));
    writeFileSync(file, `#include "device.h"\n${text}\n${present.join('\n')}\n`);
    execFileSync('g++', [...flags, '-o', library, file], { stdio: 'pipe' });
    this.#libraries.set(key, library);
    return library;
  }
}

const bytesOf = (data: ArrayBufferView): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
