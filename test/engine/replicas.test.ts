// Sessions of several replicas: variables, split and whole inputs, reads, programs given up; what becomes of an error,
// of a replica that dies, of a leader that dies, and of one that is slow.

import { once } from 'node:events';
import { Socket } from 'node:net';
import { expect, test } from 'vitest';
import type { Backend, Program, Session } from '../../src/engine/backend.ts';
import { gradients } from '../../src/engine/graph/gradients.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import type { ReduceKind } from '../../src/engine/graph/ops.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { equalityGraph } from '../../src/engine/replicas/equality.ts';
import { type Answer, Connection, type Frame } from '../../src/engine/replicas/protocol.ts';
import { serveReplica } from '../../src/engine/replicas/serve.ts';
import { replicatedBackend } from '../../src/engine/replicas/session.ts';
import { hubCollective, spokeCollective } from '../../src/engine/replicas/socket-collective.ts';
import { LostDeviceError, TooLargeError, UserError } from '../../src/tensor/errors.ts';
import { Random } from '../../src/tensor/random.ts';
import { f32 } from '../../src/tensor/tensor.ts';
import { collectivesOf, type Replicated, replicatedReference, socketPair } from '../replicas.ts';

/** w moves by the gradient of Σ (w·x − y)² over all rows; `rows`: of each replica. */
function stepGraph(replicas: number, rows: number): Graph {
  const graph = new Graph({ replicas });
  const [x, y] = [graph.input('x', [rows]), graph.input('y', [rows])];
  const [w, rate] = [graph.variable('w', []), graph.input('rate', [])];
  const difference = graph.apply1('add', [graph.apply1('scaleBy', [x, w], {}), y], { alpha: 1, beta: -1 });
  const loss = graph.apply1('dot', [difference, difference], {});
  const [gradient] = gradients(loss, [w]);
  const [whole, sum] = graph.reduced('sum', [gradient!, loss]);
  const step = graph.apply1('scaleBy', [whole!, rate], {});
  graph.assign(w, graph.apply1('add', [w, step], { alpha: 1, beta: -1 }));
  graph.output('loss', sum!);
  return graph;
}

async function trained(session: Session, replicas: number, rows = 16): Promise<number[]> {
  session.write('w', f32([], [0.25]));
  const program = await session.compile(stepGraph(replicas, rows / replicas));
  const losses: number[] = [];
  // Multiples of 1/8: sums are exact in whichever order.
  program.write('rate', Float32Array.of(1 / 1024));
  for (let step = 0; step < 3; step++) {
    program.write(
      'x',
      Float32Array.from({ length: rows }, (_, at) => ((at * 5 + step) % 16) / 8),
    );
    program.write(
      'y',
      Float32Array.from({ length: rows }, (_, at) => ((at * 3 + step) % 8) / 8),
    );
    await program.run();
    losses.push((await program.read('loss'))[0]!);
  }
  await session.checkReplicas();
  const w = (await session.read('w')).data[0]!;
  await program.dispose();
  return [...losses, w];
}

async function endsOf(session: Session, { served, sockets }: Replicated): Promise<readonly unknown[]> {
  await session.dispose();
  for (const [leader] of sockets) leader.end();
  return await Promise.all(served);
}

test.each([1, 2, 3, 8])('%i replicas train as one does, and end when it does', async (replicas) => {
  const rows = 48;
  const expected = await trained(await referenceBackend().openSession(), 1, rows);
  const all = await replicatedReference(replicas);
  const { backend } = all;
  expect(backend.device.replicas).toBe(replicas);
  const session = await backend.openSession();
  const found = await trained(session, replicas, rows);
  expect(Math.max(...found.map((value, at) => Math.abs(value / expected[at]! - 1)))).toBeLessThan(1e-6);
  expect(session.variableNames()).toEqual(['w']);
  expect(await endsOf(session, all)).toEqual(Array(replicas - 1).fill(undefined));
});

