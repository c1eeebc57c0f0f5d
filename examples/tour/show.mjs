// What the steps of the tour show: pictures, tables and figures of a run. In a notebook of the Deno kernel a picture
// appears below its cell; anywhere else it becomes a file in tour/figures, whose name is printed behind an arrow.

import { mkdirSync, writeFileSync } from 'node:fs';

const notebook = globalThis.Deno?.jupyter;

/**
 * Shows a picture.
 * @param {string} name of its file, without extension
 * @param {string} svg
 */
export async function show(name, svg) {
  if (notebook) {
    await notebook.display({ 'image/svg+xml': svg }, { raw: true });
    return;
  }
  mkdirSync('tour/figures', { recursive: true });
  writeFileSync(`tour/figures/${name}.svg`, svg);
  console.log(`→ tour/figures/${name}.svg`);
}

/**
 * Prints rows of cells as a table whose columns stand below each other.
 * @param {readonly (readonly string[])[]} rows the first one is the head
 */
export function table(rows) {
  const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => (row[at] ?? '').length))) ?? [];
  const line = (/** @type {readonly string[]} */ row) =>
    row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('  ');
  console.log(rows.map(line).join('\n'));
}

/** A share as a percentage. */
export const percent = (/** @type {number} */ share) => `${(100 * share).toFixed(2)} %`;

/** Prints what a run has come to, stage by stage. */
export const stages = (/** @type {import('tram-axm').RunSummary} */ summary) =>
  table([
    ['stage', 'accuracy', 'power', 'gate cost'],
    ...summary.stages.map(({ stage, accuracy, power, gateCost }) => [
      stage,
      percent(accuracy),
      power?.toFixed(3) ?? '–',
      gateCost?.toFixed(4) ?? '–',
    ]),
  ]);
