// `tram export`: a network of a run as a file for PyTorch and others.

import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { exportFormats, exportStages } from '../../flow/results/export.ts';
import type { LogOptions } from '../../flow/run/logs.ts';
import { nonEmpty, oneOf } from '../../flow/settings/values.ts';
import { UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { formatBytes } from '../../tensor/numbers.ts';
import { describeOption } from '../facts.ts';
import { Exit } from '../failure.ts';
import { addLogOptions, readLogs } from '../options.ts';
import type { Services } from '../services.ts';
import { grouped, shellWord } from '../style.ts';

const AFTER = `
Writes the parameters by PyTorch's names and layouts: model.load_state_dict(torch.load(FILE, weights_only=True)) takes them. Quantisers
and θ are left out; --quantizers writes the network as the published program saves it after quantisation (prefix model.), which
tram run --checkpoint takes as the start of phase 1. The run is only read. --json prints one object: path, stage, format, tensors, bytes.

With --tensorboard or --mlflow no network is written: the run's epochs, results, settings and figures go there, what is there already is left
(docs/logging.md). --json then prints events (the file in the run folder) and mlflow (the address).

Examples:
  tram export runs/mine
  tram export runs/mine --stage float --out resnet8.safetensors
  tram export runs/mine --stage quantized --quantizers --out resnet8_w8a8_ptq.pth
  tram export runs/mine --tensorboard
`;

export function defineExport(command: Command, services: Services): void {
  const { stdout } = services;
  const text = (help: string, values: readonly string[], usual: string) =>
    describeOption({ help, values: `one of ${values.join(', ')}`, default: usual });
  command
    .description(
      'Writes a network of a run as a PyTorch or safetensors file, or the run into the logs of other programs.',
    )
    .argument('<RUN>', 'run folder', nonEmpty('RUN', 'a run folder'))
    .addOption(
      new Option(
        '--stage <STAGE>',
        text('which network to write', exportStages, 'the last that the run has'),
      ).argParser(oneOf('--stage', exportStages)),
    )
    .addOption(
      new Option('--format <FORMAT>', text('format of the file', exportFormats, 'as --out ends, else pth')).argParser(
        oneOf('--format', exportFormats),
      ),
    )
    .addOption(new Option('--quantizers', 'with the quantisers, as the published program saves a network'))
    .addOption(
      new Option(
        '--out <FILE>',
        describeOption({ help: 'the file to write', values: 'a path', default: 'RUN-STAGE.pth in this folder' }),
      )
        .argParser(nonEmpty('--out', 'the path of a file'))
        .helpGroup('Output:'),
    )
    .addOption(new Option('--json', 'print one JSON object').helpGroup('Output:'))
    .addHelpText('after', AFTER)
    .action(async (folder: string) => {
      const logs = readLogs(command);
      if (logs.tensorboard || logs.mlflow) return await exportToLogs(folder, logs, command, services);
      const { exportNetwork } = await import('../../flow/results/export.ts');
      const { out, json, ...asked } = command.opts<{
        out?: string;
        json?: boolean;
        stage?: (typeof exportStages)[number];
        format?: (typeof exportFormats)[number];
        quantizers?: boolean;
      }>();
      const written = exportNetwork({ ...asked, folder, ...given({ path: out }) });
      if (json) return void stdout.write(`${JSON.stringify(written)}\n`);
      const { path, stage, tensors, bytes } = written;
      stdout.write(`${path}: the ${stage} network, ${grouped(tensors)} tensors, ${formatBytes(bytes)}\n`);
    });
  addLogOptions(command);
}

async function exportToLogs(
  folder: string,
  logs: LogOptions,
  command: Command,
  { stdout, stderr }: Services,
): Promise<void> {
  const { json, ...others } = command.opts<Record<string, unknown>>();
  const odd = ['stage', 'format', 'quantizers', 'out'].find((name) => others[name] !== undefined);
  if (odd) throw new UserError(`--${odd} is about a network, and --tensorboard and --mlflow write none; leave one out`);
  const { exportLogs } = await import('../../flow/logs/export.ts');
  const exported = await exportLogs(folder, logs, (event) => {
    if (event.kind === 'note') stderr.write(`note: ${event.text}\n`);
  });
  if (json) stdout.write(`${JSON.stringify(exported)}\n`);
  else {
    if (exported.events)
      stdout.write(`${join(folder, exported.events)}: for tensorboard --logdir ${shellWord(folder)}\n`);
    if (exported.mlflow) stdout.write(`${exported.mlflow}: has the run\n`);
  }
  if (logs.mlflow && !exported.mlflow) throw new Exit(2);
}
