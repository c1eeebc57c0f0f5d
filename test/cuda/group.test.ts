// A session of one of a group of GPUs, on libraries that stand in for the driver's, the compiler's and NCCL's and
// compute nothing: what is called in which order, that the thread never waits for the device, and that nothing is left.

import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type koffi from 'koffi';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import type { Session } from '../../src/engine/backend.ts';
import type { CudaProgram } from '../../src/engine/cuda/runtime/program.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { square } from '../../src/engine/graph/window.ts';
import { f32 } from '../../src/tensor/tensor.ts';
import { compileLibrary, describeC } from '../c-compiler.ts';

const ffi = createRequire(import.meta.url)('koffi') as typeof koffi;
const folder = mkdtempSync(join(tmpdir(), 'tram-group-'));
const kinds = ['contexts', 'memory', 'pinned', 'streams', 'events', 'graphs', 'executables'] as const;

interface Fakes {
  readonly cuda: typeof import('../../src/engine/cuda/runtime/backend.ts');
  /** How many of each kind there are. */
  readonly left: () => Record<(typeof kinds)[number], number>;
  /** How often the thread waited for a graph. */
  readonly blocked: () => number;
  /** Children, executables and launches since the last time. */
  readonly written: () => {
    readonly what: 'child' | 'executable' | 'launch';
    readonly of: bigint;
    readonly by: bigint;
  }[];
  /** From now on no event happens; off, all do. */
  readonly hang: (on: number) => void;
}

let fakes: Fakes;

