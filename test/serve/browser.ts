// A real Chromium for tests of the page, where there is one: Debian's, or what CHROMIUM names. A page collects what it
// says to the console, which a test wants to be nothing.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, chromium, type Page } from 'playwright-core';
import { PATIENCE } from './folder.ts';

const executablePath = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser'].find(
  (path) => path !== undefined && existsSync(path),
);
/** Why tests of the page are skipped; undefined where they are not. */
export const noBrowser =
  executablePath === undefined
    ? 'no Chromium is installed (apt-get install chromium, or CHROMIUM=/path): the page is not tested'
    : undefined;
if (noBrowser) console.warn(noBrowser);

export function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: executablePath!, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}

export interface Look {
  readonly theme?: 'light' | 'dark';
  readonly width?: number;
  readonly height?: number;
  /** Without a network, as for a copy that is opened from the disk. */
  readonly offline?: boolean;
}

export interface Opened {
  readonly page: Page;
  /** Errors and warnings of the console, and what was thrown. */
  readonly said: string[];
  /** Addresses that were asked for. */
  readonly requests: string[];
}

export async function openPage(browser: Browser, address: string, look: Look = {}): Promise<Opened> {
  const { theme = 'light', width = 1280, height = 800, offline = false } = look;
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, offline });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const [said, requests]: [string[], string[]] = [[], []];
  page.on('request', (request) => requests.push(request.url()));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') said.push(message.text());
  });
  page.on('pageerror', (error) => said.push(String(error)));
  await page.goto(address);
  return { page, said, requests };
}

/** What axe-core finds against WCAG 2.1 A and AA, as lines of rule and element. */
export async function violations(page: Page): Promise<string[]> {
  const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
  // Playwright evaluates it as the tools of the browser do, which the page's policy for scripts does not hinder.
  await page.evaluate(readFileSync(axe, 'utf8'));
  return (await page.evaluate(FIND)) as string[];
}

const FIND = `(async () => {
  const options = { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] };
  const { violations } = await axe.run(document.documentElement, options);
  return violations.flatMap(({ id, nodes }) =>
    nodes.map((node) => id + ': ' + node.html.slice(0, 160) + ' (' + node.failureSummary.slice(0, 200) + ')'),
  );
})()`;
