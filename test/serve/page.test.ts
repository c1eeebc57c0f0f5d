// The page of `tram serve` in a real browser: it follows a run while it works, stays fluid with a thousand runs, can be
// read and used by everybody, and says nothing to the console.

import { appendFileSync, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FlowOptions } from '../../src/flow/flow.ts';
import type { RunSummary } from '../../src/flow/results/summary.ts';
import { lockRun } from '../../src/flow/run/lock.ts';
import { type Serving, serve } from '../../src/serve/server.ts';
import { freePort } from '../ports.ts';
import { noBrowser, openBrowser, openPage, violations } from './browser.ts';
import { epoch, makeRun, until } from './folder.ts';

const RUNS = 1000;
/** Milliseconds of processor time that a frame may take. */
const FRAME = 100;
const pace = { glance: 100, scan: 300 };

describe.skipIf(noBrowser)('the page', () => {
  const place = mkdtempSync(join(tmpdir(), 'tram-page-'));
  const folder = join(place, 'runs');
  let browser: Browser;
  let serving: Serving;
  beforeAll(async () => {
    makeRun(join(folder, 'live'), {}, 2);
    mkdirSync(join(place, 'real'));
    makeRun(join(folder, 'a <b>&"'), { explore: { lambda: 0.7 } }, 3, 0.9);
    makeRun(join(folder, 'c'), { explore: { lambda: 1.5 }, seed: 3 }, 5, 0.7);
    browser = await openBrowser();
    serving = await serve({ folder, port: 0, pace });
  });
  afterAll(async () => {
    await browser?.close();
    await serving?.close();
    rmSync(place, { recursive: true, force: true });
  });

  const label = (page: Page, title: string) =>
    page.locator('figure', { hasText: title }).first().locator('[role="img"]').getAttribute('aria-label');

  test('follows a run as it logs: its state, its curves, its θ', async () => {
    const { page, said } = await openPage(browser, serving.url);
    await page.getByRole('link', { name: 'live' }).waitFor();
    const lock = await lockRun(join(folder, 'live'));
    await page.locator('.state.running').waitFor();
    appendFileSync(join(folder, 'live', 'metrics.jsonl'), `${JSON.stringify(epoch(1, 'explore'))}\n`);
    await page.getByText('explore 1/').waitFor();
    await page.locator('figcaption', { hasText: 'Power' }).waitFor();
    await expect.poll(() => label(page, 'Power')).toContain('live ends at 1');
    await page.getByRole('link', { name: 'live' }).click();
    await page.locator('.strip').waitFor();
    const strip = page.locator('.strip canvas');
    await expect.poll(() => strip.getAttribute('aria-label')).toMatch(/over 1 epochs; behind epoch 1: θ0 1.00/);
    appendFileSync(join(folder, 'live', 'metrics.jsonl'), `${JSON.stringify(epoch(2, 'explore'))}\n`);
    await until('two columns', async () => (await strip.getAttribute('width')) === '2');
    await until('the curve', async () => ((await label(page, 'Power')) ?? '').includes('live ends at 0.5'));
    lock.release();
    await page.locator('.state.unfinished').waitFor();
    makeRun(join(folder, 'later'), {}, 1);
    await page.getByRole('link', { name: 'Runs' }).click();
    await page.getByRole('link', { name: 'later' }).waitFor();
    expect(said).toEqual([]);
    await page.context().close();
  });

  test('filters, groups and sorts by any setting, by the keyboard alone', async () => {
    const { page, said } = await openPage(browser, serving.url);
    const names = () =>
      page.locator('.run-line a').evaluateAll((links) => links.map((link) => link.getAttribute('title')));
    const filter = page.getByLabel('Filter');
    await filter.fill('lambda>0.5 lambda<1');
    await expect.poll(names).toEqual(['a <b>&"']);
    await filter.fill('seed=3');
    await expect.poll(names).toEqual(['c']);
    await filter.fill('');
    await page.getByRole('button', { name: 'Accuracy' }).focus();
    await page.keyboard.press('Enter');
    await page.locator('[role=columnheader][aria-sort=descending]', { hasText: 'Accuracy' }).waitFor();
    await until('the best is first', async () => (await names())[0] === 'a <b>&"');
    await page.getByLabel('Group by').selectOption('lambda');
    const group = page.getByRole('button', { name: /^. 1.5/ });
    await group.focus();
    await page.keyboard.press('Enter');
    await until('it is closed', async () => !(await names()).includes('c'));
    await page.getByRole('link', { name: /a <b>/ }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'a <b>&"' }).waitFor();
    expect(said).toEqual([]);
    await page.context().close();
  });

  test.each(['light', 'dark'] as const)('can be read and named by everybody: %s', async (theme) => {
    const { page, said } = await openPage(browser, serving.url, { theme });
    await page.locator('figure').first().waitFor();
    expect(await violations(page)).toEqual([]);
    await page.getByLabel('Group by').selectOption('lambda');
    await page.getByRole('button', { name: /^. 1.5/ }).waitFor();
    expect(await violations(page)).toEqual([]);
    await page.goto(`${serving.url}#/run/live`);
    await page.locator('.strip').waitFor();
    expect(await violations(page)).toEqual([]);
    await page.getByRole('button', { name: theme === 'light' ? 'Dark' : 'Light' }).click();
    await page.locator(`html[data-theme=${theme === 'light' ? 'dark' : 'light'}]`).waitFor();
    expect(said).toEqual([]);
    await page.context().close();
  });

  test.each([390, 768, 2560])('is no wider than a window of %i pixels', async (width) => {
    const { page } = await openPage(browser, serving.url, { width });
    for (const [view, title] of [
      ['#/runs', 'Runs'],
      ['#/run/live', 'live'],
    ] as const) {
      await page.goto(serving.url + view);
      await page.getByRole('heading', { level: 1, name: title }).waitFor();
      await page.locator('figure canvas').first().waitFor();
      expect(await page.evaluate('document.documentElement.scrollWidth'), view).toBeLessThanOrEqual(width);
    }
    await page.context().close();
  });

  test('starts and stops a run by a form that says the command', async () => {
    const begun: FlowOptions[] = [];
    const perform = (options: FlowOptions) => {
      begun.push(options);
      const step = { epoch: 1, epochs: 4, step: 7, steps: 9, loss: 1.25, accuracy: 0.5, power: undefined, images: 64 };
      options.listener?.({ kind: 'step', phase: 'train', ...step });
      return new Promise<RunSummary>((_, fail) => {
        options.signal?.addEventListener('abort', () => fail(options.signal?.reason));
      });
    };
    const controlled = await serve({ folder, port: 0, pace, perform });
    const { page, said } = await openPage(browser, controlled.url);
    expect(page.url()).not.toContain('token');
    await page.getByRole('link', { name: 'New run' }).click();
    await page.getByLabel('Name of the run').fill('mine');
    await page.getByLabel('lambda', { exact: true }).fill('much');
    await page.getByText('lambda: expected').waitFor();
    await page.getByRole('button', { name: 'Start the run', disabled: true }).waitFor();
    await page.getByLabel('lambda', { exact: true }).fill('0.5');
    await page.getByText(`tram run ${folder}/mine --lambda 0.5`).waitFor();
    expect(await violations(page)).toEqual([]);
    await page.getByRole('button', { name: 'Start the run' }).click();
    await page.getByText('step 7 of 9').waitFor();
    expect(begun[0]?.settings).toMatchObject({ explore: { lambda: 0.5 } });
    await page.getByRole('button', { name: 'Stop and save' }).click();
    await page.getByText('stopped; the work so far is saved').waitFor();
    expect(said).toEqual([]);
    await page.context().close();
    await controlled.close();
  });

  test('starts, stops and resumes a real run, whose curves appear as it logs', async () => {
    const { runFlow } = await import('../../src/flow/flow.ts');
    const controlled = await serve({ folder: join(place, 'real'), port: 0, pace, perform: runFlow });
    const { page, said } = await openPage(browser, controlled.url);
    await page.getByRole('link', { name: 'New run' }).click();
    // Short epochs, and more of them than any wait of this test lets pass: the run never ends by itself.
    for (const [group, field, text] of [
      ['Data set', 'sample', '20'],
      ['Float training', 'train-epochs', '5000'],
    ] as const) {
      await page.locator('summary', { hasText: group }).click();
      await page.getByLabel(field, { exact: true }).fill(text);
    }
    await page.getByText('/mine --sample 20 --train-epochs 5000').waitFor();
    await page.getByRole('button', { name: 'Start the run' }).click();
    await page.locator('figcaption', { hasText: 'Test accuracy' }).waitFor();
    await page.getByRole('button', { name: 'Stop and save' }).click();
    await page.getByText('stopped; the work so far is saved').waitFor();
    await page.locator('.state.unfinished').waitFor();
    const { epoch: reached } = controlled.library.runRow('mine').progress!;
    await page.getByRole('button', { name: 'Resume' }).click();
    await page.locator('.state.running').waitFor();
    const work = page.getByText(/train, epoch \d+ of 5000/);
    await until('it goes on where it was', async () => {
      const text = (await work.allTextContents()).join();
      return Number(/epoch (\d+) of/.exec(text)?.[1]) > reached + 1;
    });
    await page.getByRole('button', { name: 'Stop and save' }).click();
    await page.locator('.state.unfinished').waitFor();
    const { epochs } = await controlled.library.metrics('mine');
    expect(epochs.length).toBeGreaterThan(reached);
    expect(epochs.map((one) => one.epoch)).toEqual(epochs.map((_, at) => at + 1));
    expect(said).toEqual([]);
    await page.context().close();
    await controlled.close();
  });

  test('keeps the part of a curve that is enlarged while epochs arrive', async () => {
    makeRun(join(folder, 'long'), {}, 30);
    // Before the server has looked at the folder again there is no such run.
    await until('the run is seen', async () => (await fetch(`${serving.url}api/run?name=long`)).ok);
    const { page, said } = await openPage(browser, `${serving.url}#/run/long`);
    const figure = page.locator('figure', { hasText: 'Test accuracy' });
    const over = figure.locator('.u-over');
    await over.waitFor();
    const { x, y, width, height } = (await over.boundingBox())!;
    const at = async (share: number) => {
      // The curve is told of where the pointer comes near it.
      for (let k = 1; k < 10; k++) {
        await page.mouse.move(x + share * width, y + (k / 10) * height);
        const found = /at epoch (\d+)/.exec((await figure.locator('.readout').textContent()) ?? '')?.[1];
        if (found !== undefined) return Number(found);
      }
      return Number.NaN;
    };
    /** The last epoch in sight, once the curve is drawn again. */
    const last = async () => {
      let found = Number.NaN;
      await until('the curve is drawn', async () => {
        found = await at(0.98);
        return !Number.isNaN(found);
      });
      return found;
    };
    await page.mouse.move(x + 0.1 * width, y + height / 2);
    await page.mouse.down();
    await page.mouse.move(x + 0.4 * width, y + height / 2, { steps: 4 });
    await page.mouse.up();
    const enlarged = (await label(page, 'Test accuracy')) ?? '';
    await until('it is enlarged', async () => (await at(0.98)) < 15);
    appendFileSync(join(folder, 'long', 'metrics.jsonl'), `${JSON.stringify({ ...epoch(31), testAccuracy: 0.125 })}\n`);
    await until('the epoch', async () => (await label(page, 'Test accuracy')) !== enlarged);
    await page.evaluate('new Promise((done) => setTimeout(done, 200))');
    expect(await last()).toBeLessThan(15);
    await page.getByRole('button', { name: 'Dark' }).click();
    await page.evaluate('new Promise((done) => setTimeout(done, 200))');
    expect(await last()).toBeLessThan(15);
    await over.dblclick();
    await until('all is shown', async () => (await at(0.98)) > 28);
    expect(said).toEqual([]);
    await page.context().close();
  });

  test('draws other runs at any moment, also while pictures wait for their turn', async () => {
    const { page, said } = await openPage(browser, serving.url);
    await page.locator('figure').first().waitFor();
    await page.evaluate(`(async () => {
      const box = document.querySelector('input[type=search]');
      for (let k = 0; k < 60; k++) {
        box.value = k % 2 ? '' : 'lambda>0.5 lambda<1';
        box.dispatchEvent(new Event('input', { bubbles: true }));
        await new Promise((done) => setTimeout(done, (k * 7) % 40));
      }
    })()`);
    expect(said).toEqual([]);
    await page.context().close();
  });

  test('leads the keyboard to the content, and stays in its view', async () => {
    const { page, said } = await openPage(browser, `${serving.url}#/run/c`);
    await page.getByRole('heading', { level: 1, name: 'c' }).waitFor();
    // What only --control allows is not offered, once it is known that nothing is allowed.
    await page.locator('.folder', { hasText: 'runs' }).waitFor();
    expect(await page.locator('nav a').allInnerTexts()).toEqual(['Runs', 'Sweeps', 'Multipliers']);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await expect.poll(() => page.evaluate('document.activeElement.id')).toBe('content');
    await page.getByRole('heading', { level: 1, name: 'c' }).waitFor();
    expect(said).toEqual([]);
    await page.context().close();
  });

  test('shows what changes between its first question and the first event', async () => {
    const own = join(place, 'between');
    makeRun(join(own, 'one'), {}, 1);
    const slow = await serve({ folder: own, port: 0, pace });
    const { page } = await openPage(browser, 'about:blank');
    let hold = (): void => {};
    const isHeld = new Promise<void>((held) => {
      const isFree = new Promise<void>((free) => {
        hold = free;
      });
      void page.route('**/api/events', async (route) => {
        held();
        await isFree;
        await route.continue();
      });
    });
    await page.goto(slow.url);
    await isHeld;
    makeRun(join(own, 'two'), {}, 1);
    await until('the run is seen', () => slow.library.hasRun('two'));
    hold();
    await page.getByRole('link', { name: 'two' }).waitFor();
    await page.context().close();
    await slow.close();
  });

  test('asks for everything again when the server comes back, in whichever view it is', async () => {
    const own = join(place, 'back');
    makeRun(join(own, 'one'), {}, 1);
    const before = await serve({ folder: own, port: await freePort(), pace });
    const { page } = await openPage(browser, `${before.url}#/sweep`);
    await page.getByText('There is no sweep').waitFor();
    await page.getByRole('link', { name: 'Runs' }).click();
    await page.getByRole('link', { name: 'one' }).waitFor();
    await before.close();
    makeRun(join(own, 'two'), {}, 1);
    const after = await serve({ folder: own, port: before.port, pace });
    await page.getByRole('link', { name: 'two' }).waitFor();
    await page.context().close();
    await after.close();
  });

  test(`scrolls, sorts and draws ${RUNS} runs with frames under ${FRAME} ms`, async () => {
    const many = mkdtempSync(join(place, 'many-'));
    for (let k = 0; k < 10; k++) makeRun(join(many, `kind${k}`), { explore: { lambda: k / 10 + 0.05 } }, 20, k / 10);
    for (let k = 10; k < RUNS; k++) cpSync(join(many, `kind${k % 10}`), join(many, `run${k}`), { recursive: true });
    const big = await serve({ folder: many, port: 0, pace: { glance: 500, scan: 60_000 } });
    const { page, said } = await openPage(browser, big.url);
    await page.getByText(`${RUNS} runs, 6 drawn`).waitFor();
    await page.locator('figure').first().waitFor();
    await browser.startTracing(page, { categories: ['blink.user_timing'] });
    const scrolled = (await page.evaluate(SCROLL)) as { rows: number; last: string };
    expect(scrolled.rows).toBeLessThan(80);
    expect(scrolled.last).toMatch(/^(run|kind)\d/);
    await page.evaluate(`(${FRAMES})('sorted', () => document.querySelector('[role=columnheader] button').click())`);
    await page.evaluate(
      `(${FRAMES})('filtered', () => { const box = document.querySelector('input[type=search]'); box.value = 'accuracy>0.5'; box.dispatchEvent(new Event('input', { bubbles: true })); })`,
    );
    await page.getByText(/of 1000 runs/).waitFor();
    await page.getByLabel('Filter').fill('');
    await page.getByText(`${RUNS} runs, 6 drawn`).waitFor();
    await page.evaluate(
      `(${FRAMES})('drawn', () => [...document.querySelectorAll('button')].find((one) => one.textContent.startsWith('Draw all')).click(), 90)`,
    );
    await page.getByText(`${RUNS} drawn`).waitFor();
    for (const title of ['Test accuracy', 'Training loss']) {
      const coloured = async () => (await page.evaluate(`(${COLOURED})('${title}')`)) as number;
      await until(`curves of ${title}`, async () => (await coloured()) > 500);
    }
    const longest = longestFrames(await browser.stopTracing());
    console.info(`processor time of the longest frames: ${JSON.stringify(longest)} ms`);
    expect(Object.keys(longest)).toEqual(['scrolled', 'sorted', 'filtered', 'drawn']);
    for (const [what, worst] of Object.entries(longest)) {
      expect(worst, what).toBeGreaterThan(0);
      expect(worst, what).toBeLessThan(FRAME);
    }
    expect(said).toEqual([]);
    await page.context().close();
    await big.close();
  });
});

