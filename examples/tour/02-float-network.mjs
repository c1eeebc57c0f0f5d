// %% [markdown]
// ## A float network
// `runFlow` does a run phase by phase in a folder. Here it does the first one: a small residual network is trained in
// float32. Everything that the tour needs is said in `settings`; they stay with the folder, so the later steps do not
// repeat them.
//
// A step that is interrupted goes on where it was when it is run again, and a phase that is done is not done twice.

// %%
import { runFlow } from 'tram-axm';
import { percent } from './show.mjs';

const trained = await runFlow({
  folder: 'tour/run',
  settings: {
    model: 'resnet8',
    train: { epochs: 6 },
    explore: { epochs: 4, power: 0.6 },
    recover: { epochs: 2 },
  },
  phases: ['train'],
  listener: (event) => {
    if (event.kind !== 'epoch') return;
    const { epoch, loss, testAccuracy } = event.record;
    console.log(`epoch ${epoch}: loss ${loss.toFixed(3)}, test accuracy ${percent(testAccuracy)}`);
  },
});
console.log(
  `${trained.layers.length} layers multiply, ${trained.layers.reduce((sum, { macs }) => sum + macs, 0)} times per image`,
);