test.each([
  ['sum', [5, -2]],
  ['mean', [5 / 3, -2 / 3]],
  ['min', [-3, -8]],
  ['max', [7, 4]],
] as const)('the %s over three replicas, of a bucket', async (kind: ReduceKind, expected) => {
  const { backend } = await replicatedReference(3);
  const session = await backend.openSession();
  const graph = new Graph({ replicas: 3 });
  const [a, b] = graph.reduced(kind, [graph.input('a', [1]), graph.input('b', [1])]);
  graph.output('a', a!);
  graph.output('b', b!);
  const program = await session.compile(graph);
  program.write('a', Float32Array.of(1, -3, 7));
  program.write('b', Float32Array.of(4, 2, -8));
  await program.run();
  expect([...(await program.read('a')), ...(await program.read('b'))]).toEqual(expected.map(Math.fround));
  await session.dispose();
});

/** Σ over all replicas of Σ (x·c)², where c[0] and c[1] are formed of each replica's Σ x and Σ x². */
function coupled(kind: ReduceKind, x: readonly (readonly number[])[]): number {
  const over = (values: readonly number[]) => {
    const sum = values.reduce((a, b) => a + b);
    return { sum, mean: sum / values.length, min: Math.min(...values), max: Math.max(...values) }[kind];
  };
  const sumsOf = (power: number) => x.map((part) => part.reduce((sum, one) => sum + one ** power, 0));
  const factor = over(sumsOf(1)) * over(sumsOf(2));
  return x.flat().reduce((sum, one) => sum + (one * factor) ** 2, 0);
}

test.each(['sum', 'mean', 'min', 'max'] as const)('the gradient through the %s over replicas', async (kind) => {
  const x = [
    [0.5, -0.25, 1, 0.75],
    [0.125, 1.5, -0.5, 0.375],
    [1.25, 0.625, 0.25, -0.75],
  ];
  const { backend } = await replicatedReference(3, (collective) =>
    referenceBackend({ collective, precision: 'double' }),
  );
  const session = await backend.openSession();
  const graph = new Graph({ replicas: 3 });
  const part = graph.input('x', [4]);
  const ones = graph.constant(f32([4], [1, 1, 1, 1]));
  const sums = [ones, part].map((other) => graph.apply1('dot', [part, other], {}));
  const [first, second] = graph.reduced(kind, sums);
  const scaled = [first!, second!].reduce((value, factor) => graph.apply1('scaleBy', [value, factor], {}), part);
  const [gradient] = gradients(graph.apply1('dot', [scaled, scaled], {}), [part]);
  // All parts, each in its place, on every replica.
  const places = Array.from({ length: 3 }, (_, rank) => {
    const own = graph.input(`rank${rank}`, []);
    return graph.apply1('scaleBy', [gradient!, own], {});
  });
  graph.reduced('sum', places).forEach((value, rank) => {
    graph.output(`d${rank}`, value);
  });
  const program = await session.compile(graph);
  program.write('x', Float32Array.from(x.flat()));
  for (const rank of [0, 1, 2])
    program.write(
      `rank${rank}`,
      Float32Array.from([0, 1, 2], (at) => (at === rank ? 1 : 0)),
    );
  await program.run();
  for (const rank of [0, 1, 2]) {
    const found = await program.read(`d${rank}`);
    x[rank]!.forEach((_, at) => {
      const moved = (by: number) =>
        coupled(
          kind,
          x.map((row, r) => row.map((one, c) => (r === rank && c === at ? one + by : one))),
        );
      const numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
      expect(Math.abs(found[at]! - numeric), `${rank}, ${at}`).toBeLessThan(1e-5 * (1 + Math.abs(numeric)));
    });
  }
  await session.dispose();
});

test('a least value that two replicas have takes its gradient from both, half each', async () => {
  const { backend } = await replicatedReference(2);
  const session = await backend.openSession();
  const graph = new Graph({ replicas: 2 });
  const x = graph.variable('x', [1]);
  const [least] = graph.reduced('min', [graph.apply1('affine', [x], { scale: 3, offset: 0 })]);
  const scalar = graph.apply1('dot', [least!, graph.constant(f32([1], [5]))], {});
  graph.output('d', gradients(scalar, [x])[0]!);
  const program = await session.compile(graph);
  await program.run();
  // Each of two scalars is 5·least: 2·5·3, of which this replica has one half.
  expect([...(await program.read('d'))]).toEqual([15]);
  await session.dispose();
});

