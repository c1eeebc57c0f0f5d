// %% [markdown]
// ## Exploring
// Now the structure itself is trained. Each of the eight lowest columns has a parameter θ from 0 (all there) to 1 (left
// out). What is lowered is the network's loss plus λ times the modelled power, by θ and the weights together. The four
// lowest columns begin at 1, as published.

// %%
import { runFlow, thetaSvg } from 'tram-axm';
import { percent, show } from './show.mjs';

const course = [];
await runFlow({
  folder: 'tour/run',
  phases: ['explore'],
  listener: (event) => {
    if (event.kind !== 'epoch' || !event.record.theta) return;
    const { epoch, power, testAccuracy, theta } = event.record;
    course.push({ epoch, theta: Object.values(theta) });
    console.log(`epoch ${epoch}: power ${power?.toFixed(3)}, test accuracy ${percent(testAccuracy)}`);
  },
});
if (course.length > 0) await show('theta', await thetaSvg(course));