/**
 * In the page: does something under a name, and marks the beginning of each of the next frames. What passes between two
 * marks is measured as processor time of the page's thread, which a busy machine does not lengthen.
 */
const FRAMES = `async (name, work, frames = 30) => {
  performance.mark(name);
  work();
  for (let k = 0; k < frames; k++) {
    await new Promise(requestAnimationFrame);
    performance.mark(name);
  }
}`;

/** In the page: pixels of a figure's canvas that are no grey, as axes and grid are. */
const COLOURED = `(title) => {
  const figure = [...document.querySelectorAll('figure')].find((one) => one.textContent.includes(title));
  const canvas = figure.querySelector('canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let pixels = 0;
  for (let at = 0; at < data.length; at += 4) {
    const colour = data.subarray(at, at + 3);
    if (Math.max(...colour) - Math.min(...colour) > 60) pixels++;
  }
  return pixels;
}`;

/** Milliseconds of processor time of the longest frame, by name. */
function longestFrames(trace: Buffer): Record<string, number> {
  interface Traced {
    readonly cat: string;
    readonly name: string;
    /** Of the thread's processor time, in microseconds. */
    readonly tts: number;
  }
  const { traceEvents } = JSON.parse(trace.toString()) as { traceEvents: readonly Traced[] };
  const marks = traceEvents.filter(({ cat }) => cat === 'blink.user_timing').sort((a, b) => a.tts - b.tts);
  const longest: Record<string, number> = {};
  marks.forEach(({ name, tts }, at) => {
    const before = marks[at - 1];
    if (before?.name === name) longest[name] = Math.max(longest[name] ?? 0, (tts - before.tts) / 1000);
  });
  return longest;
}

const SCROLL = `(async () => {
  const body = document.querySelector('.run-body');
  let k = 0;
  const timer = setInterval(() => { body.scrollTop = (k++ / 40) * body.scrollHeight; }, 8);
  await (${FRAMES})('scrolled', () => {});
  clearInterval(timer);
  body.scrollTop = body.scrollHeight;
  await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  const rows = document.querySelectorAll('.run-line');
  return { rows: rows.length, last: rows[rows.length - 1].textContent };
})()`;
