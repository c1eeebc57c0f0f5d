// The pictures of the page in docs/serve.md and docs/explorer.md, of the program as it is: the main job, a run with two
// kinds of multipliers, and a small sweep, all of the digits and made for it. In a folder that is given what is there
// already is not made again; else it takes some minutes, in a folder that goes.
//   npm run build && node scripts/page-pictures.mjs [FOLDER]
// Chromium is Debian's, or what CHROMIUM names. Look at them before they are committed.

import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { optionsOf } from '../bench/options.mjs';
import { serve } from '../dist/serve/server.js';

const { positionals } = optionsOf(import.meta.url, { allowPositionals: true });
const root = join(import.meta.dirname, '..');
const parent = positionals[0] ?? mkdtempSync(join(tmpdir(), 'tram-pictures-'));
const MAIN = 'digits-resnet8-seed1';

const runs = join(parent, 'runs');
const tram = (...words) =>
  execFileSync(process.execPath, [join(root, 'dist/cli/main.js'), ...words], { cwd: parent, stdio: 'ignore' });
tram('run', `runs/${MAIN}`);
tram('run', 'runs/types', '--from', `runs/${MAIN}`, '--types', '2');
if (!existsSync(join(runs, 'types-sensitivity'))) tram('sensitivity', 'runs/types');
const varied = ['--over', 'bits=4x5,5x5', '--over', 'seed=1,2,3', '--rivals', '3x3,4x4,5x5'];
tram('sweep', 'runs/small', ...(existsSync(join(runs, 'small/sweep.json')) ? [] : varied));
// The same sweep as it looked before its last trials.
const before = join(parent, 'before');
const small = join(before, 'small');
rmSync(before, { recursive: true, force: true });
cpSync(join(runs, 'small'), small, { recursive: true });
const late = [
  ...readdirSync(join(small, 'trials'))
    .filter((name) => /^(bits|exact)5x5-seed[23]/.test(name))
    .map((name) => join('trials', name)),
  ...readdirSync(small).filter((name) => name.startsWith('front.')),
];
for (const name of late) rmSync(join(small, name), { recursive: true });

const multiplier = (one, other) =>
  `multiplier/${encodeURIComponent(one)}${other === undefined ? '' : `?beside=${encodeURIComponent(other)}`}`;
const OF_MAIN = multiplier(`${MAIN}/multiplier.v`);
const fill = (label, text) => (page) => page.getByLabel(label, { exact: true }).fill(text);
const inTurn =
  (...steps) =>
  async (page) => {
    for (const step of steps) await step(page);
  };
/** The filter, and every run that it leaves in the curves. */
const trials = inTurn(fill('Filter', 'small/trials seed=1'), (page) =>
  page.getByRole('button', { name: /^Draw all/ }).click(),
);
const atTheta = (page) =>
  page
    .getByRole('heading', { name: 'θ over the epochs' })
    .evaluate((heading) => globalThis.scrollTo(0, heading.offsetTop - 450));
const form = inTurn(fill('Name of the run', 'lambda/half'), fill('lambda', '0.5'), fill('bits', '4x5'));
const aSum = async (page) => {
  await page.getByRole('heading', { name: 'Netlist' }).evaluate((heading) => heading.scrollIntoView());
  for (const gate of await page.locator('.all .gate').all()) {
    await gate.hover();
    if (/sum of a full adder, stage 4, column 8/.test(await page.getByTestId('gate').innerText())) return;
  }
};
const point = (page) => page.getByLabel('Accuracy over power').getByRole('link').nth(1).focus();

/** File, view, width, height, theme, and what is done there first. */
const [wide, phone] = [1440, 390];
const pictures = [
  ['serve/runs-light', 'runs', wide, 860, 'light', trials],
  ['serve/runs-dark', 'runs', wide, 860, 'dark', trials],
  ['serve/runs-phone', 'runs', phone, 844, 'light'],
  ['serve/run-light', `run/${MAIN}`, wide, 1000, 'light'],
  ['serve/run-dark', `run/${MAIN}`, wide, 1000, 'dark', atTheta],
  ['serve/run-phone', `run/${MAIN}`, phone, 844, 'light'],
  ['serve/new-light', 'new', wide, 860, 'light', form],
  ['serve/new-dark', 'new', wide, 860, 'dark', form],
  ['serve/new-phone', 'new', phone, 844, 'light', form],
  ['explorer-light', OF_MAIN, 1360, 1500, 'light'],
  ['explorer-dark', OF_MAIN, 1360, 1100, 'dark'],
  ['explorer-phone', OF_MAIN, phone, 844, 'light'],
  ['explorer-netlist-dark', multiplier('truncated:8x8:columns=6'), 1360, 900, 'dark', aSum],
  ['explorer-pair-light', multiplier(`${MAIN}/multiplier.v`, 'truncated:8x8:columns=7'), 1360, 1560, 'light'],
  ['front-light', 'sweep/small', 1200, 900, 'light', point],
  ['front-phone', 'sweep/small', phone, 844, 'light'],
  ['network-dark', 'network/types', 1250, 720, 'dark'],
  ['network-light', 'network/types', 1360, 900, 'light'],
  ['network-phone', 'network/types', phone, 844, 'light'],
];
const picturesBefore = [['front-dark', 'sweep/small', 1360, 900, 'dark']];

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
for (const [folder, shown] of [
  [runs, pictures],
  [before, picturesBefore],
]) {
  // Runs may be begun on the page, so that the form is there; none is.
  const serving = await serve({ folder, port: 0, perform: () => new Promise(() => {}) });
  for (const [name, view, width, height, colorScheme, act] of shown) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme });
    const page = await context.newPage();
    await page.goto(serving.url);
    await page.locator('h1').waitFor();
    await page.goto(`${new URL(serving.url).origin}/#/${view}`);
    // A view asks for what it shows; its events come for as long as it is open.
    await page.waitForTimeout(2000);
    await act?.(page);
    await page.waitForTimeout(1000);
    await page.screenshot({ path: join(root, `docs/images/${name}.png`) });
    console.log(name);
    await context.close();
  }
  await serving.close();
}
await browser.close();
if (positionals[0] === undefined) rmSync(parent, { recursive: true });
