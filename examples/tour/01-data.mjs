// %% [markdown]
// ## The data
// The tour trains on handwritten digits, 8×8 pixels each, which come with the program. `examineData` reads a data set
// as a run would, and tells what is in it. Put `csv:mine.csv` or a folder of pictures in the place of `digits` for your
// own.

// %%
import { examineData } from 'tram-axm';
import { show, table } from './show.mjs';

const digits = await examineData({ settings: { data: 'digits' }, sheet: 6 });
console.log(digits.description);
table([
  ['class', 'training images', 'test images'],
  ...digits.classes.map(({ name, train, test }) => [name, String(train), String(test)]),
]);
if (digits.sheet) await show('digits', digits.sheet);
