// θ of partial products: a strip over the epochs, a row for each product, beside the matrix that they end as (a row for
// each weight bit). 64 values are read as a picture, where as many lines would hide each other. One such pair per layer
// where layers have values of their own.

import { invariant } from '../tensor/errors.ts';
import type { ThetaPoint } from './curves.ts';
import { colours, fontSize } from './theme.ts';
import { renderSpec } from './vega.ts';

/** Which θ partial product w[i]·x[j] reads, at i·activationBits + j; −1: none, it is kept. */
export interface ProductIndex {
  readonly weightBits: number;
  readonly activationBits: number;
  readonly index: readonly number[];
}

const cell = 18;
const stripWidth = 420;
/** Layers in a row, and the sizes where there are several. */
const perRow = 2;
const smallStrip = 170;
const smallCell = 12;

export function thetaStripSvg(
  points: readonly ThetaPoint[],
  layers: readonly string[],
  products: ProductIndex,
): Promise<string> {
  invariant(points.length > 0, 'θ over time without a point');
  const shared = layers.length === 1;
  const pairs = layers.map((name, layer) => {
    const sizes = shared ? { width: stripWidth, step: cell } : { width: smallStrip, step: smallCell };
    const own = points.map(({ epoch, theta }) => ({ epoch, theta: theta[layer]! }));
    return {
      hconcat: [strip(own, products, sizes), matrix(own.at(-1)!.theta, products, sizes.step)],
      spacing: 28,
      ...(shared ? {} : { title: { text: name, fontSize: fontSize.label } }),
    };
  });
  return renderSpec(shared ? pairs[0]! : { concat: pairs, columns: perRow, spacing: 24 });
}

const color = {
  field: 'value',
  type: 'quantitative',
  scale: { domain: [0, 1], range: [colours.blue, colours.background], interpolate: 'rgb' },
  legend: { title: 'θ: 0 kept, 1 removed', orient: 'bottom', direction: 'horizontal', gradientLength: 160 },
};

/** Each product that has a θ, by weight bit and in it by activation bit. */
function strip(
  points: readonly { readonly epoch: number; readonly theta: readonly number[] }[],
  { weightBits, activationBits, index }: ProductIndex,
  { width, step }: { readonly width: number; readonly step: number },
): object {
  const values = points.flatMap(({ epoch, theta }) =>
    index.flatMap((from, at) => (from < 0 ? [] : [{ epoch, at, value: theta[from]! }])),
  );
  const firsts = Array.from({ length: weightBits }, (_, i) => i * activationBits);
  return {
    width,
    height: step * weightBits,
    data: { values },
    mark: { type: 'rect' },
    encoding: {
      x: {
        field: 'epoch',
        type: 'ordinal',
        axis: { title: 'Epoch', labelOverlap: true, labelAngle: 0 },
      },
      y: {
        field: 'at',
        type: 'ordinal',
        scale: { domain: index.map((_, at) => at) },
        axis: { title: 'Weight bit', values: firsts, labelExpr: `datum.value / ${activationBits}` },
      },
      color,
    },
  };
}

function matrix(theta: readonly number[], { weightBits, activationBits, index }: ProductIndex, step: number): object {
  const values = index.map((from, at) => ({
    i: Math.floor(at / activationBits),
    j: at % activationBits,
    value: from < 0 ? 0 : theta[from]!,
  }));
  const bits = (count: number) => Array.from({ length: count }, (_, bit) => bit);
  return {
    width: step * activationBits,
    height: step * weightBits,
    data: { values },
    mark: { type: 'rect', stroke: colours.grid },
    encoding: {
      x: {
        field: 'j',
        type: 'ordinal',
        scale: { domain: bits(activationBits) },
        axis: { title: 'Activation bit', labelAngle: 0 },
      },
      y: { field: 'i', type: 'ordinal', scale: { domain: bits(weightBits) }, axis: { title: null } },
      color,
    },
  };
}
