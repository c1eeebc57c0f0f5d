import { expect, test } from 'vitest';
import { Graph, type Node, type Value } from './graph.ts';
import { plan } from './plan.ts';

/** Two chains of sums over tensors of 1 KiB, one after the other in the list. */
function chains(): Graph {
  const graph = new Graph();
  for (const name of ['first', 'second']) {
    const x = graph.input(name, [256]);
    const [a, b] = [0.5, 2].map((scale) => graph.apply1('affine', [x], { scale, offset: 0 }));
    graph.output(name, graph.apply1('dot', [a!, b!], {}));
  }
  return graph;
}

const placesOf = (reuseDistance: number) =>
  plan(chains(), { reuseDistance }).steps.map(({ outputs }) => JSON.stringify(outputs[0]));

test('bytes that became free are used by the next step that fits, so a second chain lies where the first was', () => {
  const places = placesOf(0);
  expect(places.slice(3, 5).every((place) => places.slice(0, 2).includes(place))).toBe(true);
});

test('bytes that became free are used again only after the distance asked for', () => {
  expect(new Set(placesOf(4)).size).toBe(6);
  expect(new Set(placesOf(4).map((place) => JSON.parse(place).region))).toEqual(new Set(['arena', 'own']));
  const { arenaBytes } = plan(chains(), { reuseDistance: 4 });
  expect(arenaBytes).toBe(4 * 1024);
});

test('of what rests, no more than asked for is kept from use', () => {
  const arenaBytes = (restingBytes: number) => plan(chains(), { reuseDistance: 4, restingBytes }).arenaBytes;
  expect([0, 1023, 2048].map(arenaBytes)).toEqual([2048, 2048, 4096]);
});

test('inputs and outputs lie outside the arena, one behind the other, whatever the operations could do in place', () => {
  const graph = new Graph();
  const x = graph.input('x', [256]);
  const y = graph.apply1('relu', [graph.apply1('affine', [x], { scale: 2, offset: 0 })], {});
  graph.output('y', y);
  graph.output('again', graph.apply1('reshape', [y], { shape: [16, 16] }));
  graph.output('given', x);
  graph.assign(graph.variable('v', [256]), y);
  const { steps, copies, arenaBytes, ownBytes, inputBytes, storage } = plan(graph);
  expect(storage(x)).toEqual({ region: 'own', offset: 0 });
  expect(storage(y)).toEqual({ region: 'own', offset: 1024 });
  expect(steps.map(({ outputs: [to] }) => to!.region)).toEqual(['arena', 'own']);
  expect({ arenaBytes, ownBytes, inputBytes }).toEqual({ arenaBytes: 1024, ownBytes: 2048, inputBytes: 1024 });
  expect(copies).toEqual([{ from: storage(y), to: { region: 'variable', name: 'v' }, of: y }]);
});

test('what a step reads beside its inputs lives until then, and no longer', () => {
  const graph = new Graph();
  const x = graph.input('x', [256]);
  const affine = (of: Value, scale: number) => graph.apply1('affine', [of], { scale, offset: 0 });
  const a = affine(x, 2);
  const readers = [a, x, x].map((of) => graph.apply1('dot', [of, x], {}));
  const later = affine(x, 3);
  graph.output(
    'y',
    [...readers, graph.apply1('dot', [later, x], {})].reduce((sum, one) =>
      graph.apply1('add', [sum, one], { alpha: 1, beta: 1 }),
    ),
  );
  const places = (reader: number) => {
    const { storage } = plan(graph, {
      alsoReads: (node) => (node.outputs[0] === readers[reader] ? [a] : []),
    });
    return [a, readers[1]!, later].map(storage);
  };
  const [before, between, after] = places(1);
  expect(after).toEqual(before);
  expect(between).not.toEqual(before);
});

test('what one step hands to later ones lives from the first to the last of them', () => {
  const graph = new Graph();
  const x = graph.input('x', [256]);
  const affine = (scale: number) => graph.apply1('affine', [x], { scale, offset: 0 });
  const sums = [2, 3, 4].map((scale) => graph.apply1('dot', [affine(scale), x], {}));
  graph.output(
    'y',
    sums.reduce((sum, one) => graph.apply1('add', [sum, one], { alpha: 1, beta: 1 })),
  );
  const value: Value = { ...x, id: -1 };
  const handed = (nodes: readonly Node[]) => [{ value, by: nodes[0]!, to: [nodes[3]!] }];
  const { steps, storage, heldUntil } = plan(graph, { handed });
  expect(heldUntil(value)).toBe(3);
  const places = steps.map(({ outputs }) => outputs[0]!);
  const isThere = places.map((place) => JSON.stringify(place) === JSON.stringify(storage(value)));
  expect(isThere.slice(0, 4)).toEqual([false, false, false, false]);
  expect(isThere.slice(4)).toContain(true);
});

test('what is prepared of a value for several steps is made by the first and lives until the last, each form by itself', () => {
  const graph = new Graph();
  const x = graph.input('x', [256]);
  const affine = (of: Value, scale: number) => graph.apply1('affine', [of], { scale, offset: 0 });
  const values = [affine(x, 2), affine(x, 3), affine(x, 4), affine(x, 5)];
  for (const [at, value] of values.entries()) graph.output(`y${at}`, graph.apply1('dot', [value, x], {}));
  const preparedOf = (forms: readonly (string | undefined)[]) => {
    const { steps } = plan(graph, {
      prepares: ({ outputs: [made] }) => {
        const form = forms[values.indexOf(made!)];
        return form === undefined ? undefined : { of: x, form, bytes: 4096 };
      },
    });
    return steps.filter(({ node }) => values.includes(node.outputs[0]!)).map(({ prepared }) => prepared);
  };
  const shared = preparedOf(['a', undefined, 'a', undefined]);
  expect(shared.map((prepared) => prepared?.isNew)).toEqual([true, undefined, false, undefined]);
  expect(shared[2]!.storage).toEqual(shared[0]!.storage);
  // While the first form lives the second has bytes of its own; afterwards it takes the same.
  const [first, between] = preparedOf(['a', 'b', 'a', undefined]);
  expect(between!.storage).not.toEqual(first!.storage);
  const [before, , , after] = preparedOf(['a', undefined, 'a', 'b']);
  expect(after).toEqual({ storage: before!.storage, isNew: true });
});
