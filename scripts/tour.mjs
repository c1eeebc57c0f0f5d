// The guided tour in its other two forms, from the steps in examples/tour: docs/tour.md and examples/tour/tour.ipynb.
// A step is a program whose comments `// %% [markdown]` and `// %%` begin a cell of text and one of code. The steps are
// run one after another in an empty folder; what each code cell prints, and the pictures that it shows, stand below it.
//   npm run build && node scripts/tour.mjs              runs everything and writes both
//   node scripts/tour.mjs --texts                       new texts and code, with the outputs that are stored
// Table 1 also takes TRAM_PUBLISHED and TRAM_LIBERTY (see the step).
// Invariant: the code in page and notebook is that of the steps to the letter, so it is what the tests run.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { mistake, optionsOf } from '../bench/options.mjs';

const root = join(import.meta.dirname, '..');
const steps = join(root, 'examples/tour');
const notebookFile = join(steps, 'tour.ipynb');
const pictures = join(root, 'docs/images/tour');

const INTRODUCTION = `# A guided tour
From pictures to a netlist in ten steps, on the digits that come with the program, in about two minutes on a laptop. Each step
is a program in \`examples/tour\`; they work in a folder \`tour\` of the directory that they are started in, each on what the
ones before it have left there.`;

const FOR_PAGE = `\`\`\`sh
npm run build
node examples/tour/01-data.mjs
\`\`\`

The same tour is a notebook for the Deno kernel, \`examples/tour/tour.ipynb\`: \`deno jupyter --install\`, then open it in Jupyter
or an editor that shows notebooks. This page and the notebook are made from the steps by \`npm run docs:tour\`.`;

const FOR_NOTEBOOK = `The kernel is Deno's: \`deno jupyter --install\`. In this repository the import of \`tram-axm\` finds the built program
(\`npm ci\`); elsewhere put \`npm:tram-axm\` in its place. The cells are those of \`examples/tour/*.mjs\`.`;

/** The names of the steps' files, in order. */
export const stepFiles = () => readdirSync(steps).filter((name) => /^\d\d-.*\.mjs$/.test(name));

/**
 * The cells of a step.
 * @param {string} source
 * @returns {{ kind: 'markdown' | 'code', text: string }[]}
 */
export function cellsOf(source) {
  return source
    .split(/^(?=\/\/ %%)/m)
    .filter((cell) => cell.trim() !== '')
    .map((cell) => {
      const [, tag = '', body = ''] = /^\/\/ %%( \[markdown\])?\n([\s\S]*)$/.exec(cell) ?? [];
      if (tag === '') return { kind: 'code', text: body.trim() };
      return { kind: 'markdown', text: body.trim().replace(/^\/\/ ?/gm, '') };
    });
}

const ARROW = /^→ (.*\/([^/]+)\.svg)$/;

/** What each code cell of a step prints, run in a folder: texts and pictures in the order of their appearance. */
function outputsOf(step, folder) {
  const mark = '\u0001';
  // A copy beside the step, so that its imports are found; its name is not that of a step.
  const copy = join(steps, `.${step}`);
  const source = readFileSync(join(steps, step), 'utf8');
  writeFileSync(copy, source.replace(/^\/\/ %%$/gm, `console.log('${mark}');`));
  try {
    const printed = execFileSync(process.execPath, [copy], { cwd: folder, encoding: 'utf8', maxBuffer: 2 ** 26 });
    return printed
      .split(`${mark}\n`)
      .slice(1)
      .map((text) => piecesOf(text, folder));
  } finally {
    rmSync(copy);
  }
}

/** Lines of text together, and each picture by itself. */
function piecesOf(text, folder) {
  const pieces = [];
  for (const line of text.replace(/\n$/, '').split('\n')) {
    const [, file, name] = ARROW.exec(line) ?? [];
    const last = pieces.at(-1);
    if (file !== undefined) pieces.push({ name, svg: readFileSync(join(folder, file), 'utf8') });
    else if (last?.text !== undefined) last.text += `\n${line}`;
    else if (line !== '') pieces.push({ text: line });
  }
  return pieces;
}

/** The outputs that the stored notebook has: for each step those of its code cells. */
export function storedOutputs(file = notebookFile) {
  const ofCode = outputsIn(file);
  return stepFiles().map((step) => {
    const { length } = cellsOf(readFileSync(join(steps, step), 'utf8')).filter(({ kind }) => kind === 'code');
    return ofCode.splice(0, length);
  });
}