test('what is given to a program is copied, kept, and the same on all unless it is split', async () => {
  const { backend } = await replicatedReference(2);
  const session = await backend.openSession();
  const graph = new Graph({ replicas: 2 });
  const [whole, part] = [graph.input('whole', [2]), graph.input('part', [2])];
  const [sum] = graph.reduced('sum', [graph.apply1('add', [whole, part], { alpha: 1, beta: 1 })]);
  graph.output('sum', sum!);
  const program = await session.compile(graph);
  const data = Float32Array.of(1, 2, 10, 20);
  program.write('whole', Float32Array.of(100, 200));
  program.write('part', data);
  data.fill(0);
  await program.run();
  expect([...(await program.read('sum'))]).toEqual([211, 422]);
  program.write('part', Float32Array.of(3, 4));
  await program.run();
  expect([...(await program.read('sum'))]).toEqual([206, 408]);
  expect(() => program.write('part', new Float32Array(3))).toThrow('input part takes 2 elements on each of 2 replicas');
  const alone = await session.compile(stepGraph(1, 2));
  expect(() => alone.write('x', new Float32Array(4))).toThrow('input x takes 2 elements on each of 1 replicas');
  await expect(session.compile(stepGraph(3, 2))).rejects.toThrow('a graph for 3 replicas on 2');
  await session.dispose();
});

/** A backend some of whose calls are another's. */
function changed(
  backend: Backend,
  { compile, run }: { readonly compile?: () => Promise<void>; readonly run?: () => Promise<void> },
): Backend {
  const openSession = async () => {
    const session = await backend.openSession();
    const build = session.compile.bind(session);
    return Object.assign(session, {
      compile: async (graph: Graph): Promise<Program> => {
        await compile?.();
        const program = await build(graph);
        const start = program.run.bind(program);
        return Object.assign(program, {
          run: async () => {
            await run?.();
            await start();
          },
        });
      },
    });
  };
  return { ...backend, openSession };
}

/** Replicas the second of which is changed. */
const withSecond = (how: Parameters<typeof changed>[1], replicas = 2) =>
  replicatedReference(replicas, (collective) => {
    const backend = referenceBackend({ collective });
    return collective.rank === 1 ? changed(backend, how) : backend;
  });

const never = () => new Promise<never>(() => {});

test('a program that one replica has no room for is given up on all, and the session goes on', async () => {
  let full = true;
  const { backend } = await withSecond({
    compile: async () => {
      if (full) throw new TooLargeError('no room');
    },
  });
  const session = await backend.openSession();
  const tooLarge = await session.compile(stepGraph(2, 4)).catch((error: unknown) => error);
  expect(tooLarge).toBeInstanceOf(TooLargeError);
  expect(String(tooLarge)).toContain('rank 1 (here, reference): no room');
  full = false;
  expect(await trained(session, 2)).toHaveLength(4);
  await session.dispose();
});

test.each([
  ['an internal error', new Error('internal: no such kernel'), LostDeviceError],
  ['a mistake', new UserError('a mistake'), UserError],
] as const)('%s of one replica in compiling keeps what it means', async (_, thrown, kind) => {
  const { backend } = await withSecond({ compile: () => Promise.reject(thrown) });
  const session = await backend.openSession();
  const error = (await session.compile(stepGraph(2, 4)).catch((one: unknown) => one)) as Error;
  expect(error.constructor).toBe(kind);
  expect(error.message).toBe(`rank 1 (here, reference): ${thrown.message}`);
  await session.dispose();
});

test('devices are counted for people, whichever of their host they are', () => {
  const describe = (own: string, ...others: string[]) => {
    const local = { ...referenceBackend(), device: { ...referenceBackend().device, description: own, replicas: 2 } };
    const peers = others.map((device) => ({ rank: 1, host: 'here', device, socket: new Socket() }));
    return replicatedBackend(local, peers).device.description;
  };
  expect(describe('GPU 0: A, 80 GiB, tf32', 'GPU 1: A, 80 GiB, tf32')).toBe('2 × A, 80 GiB, tf32');
  expect(describe('GPU 0: A, 80 GiB', 'GPU 0: B, 80 GiB')).toBe('A, 80 GiB and B, 80 GiB');
});

