// A Chromium for tests of the page, as the system has it (Debian's package `chromium`), driven by playwright-core. Where
// there is none the tests are skipped and say so; `TRAM_CHROMIUM` names another one.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { expect } from 'vitest';

const places = [process.env.TRAM_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const executablePath = places.find((path) => path !== undefined && existsSync(path));

/** Why tests of the page cannot run here; undefined where they can. */
export const withoutChromium =
  executablePath === undefined ? 'no Chromium on this machine: apt-get install chromium' : undefined;

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: executablePath!, args: ['--no-sandbox'] });
}

/** A page, and what it has said that it should not: errors on its console, and requests beyond its own server. */
export interface Watched {
  readonly page: Page;
  readonly faults: string[];
  readonly requests: string[];
}

export async function watched(context: BrowserContext): Promise<Watched> {
  const page = await context.newPage();
  const [faults, requests]: [string[], string[]] = [[], []];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') faults.push(message.text());
  });
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('request', (request) => requests.push(request.url()));
  return { page, faults, requests };
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
}

/** Fails with what axe-core finds in the page as it is: labels, roles, contrast. */
export async function expectAccessible(page: Page): Promise<void> {
  await page.evaluate(axe);
  const violations = (await page.evaluate(
    // It runs in the page, where axe is.
    'axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => violations)',
  )) as readonly Violation[];
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]!.html} ${nodes[0]!.failureSummary ?? ''}`)).toEqual([]);
}
