// A multiplier of your own, given as the table of its products: what it does to a network, before and after retraining.

import { errorMetrics, type ProductTable, productTable, runFlow } from 'tram-axm';

/**
 * Operands rounded to multiples of 4: every product is off by up to 2 % of the range, but no partial product of the low
 * bits is needed.
 */
function roundedProducts(): ProductTable {
  const products = new Int32Array(2 ** 16);
  const rounded = (code: number) => Math.min(252, 4 * Math.round(code / 4));
  for (let w = 0; w < 256; w++) {
    for (let x = 0; x < 256; x++) products[256 * w + x] = rounded(w) * rounded(x);
  }
  return productTable(8, 8, false, products);
}

const table = roundedProducts();
console.log('MED', errorMetrics(table).meanErrorDistance);

// The multiplier is measured on the quantised network; nothing is explored. Then the weights are retrained with it.
const summary = await runFlow({
  folder: 'runs/rounded',
  multiplier: { name: 'rounded', products: table },
  settings: { data: 'digits', train: { epochs: 6 }, recover: { epochs: 2 } },
});
for (const { stage, accuracy } of summary.stages) console.log(stage, accuracy.toFixed(4));
