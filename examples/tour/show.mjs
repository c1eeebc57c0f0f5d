// What the steps of the tour show: pictures, tables and figures of a run; and what they need of each other. In a
// notebook of the Deno kernel a picture appears below its cell; anywhere else it becomes a file in tour/figures, whose
// name is printed behind an arrow, and what a step cannot read or write ends it with one line.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { UserError } from 'tram-axm';

const notebook = globalThis.Deno?.jupyter;

if (!notebook) {
  process.on('uncaughtException', (/** @type {Error & { code?: string, path?: string }} */ error) => {
    const isOfFile = error.code !== undefined && error.path !== undefined;
    console.error(error instanceof UserError || isOfFile ? `${error.message}${advice(error.message)}` : error);
    process.exit(1);
  });
}

/** What helps whatever it is that the tour's own folder is missing. */
const advice = (/** @type {string} */ message) =>
  /\btour\//.test(message) ? '; to begin the tour anew remove the folder tour, and run 02-float-network.mjs' : '';

/** Phases of the run in tour/run that later steps go on with: what comes of them, and the step that does them. */
const phases = {
  train: { what: 'float network', step: '02-float-network.mjs' },
  quantize: { what: 'quantised network', step: '03-quantisation.mjs' },
  explore: { what: 'trained structure', step: '05-exploring.mjs' },
  map: { what: 'multiplier', step: '06-mapping.mjs' },
};

/**
 * Ends a step with one line where the run has not come so far.
 * @param {keyof typeof phases} phase
 */
export function needs(phase) {
  if (phasesDone()[phase]) return;
  const { what, step } = phases[phase];
  const problem = `tour/run has no ${what} yet; run ${step} first, in this folder`;
  if (notebook) throw new Error(problem);
  console.error(problem);
  process.exit(1);
}

/** @returns {Record<string, unknown>} by the names of the phases that the run in tour/run has done */
function phasesDone() {
  const path = 'tour/run/manifest.json';
  if (!existsSync(path)) return {};
  let phases;
  try {
    phases = JSON.parse(readFileSync(path, 'utf8'))?.phases;
  } catch (error) {
    throw new UserError(`${path} cannot be read: ${/** @type {Error} */ (error).message}`);
  }
  if (typeof phases === 'object' && phases !== null) return phases;
  throw new UserError(`${path} is not the manifest of a run: it has no phases`);
}

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
