// %% [markdown]
// ## Exploring
// Now the structure itself is trained. Each of the 64 partial products has a parameter θ from 0 (there) to 1 (left
// out). What is lowered is the network's loss plus λ times the modelled power, by θ and the weights together. λ is
// found on the way, so that the power ends at 0.6 of the exact multiplier's; in the end every θ is brought to 0 or 1.

// %%
import { runFlow } from 'tram-axm';
import { needs, percent } from './show.mjs';

needs('quantize');

await runFlow({
  folder: 'tour/run',
  phases: ['explore'],
  listener: (event) => {
    if (event.kind !== 'epoch') return;
    const { epoch, power, testAccuracy } = event.record;
    console.log(`epoch ${epoch}: power ${power?.toFixed(3)}, test accuracy ${percent(testAccuracy)}`);
  },
});