test('an error in a run of one replica is told with its rank, and ends all', async () => {
  const { backend, served } = await withSecond({
    run: async () => {
      throw new Error('internal: a kernel failed');
    },
  });
  const session = await backend.openSession();
  const message = 'rank 1 (here, reference): internal: a kernel failed';
  await expect(trained(session, 2)).rejects.toThrow(message);
  expect(() => session.write('w', f32([], [1]))).toThrow(message);
  await expect(session.read('w')).rejects.toThrow(message);
  await session.dispose();
  expect(String(await served[0])).toContain('a kernel failed');
});

test('a replica that dies in the middle of a run ends it at once, though the leader’s device waits', async () => {
  // Nothing but the end of its connection tells: the silence and the patience that would are ten minutes.
  const { backend, sockets } = await withSecond({ run: never });
  const session = await backend.openSession();
  const program = await session.compile(stepGraph(2, 4));
  const running = program.run().catch((error: unknown) => error);
  setTimeout(() => sockets[0]![1].destroy(), 50);
  const found = await running;
  expect(String(found)).toMatch(
    /rank 1 \(here, reference\) is lost: .*repeat the command, which goes on from what was saved last/,
  );
  await expect(program.read('loss')).rejects.toBe(found);
  await expect(session.checkReplicas()).rejects.toBe(found);
  await expect(backend.openSession()).rejects.toBe(found);
  await program.dispose();
  await session.dispose();
});

test('a replica that fails for the loss of another does not take the blame', async () => {
  const { backend, sockets } = await withSecond(
    {
      run: () =>
        new Promise((_, reject) => {
          setTimeout(() => reject(new Error('a reduction waits in vain')), 50);
          setTimeout(() => sockets[1]![1].destroy(), 80);
        }),
    },
    3,
  );
  const session = await backend.openSession();
  await expect(trained(session, 3, 48)).rejects.toThrow('rank 2 (here, reference) is lost');
});

test('replicas end when the leader is gone, though a run waits for it', async () => {
  // The second never begins, so the third and the leader wait in their run.
  const { backend, served, sockets } = await withSecond({ run: never }, 3);
  const session = await backend.openSession();
  const program = await session.compile(stepGraph(3, 4));
  const running = program.run().catch((error: unknown) => error);
  await new Promise((resolve) => setTimeout(resolve, 50));
  sockets[0]![0].destroy();
  expect(String(await running)).toContain('rank 1 (here, reference) is lost');
  for (const end of await Promise.all(served))
    expect(String(end)).toContain('rank 0 is gone in the middle of its work');
});

test('a leader whose own run fails ends the replicas', async () => {
  const { backend, served } = await replicatedReference(2, (collective) => {
    const failing = async () => {
      throw new Error('internal: rank 0 failed');
    };
    const backend = referenceBackend({ collective });
    return collective.rank === 0 ? changed(backend, { run: failing }) : backend;
  });
  const session = await backend.openSession();
  await expect(trained(session, 2)).rejects.toThrow('rank 0 failed');
  expect(String(await served[0])).toContain('rank 0 is gone');
});

test('a slow replica is waited for, and does everything in its order', async () => {
  const { backend } = await withSecond({ run: () => new Promise((resolve) => setTimeout(resolve, 30)) });
  const session = await backend.openSession();
  const quick = await (await replicatedReference(2)).backend.openSession();
  expect(await trained(session, 2)).toEqual(await trained(quick, 2));
  await session.dispose();
  await quick.dispose();
});

test('a replica that takes nothing of what it is sent is given up after the leader’s patience', async () => {
  const { backend, sockets } = await replicatedReference(2, undefined, { patience: 0.2 });
  const session = await backend.openSession();
  sockets[0]![1].pause();
  for (let written = 0; written < 3; written++) session.write('large', f32([2 ** 22], new Float32Array(2 ** 22)));
  await expect(session.checkReplicas()).rejects.toThrow(
    'rank 1 (here, reference) is lost: it has taken nothing of what it is sent for 0.2 s',
  );
});