/** Of each code cell of a notebook. */
function outputsIn(file) {
  try {
    const { cells } = JSON.parse(readFileSync(file, 'utf8'));
    return cells.filter(({ cell_type }) => cell_type === 'code').map(({ outputs }) => outputs.map(pieceOf));
  } catch ({ message }) {
    throw mistake(`${file} is no notebook of this script (${message}); restore it, or make it anew without --texts`);
  }
}

const pieceOf = ({ output_type, text, data, metadata }) =>
  output_type === 'stream'
    ? { text: text.join('').replace(/\n$/, '') }
    : { name: metadata.tram.name, svg: data['image/svg+xml'].join('') };

/** Text as nbformat keeps it: lines with their ends. */
const linesOf = (text) => text.split(/(?<=\n)/);

async function notebookOutput(piece) {
  if (piece.text !== undefined) return { output_type: 'stream', name: 'stdout', text: linesOf(`${piece.text}\n`) };
  const { svgToPng } = await import(pathToFileURL(join(root, 'dist/index.js')).href);
  const png = Buffer.from(await svgToPng(piece.svg)).toString('base64');
  const data = { 'image/svg+xml': linesOf(piece.svg), 'image/png': png };
  return { output_type: 'display_data', data, metadata: { tram: { name: piece.name } } };
}

/** @returns {{ kind: 'markdown' | 'code', text: string, outputs?: object[] }[]} every cell, with its outputs */
function tour(outputs) {
  return stepFiles().flatMap((step, at) => {
    const ofStep = [...outputs[at]];
    return cellsOf(readFileSync(join(steps, step), 'utf8')).map((cell) =>
      cell.kind === 'code' ? { ...cell, step, outputs: ofStep.shift() ?? [] } : cell,
    );
  });
}

async function notebook(cells) {
  const all = [{ kind: 'markdown', text: `${INTRODUCTION}\n\n${FOR_NOTEBOOK}` }, ...cells];
  let count = 0;
  const made = [];
  for (const [at, { kind, text, outputs }] of all.entries()) {
    const shared = { id: `cell-${at}`, metadata: {}, source: linesOf(text) };
    if (kind === 'markdown') made.push({ cell_type: 'markdown', ...shared });
    else {
      const shown = await Promise.all(outputs.map(notebookOutput));
      made.push({ cell_type: 'code', execution_count: ++count, ...shared, outputs: shown });
    }
  }
  const kernelspec = { display_name: 'Deno', language: 'typescript', name: 'deno' };
  const language = {
    name: 'typescript',
    file_extension: '.ts',
    mimetype: 'text/x.typescript',
    pygments_lexer: 'typescript',
  };
  return { cells: made, metadata: { kernelspec, language_info: language }, nbformat: 4, nbformat_minor: 5 };
}

function page(cells) {
  const parts = [INTRODUCTION, FOR_PAGE];
  for (const { kind, text, outputs } of cells) {
    parts.push(kind === 'markdown' ? text : `\`\`\`js\n${text}\n\`\`\``);
    for (const piece of outputs ?? []) {
      parts.push(
        piece.text === undefined
          ? `![${piece.name}](images/tour/${piece.name}.svg)`
          : `\`\`\`text\n${piece.text}\n\`\`\``,
      );
    }
  }
  return `${parts.join('\n\n')}\n`;
}

/** Both forms, from outputs for each code cell of each step. */
export async function formsOf(outputs) {
  const cells = tour(outputs);
  return { page: page(cells), notebook: `${JSON.stringify(await notebook(cells), null, 1)}\n` };
}

/** Page and notebook as the steps' texts and the stored outputs make them. */
export const formsFromStored = () => formsOf(storedOutputs());

/** Runs all steps in an empty folder; for each the outputs of its code cells. */
export function runSteps() {
  const folder = mkdtempSync(join(tmpdir(), 'tram-tour-'));
  try {
    return stepFiles().map((step) => outputsOf(step, folder));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] === import.meta.filename) {
  const { values } = optionsOf(import.meta.url, { options: { texts: { type: 'boolean', default: false } } });
  const outputs = values.texts ? storedOutputs() : runSteps();
  const forms = await formsOf(outputs);
  rmSync(pictures, { recursive: true, force: true });
  mkdirSync(pictures, { recursive: true });
  for (const { name, svg } of outputs.flat(2)) if (svg) writeFileSync(join(pictures, `${name}.svg`), svg);
  writeFileSync(join(root, 'docs/tour.md'), forms.page);
  writeFileSync(notebookFile, forms.notebook);
  console.log(`docs/tour.md and examples/tour/tour.ipynb from ${stepFiles().length} steps`);
}
