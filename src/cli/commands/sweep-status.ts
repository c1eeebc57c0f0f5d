// `tram sweep status`: how a sweep stands, wherever its workers are. It trains nothing.

import { type Command, Option } from 'commander';
import { badValue, decimalNumber, nonEmpty } from '../../flow/settings/values.ts';
import { describeOption } from '../facts.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { styleFor } from '../style.ts';

const AFTER = `
Shows trials that are done, at work (where, since when, at which epoch, with the last sign of life), waiting and failed (why), claims whose
worker is gone, and about how long the rest takes. A worker on another host is watched for a moment, since its process cannot be looked up from
here. Jobs of tram sweep submit are asked for in Slurm's queue, where there is one.

Examples:
  tram sweep status runs/big
  tram sweep status runs/big --json
`;

function seconds(text: string): number {
  const value = decimalNumber(text);
  if (value !== undefined && value >= 0 && value <= 600) return value;
  throw badValue('--watch', text, 'a number from 0 to 600');
}

export function defineSweepStatus(command: Command, { stdout }: Services): void {
  command
    .description('Shows how a sweep stands: done, at work and where, waiting, failed; trains nothing.')
    .argument('<SWEEP>', 'folder of the sweep', nonEmpty('SWEEP', 'a folder'))
    .addHelpText('after', AFTER)
    .addOption(
      new Option(
        '--watch <SECONDS>',
        describeOption({ help: 'how long to watch for a sign of life', values: '0 to 600', default: '2.5' }),
      )
        .argParser(seconds)
        .helpGroup('Output:'),
    )
    .addOption(new Option('--json', 'all of it as one JSON object').helpGroup('Output:'))
    .action(async (folder: string) => {
      const { watch, json } = command.opts<{ watch?: number; json?: boolean }>();
      const { statusOf } = await import('../../flow/sweep/status.ts');
      const { queueOf, submittedJobs } = await import('../../flow/sweep/cluster/slurm.ts');
      const status = await statusOf(folder, watch === undefined ? {} : { watch });
      const submitted = submittedJobs(folder);
      const queue = await queueOf(submitted);
      if (json) {
        stdout.write(`${JSON.stringify({ ...status, submitted, queue: queue ?? null })}\n`);
        return;
      }
      const { statusText } = await import('../sweep-status-text.ts');
      stdout.write(`${statusText(status, submitted, queue, styleFor(stdout, wantsColor(command)))}\n`);
    });
}
