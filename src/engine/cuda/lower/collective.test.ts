import { describe, expect, test } from 'vitest';
import { hopper } from '../../../../test/engine/devices.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { plan } from '../../graph/plan.ts';
import { lowerOn } from './lowerings.ts';
import { lowerPlan, wantedOf } from './program.ts';
import { type Command, dependenciesOf } from './schedule.ts';

const ARENA = 2n ** 40n;
const OWN = 2n ** 41n;
const VARIABLES = 2n ** 42n;

/** The commands of a graph, each variable at an address of its own. */
function commandsOf(graph: Graph): Command[] {
  const lower = lowerOn(hopper());
  const planned = plan(graph, {
    ...wantedOf(lower),
    reuseDistance: 32,
  });
  const names = [...graph.variables.keys()];
  let next = 2n ** 43n;
  const allocate = () => {
    next += 2n ** 16n;
    return next;
  };
  return lowerPlan(
    planned,
    (storage) => {
      if (storage.region === 'arena') return ARENA + BigInt(storage.offset);
      if (storage.region === 'own') return OWN + BigInt(storage.offset);
      if (storage.region === 'variable') return VARIABLES + BigInt(names.indexOf(storage.name)) * 2n ** 20n;
      return 2n ** 44n;
    },
    lower,
    { counters: allocate, place: allocate },
  );
}

/** For each command all that it waits for, at once or through others. */
function ancestorsOf(commands: readonly Command[]): ReadonlySet<number>[] {
  const all: Set<number>[] = [];
  for (const before of dependenciesOf(commands)) {
    all.push(new Set(before.flatMap((at) => [at, ...all[at]!])));
  }
  return all;
}

/** A chain of layers and, as their gradients become known from the last to the first, reductions of two at a time. */
function backwardPass(replicas: number): Graph {
  const graph = new Graph({ replicas });
  const rate = graph.input('rate', []);
  let g: Value = graph.input('g', [64]);
  const gradients: Value[] = [];
  const names: string[] = [];
  const flush = () => {
    const reduced = graph.reduced('sum', gradients.splice(0));
    names.splice(0).forEach((name, at) => {
      const [weights, momentum] = [name, `${name} momentum`].map((one) => graph.variable(one, [64]));
      const [moved, kept] = graph.apply('sgd', [weights!, reduced[at]!, momentum!, rate], {
        ...{ momentum: 0.9, weightDecay: 0 },
      });
      graph.assign(weights!, moved!);
      graph.assign(momentum!, kept!);
    });
  };
  for (let layer = 5; layer >= 0; layer--) {
    g = graph.apply1('scaleBy', [g, graph.variable(`scale ${layer}`, [])], {});
    names.push(`layer ${layer}`);
    gradients.push(graph.apply1('add', [g, graph.variable(`x ${layer}`, [64])], { alpha: 1, beta: 1 }));
    if (names.length === 2) flush();
  }
  return graph;
}

const reductions = (commands: readonly Command[]) => [...commands.keys()].filter((at) => commands[at]!.collective);

describe('reductions of a backward pass', () => {
  const commands = commandsOf(backwardPass(2));
  const ancestors = ancestorsOf(commands);
  const order = reductions(commands);

  test('are commands of their own, in place, of all tensors of a bucket', () => {
    expect(order).toHaveLength(3);
    for (const at of order) {
      const { kind, parts } = commands[at]!.collective!;
      expect(kind).toBe('sum');
      expect(parts.map(({ count }) => count)).toEqual([64, 64]);
      expect(parts.every(({ from, to }) => from === to)).toBe(true);
      expect(new Set(parts.map(({ to }) => to)).size).toBe(2);
    }
  });

  test('wait for each other in their order, whatever their memory is', () => {
    order.slice(1).forEach((at, index) => {
      expect(dependenciesOf(commands)[at]).toContain(order[index]);
    });
  });

  test('run beside the rest of the pass, and before the updates with what they yield', () => {
    const updates = [...commands.keys()].filter((at) => commands[at]!.launch?.name === 'sgd');
    expect(updates.length).toBeGreaterThan(0);
    for (const at of order) {
      const { parts } = commands[at]!.collective!;
      const readers = updates.filter((update) =>
        commands[update]!.reads.some(({ from }) => parts.some(({ to }) => Number(to) === from)),
      );
      expect(readers.length).toBeGreaterThan(0);
      for (const reader of readers) expect(ancestors[reader]).toContain(at);
    }
    // Gradients of the last layers travel while those of the first are computed.
    const behind = [...commands.keys()].filter((at) => at > order[0]! && !ancestors[at]!.has(order[0]!));
    expect(behind.filter((at) => commands[at]!.launch).length).toBeGreaterThanOrEqual(4);
  });
});

test('a reduction over one replica is a copy at most', () => {
  const graph = new Graph();
  const [sum] = graph.apply('allReduce', [graph.input('x', [4, 3])], { kind: 'sum' });
  graph.output('sum', sum!);
  expect(commandsOf(graph).map(({ launch }) => launch?.name)).toEqual(['copy']);
  expect(reductions(commandsOf(backwardPass(1)))).toEqual([]);
});

test('what is read again is reduced out of place', () => {
  const graph = new Graph({ replicas: 3 });
  const x = graph.apply1('relu', [graph.input('x', [5, 7])], {});
  const [least] = graph.reduced('min', [x]);
  graph.output('difference', graph.apply1('add', [x, least!], { alpha: 1, beta: -1 }));
  const [{ collective }] = commandsOf(graph).filter((command) => command.collective) as [Command];
  expect(collective).toMatchObject({ kind: 'min', parts: [{ count: 35 }] });
  const { from, to } = collective!.parts[0]!;
  const distance = Number(to > from ? to - from : from - to);
  expect(distance).toBeGreaterThanOrEqual(4 * 35);
});