test('a replica that stands still with its connection open is given up, and one that only waits says that it lives', async () => {
  const [[leader, silent], [asking, answering]] = [await socketPair(), await socketPair()];
  silent.resume();
  const device = () => referenceBackend({ collective: collectivesOf(2)[0]! });
  const served = serveReplica(answering, device());
  const beat = new Promise<void>((heard) => {
    new Connection<never, Answer>(asking, { receive: ({ message }) => message.kind === 'beat' && heard() });
  });
  const backend = replicatedBackend(device(), [{ rank: 1, host: 'node7', device: 'GPU 3', socket: leader }], {
    silence: 0.3,
  });
  await expect(backend.openSession()).rejects.toThrow(
    'rank 1 (node7, GPU 3) has given no sign of life for 0.3 s; see to it and repeat the command',
  );
  await beat;
  asking.destroy();
  silent.destroy();
  await served;
});

test('what is no message ends a connection', async () => {
  const [leader, other] = await socketPair();
  const served = serveReplica(other, referenceBackend());
  leader.write('GET / HTTP/1.1\r\n\r\n');
  await once(leader, 'close');
  await served;
});

test('messages arrive whole however the bytes are cut', async () => {
  const [one, other] = await socketPair();
  const found: Frame<unknown>[] = [];
  new Connection<unknown, unknown>(other, { receive: (frame) => found.push(frame) });
  const bytes: Buffer[] = [];
  const catching = { write: (piece: Uint8Array) => bytes.push(Buffer.from(piece)) };
  const sender = new Connection<unknown, unknown>(Object.assign(Object.create(one), catching) as Socket, {
    receive: () => {},
  });
  const sections = [0, 1, 7, 8, 9, 70_000].map((length) => Uint8Array.from({ length }, (_, at) => at % 251));
  sender.send({ name: 'größer' }, sections);
  sender.send({ name: 'none' });
  sender.send({ name: 'small' }, sections.slice(0, 5));
  const all = Buffer.concat(bytes);
  for (let at = 0; at < all.length; at += at < 1000 ? 1 : 4001) {
    one.write(all.subarray(at, at < 1000 ? at + 1 : at + 4001));
  }
  await expect.poll(() => found.length).toBe(3);
  expect(found.map(({ message }) => message)).toEqual([{ name: 'größer' }, { name: 'none' }, { name: 'small' }]);
  expect(found.map((frame) => frame.sections.map((section) => [...section]))).toEqual(
    [sections, [], sections.slice(0, 5)].map((list) => list.map((section) => [...section])),
  );
  expect(found[0]!.sections.every(({ byteOffset }) => byteOffset % 8 === 0)).toBe(true);
  one.destroy();
});

test.each([2, 8])('reductions over sockets are those in memory, on each of %i ranks', async (replicas) => {
  const pairs = await Promise.all(Array.from({ length: replicas - 1 }, () => socketPair()));
  const overSockets = [
    hubCollective(pairs.map(([hub]) => hub)),
    ...pairs.map(([, spoke], at) => spokeCollective(spoke, at + 1, replicas)),
  ];
  const inMemory = collectivesOf(replicas);
  for (const kind of ['sum', 'mean', 'min', 'max'] as const) {
    const results = await Promise.all(
      [overSockets, inMemory].flatMap((all) =>
        all.map(async (collective, rank) => {
          const random = new Random(3, rank);
          const draw = (length: number) => Float32Array.from({ length }, () => random.uniform() - 0.5);
          const tensors = [draw(5), draw(1), draw(1001)];
          await collective.allReduce(kind, tensors);
          await collective.allReduce('sum', [Float64Array.of(rank, 0.1)]);
          return tensors.map((data) => [...data]);
        }),
      ),
    );
    for (const result of results) expect(result).toEqual(results[0]);
  }
  const lost = expect(overSockets[0]!.allReduce('sum', [new Float32Array(2)])).rejects.toThrow('waits for rank 1');
  pairs[0]![1].destroy();
  await lost;
});

