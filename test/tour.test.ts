// The guided tour: its steps run, one after another; page and notebook have the steps' code to the letter, and outputs
// that are of the same shape as those of this run; the notebook is valid by nbformat 4.5.
// Figures are not compared: they are those of the run that made page and notebook (npm run docs:tour).

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { root } from './documented.ts';

/** What a code cell shows: text, or a picture by its name. */
interface Piece {
  readonly text?: string;
  readonly name?: string;
  readonly svg?: string;
}
interface TourScript {
  readonly stepFiles: () => string[];
  readonly runSteps: () => Piece[][][];
  readonly storedOutputs: (file?: string) => Piece[][][];
  readonly formsFromStored: () => Promise<{ page: string; notebook: string }>;
}
const script: string = join(root, 'scripts/tour.mjs');
const tour = (await import(script)) as TourScript;
const read = (name: string) => readFileSync(join(root, name), 'utf8');

test('page and notebook are those of the steps; after a change run npm run docs:tour -- --texts', async () => {
  const { page, notebook } = await tour.formsFromStored();
  expect(read('docs/tour.md')).toBe(page);
  expect(withoutPixels(read('examples/tour/tour.ipynb'))).toBe(withoutPixels(notebook));
});

/** A notebook's text without its PNG files, whose pixels depend on the fonts of the machine; their SVG is compared. */
const withoutPixels = (notebook: string): string => notebook.replaceAll(/"image\/png": "[^"]*"/g, '"image/png": ""');

const lines = z.union([z.string(), z.array(z.string())]);
const data = z.record(z.string(), lines);
const output = z.discriminatedUnion('output_type', [
  z.strictObject({ output_type: z.literal('stream'), name: z.enum(['stdout', 'stderr']), text: lines }),
  z.strictObject({ output_type: z.literal('display_data'), data, metadata: z.record(z.string(), z.unknown()) }),
]);
const shared = {
  id: z.string().regex(/^[a-zA-Z0-9-_]{1,64}$/),
  metadata: z.record(z.string(), z.unknown()),
  source: lines,
};
/** What nbformat 4.5's schema says of the cells and outputs that are used here. */
const notebookSchema = z.strictObject({
  nbformat: z.literal(4),
  nbformat_minor: z.literal(5),
  metadata: z.looseObject({
    kernelspec: z.looseObject({ name: z.literal('deno'), display_name: z.string() }),
    language_info: z.looseObject({ name: z.string() }),
  }),
  cells: z.array(
    z.discriminatedUnion('cell_type', [
      z.strictObject({ cell_type: z.literal('markdown'), ...shared }),
      z.strictObject({
        ...{ cell_type: z.literal('code'), ...shared },
        execution_count: z.int().nullable(),
        outputs: z.array(output),
      }),
    ]),
  ),
});

test('the notebook is valid, and every code cell shows something', () => {
  const { cells } = notebookSchema.parse(JSON.parse(read('examples/tour/tour.ipynb')));
  expect(new Set(cells.map(({ id }) => id)).size).toBe(cells.length);
  const code = cells.filter((cell) => cell.cell_type === 'code');
  expect(code.map(({ execution_count }) => execution_count)).toEqual(code.map((_, at) => at + 1));
  // The cell of Table 1 that computes shows nothing itself.
  expect(code.filter(({ outputs }) => outputs.length === 0).length).toBeLessThanOrEqual(1);
  const pictures = code.flatMap(({ outputs }) => outputs.filter((one) => one.output_type === 'display_data'));
  expect(pictures.length).toBeGreaterThanOrEqual(6);
  for (const picture of pictures) {
    const { 'image/svg+xml': svg, 'image/png': png } = picture.data;
    expect([svg].flat().join('')).toMatch(/^<svg [\s\S]*<\/svg>\s*$/);
    expect(Buffer.from([png].flat().join(''), 'base64').subarray(1, 4).toString()).toBe('PNG');
  }
});

