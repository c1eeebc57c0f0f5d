import { expect, test } from 'vitest';
import { Graph } from './graph.ts';
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
  const { arenaBytes } = plan(chains(), { reuseDistance: 4 });
  expect(arenaBytes).toBe(6 * 1024 + 2 * 64);
});
