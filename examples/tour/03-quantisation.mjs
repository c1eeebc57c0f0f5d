// %% [markdown]
// ## Quantisation
// A multiplier takes integers. Quantisation gives every weight and activation a code of a few bits. The scales are
// chosen on training images; nothing is trained here. `from` begins a new run with the finished phases of another one,
// which is how several widths share one float network.

// %%
import { runFlow } from 'tram-axm';
import { needs, percent, table } from './show.mjs';

needs('train');

const widths = [];
for (const bits of [8, 4, 3, 2]) {
  const { stages: done } = await runFlow({
    folder: bits === 8 ? 'tour/run' : `tour/bits-${bits}`,
    ...(bits === 8 ? {} : { from: 'tour/run' }),
    settings: { bits: { weights: bits, activations: bits } },
    phases: bits === 8 ? ['quantize'] : ['train', 'quantize'],
  });
  widths.push({ bits, accuracy: done.at(-1)?.accuracy ?? 0 });
}
table([['widths', 'test accuracy'], ...widths.map(({ bits, accuracy }) => [`${bits}×${bits}`, percent(accuracy)])]);
