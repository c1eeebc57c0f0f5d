// One worker on a sweep for the test of kills (kills.test.ts): the built claiming, saving and finishing, around a
// stand-in for training that counts steps in a file of the run's folder. Every step is also told to a journal that the
// mechanism under test does not know: a line for each, appended at once.
//
//   node worker.mjs DIST FOLDER JOURNAL STEPS MILLISECONDS HOLD
//
// The file HOLD names a run that does not end as long as the file is there.
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const [, , dist, folder, journal, steps, pause, hold] = process.argv;
const built = (path) => import(pathToFileURL(join(dist, path)).href);
const { workOn } = await built('flow/sweep/work.js');
const { readSweep } = await built('flow/sweep/folder.js');
const { lockRun } = await built('flow/run/lock.js');
const { writeInside } = await built('tensor/files.js');

function isHeld(name) {
  try {
    return readFileSync(hold, 'utf8') === name;
  } catch {
    return false;
  }
}
const tell = (word, name, step) => appendFileSync(journal, `${word} ${process.pid} ${name} ${step}\n`);

/** As the flow does it: under the run's own lock, from what was saved last, and nothing where all is done. */
async function perform({ folder: run, signal }) {
  const name = `${basename(dirname(run))}/${basename(run)}`;
  const lock = await lockRun(run, { signal });
  try {
    const path = join(run, 'steps');
    let step = existsSync(path) ? Number(readFileSync(path, 'utf8')) : 0;
    tell('begin', name, step);
    while (step < Number(steps)) {
      await setTimeout(Number(pause), undefined, { signal });
      if (step === Number(steps) - 1 && isHeld(name)) continue;
      step++;
      lock.check();
      tell('step', name, step);
      writeInside(run, 'steps', String(step));
    }
    tell('done', name, step);
  } finally {
    lock.release();
  }
  return { stages: [] };
}

process.on('SIGTERM', () => stop.abort());
const stop = new AbortController();
await workOn({ folder, plan: readSweep(folder), slots: [{}], perform, signal: stop.signal }).catch((error) => {
  if (!stop.signal.aborted) throw error;
});
process.exit(0);