/** So many replicas, and the session of the last one, whose variables can be changed behind the leader's back. */
async function withLast(replicas: number) {
  const found: { last?: Session } = {};
  const { backend } = await replicatedReference(replicas, (collective) => {
    const made = referenceBackend({ collective });
    const openSession = async () => {
      const session = await made.openSession();
      if (collective.rank === replicas - 1) found.last = session;
      return session;
    };
    return { ...made, openSession };
  });
  return { session: await backend.openSession(), last: found.last! };
}

test('a variable that differs is named, with the device that has it', async () => {
  const { session, last } = await withLast(2);
  session.write('same', f32([2], [1, 2]));
  await trained(session, 2);
  await session.checkReplicas();
  const program = await session.compile(stepGraph(2, 4));
  last.write('w', f32([], [7]));
  await program.run();
  await expect(session.checkReplicas()).rejects.toThrow(
    'rank 1 (here, reference): the variable w has other bits than on rank 0',
  );
  await expect(program.run()).rejects.toThrow('the variable w has other bits');
});

test.each([
  ['a last bit', 1, 1 + 2 ** -23],
  ['a last bit of the least number', 0, 2 ** -149],
  ['the sign of a zero', 0, -0],
  ['no number in place of one', 0, Number.NaN],
  ['a number in place of none', Number.NaN, 3],
  ['infinity', Number.POSITIVE_INFINITY, 3.4028234663852886e38],
])('%s is a difference, wherever it is', async (_, own, other) => {
  const { session, last } = await withLast(3);
  const values = [5, own, Number.NaN, -0, Number.NEGATIVE_INFINITY];
  session.write('v', f32([5], values));
  session.write('more', f32([], [1]));
  await session.checkReplicas();
  last.write('v', f32([5], values.with(1, other)));
  session.write('more', f32([], [2]));
  await expect(session.checkReplicas()).rejects.toThrow('rank 2 (here, reference): the variable v has other bits');
});

test('whole numbers and variables that are reduced apart are compared as well, and a swap is seen', async () => {
  const count = async (elements: readonly number[]) => {
    const { session, last } = await withLast(2);
    const names = ['a', 'b', 'c'];
    for (const name of names) session.write(name, f32([3], [1, 2, 3]));
    const variables = new Map(names.map((name) => [name, [3]]));
    const graph = equalityGraph(variables, 2, 12);
    expect(graph.nodes.filter(({ op }) => op === 'allReduce')).toHaveLength(2 * 3 + 1);
    const program = await session.compile(graph);
    last.write('b', f32([3], elements));
    await program.run();
    return await Promise.all(names.map(async (name) => (await program.read(name))[0]));
  };
  expect(await count([1, 2, 3])).toEqual([0, 0, 0]);
  // Each element of the two that are swapped is neither least nor greatest on one of the replicas.
  expect(await count([2, 1, 3])).toEqual([0, 4, 0]);
  const { session, last } = await withLast(2);
  const codes = (...data: number[]) => ({ dtype: 'i32', shape: [2], data: Int32Array.from(data) }) as const;
  session.write('codes', codes(0, 2));
  await session.checkReplicas();
  session.write('codes', codes(1, 2));
  await session.compile(new Graph());
  last.write('codes', codes(1, 3));
  await expect(session.checkReplicas()).rejects.toThrow('the variable codes has other bits');
});

/** So many devices that wait for each other while they build, as GPUs do; what rank 1 fails with, and when. */
function meeting(replicas: number, fails: { now: Error | undefined; behind: boolean }) {
  let come = 0;
  const waiting: (() => void)[] = [];
  const all = () =>
    new Promise<void>((resolve) => {
      waiting.push(resolve);
      if (++come % replicas === 0) for (const go of waiting.splice(0)) go();
    });
  return replicatedReference(replicas, (collective) => {
    const backend = referenceBackend({ collective });
    const openSession = async () => {
      const session = await backend.openSession();
      const build = session.compile.bind(session);
      const compile: Session['compile'] = async (graph, meet) => {
        const error = collective.rank === 1 ? fails.now : undefined;
        if (error && !fails.behind) throw error;
        await meet?.();
        if (error) throw error;
        await all();
        return await build(graph);
      };
      return Object.assign(session, { compile });
    };
    return { ...backend, openSession };
  });
}

