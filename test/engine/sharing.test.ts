// Programs of one session share its arena: what one computes is nothing to another, what each was given and has yielded
// stays. On every device that is here, on poisoned memory.

import { describe, expect, test } from 'vitest';
import type { Backend, Program, Session } from '../../src/engine/backend.ts';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { f32 } from '../../src/tensor/tensor.ts';
import { cudaDevices, wasmDevices } from './devices.ts';

const { devices, reason } = cudaDevices();
const backends: readonly [string, () => Backend][] = [
  ['reference', () => referenceBackend({ poison: true })],
  ['reference, double precision', () => referenceBackend({ poison: true, precision: 'double' })],
  ...wasmDevices.map(({ name, open }) => [name, open] as [string, () => Backend]),
  ...(reason === undefined ? devices.slice(0, 1).map(({ name, open }) => [name, open] as [string, () => Backend]) : []),
];

/** v ← v + x; y = Σ (2x + v)·x, z = 2x + v over `count` elements, with all of it but x, y and z in the arena. */
function graphOf(count: number): Graph {
  const graph = new Graph();
  const x = graph.input('x', [count]);
  const v = graph.variable(`v${count}`, [count]);
  const twice = graph.apply1('affine', [x], { scale: 2, offset: 0 });
  const sum = graph.apply1('add', [twice, v], { alpha: 1, beta: 1 });
  const product = graph.apply1(
    'scaleBy',
    [sum, graph.apply1('affine', [graph.variable('one', [])], { scale: 1, offset: 1 })],
    {},
  );
  graph.output('y', graph.apply1('dot', [product, x], {}));
  graph.output('z', graph.apply1('affine', [product], { scale: 1, offset: 0 }));
  graph.assign(v, graph.apply1('add', [v, x], { alpha: 1, beta: 1 }));
  return graph;
}

/** A program with what it should have computed so far. */
class Checked {
  readonly count: number;
  readonly program: Program;
  x = 0;
  v = 0;
  runs = 0;

  constructor(count: number, program: Program) {
    this.count = count;
    this.program = program;
  }

  static async compile(session: Session, count: number): Promise<Checked> {
    return new Checked(count, await session.compile(graphOf(count)));
  }

  write(x: number): void {
    this.x = x;
    this.program.write('x', new Float32Array(this.count).fill(x));
  }

  async run(): Promise<void> {
    await this.program.run();
    this.runs++;
    this.v += this.x;
  }

  /** The outputs of the latest run. */
  async check(): Promise<void> {
    const z = 2 * this.x + this.v - this.x;
    expect((await this.program.read('y'))[0]).toBe(z * this.x * this.count);
    const found = await this.program.read('z');
    expect([found.length, found[0], found.at(-1)]).toEqual([this.count, z, z]);
  }
}

const [SMALL, LARGE] = [64, 40_000];
/** Device memory comes from the driver in blocks of so much. */
const POOL_BYTES = 3 * 4 * 2 ** 20;
/** More than inputs, outputs and records of the large program. */
const OWN_BYTES = POOL_BYTES + 16 * LARGE + 65_536;

