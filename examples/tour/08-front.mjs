// %% [markdown]
// ## The front
// One run is one point. A sweep trains several and sets them beside exact multipliers of fewer bits that were retrained
// in the same way. What they have in common is done once: all of these begin with the float network of the run above.
// The front is what no other multiplier beats in both accuracy and gates.

// %%
import { frontPicture, parseAxis, sweep } from 'tram-axm';
import { needs, percent, show, table } from './show.mjs';

needs('train');

const front = await sweep({
  folder: 'tour/front',
  from: 'tour/run',
  plan: { over: [parseAxis('power=0.6,0.4')], rivals: ['4x4', '3x3'] },
  synthesis: null,
});
table([
  ['point', 'gate cost', 'accuracy'],
  ...front.points.map(({ name, power, accuracy }) => [
    name,
    power.gates?.mean.toFixed(4) ?? '–',
    percent(accuracy.mean),
  ]),
]);
await show('front', await frontPicture(front));

// %% [markdown]
// 360 test images tell two multipliers apart only when they differ by a point or more, and with one seed not even that
// surely. What remains on a task this easy is plain: an exact multiplier of three or four bits is cheaper than any
// structure of eight and as accurate. Whether that holds for your network is what `tram sweep DIR --cheapest` answers.
