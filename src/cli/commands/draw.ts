// `tram draw`: pictures of a multiplier as SVG: its partial products and adders, the map of its errors, and their
// distribution.

import { join } from 'node:path';
import type { Command } from 'commander';
import { nonEmpty } from '../../flow/settings/values.ts';
import { makeFolder, writeFileAtomic } from '../../tensor/files.ts';
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
  tellNotes,
} from '../workbench.ts';

const AFTER = `
${SUBJECTS}

Writes NAME-error-map.svg (the error of the product for every pair of operands), NAME-error-histogram.svg and, where the adders are
known, NAME-dots.svg: partial products and adders stage by stage, with what was removed. They are known for the generators array, wallace,
dadda, truncated, upper and broken-array, and for the files that tram map --out wrote, as long as NAME.errors.json lies beside them. A
netlist of any other origin has gates only, and a table not even those.

Up to 20 operand bits together (10×10). The axes of signed multipliers are bit patterns: the negative operands are the upper half.

--json prints one object: files (title, path) and notes.

Examples:
  tram draw multipliers/multiplier.v
  tram draw truncated:8x8:columns=6 --out figures
  tram draw multiplier.blif --lenient --out figures
`;

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
  const { loadMultiplier } = await import('../../workbench/load.ts');
  const { drawMultiplier } = await import('../../workbench/figures.ts');
  const multiplier = await loadMultiplier(file, readLoading(command));
  tellNotes(stderr, multiplier.notes);
  const { figures, withoutDots } = await drawMultiplier(multiplier);
  const pathOf = (name: string) => join(out, `${name}.svg`);
  makeFolder(out);
  for (const { name, svg } of figures) writeFileAtomic(pathOf(name), svg);
  const notes = withoutDots === null ? [] : [withoutDots];
  if (json) {
    const files = figures.map(({ title, name }) => ({ title: title.toLowerCase(), path: pathOf(name) }));
    return void stdout.write(`${JSON.stringify({ files, notes })}\n`);
  }
  const style = styleFor(stdout, wantsColor(command));
  const paths = figures.map(({ name }) => pathOf(name));
  stdout.write(`${[filesText(paths, style.bold), ...notes.map(style.dim)].join('\n\n')}\n`);
}