function startedIn(folder: string, step: string) {
  const words = [join(root, 'examples/tour', step)];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { cwd: folder, encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('a step before its time is one line: what is missing, and the step that makes it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tram-tour-'));
  const missing = (what: string, step: string) => ({
    ...{ status: 1, stdout: '' },
    stderr: `tour/run has no ${what} yet; run ${step} first, in this folder\n`,
  });
  try {
    for (const step of ['03-quantisation.mjs', '08-front.mjs'])
      expect(startedIn(folder, step), step).toEqual(missing('float network', '02-float-network.mjs'));
    for (const step of ['04-a-multiplier.mjs', '05-exploring.mjs'])
      expect(startedIn(folder, step), step).toEqual(missing('quantised network', '03-quantisation.mjs'));
    // A run that has come half of the way.
    mkdirSync(join(folder, 'tour/run'), { recursive: true });
    writeFileSync(join(folder, 'tour/run/manifest.json'), '{ "phases": { "train": {}, "quantize": {} } }');
    expect(startedIn(folder, '06-mapping.mjs')).toEqual(missing('trained structure', '05-exploring.mjs'));
    for (const step of ['07-recovery.mjs', '09-netlist.mjs'])
      expect(startedIn(folder, step), step).toEqual(missing('multiplier', '06-mapping.mjs'));
    // Whatever step is added later: it needs nothing, or says so in one line.
    const files = tour.stepFiles();
    expect(files.filter((step) => !read(`examples/tour/${step}`).includes('needs('))).toEqual([
      ...['01-data.mjs', '02-float-network.mjs', '10-table-1.mjs'],
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what a step cannot read or write is one line: the file, what is wrong with it, and how to begin anew', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tram-tour-'));
  const [run, manifest] = [join(folder, 'tour/run'), join(folder, 'tour/run/manifest.json')];
  const ends = (step: string, problem: RegExp) => {
    const { status, stderr } = startedIn(folder, step);
    expect(stderr).toMatch(
      /^[^\n]*tour\/[^\n]*; to begin the tour anew remove the folder tour, and run 02-[\w-]+\.mjs\n$/,
    );
    expect(stderr).toMatch(problem);
    expect(status).toBe(1);
  };
  try {
    mkdirSync(run, { recursive: true });
    writeFileSync(manifest, '{ "phases": ');
    ends('03-quantisation.mjs', /^tour\/run\/manifest\.json cannot be read: Unexpected end of JSON input; /);
    ends('02-float-network.mjs', /^tour\/run\/manifest\.json is not valid JSON: /);
    for (const text of ['null', '[]', '{ "phases": 3 }']) {
      writeFileSync(manifest, text);
      ends('09-netlist.mjs', /^tour\/run\/manifest\.json is not the manifest of a run: it has no phases; /);
    }
    writeFileSync(manifest, '{ "phases": { "train": {}, "map": {} } }');
    ends('08-front.mjs', /^tour\/run\/manifest\.json is not a manifest of this program: /);
    ends('09-netlist.mjs', /^cannot read tour\/run\/multiplier\.v: no such file or folder; /);
    rmSync(manifest);
    mkdirSync(manifest);
    ends('03-quantisation.mjs', /^tour\/run\/manifest\.json cannot be read: EISDIR: /);
    writeFileSync(join(folder, 'tour/figures'), '');
    ends('01-data.mjs', /^EEXIST: file already exists, mkdir 'tour\/figures'; /);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a notebook that is damaged is one line, too', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'tram-tour-')), 'tour.ipynb');
  for (const text of ['{', '[]', '{ "cells": [{ "cell_type": "code" }] }']) {
    writeFileSync(file, text);
    expect(() => tour.storedOutputs(file)).toThrow(
      expect.objectContaining({
        name: 'UserError',
        message: expect.stringMatching(/tour\.ipynb is no notebook .*--texts$/),
      }),
    );
  }
});

/** A piece without its figures. */
const shapeOf = ({ text, name }: Piece) => name ?? `${text?.split('\n').length} lines`;

test('the steps run, and show what page and notebook have', () => {
  const outputs = tour.runSteps();
  expect(outputs.map((step) => step.map((cell) => cell.map(shapeOf)))).toEqual(
    tour.storedOutputs().map((step) => step.map((cell) => cell.map(shapeOf))),
  );
  const printed = outputs.flat(2).map(({ text }) => text ?? '');
  expect(printed.join('\n')).toContain('proved equal over 65536 pairs of operands');
  expect(printed.join('\n')).toContain('the Verilog and the table are the same function');
  expect(printed.at(-1)).toMatch(/published multipliers: as printed$/);
});
