// The explorer, the front of a sweep, the network of a run, and copies of views, in a real browser on the digits.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exportFrom } from '../../src/serve/export.ts';
import { type Serving, serve } from '../../src/serve/server.ts';
import { noBrowser, type Opened, openBrowser, openPage, violations } from './browser.ts';

const program = join(import.meta.dirname, '../../dist/cli/main.js');
const parent = mkdtempSync(join(tmpdir(), 'tram-explorer-'));
const runs = join(parent, 'runs');
/** The run of the sweep that trained a structure. */
let trained: string;

let browser: Browser;
let serving: Serving;

/** A view in a fresh page, once it is there. */
async function visit(hash: string, theme: 'light' | 'dark' = 'light'): Promise<Opened> {
  const opened = await openPage(browser, `${serving.url}${hash}`, { theme, width: 1200, height: 900 });
  await opened.page.locator('h1').waitFor();
  return opened;
}

/** Lets files go over the page, as a person does who drags them there. */
async function drop(page: Page, name: string, text: string): Promise<void> {
  await page.evaluate(
    ([file, content]) => {
      // In the page, whose globals the tests do not have.
      // biome-ignore lint/suspicious/noExplicitAny: constructors of the browser
      const { DataTransfer, DragEvent, File, dispatchEvent } = globalThis as unknown as Record<string, any>;
      const data = new DataTransfer();
      data.items.add(new File([content], file));
      dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true, bubbles: true }));
    },
    [name, text],
  );
}

const AND_ARRAY = `.model m
.inputs a[0] a[1] b[0] b[1]
.outputs p[0] p[1] p[2] p[3]
.names a[0] b[0] p[0]
11 1
.names a[0] b[1] p[1]
11 1
.names p[2]
.names p[3]
.end
`;

