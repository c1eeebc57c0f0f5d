// `tram watch`: the curves of a run, or the trials of a sweep, in the terminal while another process trains.

import { type Command, Option } from 'commander';
import { nonEmpty } from '../../flow/settings/values.ts';
import { interruptible } from '../interrupt.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { styleFor } from '../style.ts';

const AFTER = `
Draws loss, accuracy, power and θ over the epochs, again when there is a new one; of a sweep its trials, those at work first. In a pipe each
epoch is a line. Ends when the work has ended or nobody works there any more, and at Ctrl-C, which does not disturb the work. Any number of
processes may watch; the folder is only read.

Examples:
  tram watch runs/mine
  tram watch runs/cheapest --once
  tram watch runs/mine --wait | tee epochs.txt
`;

export function defineWatch(command: Command, { stdout }: Services): void {
  command
    .description('Shows the curves of a run or the trials of a sweep in the terminal, while another process trains.')
    .argument('<RUN>', 'run folder, folder of a sweep, or a folder of runs', nonEmpty('RUN', 'a folder'))
    .addOption(new Option('--once', 'show what is there, and end').helpGroup('Output:'))
    .addOption(
      new Option('--wait', 'wait for work to begin or to go on, instead of ending')
        .conflicts('once')
        .helpGroup('Output:'),
    )
    .addHelpText('after', AFTER)
    .action(async (folder: string) => {
      const { once = false, wait = false } = command.opts<{ once?: boolean; wait?: boolean }>();
      const { watch } = await import('../watch.ts');
      const interrupt = interruptible({ onFirst: () => {}, onSecond: () => {} });
      try {
        const style = styleFor(stdout, wantsColor(command));
        await watch({ folder, stream: stdout, style, once, wait, signal: interrupt.signal });
      } finally {
        interrupt.dispose();
      }
    });
}