test('where one replica cannot build a program no other waits for it, and the next is built by all', async () => {
  const fails = { now: new TooLargeError('no room') as Error | undefined, behind: false };
  const session = await (await meeting(3, fails)).backend.openSession();
  const error = await session.compile(stepGraph(3, 4)).catch((one: unknown) => one);
  expect(error).toBeInstanceOf(TooLargeError);
  expect(String(error)).toContain('rank 1 (here, reference): no room');
  fails.now = undefined;
  expect(await trained(session, 3, 48)).toHaveLength(4);
  await session.dispose();
});

test('one that fails where the others wait for it already ends all, with its reason', async () => {
  const { backend } = await meeting(3, { now: new Error('internal: no graph'), behind: true });
  const session = await backend.openSession();
  const message = 'rank 1 (here, reference): internal: no graph';
  await expect(session.compile(stepGraph(3, 4))).rejects.toThrow(message);
  await expect(backend.openSession()).rejects.toThrow(message);
});

test('variables without elements are nothing to compare, and no device is asked for nothing', async () => {
  const compiled: Graph[] = [];
  const { backend } = await replicatedReference(2, (collective) => {
    const made = referenceBackend({ collective });
    const openSession = async () => {
      const session = await made.openSession();
      const build = session.compile.bind(session);
      const compile: Session['compile'] = (graph, meet) => {
        compiled.push(graph);
        return build(graph, meet);
      };
      return Object.assign(session, { compile });
    };
    return { ...made, openSession };
  });
  const session = await backend.openSession();
  session.write('none', f32([0, 3], []));
  session.write('codes', { dtype: 'i32', shape: [1], data: Int32Array.of(1) });
  await session.checkReplicas();
  expect(compiled).toEqual([]);
  session.write('v', f32([1], [1]));
  await session.checkReplicas();
  expect(compiled.map(({ variables }) => [...variables.keys()])).toEqual([['v'], ['v']]);
  await session.dispose();
});

test('where a device has no room to compare variables, the host does', async () => {
  let full = false;
  const { backend } = await withSecond({
    compile: async () => {
      if (full) throw new TooLargeError('no room');
    },
  });
  const session = await backend.openSession();
  session.write('v', f32([1], [1]));
  full = true;
  await session.checkReplicas();
  session.write('v', f32([1], [2]));
  await session.checkReplicas();
  await session.dispose();
});

/** A backend that builds, starts and gives up programs in the order of the calls, as a GPU of a group does. */
function inOrder(backend: Backend): Backend {
  let last: Promise<unknown> = Promise.resolve();
  const behind = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = last.then(work, work);
    last = mine.catch(() => {});
    return mine;
  };
  const openSession = async () => {
    const session = await backend.openSession();
    const build = session.compile.bind(session);
    return Object.assign(session, {
      compile: (graph: Graph, meet?: () => Promise<void>): Promise<Program> =>
        behind(async () => {
          const program = await build(graph);
          const [start, end] = [program.run.bind(program), program.dispose.bind(program)];
          await meet?.();
          return Object.assign(program, { run: () => behind(start), dispose: () => behind(end) });
        }),
    });
  };
  return { ...backend, openSession };
}

test('programs are compiled, run and given up while another one waits for all replicas', async () => {
  const all = await replicatedReference(3, (collective) => inOrder(referenceBackend({ collective })));
  const session = await all.backend.openSession();
  const [first, given] = await Promise.all([stepGraph(3, 2), stepGraph(3, 4)].map((graph) => session.compile(graph)));
  const compiling = [stepGraph(3, 4), stepGraph(3, 8)].map((graph) => session.compile(graph));
  await Promise.all([given!.dispose(), first!.run(), session.checkReplicas(), ...compiling]);
  expect(await trained(session, 3, 48)).toHaveLength(4);
  expect(await endsOf(session, all)).toEqual([undefined, undefined]);
}, 5000);
