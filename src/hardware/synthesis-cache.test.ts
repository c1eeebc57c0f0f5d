import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { generate } from '../netlist/generators/registry.ts';
import { synthesisKey, synthesizeOnce } from './synthesis-cache.ts';
import { SYNTHESIS_VERSION, type Synthesis, type SynthesisOptions, synthesize } from './synthesize.ts';
import { unitGateLiberty } from './technology/unit-gate.ts';
import { openYosys } from './yosys/choose.ts';
import type { Yosys } from './yosys/tool.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-synthesis-'));
const bundled = openYosys('bundled');
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await bundled.close();
});

let runs = 0;
const version = bundled.version();
const yosys: Yosys = {
  ...{ sandboxed: true, close: async () => {}, version: () => version },
  run: (request) => {
    runs++;
    return bundled.run(request);
  },
};

const multiplier = (columns = 0) => generate('truncated', { weightBits: 3, activationBits: 3, columns }).network;
const options: SynthesisOptions = { circuit: { network: multiplier() }, effort: 'quick', vectors: 64, yosys };
const entries = () => readdirSync(folder);
/** The log tells times. */
const figuresOf = ({ log: _, ...rest }: Synthesis): object => JSON.parse(JSON.stringify(rest));

test('what is known is not computed again, and is what synthesis gives', async () => {
  const first = await synthesizeOnce(options, folder);
  expect(entries()).toHaveLength(1);
  const before = runs;
  expect(await synthesizeOnce(options, folder)).toEqual(JSON.parse(JSON.stringify(first)));
  expect(runs).toBe(before);
  expect(figuresOf(await synthesize(options))).toEqual(figuresOf(first));
});

test('a hit does not survive another netlist, library, setting or version of Yosys', async () => {
  const key = await synthesisKey(options);
  const more = { name: 'unit-gate', text: `${unitGateLiberty.text}\n` };
  const others: SynthesisOptions[] = [
    { ...options, circuit: { network: multiplier(1) } },
    { ...options, liberty: [unitGateLiberty] },
    { ...options, liberty: [more] },
    { ...options, effort: 'best' },
    { ...options, objective: 'power' },
    { ...options, delayTarget: 12 },
    { ...options, delayTarget: Number.POSITIVE_INFINITY },
    { ...options, clockMHz: 50 },
    { ...options, vectors: 96 },
    { ...options, dontUse: ['FA*'] },
    { ...options, sizing: {} },
    { ...options, outputLoadFf: 2 },
    { ...options, histograms: [new Float64Array(8).fill(1), undefined] },
    { ...options, histograms: [Float64Array.of(1, 0, 0, 0, 0, 0, 0, 0), undefined] },
    {
      ...options,
      yosys: { ...yosys, version: async () => 'Yosys 9' },
    },
  ];
  const keys = await Promise.all(others.map((one) => synthesisKey(one)));
  expect(new Set([key, ...keys]).size).toBe(others.length + 1);
  expect(await synthesisKey({ ...options, circuit: { network: multiplier() } })).toBe(key);
});

test('a damaged entry, or one that answers another key, is not used and is written anew', async () => {
  const good = await synthesizeOnce(options, folder);
  const [name] = entries();
  const path = join(folder, name!);
  const whole = readFileSync(path);
  const other: SynthesisOptions = { ...options, vectors: 96 };
  await synthesizeOnce(other, folder);
  const foreign = readFileSync(join(folder, entries().find((entry) => entry !== name)!));
  for (const bytes of [new Uint8Array(), whole.subarray(0, whole.length / 2), Buffer.from('{}'), foreign]) {
    writeFileSync(path, bytes);
    const before = runs;
    expect(figuresOf(await synthesizeOnce(options, folder))).toEqual(figuresOf(good));
    expect(runs).toBeGreaterThan(before);
    await synthesizeOnce(options, folder);
    expect(runs - before).toBe(2);
  }
});

test('a cache that cannot be written costs no more than time', async () => {
  expect((await synthesizeOnce(options, '/dev/null/nowhere')).area).toBeGreaterThan(0);
});

/** Of versions of the flow, as they were when they became current: area, delay, power and the cells' number. */
const results: Readonly<Record<number, readonly number[]>> = { 1: [25.55, 6.38787603, 44.8019489, 22] };

test('results of the flow change with its version only: raise SYNTHESIS_VERSION where this fails', async () => {
  const { area, delay, power, cells } = await synthesize({ circuit: { network: multiplier() }, yosys });
  const count = Object.values(cells).reduce((sum, number) => sum + number);
  const found = [area, delay, power!.total, count].map((value) => Number(value.toPrecision(9)));
  expect(found).toEqual(results[SYNTHESIS_VERSION]);
});
