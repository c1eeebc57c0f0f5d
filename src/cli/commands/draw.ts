// `tram draw`: pictures of a multiplier as SVG: its partial products and adders, the map of its errors, and their distribution.
// Invariant: a dot diagram is drawn only from adders that are known, never guessed from gates: those of a generator, or those in the
// report that `tram map` wrote beside a file, once its checksum says that it belongs to that very file.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { nonEmpty } from '../../flow/settings/values.ts';
import type { ProductTable } from '../../multiplier/table.ts';
import type { StructureDescription } from '../../netlist/structure.ts';
import { UserError } from '../../tensor/errors.ts';
import { makeFolder, readBytes, readJson, sha256, writeFileAtomic } from '../../tensor/files.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { styleFor } from '../style.ts';
import {
  addJson,
  addLenient,
  addLiberty,
  addSigned,
  addTableReading,
  addTop,
  filesText,
  outFolder,
  readLoading,
  SUBJECTS,
  subjectName,
  tellNotes,
} from '../workbench.ts';

const AFTER = `
${SUBJECTS}

Writes NAME-error-map.svg (the error of the product for every pair of operands), NAME-error-histogram.svg and, where the adders are
known, NAME-dots.svg: partial products and adders stage by stage, with what was removed. They are known for the generators array, wallace,
dadda, truncated and broken-array, and for the files that tram map --out wrote, as long as NAME.errors.json lies beside them. A
netlist of any other origin has gates only, and a table not even those.

Up to 20 operand bits together (10×10). The axes of signed multipliers are bit patterns: the negative operands are the upper half.

--json prints one object: files (title, path) and notes.

Examples:
  tram draw multipliers/multiplier.v
  tram draw truncated:8x8:columns=6 --out figures
  tram draw multiplier.blif --lenient --out figures
`;

const MOST_BITS = 20;
/** Generators whose every cell is a partial product or an adder. */
const drawable: readonly string[] = ['array', 'wallace', 'dadda', 'truncated', 'broken-array'];

interface Picture {
  readonly title: string;
  readonly path: string;
  readonly svg: string;
}

export function defineDraw(command: Command, services: Services): void {
  command
    .description('Draws a multiplier: dot diagram, error map and error histogram, as SVG.')
    .argument('<FILE>', 'netlist, table or generator', nonEmpty('FILE', 'a multiplier'));
  addSigned(command);
  addLenient(command);
  addTop(command);
  addLiberty(command);
  addTableReading(command);
  command.addOption(outFolder('the pictures (default: the current one)'));
  addJson(command);
  command.addHelpText('after', AFTER).action((file: string) => draw(file, command, services));
}

interface Options {
  readonly out?: string;
  readonly json?: boolean;
}

async function draw(file: string, command: Command, { stdout, stderr }: Services): Promise<void> {
  const { out = '.', json } = command.opts<Options>();
  const { loadMultiplier, productsOf } = await import('../../workbench/load.ts');
  const multiplier = await loadMultiplier(file, readLoading(command));
  tellNotes(stderr, multiplier.notes);
  const { weightBits, activationBits } = multiplier;
  if (weightBits + activationBits > MOST_BITS) {
    throw new UserError(
      `${file}: ${weightBits}×${activationBits} bits are too many to draw; expected at most ${MOST_BITS} together`,
    );
  }
  const table = productsOf(multiplier);
  const notes: string[] = [];
  const path = (ending: string) => join(out, `${subjectName(file)}-${ending}.svg`);
  const pictures = await picturesOf(file, table, path, notes);
  makeFolder(out);
  for (const { path, svg } of pictures) writeFileAtomic(path, svg);
  if (json) {
    const files = pictures.map(({ title, path }) => ({ title, path }));
    return void stdout.write(`${JSON.stringify({ files, notes })}\n`);
  }
  const style = styleFor(stdout, wantsColor(command));
  const paths = pictures.map(({ path }) => path);
  stdout.write(`${[filesText(paths, style.bold), ...notes.map(style.dim)].join('\n\n')}\n`);
}

