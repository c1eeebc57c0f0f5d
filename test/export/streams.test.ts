// The page about the streams against what the Verilog was made for: lengths, and constants by its border classes.

import { expect, it } from 'vitest';
import { borderClasses, streamLengths } from '../../src/export/rtl/interface.ts';
import { borderConstants } from '../../src/export/rtl/layer.ts';
import { streamsMarkdown } from '../../src/export/rtl/streams.ts';
import { layerTops } from '../../src/export/rtl/tops.ts';
import type { ProductOperation } from '../../src/integer/network.ts';
import { exactTable } from '../../src/multiplier/table.ts';
import { handMade } from './rtl-layers.ts';

it('has the lengths of the streams, and border classes by which constants come out', () => {
  const shape = {
    image: [5, 6, 4],
    outputs: 10,
    kernel: [3, 2],
    padding: [1, 1],
    groups: 2,
    activationZero: 3,
  } as const;
  const { network } = handMade({ name: 'wide', ...shape, step: 2, table: exactTable(4, 4), multiplier: 'exact' }, 1);
  const [top] = layerTops(network, { array: { rows: 4, columns: 3 } });
  const page = streamsMarkdown(network, [top!]);
  const rows = page.split('\n').filter((line) => line.startsWith(`| \`${top!.module}\` |`));
  const [sizes, classes] = rows.map((line) => line.split('|').map((cell) => cell.trim()));
  expect(sizes!.slice(8, 12).map(Number)).toEqual(Object.values(streamLengths(top!)));

  const product = network.operations[top!.product] as ProductOperation;
  const { weights, weightZero, step, activationZero, weightShape } = product;
  const [, , channels, outputs] = weightShape as readonly [number, number, number, number];
  const constants = classes![2]!.split(', ').flatMap((window) => {
    const taps = [...window.replaceAll(' ', '')];
    return Array.from({ length: outputs }, (_, o) => {
      const terms = taps.flatMap((inside, tap) =>
        inside === '0'
          ? []
          : Array.from(
              { length: channels },
              (_, i) => step * weights[(tap * channels + i) * outputs + o]! - weightZero[o]!,
            ),
      );
      return 0 - activationZero * terms.reduce((sum, term) => sum + term, 0);
    });
  });
  const border = borderClasses(
    product,
    network.tensors[product.inputs[0]!]!.shape,
    network.tensors[product.output]!.shape,
  );
  expect(border.valid.length).toBeGreaterThan(4);
  expect(constants).toEqual([...borderConstants(product, border)]);
});
