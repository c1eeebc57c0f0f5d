// Manifests with values that nobody wrote: whatever reads a run says in one line what is wrong, or reads on; nothing
// else is ever thrown.
// A longer run: FUZZ_SECONDS=600 FUZZ_SEED=7 npx vitest run test/flow/manifest-fuzz.test.ts

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { checkRun } from '../../src/flow/results/check.ts';
import { compareRuns } from '../../src/flow/results/compare.ts';
import { summarize } from '../../src/flow/results/summarize.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { UserError } from '../../src/tensor/errors.ts';
import { Random } from '../../src/tensor/random.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-manifest-fuzz-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'manifest.json');
let whole: string;

beforeAll(async () => {
  const epochs = { epochs: 1 };
  await runFlow({
    folder,
    settings: { train: epochs, explore: epochs, recover: epochs, exactLayers: ['fc'] },
  });
  whole = readFileSync(path, 'utf8');
});

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Place = { readonly holder: Record<string, Json>; readonly key: string };

/** Every place in a document where a value stands. */
function places(value: Json): Place[] {
  if (typeof value !== 'object' || value === null) return [];
  const holder = value as Record<string, Json>;
  return Object.keys(holder).flatMap((key) => [{ holder, key }, ...places(holder[key]!)]);
}

const odd: readonly Json[] = [
  ...[
    null,
    true,
    0,
    1,
    -1,
    5,
    0.5,
    1e308,
    2 ** 31,
    9007199254740991,
    '',
    'x',
    '{x',
    '{}',
    '[]',
    'conv9',
    '../x',
    '__proto__',
  ],
  ...[
    [],
    {},
    [null],
    [[]],
    ['x', 'x'],
    { x: 1 },
    '\u001b]0;x\u0007',
    'x'.repeat(3000),
    'NaN',
    'digits',
    'csv:nowhere.csv',
  ],
];

/** A document with one to three values replaced, removed, moved, or of a similar kind. */
function mutant(random: Random): string {
  const document = JSON.parse(whole) as Record<string, Json>;
  delete document.digest;
  for (let edits = 1 + random.integer(3); edits > 0; edits--) {
    const all = places(document);
    const { holder, key } = all[random.integer(all.length)]!;
    const other = all[random.integer(all.length)]!;
    const value = holder[key]!;
    const choice = random.integer(6);
    if (choice === 0) delete holder[key];
    else if (choice === 1) holder[key] = structuredClone(other.holder[other.key]!);
    else if (choice === 2 && typeof value === 'number')
      holder[key] = [value + 1, -value, value * 1e6, value / 3][random.integer(4)]!;
    else if (choice === 2 && typeof value === 'string')
      holder[key] = value.slice(random.integer(value.length + 1)) || 'a';
    else if (choice === 3 && Array.isArray(value)) holder[key] = value.slice(random.integer(value.length + 1));
    else if (choice === 4 && !Array.isArray(holder)) holder[`${key}x`] = value;
    else holder[key] = odd[random.integer(odd.length)]!;
  }
  return JSON.stringify(document);
}

/** Only a UserError of one line may come; true when one did. */
async function isRefused(work: () => unknown, what: string): Promise<boolean> {
  try {
    await work();
    return false;
  } catch (error) {
    if (!(error instanceof UserError)) throw new Error(what, { cause: error });
    expect(error.message).not.toMatch(/\p{Cc}/u);
    expect(error.message.length).toBeLessThan(1500);
    return true;
  }
}

/** Goes no further than to where a phase would compute. */
async function runUntilWork(phases?: readonly ['report']): Promise<void> {
  const controller = new AbortController();
  const listener = ({ kind }: { kind: string }) => void (kind === 'step' && controller.abort());
  try {
    await runFlow({ folder, listener, signal: controller.signal, ...(phases ? { phases } : {}) });
  } catch (error) {
    if (error !== controller.signal.reason) throw error;
  }
}

/** True when the manifest was refused as such. */
async function read(text: string, what: string, work: boolean): Promise<boolean> {
  writeFileSync(path, text);
  if (await isRefused(() => readManifest(folder), what)) return true;
  await isRefused(() => summarize(folder), `summarize: ${what}`);
  await isRefused(() => compareRuns([folder]), `compare: ${what}`);
  if (!work) return false;
  await isRefused(() => checkRun(folder), `check: ${what}`);
  await isRefused(() => runUntilWork(['report']), `report: ${what}`);
  writeFileSync(path, text);
  await isRefused(() => runUntilWork(), `run: ${what}`);
  return false;
}

const seconds = Number(process.env.FUZZ_SECONDS ?? 0);
const seed = Number(process.env.FUZZ_SEED ?? 1);

test('400 mutants of a manifest are read or refused with a UserError, 8 of those that are read by every command', async () => {
  let accepted = 0;
  for (let count = 0; count < 400; count++) {
    const text = mutant(new Random(1, count));
    if (!(await read(text, `mutant ${count}: ${text}`, accepted < 8))) accepted++;
  }
  expect(accepted).toBeGreaterThan(20);
  expect(accepted).toBeLessThan(300);
});

test.runIf(seconds > 0)(
  `mutants for ${seconds} s from seed ${seed}`,
  async () => {
    const end = Date.now() + 1000 * seconds;
    let count = 0;
    for (; Date.now() < end; count++) {
      const text = mutant(new Random(seed, count));
      await read(text, `seed ${seed}, mutant ${count}: ${text}`, true);
    }
    console.info(`${count} mutants`);
    expect(count).toBeGreaterThan(0);
  },
  1000 * seconds + 60_000,
);