describe.each(backends)('%s', (_, open) => {
  test.each([
    ['the larger one second', SMALL, LARGE],
    ['the larger one first', LARGE, SMALL],
  ])('two programs take turns, %s: inputs are kept, outputs are read late', async (_order, first, second) => {
    const session = await open().openSession();
    const a = await Checked.compile(session, first);
    a.write(3);
    await a.run();
    const b = await Checked.compile(session, second);
    b.write(5);
    await a.check();
    await b.run();
    await a.check();
    await a.run();
    await b.check();
    await b.run();
    const late = [a.program.read('z'), b.program.read('z')];
    await a.run();
    await a.check();
    await b.check();
    expect((await late[0]!)[0]).toBe(2 * 3 + 3);
    expect((await session.read(`v${first}`)).data[0]).toBe(3 * a.x);
    await session.dispose();
  });

  test('the arena is as large as the largest program needs, and follows programs that come and go', async () => {
    const session = await open().openSession();
    const before = session.bytes;
    const small = await Checked.compile(session, SMALL);
    small.write(1);
    await small.run();
    const withSmall = session.bytes;
    const large = await Checked.compile(session, LARGE);
    const { arenaBytes } = large.program;
    expect(arenaBytes).toBeGreaterThan(4 * LARGE);
    const withLarge = session.bytes;
    expect(withLarge - withSmall).toBeGreaterThan(arenaBytes - small.program.arenaBytes);
    // A second one of the same size adds only what is its own: inputs, outputs, records; its variable is there.
    const again = await Checked.compile(session, LARGE);
    expect(session.bytes - withLarge).toBeLessThan(OWN_BYTES);
    again.v = 0;
    again.write(2);
    await again.run();
    await again.check();
    large.v = again.v;

    await again.program.dispose();
    expect(session.bytes).toBe(withLarge);
    large.write(4);
    await large.run();
    await large.check();
    await large.program.dispose();
    const variable = 4 * LARGE * (open().device.description.includes('double') ? 2 : 1);
    expect(session.bytes).toBeLessThanOrEqual(withSmall + Math.max(variable + 64, POOL_BYTES));
    const given = 'internal: a program that was given up is';
    expect(() => large.program.write('x', new Float32Array(LARGE))).toThrow(`${given} written`);
    await expect(large.program.read('y')).rejects.toThrow(`${given} read`);
    const left = session.bytes;
    await large.program.dispose();
    expect(session.bytes).toBe(left);
    await expect(large.program.run()).rejects.toThrow('internal: a program that was given up is run');
    await small.run();
    await small.check();
    await small.program.dispose();
    expect(session.bytes).toBeLessThan(withSmall + Math.max(variable + 64, POOL_BYTES));
    expect(before).toBeLessThan(withSmall);

    // Bytes that were given back are used again.
    const beforeLast = session.bytes;
    for (let round = 0; round < 5; round++) {
      const next = await Checked.compile(session, LARGE);
      next.v = (await session.read(`v${LARGE}`)).data[0]!;
      next.write(round);
      await next.run();
      await next.check();
      expect(session.bytes).toBeGreaterThan(beforeLast);
      await next.program.dispose();
      expect(session.bytes).toBe(beforeLast);
    }
    await session.dispose();
  });

  test('every read of a variable sees its value from before the run: outputs, and what is assigned to others', async () => {
    const session = await open().openSession();
    const graph = new Graph();
    const named = ['a', 'b', 'c', 'd'].map((name) => graph.variable(name, [5]));
    const [a, b, c, d] = named as [Value, Value, Value, Value];
    graph.output('a', a);
    graph.output('b in a row', graph.apply1('reshape', [b], { shape: [1, 5] }));
    graph.assign(a, b);
    graph.assign(b, a);
    const sum = graph.apply1('affine', [c], { scale: 1, offset: 1 });
    graph.assign(c, sum);
    graph.assign(d, sum);
    const program = await session.compile(graph);
    const values = { a: 1, b: 2, c: 3, d: 4 };
    for (const [name, value] of Object.entries(values)) session.write(name, f32([5], new Float32Array(5).fill(value)));
    await program.run();
    session.write('b', f32([5], new Float32Array(5).fill(9)));
    const found = await Promise.all(['a', 'b in a row'].map((name) => program.read(name)));
    expect(found.map((data) => data[4])).toEqual([1, 2]);
    const after = await Promise.all(Object.keys(values).map((name) => session.read(name)));
    expect(after.map(({ data }) => data[4])).toEqual([2, 9, 4, 4]);
    await session.dispose();
  });

  test('variables that come between programs move nothing that is kept', async () => {
    const session = await open().openSession();
    const a = await Checked.compile(session, SMALL);
    a.write(3);
    await a.run();
    session.write('later', f32([1000], new Float32Array(1000).fill(9)));
    await a.check();
    await a.run();
    await a.check();
    expect((await session.read('later')).data[999]).toBe(9);
    await session.dispose();
  });
});
