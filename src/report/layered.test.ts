import { describe, expect, test } from 'vitest';
import { layered, spread } from './layered.ts';

describe('heights of a column', () => {
  test('what is far enough apart stays where it is', () => {
    expect(spread([0, 1, 5])).toEqual([0, 1, 5]);
  });

  test('what is too near is moved apart around its mean, the least in squares', () => {
    expect(spread([3, 3, 3])).toEqual([2, 3, 4]);
    expect(spread([0, 0, 10])).toEqual([-0.5, 0.5, 10]);
    // A block that grows into the one before it takes that along.
    expect(spread([0, 1.2, 1.2, 0.8])).toEqual([-0.7, 0.3, 1.3, 2.3].map((value) => expect.closeTo(value, 10)));
  });
});

describe('places of a netlist', () => {
  //  a ─┬─ g0 ── g2 ── out
  //  b ─┴─ g1 ──┘
  const nodes = [[], [], [0, 1], [0, 1], [2, 3], [4], [0]].map((fanins) => ({ fanins }));

  test('a node stands behind the last of its fanins, outputs behind all', () => {
    const { places, columns } = layered(nodes, [5, 6]);
    expect(places.map(({ column }) => column)).toEqual([0, 0, 1, 1, 2, 3, 3]);
    expect(columns).toBe(4);
  });

  test('nodes of a column are apart and outputs in their order', () => {
    const { places, rows } = layered(nodes, [6, 5]);
    for (const column of [0, 1, 3]) {
      const heights = places.filter((place) => place.column === column).map(({ row }) => row);
      for (const [k, a] of heights.entries()) {
        for (const b of heights.slice(k + 1)) expect(Math.abs(a - b)).toBeGreaterThanOrEqual(1 - 1e-9);
      }
    }
    expect(places[6]!.row).toBeLessThan(places[5]!.row);
    expect(Math.min(...places.map(({ row }) => row))).toBe(0);
    expect(Math.max(...places.map(({ row }) => row + 1))).toBe(rows);
  });

  test('a crossing that need not be is taken away', () => {
    // Two chains whose first gates stand in the other order than their outputs.
    const chains = [[], [], [0], [1], [2], [3]].map((fanins) => ({ fanins }));
    const { places } = layered(chains, [5, 4]);
    expect(places[1]!.row).toBeLessThan(places[0]!.row);
    expect(places[3]!.row).toBeLessThan(places[2]!.row);
  });
});
