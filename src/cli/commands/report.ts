// `tram report`: the table of a run again, and its figures and report page made anew.

import type { Command } from 'commander';
import { Option } from 'commander';
import { performPhases } from '../perform.ts';
import type { Services } from '../services.ts';
import { nonEmpty } from '../values.ts';

const AFTER = `
Reads the run folder alone, not the data; computes nothing but figures. Writes report.html and figures/.

Examples:
  tram report runs/mine
  tram report runs/mine --json
`;

export function defineReport(command: Command, services: Services): void {
  command
    .description('Shows what a run has come to, and makes its figures and its report page anew.')
    .argument('<RUN>', 'run folder', nonEmpty('RUN', 'a run folder'))
    .addOption(new Option('--quiet', 'only the table').helpGroup('Output:'))
    .addOption(new Option('--json', 'only the summary as one JSON object').helpGroup('Output:'))
    .addHelpText('after', AFTER);
  command.action((folder: string) =>
    performPhases(command, services, {
      folder,
      settings: {},
      phases: ['report'],
      device: {},
      redo: true,
      command: 'report',
    }),
  );
}