describeC('a session of a group of GPUs', () => {
  beforeAll(async () => {
    for (const name of ['fake-cuda.c', 'fake-nccl.c'])
      copyFileSync(join(import.meta.dirname, name), join(folder, name));
    mkdirSync(join(folder, 'lib'));
    const options = ['-D_POSIX_C_SOURCE=200112L', '-std=c11'];
    const [cuda, nccl] = [compileLibrary(folder, 'fake-cuda.c', options), compileLibrary(folder, 'fake-nccl.c')];
    for (const name of ['libcuda.so.1', 'libnvrtc.so.13']) copyFileSync(cuda, join(folder, 'lib', name));
    copyFileSync(nccl, join(folder, 'lib', 'libnccl.so.2'));
    vi.stubEnv('TRAM_CUDA_PATH', folder);
    vi.stubEnv('XDG_CACHE_HOME', folder);
    // Before anything else is loaded: the first call sets how.
    const backend = await import('../../src/engine/cuda/runtime/backend.ts');
    backend.collectiveId();
    const driver = ffi.load(join(folder, 'lib', 'libcuda.so.1'));
    const leftOf = driver.func('int fake_left(int kind)');
    const taken = driver.func('int fake_written(void *into)');
    const names = ['child', 'executable', 'launch'] as const;
    fakes = {
      cuda: backend,
      left: () => Object.fromEntries(kinds.map((kind, at) => [kind, leftOf(at)])) as ReturnType<Fakes['left']>,
      blocked: driver.func('int fake_blocked()'),
      written: () => {
        const lines = new BigUint64Array(4096);
        const count = taken(lines) as number;
        return Array.from({ length: count / 3 }, (_, at) => {
          const [what, of, by] = lines.subarray(3 * at, 3 * at + 3);
          return { what: names[Number(what) - 1]!, of: of!, by: by! };
        });
      },
      hang: driver.func('void fake_hang(int on)'),
    };
  });
  beforeEach(() => void fakes.written());
  afterAll(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });

  const backendOf = (apart = false) => {
    const { collectiveId, cudaBackend } = fakes.cuda;
    return cudaBackend({ device: 1, collective: { rank: 1, ranks: 2, id: collectiveId(), apart } });
  };

  /** Kernels and two reductions; the larger the more of the arena. */
  function graphOf(size: number, name: string): Graph {
    const graph = new Graph({ replicas: 2 });
    const x = graph.input('x', [size]);
    const variable = graph.variable(name, [size]);
    const [sum] = graph.reduced('sum', [graph.apply1('relu', [x], {})]);
    const [mean] = graph.reduced('mean', [graph.apply1('relu', [sum!], {})]);
    graph.assign(variable, graph.apply1('add', [variable, mean!], { alpha: 1, beta: 1 }));
    graph.output('small', graph.apply1('sum', [mean!], {}));
    graph.output('large', graph.apply1('relu', [mean!], {}));
    return graph;
  }

  test('never waits on the thread, whatever is asked while runs are under way, and leaves nothing', async () => {
    const { left, blocked, written } = fakes;
    const before = blocked();
    const backend = backendOf();
    expect(backend.device).toMatchObject({ replicas: 2, description: expect.stringContaining('GPU 1: second') });
    const session = await backend.openSession();
    const first = await session.compile(graphOf(1000, 'v'));
    // One graph, with the reductions in it as they were captured; the second waits for the first, through kernels too.
    const built = written();
    expect(built.map(({ what }) => what)).toEqual(['child', 'child', 'executable']);
    expect(built[2]!.by).toBe(8n);

    for (let run = 0; run < 9; run++) {
      first.write('x', new Float32Array(1000).fill(run));
      await first.run();
      session.write('other', { dtype: 'f32', shape: [3], data: Float32Array.of(1, 2, run) });
      expect([...(await session.read('other')).data]).toEqual([1, 2, run]);
    }
    for (let run = 0; run < 8; run++) {
      first.write('x', new Float32Array(1000).fill(run));
      await first.run();
    }
    await first.read('small');
    await first.run();
    expect(await first.read('large')).toHaveLength(1000);
    await first.run();
    // The arena moves under a run; then the first is built again.
    const larger = await session.compile(graphOf(50_000, 'w'));
    larger.write('x', new Float32Array(50_000));
    await larger.run();
    written();
    await first.run();
    expect(written().map(({ what }) => what)).toEqual(['child', 'child', 'executable', 'launch']);
    await larger.run();
    await larger.dispose();
    await first.run();
    await session.dispose();
    await backend.close();
    expect(blocked() - before).toBe(0);
    expect(Object.values(left())).toEqual(kinds.map(() => 0));
  });

  test('starts programs in the order of the calls, however they get ready', async () => {
    const { written } = fakes;
    const backend = backendOf();
    const session = await backend.openSession();
    const programs = await Promise.all(['a', 'b'].map((name) => session.compile(graphOf(100, name))));
    const executables = written().filter(({ what }) => what === 'executable');
    const order = [0, 0, 0, 0, 0, 0, 1, 0, 1, 1];
    for (const program of programs) program.write('x', new Float32Array(100));
    await Promise.all(order.map((at) => programs[at]!.run()));
    const launched = written().map(({ of }) => executables.findIndex((executable) => executable.of === of));
    expect(launched).toEqual(order);
    await session.dispose();
    await backend.close();
  });

  test('can have its reductions between graphs of kernels', async () => {
    const { written, left } = fakes;
    const backend = backendOf(true);
    const session = await backend.openSession();
    const program = await session.compile(graphOf(100, 'v'));
    program.write('x', new Float32Array(100));
    await program.run();
    expect(written().map(({ what }) => what)).toEqual([...Array(3).fill('executable'), ...Array(3).fill('launch')]);
    await session.dispose();
    await backend.close();
    expect(Object.values(left())).toEqual(kinds.map(() => 0));
  });

  test('that lost another rank rejects with its name, ends its graphs, and can be disposed of', async () => {
    const { left, hang, blocked } = fakes;
    onTestFinished(() => hang(0));
    const backend = backendOf();
    const session = await backend.openSession();
    const program = await session.compile(graphOf(100, 'v'));
    program.write('x', new Float32Array(100));
    hang(1);
    const before = blocked();
    for (let run = 0; run < 3; run++) await program.run();
    const reading = [program.read('small'), program.read('large'), session.read('v')];
    const reason = new Error('rank 0 (host, GPU 0) is lost');
    const ended = backend.lose(reason);
    for (const one of reading) await expect(one).rejects.toBe(reason);
    // The library aborts what hangs; to destroy a graph before that ends would keep the thread for ever.
    expect(left().executables).toBe(1);
    hang(0);
    expect(await ended).toBe(true);
    expect(left().executables).toBe(0);
    expect(blocked() - before).toBe(0);
    await expect(program.run()).rejects.toBe(reason);
    await expect(session.compile(graphOf(10, 'u'))).rejects.toBe(reason);
    expect(() => session.write('v', { dtype: 'f32', shape: [100], data: new Float32Array(100) })).toThrow(reason);
    await program.dispose();
    await session.dispose();
    await backend.close();
    await expect(backend.openSession()).rejects.toBe(reason);
  });

  test('a GPU alone has one graph without children, and waits as it may', async () => {
    const { cuda, written, blocked } = fakes;
    const session = await cuda.cudaBackend().openSession();
    const graph = new Graph();
    graph.output('y', graph.apply1('relu', [graph.input('x', [5000])], {}));
    const program = await session.compile(graph);
    expect(written().map(({ what, by }) => [what, by])).toEqual([['executable', 0n]]);
    program.write('x', new Float32Array(5000));
    const before = blocked();
    await program.run();
    await program.read('y');
    expect(blocked() - before).toBe(1);
    await session.dispose();
  });

  test('lets a kernel have the most shared memory that any of its launches wants', async () => {
    const session = await fakes.cuda.cudaBackend().openSession();
    // The same kernel of counted bits; the longer the inner axis, the more it keeps of where its parts are.
    const convolve = (graph: Graph, channels: number) => {
      const columns = Float32Array.from({ length: 64 }, (_, at) => ((at >> 3) + (at & 7) < 6 ? 1 : 0));
      const removed = graph.constant(f32([8, 8], columns));
      const [zero, one] = [0, 1].map((value) => graph.constant(f32([64], new Float32Array(64).fill(value))));
      const x = graph.input(`x${channels}`, [2, 8, 8, channels], 'u8');
      const w = graph.input(`w${channels}`, [3, 3, channels, 64], 'u8');
      const error = { kind: 'removal', integer: true } as const;
      const attributes = { ...square({ padding: 1 }), weightBits: 8, activationBits: 8, error };
      const operands = [x, w, graph.scalar(1), graph.scalar(0), one!, zero!, removed];
      graph.output(`y${channels}`, graph.apply1('axmConv2d', operands, attributes));
    };
    for (const channels of [[128], [256, 384], [512, 384, 256]]) {
      const graph = new Graph();
      for (const count of channels) convolve(graph, count);
      await session.compile(graph);
    }
    await session.dispose();
  });

  test('does without counts of bits where the compiler leaves products out of them, and says so once', async () => {
    const atFirst = fakes.left();
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    onTestFinished(() => {
      warn.mockRestore();
      vi.stubEnv('FAKE_LACKING', undefined);
    });
    // Widths of no other test: what was compiled for others is kept.
    const graphOf = (name: string, weightBits: number) => {
      const graph = new Graph();
      const [zero, one] = [0, 1].map((value) => graph.constant(f32([64], new Float32Array(64).fill(value))));
      const operands = [graph.input('x', [2, 8, 8, 128], 'u8'), graph.input('w', [3, 3, 128, 64], 'u8')];
      const kept = (at: number) => Math.floor(at / 7) + (at % 7) > 5;
      const m = Float32Array.from({ length: 7 * weightBits }, (_, at) => (kept(at) ? 0 : 1));
      const removed = graph.constant(f32([weightBits, 7], m));
      const error = { kind: 'removal', integer: true } as const;
      const attributes = { ...square({ padding: 1 }), weightBits, activationBits: 7, error };
      const all = [...operands, graph.scalar(1), graph.scalar(0), one!, zero!, removed];
      graph.output(name, graph.apply1('axmConv2d', all, attributes));
      return graph;
    };
    const compile = (session: Session, name: string, weightBits: number) =>
      session.compile(graphOf(name, weightBits)) as Promise<CudaProgram>;
    const kernelsOf = async (program: CudaProgram) => (await program.timeKernels(1)).map(({ name }) => name);
    // The processes that compile have what is set when they begin.
    const within = async (lacking: string | undefined, work: (session: Session) => Promise<void>) => {
      vi.stubEnv('FAKE_LACKING', lacking);
      const backend = fakes.cuda.cudaBackend();
      const session = await backend.openSession();
      await work(session);
      await session.dispose();
      await backend.close();
    };
    await within(undefined, async (session) => {
      expect(await kernelsOf(await compile(session, 'counted', 7))).toContain('pack_codes');
    });
    expect(warn).not.toHaveBeenCalled();
    await within('pack_codes', async (session) => {
      const before = fakes.left();
      const asked = [6, 6, 5].map((bits, at) => compile(session, `y${at}`, bits));
      const programs = await Promise.all(asked);
      for (const program of programs) expect(await kernelsOf(program)).not.toContain('pack_codes');
      const why = 'the compiler, NVRTC 13.0, leaves products out of the kernel approximate-bits.cu';
      expect(warn.mock.calls).toEqual([[`${why}: products of planes take its place, which are slower`]]);
      for (const program of programs) await program.dispose();
      const { memory: _, ...rest } = fakes.left();
      const { memory: __, ...first } = before;
      expect(rest).toEqual(first);
    });
    // Of what has no other form it is an error.
    await within('multiply', async (session) => {
      const reason = /^internal: NVRTC 13\.0 left products out of approximate-planes\.cu with /;
      await expect(compile(session, 'y', 4)).rejects.toThrow(reason);
    });
    expect(fakes.left()).toEqual(atFirst);
  });
});

test('the stand-in has every function that is called', () => {
  const runtime = join(import.meta.dirname, '../../src/engine/cuda/runtime');
  const fake = readFileSync(join(import.meta.dirname, 'fake-cuda.c'), 'utf8');
  for (const file of ['driver.ts', 'compiler.ts']) {
    const names = readFileSync(join(runtime, file), 'utf8').matchAll(/'(?:int|const char \*) ?((?:cu|nvrtc)\w+)\(/g);
    for (const [, name] of names)
      expect(fake).toContain(` ${name}(`.replace(' nvrtcGetErrorString', '*nvrtcGetErrorString').trim());
  }
});