async function picturesOf(
  file: string,
  table: ProductTable,
  path: (ending: string) => string,
  notes: string[],
): Promise<Picture[]> {
  const { isGeneratorSpec } = await import('../../netlist/generators/registry.ts');
  if (isGeneratorSpec(file)) {
    const dots = await generatedDots(file, notes);
    const structure = dots === undefined ? [] : [{ title: 'structure', path: path('dots'), svg: dots }];
    return [...structure, ...(await errorPictures(table, path))];
  }
  const structure = structureBeside(file, notes);
  if (!structure) return errorPictures(table, path);
  const { multiplierFigures } = await import('../../flow/results/figures.ts');
  const figures = await multiplierFigures('mapped', structure, table);
  return figures.map(({ name, title, svg }) => ({
    title: title.toLowerCase(),
    path: path(name.replace('mapped-', '')),
    svg,
  }));
}

async function errorPictures(table: ProductTable, path: (ending: string) => string): Promise<Picture[]> {
  const { exactTable } = await import('../../multiplier/table.ts');
  const { errorHeatmapSvg, errorHistogramSvg } = await import('../../report/heatmap.ts');
  const { weightBits, activationBits, signed, data } = table;
  const exact = exactTable(weightBits, activationBits, signed).data;
  const errors = { errors: data.map((product, pair) => product - exact[pair]!), weightBits, activationBits };
  return [
    { title: 'error map', path: path('error-map'), svg: await errorHeatmapSvg(errors) },
    { title: 'error histogram', path: path('error-histogram'), svg: await errorHistogramSvg(errors) },
  ];
}

/** The dot diagram of a generator as it was built, or undefined and a note that says why there is none. */
async function generatedDots(file: string, notes: string[]): Promise<string | undefined> {
  const { generateFromSpec } = await import('../../netlist/generators/registry.ts');
  const { ONE } = await import('../../netlist/network.ts');
  const { multiplierPorts } = await import('../../netlist/ports.ts');
  const { dotDiagramSvg } = await import('../../report/dots.ts');
  const { kind, asBuilt } = generateFromSpec(file);
  if (!drawable.includes(kind)) {
    notes.push(`no dot diagram: a ${kind} multiplier is more than partial products and adders`);
    return undefined;
  }
  const { weight, activation, product } = multiplierPorts(asBuilt);
  const kept = new Set(asBuilt.partialProducts.map(({ i, j }) => `${i},${j}`));
  const adders = asBuilt.adders.map(({ stage, column, kind, inputs }) => ({
    stage: stage - 1,
    column,
    kind,
    kept: true,
    constantInputs: inputs.filter((input) => input === ONE).length,
  }));
  const added = adders.flatMap(({ column, constantInputs }) => Array<number>(constantInputs).fill(column));
  return dotDiagramSvg({
    weightBits: weight.length,
    activationBits: activation.length,
    partialProducts: activation.flatMap((_, j) => weight.map((_, i) => ({ i, j, kept: kept.has(`${i},${j}`) }))),
    adders,
    constants: [...added, ...product.flatMap((signal, column) => (signal === ONE ? [column] : []))],
  });
}

/** What `tram map` says about a file in the report beside it. */
interface MappingReport {
  readonly structure?: StructureDescription;
  readonly certificate?: { readonly sha256?: Readonly<Record<string, string>> };
}

const forms: readonly (readonly [form: string, ending: RegExp])[] = [
  ['verilog', /\.v$/i],
  ['blif', /\.blif$/i],
  ['table', /\.npy$/i],
];

function structureBeside(file: string, notes: string[]): StructureDescription | undefined {
  const found = forms.find(([, ending]) => ending.test(file));
  const report = found && file.replace(found[1], '.errors.json');
  if (!found || !report || !existsSync(report)) {
    notes.push('no dot diagram: the file holds gates or products only, not the adders they came from');
    return undefined;
  }
  const { structure, certificate } = readJson(report) as MappingReport;
  if (structure && certificate?.sha256?.[found[0]] === sha256(readBytes(file))) return structure;
  notes.push(`no dot diagram: ${report} is no report of tram map about this very file`);
  return undefined;
}
