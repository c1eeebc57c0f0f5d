// `tram export`: a network of a run as a file for PyTorch and others.

import { type Command, Option } from 'commander';
import { exportFormats, exportStages } from '../../flow/results/export.ts';
import { nonEmpty, oneOf } from '../../flow/settings/values.ts';
import { given } from '../../tensor/given.ts';
import { formatBytes } from '../../tensor/numbers.ts';
import { describeOption } from '../facts.ts';
import type { Services } from '../services.ts';
import { grouped } from '../style.ts';

const AFTER = `
Writes the parameters by PyTorch's names and layouts: model.load_state_dict(torch.load(FILE, weights_only=True)) takes them. Quantisers
and θ are left out; --quantizers writes the network as the published program saves it after quantisation (prefix model.), which
tram run --checkpoint takes as the start of phase 1. The run is only read. --json prints one object: path, stage, format, tensors, bytes.

Examples:
  tram export runs/mine
  tram export runs/mine --stage float --out resnet8.safetensors
  tram export runs/mine --stage quantized --quantizers --out resnet8_w8a8_ptq.pth
`;

export function defineExport(command: Command, { stdout }: Services): void {
  const text = (help: string, values: readonly string[], usual: string) =>
    describeOption({ help, values: `one of ${values.join(', ')}`, default: usual });
  command
    .description('Writes a network of a run as a PyTorch or safetensors file.')
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
}