describe.skipIf(noBrowser)('the page of a multiplier', () => {
  beforeAll(async () => {
    const small = ['--sample', '100', '--train-epochs', '1', '--explore-epochs', '1', '--recover-epochs', '1'];
    const plan = ['--over', 'multiplier=exact,trained', '--over', 'bits=3', '--over', 'seed=1', ...small];
    execFileSync(process.execPath, [
      program,
      'sweep',
      join(runs, 'front'),
      ...plan,
      '--threads',
      '1',
      '--no-synthesis',
    ]);
    const names = readdirSync(join(runs, 'front/trials'));
    trained = `front/trials/${names.find((name) => /trained.*\.json$/.test(name))!.replace('.json', '')}`;
    serving = await serve({ folder: runs, port: 0, pace: { glance: 100, scan: 300 } });
    browser = await openBrowser();
  });

  afterAll(async () => {
    await browser?.close();
    await serving?.close();
    rmSync(parent, { recursive: true, force: true });
  });

  test('two multipliers side by side: measures, a pair under the cursor, what differs, a gate and its cone', async () => {
    const { page, said, requests } = await visit('#/multiplier/dadda%3A4x4?beside=truncated%3A4x4%3Acolumns%3D3');
    await page.getByTestId('explorer').waitFor();
    const row = page.getByRole('row', { name: /^MaxED/ });
    const cells = async () => (await row.getByRole('cell').allInnerTexts()).map((text) => text.trim());
    await expect.poll(cells).toEqual(['0', '17', '+17']);
    // Of 15 × 15 = 225 the partial products 1, 2 + 2 and 4 + 4 + 4 are left out.
    const map = page.getByRole('application', { name: 'Error map of truncated:4x4:columns=3' });
    await map.focus();
    for (let step = 0; step < 15; step++) await map.press('ArrowRight');
    const told = page.getByTestId('pair');
    await expect.poll(() => told.nth(1).innerText()).toBe('w = 15, x = 15 exact 225 product 208 error −17');
    expect(await page.getByTestId('difference').innerText()).toMatch(/^(\d+) of 256 products differ; .*gives −17/);
    // The pointer in the middle of the lowest left pair.
    await map.scrollIntoViewIfNeeded();
    const pointAtIt = async () => {
      const { x, y, width, height } = (await map.boundingBox())!;
      await page.mouse.move(x + 1.5 * (width / 16), y + height - 1.5 * (height / 16));
      return told.nth(1).innerText();
    };
    await expect.poll(pointAtIt).toBe('w = 1, x = 1 exact 1 product 0 error −1');
    const netlist = page.getByRole('application', { name: 'Netlist of dadda:4x4' });
    const whole = await netlist.getAttribute('viewBox');
    await netlist.focus();
    await netlist.press('ArrowLeft');
    await expect
      .poll(() => page.getByTestId('gate').first().innerText())
      .toMatch(/= w\[0\] ∧ x\[0\]\s+partial product w0·x0; drives \S+; one gate of w\[0\], x\[0\]/);
    await netlist.press('+');
    await expect.poll(() => netlist.getAttribute('viewBox')).not.toBe(whole);
    await netlist.press('0');
    await expect.poll(() => netlist.getAttribute('viewBox')).toBe(whole);
    const gate = netlist.locator('.all [data-node]').last();
    await gate.hover();
    // The last carry is made of nearly everything.
    await expect.poll(() => netlist.locator('.cone [data-node]').count()).toBeGreaterThan(20);
    expect(await violations(page)).toEqual([]);
    expect(said).toEqual([]);
    expect(requests.filter((url) => !url.startsWith(serving.url) && !/^(data|blob):/.test(url))).toEqual([]);
    await page.close();
  });

  test('two fingers enlarge a drawing around what is between them', async () => {
    const { page, said } = await visit('#/multiplier/dadda%3A4x4');
    const netlist = page.getByRole('application', { name: 'Netlist of dadda:4x4' });
    await netlist.scrollIntoViewIfNeeded();
    const boxOf = async () =>
      (await netlist.getAttribute('viewBox'))!.split(' ').map(Number) as [number, number, number];
    const [, , whole] = await boxOf();
    const { x, y, width, height } = (await netlist.boundingBox())!;
    const session = await page.context().newCDPSession(page);
    const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', shares: readonly number[]) => {
      const touchPoints = shares.map((share, id) => ({ x: x + share * width, y: y + height / 2, id }));
      return session.send('Input.dispatchTouchEvent', { type, touchPoints });
    };
    await touch('touchStart', [0.4, 0.6]);
    await touch('touchMove', [0.3, 0.7]);
    await touch('touchEnd', []);
    await expect.poll(async () => (await boxOf())[2]).toBeCloseTo(whole / 2, 1);
    expect((await boxOf())[0]).toBeCloseTo(whole / 4, 0);
    expect(await page.evaluate('visualViewport.scale')).toBe(1);
    expect(said).toEqual([]);
    await page.close();
  });

  test('a file that is dropped is shown and stored nowhere; one that cannot be read says where', async () => {
    const { page, said } = await visit('#/multiplier', 'dark');
    await drop(page, 'mine.blif', AND_ARRAY);
    await page.getByTestId('explorer').waitFor();
    await page.getByRole('row', { name: /^ER/ }).getByText('37.5 %').waitFor();
    await drop(page, 'bad.blif', '.model m\n.gaat\n');
    const alert = page.getByRole('alert');
    await expect.poll(() => alert.innerText()).toMatch(/bad\.blif:2:1: unknown command "\.gaat"/);
    // What was shown still is; a second file stands beside it.
    await drop(page, 'exact.csv', [0, 1, 2, 3].map((w) => [0, 1, 2, 3].map((x) => w * x).join()).join('\n'));
    await page.getByRole('columnheader', { name: 'Difference' }).waitFor();
    expect(page.url()).toContain('beside=dropped%3Aexact.csv');
    expect(await violations(page)).toEqual([]);
    await page.reload();
    await page.getByText('mine.blif was dropped on the page and is kept nowhere; drop it again').waitFor();
    expect(said).toEqual([]);
    await page.close();
  });

  test('the server takes no file that is too large, and none that a form of another site could send', async () => {
    const inspect = (type: string, body: Uint8Array | string) =>
      fetch(`${serving.url}api/inspect?file=a.blif`, {
        method: 'POST',
        headers: { 'Content-Type': type },
        body: body as string,
      });
    expect((await inspect('text/plain', AND_ARRAY)).status).toBe(415);
    expect((await inspect('application/octet-stream', 'x'.repeat((8 << 20) + 1))).status).toBe(413);
    expect((await inspect('application/octet-stream', AND_ARRAY)).status).toBe(200);
    const outside = await fetch(`${serving.url}api/multiplier?of=${encodeURIComponent('../../etc/passwd.v')}`);
    expect(outside.status).toBe(404);
  });

  test('a trial whose file is damaged is named, and the others are shown', async () => {
    const ended = join(runs, `${trained}.json`);
    const whole = readFileSync(ended);
    writeFileSync(ended, '{"state":');
    const fresh = await serve({ folder: runs, port: 0, pace: { glance: 100, scan: 300 } });
    const { page, said } = await openPage(browser, `${fresh.url}#/sweep/front`);
    await page.getByText(`${trained}.json is not valid JSON`).waitFor();
    await expect.poll(() => page.getByRole('link', { name: /: accuracy / }).count()).toBe(1);
    await page.getByText('1 of 2 trials are done').waitFor();
    writeFileSync(ended, whole);
    await page.getByText('2 of 2 trials are done').waitFor();
    await expect.poll(() => page.getByRole('link', { name: /: accuracy / }).count()).toBe(2);
    expect(said).toEqual([]);
    await page.close();
    await fresh.close();
  });

  test.each(['light', 'dark'] as const)(
    'the front of a sweep grows as trials end, and a point opens its multiplier (%s)',
    async (theme) => {
      const ended = join(runs, `${trained}.json`);
      renameSync(ended, join(parent, 'later.json'));
      await serving.library.scan();
      const { page, said } = await visit('#/sweep/front', theme);
      await page.getByText('1 of 2 trials are done').waitFor();
      const points = page.getByRole('link', { name: /: accuracy / });
      await expect.poll(() => points.count()).toBe(1);
      renameSync(join(parent, 'later.json'), ended);
      await page.getByText('2 of 2 trials are done').waitFor();
      await expect.poll(() => points.count()).toBe(2);
      // Kinds of power are never on one axis: an exact multiplier has no modelled one.
      await page.getByRole('radio', { name: 'modelled' }).check();
      await expect.poll(() => points.count()).toBe(1);
      await page.getByText('without one of this kind: ').waitFor();
      expect(await violations(page)).toEqual([]);
      await points.first().focus();
      await page.keyboard.press('Enter');
      await page.getByTestId('explorer').waitFor();
      expect(decodeURIComponent(page.url())).toContain(`#/multiplier/${trained}/multiplier.v`);
      await page.getByRole('heading', { name: 'Operands in its network' }).waitFor();
      await page.goBack();
      await page.getByRole('radio', { name: 'gates of the netlist' }).check();
      await points.nth(1).click();
      await page.getByTestId('explorer').waitFor();
      expect(said).toEqual([]);
      await page.close();
    },
  );

  test.each(['light', 'dark'] as const)('the network of a run, layer by layer (%s)', async (theme) => {
    const { page, said } = await visit(`#/network/${trained}`, theme);
    await page.getByRole('row', { name: /^layer1.0.conv1 convolution 3×3/ }).waitFor();
    await page.getByRole('img', { name: 'connections go past other layers' }).waitFor();
    await page.getByRole('link', { name: 'multiplier', exact: true }).first().click();
    await page.getByTestId('explorer').waitFor();
    expect(await violations(page)).toEqual([]);
    expect(said).toEqual([]);
    await page.close();
  });

  test('a copy of each view is whole and fetches nothing', async () => {
    // What each shows only once all that it asks for is there.
    const views: readonly (readonly [view: string, shown: readonly (string | RegExp)[]])[] = [
      [
        'multiplier/dadda:4x4?beside=truncated:4x4:columns=3',
        [/products differ; .*gives −17/, 'Worst operands', 'Distribution of errors', 'Point at a gate.'],
      ],
      ['sweep/front', ['2 of 2 trials are done', 'Accuracy (%)', 'on the front']],
      [`network/${trained}`, ['layer1.0.conv1', 'times for each image']],
      ['runs', [nameOf(trained), 'Test accuracy', 'Power of θ']],
      ['sweep', ['front', 'trials']],
      [`run/${trained}`, ['Test accuracy', 'θ over the epochs of exploration', 'Settings', 'metrics.jsonl']],
    ];
    for (const [view, shown] of views) {
      const path = join(parent, 'copy.html');
      writeFileSync(path, await exportFrom(runs, view));
      await expectWhole(path, shown);
    }
    await expect(exportFrom(runs, 'nothing/at/all')).rejects.toThrow(/there is no view 'nothing'/);
  });

  test('the button saves what is shown: a dropped file, the list of runs with its curves', async () => {
    const save = async (page: Page, shown: readonly string[]) => {
      const download = page.waitForEvent('download');
      await page.getByRole('button', { name: 'Save a copy' }).click();
      const path = join(parent, 'saved.html');
      await (await download).saveAs(path);
      await page.close();
      await expectWhole(path, shown);
    };
    const { page } = await visit('#/multiplier');
    await drop(page, 'mine</script>.blif', AND_ARRAY);
    await page.getByTestId('explorer').waitFor();
    await save(page, ['script>.blif', '37.5 %', 'Point at a gate.']);
    const { page: list } = await visit('#/runs');
    const listed = [nameOf(trained), 'Test accuracy', allDrawn()];
    await expectShown(list, listed);
    await save(list, listed);
  });

  test('a copy of the list draws the runs that were chosen, and says of others that it does not hold them', async () => {
    const { page: live } = await visit('#/runs');
    await expectShown(live, [allDrawn(), 'Test accuracy']);
    await live.getByLabel('Filter').fill('front');
    await live.getByRole('button', { name: 'Draw none' }).click();
    await live.getByLabel(`draw ${trained}`, { exact: true }).check();
    await expectShown(live, [', 1 drawn', 'Test accuracy']);
    const download = live.waitForEvent('download');
    await live.getByRole('button', { name: 'Save a copy' }).click();
    const path = join(parent, 'chosen.html');
    await (await download).saveAs(path);
    await live.close();
    const { page, said } = await openPage(browser, pathToFileURL(path).href, { offline: true });
    await expectShown(page, [', 1 drawn', 'Test accuracy']);
    expect(await page.getByRole('alert').count()).toBe(0);
    expect(await page.getByLabel('Filter').inputValue()).toBe('front');
    await page.getByRole('button', { name: /^Draw all/ }).click();
    await expectShown(page, [allDrawn(), /No curves of .*: this copy holds what was shown/, 'Test accuracy']);
    await page.getByRole('button', { name: 'Draw none' }).click();
    await page
      .getByLabel(/^draw front\/shared/)
      .first()
      .check();
    await expectShown(page, [', 1 drawn', /No curves of front\/shared\S+: this copy holds what was shown/]);
    expect(await page.locator('main').innerText()).not.toMatch(/Loading|No epoch/);
    expect(said).toEqual([]);
    await page.close();
  });
});

/** The few runs of the sweep are drawn before any is chosen. */
const allDrawn = (): string => {
  const { length } = serving.library.runs().runs;
  return `${length} runs, ${length} drawn`;
};

const nameOf = (run: string): string => run.split('/').at(-1)!;

/** Waits until all of these are to be read in the view. */
async function expectShown(page: Page, shown: readonly (string | RegExp)[]): Promise<void> {
  const missing = async () => {
    const text = await page.locator('main').innerText();
    return shown.filter((one) => (typeof one === 'string' ? !text.includes(one) : !one.test(text)));
  };
  await expect.poll(missing).toEqual([]);
}

/** Opens a copy from the disk, without a network: all that it has to show is there, nothing is missing or awaited. */
async function expectWhole(path: string, shown: readonly (string | RegExp)[]): Promise<void> {
  const { page, said, requests } = await openPage(browser, pathToFileURL(path).href, { offline: true });
  await expectShown(page, shown);
  expect(await page.locator('main').innerText()).not.toMatch(
    /Loading|holds what was shown|No epoch|does not answer|no such view/,
  );
  expect(said).toEqual([]);
  expect(requests.filter((url) => !/^(data|blob):/.test(url))).toHaveLength(1);
  await page.close();
}
