// %% [markdown]
// ## A netlist in hand
// `multiplier.v` is one combinational module: weight and activation in, product out. Read back from the Verilog it is
// compared with the table that the network was retrained with, once more, and measured in the cells that are built in.

// %%
import { readFileSync } from 'node:fs';
import { loadMultiplier, productsOf, synthesizeMultiplier, verifyMultipliers } from 'tram-axm';
import { needs } from './show.mjs';

needs('map');

const verilog = await loadMultiplier('tour/run/multiplier.v');
const products = productsOf(verilog);
console.log(`200 × 100 = ${products.data[200 * 256 + 100]} (exact: 20000)`);
const { equal } = await verifyMultipliers(verilog, await loadMultiplier('tour/run/multiplier.npy'));
console.log(equal ? 'the Verilog and the table are the same function' : 'they differ');
console.log(readFileSync('tour/run/multiplier.v', 'utf8').split('\n').slice(0, 12).join('\n'));

// %%
const exact = await loadMultiplier('array:8x8');
for (const multiplier of [exact, verilog]) {
  if (multiplier.kind !== 'network') continue;
  const { area, delay, power, units } = await synthesizeMultiplier(multiplier, { effort: 'quick' });
  const figures = [area.toFixed(1), delay.toFixed(1), power.total.toFixed(2)];
  console.log(
    `${multiplier.name}: area ${figures[0]} ${units.area}, delay ${figures[1]} ${units.delay}, power ${figures[2]} ${units.power}`,
  );
}
