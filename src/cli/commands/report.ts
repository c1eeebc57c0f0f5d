// `tram report`: the table of a run again, and its figures and report page made anew.

import { join } from 'node:path';
import type { Command } from 'commander';
import { Option } from 'commander';
import { nonEmpty } from '../../flow/settings/values.ts';
import { type FigureFormat, figureFormats } from '../../report/formats.ts';
import { UserError } from '../../tensor/errors.ts';
import { mayWrite } from '../../tensor/files.ts';
import { given } from '../../tensor/given.ts';
import { unknownName } from '../../tensor/names.ts';
import { describeOption } from '../facts.ts';
import { performPhases, showSummary } from '../perform.ts';
import type { Services } from '../services.ts';
import { shellWord } from '../style.ts';

const AFTER = `
Reads the run folder alone, not the data; computes nothing but figures. Writes report.html and figures/ into it, or into --out, where nothing of the run folder is written; the same run gives the same files. PNG
and PDF draw their text with a font of this machine.

--json prints one object: stages (accuracy and loss, power or gateCost), multipliers (theta, gateCost, metrics), layers (macs, share, multiplier,
gateShare), verdict, changed and options (the settings that are not the defaults, and the options that say them), inputs, phases (seconds, device,
command), files. power is that of the run’s model of θ (powerModel) relative to the exact 8×8 array, gateCost the unit gates of the netlist relative to the
cheapest exact 8×8 multiplier.

Examples:
  tram report runs/mine --open
  tram report runs/mine --figures svg,pdf
  tram report runs/mine --json
  tram report archive/theirs --out theirs
`;

export function defineReport(command: Command, services: Services): void {
  const figures = describeOption({
    help: 'forms in which each figure is written',
    values: `a list of ${figureFormats.join(', ')}`,
    default: 'svg',
  });
  command
    .description('Shows what a run has come to, and makes its figures and its report page anew.')
    .argument('<RUN>', 'run folder', nonEmpty('RUN', 'a run folder'))
    .addOption(
      new Option(
        '--out <FOLDER>',
        'where the page and its figures go, as of a run that may only be read (default: RUN)',
      )
        .argParser(nonEmpty('--out', 'a folder'))
        .helpGroup('Output:'),
    )
    .addOption(new Option('--figures <FORMS>', figures).argParser(parseFormats).helpGroup('Output:'))
    .addOption(new Option('--open', 'show the page in the browser').helpGroup('Output:'))
    .addOption(new Option('--quiet', 'only the table').helpGroup('Output:'))
    .addOption(new Option('--json', 'only the summary as one JSON object').helpGroup('Output:'))
    .addHelpText('after', AFTER);
  command.action(async (folder: string) => {
    const { figures, open, out } = command.opts<ReportCommandOptions>();
    if (out === undefined) await reportInside(command, services, folder, figures);
    else {
      const { reportElsewhere } = await import('../../flow/phases/report.ts');
      showSummary(command, services, await reportElsewhere({ folder, out, ...given({ figures }) }));
    }
    if (!open) return;
    const page = join(out ?? folder, 'report.html');
    const hindrance = await services.openFile?.(page);
    if (hindrance !== undefined) {
      services.stderr.write(`tram: no browser could be started (${hindrance}); the page is ${page}\n`);
    }
  });
}

interface ReportCommandOptions {
  readonly figures?: readonly FigureFormat[];
  readonly open?: boolean;
  readonly out?: string;
}

async function reportInside(
  command: Command,
  services: Services,
  folder: string,
  figures: readonly FigureFormat[] | undefined,
): Promise<void> {
  if (!mayWrite(folder)) {
    throw new UserError(
      `${folder} may not be written; tram report ${shellWord(folder)} --out FOLDER makes the page and its figures elsewhere`,
    );
  }
  await performPhases(command, services, {
    folder,
    settings: {},
    phases: ['report'],
    device: {},
    ...given({ figures }),
    redo: true,
    command: 'report',
  });
}

/** "svg, pdf" → its names, each once. */
function parseFormats(text: string): readonly FigureFormat[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.every((name) => name === '')) {
    throw new UserError(`--figures is empty; a list of ${figureFormats.join(', ')} was expected`);
  }
  const known = names.map((name) => {
    const found = figureFormats.find((format) => format === name);
    if (!found) throw unknownName('form of figures', name, figureFormats);
    return found;
  });
  return [...new Set(known)];
}
